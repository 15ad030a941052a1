/**
 * Each situation that a listener can be in (docs/listeners.md), on a host as people have it: NAT, a
 * stateful firewall, another program at ingress. `ilm run` is running. MPTCP is not reached
 * behind NAT, and said to be so.
 */
import { beforeAll, describe, expect, test } from "vitest";
import { type Lab, useLab } from "../support/lab.js";
import { addressesOf, families } from "../support/matrix.js";
import { addNeighbours, untilRegistered } from "../support/neighbours.js";
import { useNetwork } from "../support/network.js";
import { makeStage, situationRules, situations } from "../support/situations.js";

const network = useNetwork();
let lab: Lab;

beforeAll(async () => {
  const { server } = network;
  const range = "echo 40000 40099 > /proc/sys/net/ipv4/ip_local_port_range";
  await server.must(["sh", "-c", range]);
  await addNeighbours(server, "6000-6004, 40000-40099");
  await server.startRun(["-f", server.file(situationRules)]);
});

useLab(network, (started) => {
  lab = started;
});

for (const situation of situations) {
  describe(`${situation.what}: ${situation.outcome}`, () => {
    for (const kind of situation.kinds.filter((one) => one !== "mptcp")) {
      for (const family of situation.families ?? families) {
        const cell = addressesOf[family];
        test(`${kind} over ${cell.label}`, async () => {
          const { server, client } = network;
          const settle = async (): Promise<void> =>
            kind === "udp" ? await untilRegistered(server) : undefined;
          await situation.play(makeStage(server, client, lab, cell, kind, settle));
        });
      }
    }
  });
}

for (const family of families) {
  const cell = addressesOf[family];
  test(`an MPTCP listener is refused to those who dial, and status names it, ${cell.label}`, async () => {
    const { server, client } = network;
    await lab.open("app", "mptcp", cell.daemon, 6000);
    expect(await client.who("tcp", cell.public, 6000, { mptcp: true })).toBe("ECONNREFUSED");
    expect((await server.status()).warnings).toContainEqual(
      expect.objectContaining({
        kind: "unreached",
        message: expect.stringContaining("python3") as string,
        remedy: expect.stringContaining("plain TCP") as string,
      }),
    );
  });
}
