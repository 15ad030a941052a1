/**
 * The replies of mapped UDP daemons on every device, with checksum offload and without:
 * test/support/udp-matrix.ts.
 */
import { tunCable, vethCable, vxlanCable } from "../support/network.js";
import { type Device, describeUdpMatrix } from "../support/udp-matrix.js";

const devices: readonly Device[] = [
  { title: "veth", cable: vethCable, offload: "on" },
  { title: "veth", cable: vethCable, offload: "off" },
  { title: "tun, without Ethernet headers", cable: tunCable, offload: "on" },
  { title: "tun, without Ethernet headers", cable: tunCable, offload: "off" },
  { title: "vxlan on veth", cable: vxlanCable, offload: "on" },
  { title: "vxlan on veth", cable: vxlanCable, offload: "off" },
  // Loopback cannot do without offload (ethtool: [fixed]).
  { title: "lo", cable: vethCable, loopback: true, offload: "on" },
];

for (const device of devices) describeUdpMatrix(device);
