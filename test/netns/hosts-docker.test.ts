/** Docker as it is, beside ilm: its NAT, its published ports, and those who dial from inside. */
import { describeHost, type HostSetup } from "../support/hosts.js";
import { families } from "../support/matrix.js";
import { describePublishedPort, webOf } from "../support/published.js";

function docker(proxy: boolean): HostSetup {
  return {
    title: proxy ? "Docker" : "Docker with userland-proxy off",
    tools: ["docker", String(proxy)],
    takes: families,
    container: async (stage) => await webOf(stage, "docker"),
    gateway: { 4: ["172.17.0.1"], 6: ["fd00:d0c::1"] },
  };
}

describeHost(docker(true), (stage) => {
  describePublishedPort(stage, { loopback: { 4: "app", 6: "app" }, inside: "app" });
});

describeHost(docker(false), (stage) => {
  describePublishedPort(stage, { loopback: { 4: "container", 6: null }, inside: "container" });
});
