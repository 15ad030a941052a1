/** Faults of UDP behind netfilter that are known and not mended: each test says what is promised, and fails. */
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { type Lab, useLab } from "../support/lab.js";
import { addressesOf, families } from "../support/matrix.js";
import { nft, removeRules, untilRegistered } from "../support/neighbours.js";
import { useNetwork } from "../support/network.js";
import { words } from "../support/process.js";
import { UdpEnds } from "../support/udp.js";

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
 * The answers of a mapping that changes the port pass netfilter with the daemon's own port, which bpf/egress.h replaces behind it. To
 * conntrack they are flows of their own, and not answers: NAT rules for what the host sends are heeded, and what was done to the
 * request is not undone.
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

    test(`a port that nftables redirects to it is answered from, ${label}`, async () => {
      const { server, client } = network;
      await nft(
        server,
        `table ${ip} redirects { chain in { type nat hook prerouting priority dstnat; udp dport 6500 redirect to :6001; }; }\n`,
      );
      await lab.open("app", "udp", daemon, 6000);
      await untilRegistered(server);
      const answer = await client.dial("udp", second, 6500, { connected: false, timeout_s: 1 });
      expect(answer).toMatchObject({ tag: "app", repliedFrom: { address: second, port: 6500 } });
    });
  }
});

test("doctor tells that FIONREAD answers 0 for registered UDP sockets, as docs/listeners.md says", async () => {
  expect((await network.server.ask(["doctor"])).text).toContain("FIONREAD");
});

/*
 * What ingress saw and the firewall drops leaves its token (bpf/decide.h, token_at): the next look-ups with the same addresses and
 * ports take it, though they have no packet: GRO's, on a host with a tunnel, and those of sock_diag.
 */
test("datagrams that the firewall drops are not counted as given, on a host with a tunnel and GRO", async () => {
  const { server, client } = network;
  const { daemon, client: clientAddress, public: dialled } = addressesOf[4];
  await server.must(words("ethtool -K up0 gro on"));
  await client.must(words("ethtool -K up0 tso off"));
  await server.must(
    words("ip link add vx0 type vxlan id 9 dstport 4789 local 203.0.113.1 dev up0"),
  );
  await server.must(words("ip link set vx0 up"));
  await server.apply(rules.replace("] }", "], handover: lookup }"));
  await lab.open("app", "udp", daemon, 6000);
  await untilRegistered(server);
  const socket = await new UdpEnds(client).open(4, { bind: [clientAddress, 0] });
  const drop = `udp sport ${socket.local.port} counter drop`;
  await nft(
    server,
    `table inet drops { chain in { type filter hook input priority filter; ${drop}; }; }\n`,
  );
  const selected = async (): Promise<readonly number[]> =>
    (await server.mappings()).map(({ counters }) => counters.selected);
  const before = await selected();
  await socket.send([dialled, 6000], Array(20).fill(10) as number[]);
  expect(await client.who("udp", dialled, 6001)).toBe("app");
  expect(await server.must(words("nft list ruleset"))).toContain("counter packets 20 ");
  expect(await selected()).toEqual([before[0], (before[1] ?? 0) + 1]);
});
