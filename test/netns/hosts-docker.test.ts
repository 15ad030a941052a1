/** Docker as it is, beside ilm: its NAT, its published ports, and those who dial from inside. */
import { expect, test } from "vitest";
import { describeHost, type HostSetup } from "../support/hosts.js";
import { addressesOf, families } from "../support/matrix.js";
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

  for (const family of families) {
    const { label, public: dialled, daemon, wildcard, loopback } = addressesOf[family];

    test(`a mapping with \`existing: any\` leaves a published port to Docker's proxy, ${label}`, async () => {
      const { network, lab, container } = stage;
      await container.echo("container", [["tcp", wildcard, 80]]);
      await lab.open("app", "tcp", daemon, 6000);
      expect(await network.client.who("tcp", dialled, 8081)).toBe("container");
      expect(await network.server.who("tcp", loopback, 8081)).toBe("container");
      expect(await container.who("tcp", dialled, 8081)).toBe("container");
    });
  }
});

describeHost(docker(false), (stage) => {
  describePublishedPort(stage, { loopback: { 4: "container", 6: null }, inside: "container" });
});
