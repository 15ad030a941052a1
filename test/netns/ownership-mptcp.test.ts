/** `mptcp: off` of a service: its owner's processes are refused MPTCP, and nobody else's. */
import { afterAll, beforeEach, expect, test } from "vitest";
import { type Actor, owner, stranger } from "../support/actor.js";
import { useLabs } from "../support/attacks.js";
import { useNetwork } from "../support/network.js";

const network = useNetwork();
const labOf = useLabs(network);

const rules = (owned: string, mptcp: string): string => `
version: 1
services:
  app: { address: 127.0.1.10, ${owned}${mptcp} }
  other: { address: 127.0.1.11, user: ${stranger.uid} }
mappings:
  - { port: 6000, to: app }
  - { port: 6001, to: other }
`;

beforeEach(async () => {
  await network.server.unload();
});

afterAll(async () => {
  await network.server.stopAll();
});

async function opens(as: Actor, address: string, port: number): Promise<string> {
  const lab = await labOf(as);
  const request = { do: "open", name: "app", kind: "mptcp", address, port };
  const { done, errno } = await lab.ask(request);
  if (done) await lab.do("close", "app");
  return done ? "opened" : (errno ?? "refused");
}

test.each([
  ["user", `user: ${owner.uid}`],
  ["unit", "unit: web"],
  ["group", `group: ${owner.gid}`],
])(
  "is for the owner by %s alone, from its next socket on, and ends with the rules",
  async (_, by) => {
    const { server, client } = network;
    const off = rules(by, ", mptcp: off");
    const lab = await labOf(owner);
    await server.apply(rules(by, ""));
    await lab.open("before", "mptcp", "127.0.1.10", 6000);
    await server.apply(off);
    // What is there stays what it is.
    expect(await client.dial("tcp", "203.0.113.1", 6000, { mptcp: true })).toMatchObject({
      tag: "before",
      mptcp: true,
    });
    await lab.do("close", "before");
    expect(await opens(owner, "127.0.1.10", 6000)).toBe("EPROTONOSUPPORT");
    await lab.open("falls back", "mptcp", "127.0.1.10", 6000, { falls_back: true });
    expect(await client.who("tcp", "203.0.113.1", 6000, { mptcp: true })).toBe("falls back");
    await lab.do("close_all", "");
    expect(await opens(stranger, "127.0.1.11", 6001)).toBe("opened");
    expect(await opens({ ...stranger, rules: true }, "127.0.1.11", 6001)).toBe("opened");
    expect(await opens({}, "203.0.113.1", 6001)).toBe("opened");
    await server.apply(rules(by, ""));
    expect(await opens(owner, "127.0.1.10", 6000)).toBe("opened");
    await server.apply(off);
    expect(await opens(owner, "127.0.1.10", 6000)).toBe("EPROTONOSUPPORT");
    await server.unload();
    expect(await opens(owner, "127.0.1.10", 6000)).toBe("opened");
  },
);
