/** A host that masquerades all that leaves by its interface, as routers and VPN servers do. */
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { type Lab, useLab } from "../support/lab.js";
import { addressesOf, families } from "../support/matrix.js";
import { nft, removeRules, untilRegistered } from "../support/neighbours.js";
import { useNetwork } from "../support/network.js";

const network = useNetwork();
let lab: Lab;

useLab(network, (started) => {
  lab = started;
});

const rules = `
version: 1
services:
  app: { address: [127.0.1.10, "fd5e:ed00::10"] }
mappings:
  - { name: same, protocol: udp, port: 6000, to: app }
  - { name: moved, protocol: udp, port: 6001, to: "app:6000" }
`;

beforeAll(async () => {
  const { server } = network;
  await server.startRun(["-f", server.file(rules)]);
});

afterEach(async () => {
  await removeRules(network.server);
});

/*
 * The answers of a mapping that changes the port pass netfilter with the daemon's own port, which
 * bpf/egress.h replaces behind it: to conntrack they are flows of their own, which a host that
 * masquerades all that leaves gives another source.
 */
describe("a mapping that changes the port", () => {
  for (const family of families) {
    const { label, public: first, second, elsewhere, daemon } = addressesOf[family];
    const ip = family === 4 ? "ip" : "ip6";

    test(`a host that masquerades all that leaves by its interface answers from what was dialled, ${label}`, async () => {
      const { server, client } = network;
      await nft(
        server,
        `table ${ip} wide { chain out { type nat hook postrouting priority srcnat; oifname "up0" masquerade; }; }\n`,
      );
      await lab.open("app", "udp", daemon, 6000);
      await untilRegistered(server);
      for (const address of [first, second, elsewhere]) {
        const answer = await client.dial("udp", address, 6001, { connected: false, timeout_s: 1 });
        expect(answer).toMatchObject({ tag: "app", repliedFrom: { address, port: 6001 } });
      }
    });
  }
});

test("doctor tells that FIONREAD answers 0 for registered UDP sockets, as docs/listeners.md says", async () => {
  expect((await network.server.ask(["doctor"])).text).toContain("FIONREAD");
});
