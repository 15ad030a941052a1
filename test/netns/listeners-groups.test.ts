/**
 * SO_REUSEPORT groups: balanced by the kernel, by the group's own program, and never lost with one
 * member.
 */
import { beforeAll, describe, expect, test } from "vitest";
import { refused } from "../support/dialler.js";
import { type Kind, kinds, type Lab, protocolOf, useLab } from "../support/lab.js";
import { addressesOf, families } from "../support/matrix.js";
import { useNetwork } from "../support/network.js";

const network = useNetwork();
const options = ["reuseport"] as const;

const rules = `
version: 1
services:
  app: { address: [127.0.1.10, "fd5e:ed00::10"] }
mappings:
  - { protocol: [tcp, udp], port: 6000, to: app }
`;

let lab: Lab;

beforeAll(async () => {
  // With no process of ours running.
  await network.server.apply(rules);
});

useLab(network, (started) => {
  lab = started;
});

for (const kind of kinds) {
  for (const family of families) {
    const cell = addressesOf[family];

    async function count(dials: number, port = 6000): Promise<Record<string, number>> {
      const answered: Record<string, number> = {};
      for (let i = 0; i < dials; i += 1) {
        const who = await network.client.who(protocolOf(kind), cell.public, port, {
          mptcp: kind === "mptcp",
        });
        answered[who] = (answered[who] ?? 0) + 1;
      }
      return answered;
    }

    async function join(...names: readonly string[]): Promise<void> {
      for (const name of names) await lab.open(name, kind, cell.daemon, 6000, { options });
    }

    describe(`${kind} over ${cell.label}`, () => {
      test("the kernel balances over the members", async () => {
        await join("a", "b", "c", "d");
        const answered = await count(120);
        expect(Object.keys(answered).sort()).toEqual(["a", "b", "c", "d"]);
        // 30 each on average; fewer than 8 is once in a million.
        expect(Math.min(...Object.values(answered))).toBeGreaterThanOrEqual(8);
      });

      // An MPTCP socket takes no such program (net/mptcp/sockopt.c).
      const outcome = kind === "mptcp" ? ["ENOTSUP", ["a", "b"]] : ["taken", ["b"]];
      test("the group's own program selects, as without us", async () => {
        await join("a", "b");
        const details = { kind, address: cell.daemon, port: 6000, options, selector: 1 };
        const { errno } = await lab.ask({ do: "open", name: "c", ...details });
        const answered = Object.keys(await count(20)).sort();
        expect([errno ?? "taken", answered]).toEqual(outcome);
      });

      test("members come and go in any order, the first one too, and none is missed", async () => {
        await join("a", "b", "c");
        for (const [leaves, comes] of [
          ["a", "d"],
          ["c", "e"],
          ["b", "a"],
          ["d", "b"],
          ["e", "c"],
        ] as const) {
          await lab.do("close", leaves);
          const left = await count(10);
          expect(Object.keys(left)).not.toContain(leaves);
          expect(Object.keys(left).filter((name) => !/^[a-e]$/.test(name))).toEqual([]);
          await join(comes);
        }
        for (const name of ["a", "b"]) await lab.do("close", name);
        expect(await count(5)).toEqual({ c: 5 });
        await lab.do("close", "c");
        expect(await network.client.dial(protocolOf(kind), cell.public, 6000)).toEqual(refused);
      });
    });
  }
}

const shared: readonly Kind[] = ["tcp", "mptcp"];
test("TCP and MPTCP sockets in one group are one group", async () => {
  const cell = addressesOf[4];
  for (const kind of shared) await lab.open(kind, kind, cell.daemon, 6000, { options });
  const seen = new Set<string>();
  for (let i = 0; i < 60; i += 1) seen.add(await network.client.who("tcp", cell.public, 6000));
  expect([...seen].sort()).toEqual(["mptcp", "tcp"]);
});
