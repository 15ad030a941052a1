/**
 * The replies of mapped UDP daemons (test/support/udp-matrix.ts) on a host as people have it: NAT,
 * a firewall, a stranger at ingress.
 */
import { addNeighbours, untilRegistered } from "../support/neighbours.js";
import { vethCable } from "../support/network.js";
import { describeUdpMatrix, udpMatrixRules } from "../support/udp-matrix.js";

describeUdpMatrix({ title: "veth", cable: vethCable, offload: "on" }, async (server) => {
  await addNeighbours(server, "7000-7001, 7100-7109");
  await server.startRun(["-f", server.file(udpMatrixRules)]);
  await untilRegistered(server);
});
