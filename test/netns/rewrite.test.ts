/**
 * `wildcard: rewrite`: a daemon that binds to every address listens on its service's own. Two of
 * them share a port, and each takes both families.
 */
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import type { Actor } from "../support/actor.js";
import { useLabs } from "../support/attacks.js";
import { type Kind, kinds, protocolOf } from "../support/lab.js";
import { addressesOf, families } from "../support/matrix.js";
import { useNetwork } from "../support/network.js";

const network = useNetwork();
const labOf = useLabs(network);
const web: Actor = { uid: 4000, gid: 4000, cgroup: "web.service" };
const blog: Actor = { uid: 4001, gid: 4001, cgroup: "blog.service" };
const PORT = 80;

const rules = `
version: 1
services:
  web:
    unit: web.service
    address: [127.0.1.10, "fd5e:ed00::10"]
    wildcard: rewrite
    publish: [${PORT}/tcp, ${PORT}/udp]
  blog:
    unit: blog.service
    address: [127.0.1.11, "fd5e:ed00::11"]
    wildcard: rewrite
    publish: { 8080/tcp: ${PORT}, 8080/udp: ${PORT} }
`;
const own = { 4: ["127.0.1.10", "127.0.1.11"], 6: ["fd5e:ed00::10", "fd5e:ed00::11"] } as const;

/** What daemons bind to, and the families that they take by it. */
const wildcards = [
  { asked: "0.0.0.0", options: [], takes: [4] },
  { asked: "::", options: ["dual"], takes: [4, 6] },
  { asked: "::", options: ["v6only"], takes: [6] },
  { asked: "::ffff:0.0.0.0", options: ["dual"], takes: [4, 6] },
] as const;

beforeEach(async () => {
  await network.server.unload();
  await network.server.apply(rules);
});

afterAll(async () => {
  await network.server.stopAll();
});

/** The address that the kernel has for what listens on the port, as others see it. */
async function boundTo(kind: Kind, port: number): Promise<string> {
  const listed = await network.server.must(["ss", "-Hln", kind === "udp" ? "-u" : "-t"]);
  const local = listed
    .split("\n")
    .map((line) => line.trim().split(/\s+/)[3] ?? "")
    .find((one) => one.endsWith(`:${port}`));
  return (local ?? "nothing").replace(/:\d+$/, "").replace(/^\[?(?:::ffff:)?([^\]]*)\]?$/, "$1");
}

for (const kind of kinds) {
  describe(kind, () => {
    for (const { asked, options, takes } of wildcards) {
      test(`two daemons share a port on ${asked} (${options.join() || "IPv4"}), each takes its own, and is told that it has what it asked for`, async () => {
        const { client, server } = network;
        const [first, second] = [await labOf(web), await labOf(blog)];
        const one = await first.open("web", kind, asked, PORT, { options });
        const two = await second.open("blog", kind, asked, PORT, { options });
        expect([one, two]).toMatchObject([
          { address: asked, port: PORT },
          { address: asked, port: PORT },
        ]);
        for (const family of families) {
          const dialled = addressesOf[family].public;
          const isTaken = takes.some((taken) => taken === family);
          const found = [
            await client.who(protocolOf(kind), dialled, PORT),
            await client.who(protocolOf(kind), dialled, 8080),
          ];
          const wanted = isTaken ? ["web", "blog"] : ["ECONNREFUSED", "ECONNREFUSED"];
          expect(found, `IPv${family}`).toEqual(wanted);
          const onHost = [
            await server.who(protocolOf(kind), own[family][0], PORT),
            await server.who(protocolOf(kind), own[family][1], PORT),
          ];
          expect(onHost, `IPv${family}, on the host`).toEqual(wanted);
        }
      });
    }
  });
}

describe("a socket of the service keeps what it asked for", () => {
  test("on port 0, or on a port of clients that no mapping leads to", async () => {
    const lab = await labOf(web);
    for (const kind of kinds) {
      for (const port of [0, 40_000]) {
        const name = `${kind} ${port}`;
        const { port: given } = await lab.open(name, kind, "0.0.0.0", port);
        expect(await boundTo(kind, given), name).toBe("0.0.0.0");
        await lab.do("close", name);
      }
    }
  });

  test("where it is UDP's, and no mapping leads to its port", async () => {
    const lab = await labOf(web);
    await lab.open("client", "udp", "0.0.0.0", 5300);
    expect(await boundTo("udp", 5300)).toBe("0.0.0.0");
  });

  test.each([
    ["is in a multicast group", ["group"]],
    ["has SO_BROADCAST and SO_REUSEADDR", ["broadcast", "reuseaddr"]],
  ] as const)("where it is UDP's, and %s", async (_, options) => {
    const lab = await labOf({ ...web, capabilities: "+net_bind_service" });
    await lab.open("receiver", "udp", "0.0.0.0", PORT, { options });
    expect(await boundTo("udp", PORT)).toBe("0.0.0.0");
  });
});

test("a UDP socket with SO_BROADCAST alone is rewritten: Go sets it on all of them", async () => {
  const lab = await labOf(web);
  await lab.open("go", "udp", "0.0.0.0", PORT, { options: ["broadcast"] });
  expect(await boundTo("udp", PORT)).toBe(own[4][0]);
});

test("a socket of another user, or of root in another unit, is reported and not rewritten", async () => {
  const { server } = network;
  for (const actor of [{ uid: 4002, gid: 4002 }, { cgroup: "other.service" }] satisfies Actor[]) {
    const lab = await labOf(actor);
    await lab.open("other", "tcp", "0.0.0.0", 8081);
    expect(await boundTo("tcp", 8081)).toBe("0.0.0.0");
    await lab.do("close", "other");
  }
  expect((await server.ask(["audit"])).stdout).toMatch(/8081/);
});

test("a port that no mapping leads to is private to the service, for TCP", async () => {
  const lab = await labOf(web);
  await lab.open("admin", "tcp", "0.0.0.0", 9000);
  expect(await boundTo("tcp", 9000)).toBe(own[4][0]);
  expect(await network.client.who("tcp", addressesOf[4].public, 9000)).toBe("ECONNREFUSED");
  expect(await network.server.who("tcp", own[4][0], 9000)).toBe("admin");
});

for (const kind of kinds) {
  test(`the members of a SO_REUSEPORT group are rewritten alike, ${kind}`, async () => {
    const lab = await labOf(web);
    const options = ["dual", "reuseport"] as const;
    for (const name of ["one", "two"]) await lab.open(name, kind, "::", PORT, { options });
    const seen = new Set<string>();
    for (let i = 0; i < 60 && seen.size < 2; i++) {
      for (const family of families) {
        seen.add(await network.client.who(protocolOf(kind), addressesOf[family].public, PORT));
      }
    }
    expect([...seen].sort()).toEqual(["one", "two"]);
  });

  test(`a daemon starts again at once, with connections of before that have not ended, ${kind}`, async () => {
    const lab = await labOf(web);
    for (let i = 0; i < 20; i++) {
      await lab.open("web", kind, "::", PORT, { options: ["dual"], tag: `${i}` });
      for (const family of families) {
        const dialled = addressesOf[family].public;
        expect(await network.client.who(protocolOf(kind), dialled, PORT)).toBe(`${i}`);
      }
      await lab.do("close", "web");
    }
  });
}

test("what a policy no longer says is no longer done, and sockets stay as they are", async () => {
  const { server, client } = network;
  const lab = await labOf(web);
  await lab.open("before", "tcp", "0.0.0.0", PORT);
  await server.apply(rules.replaceAll("wildcard: rewrite", "wildcard: allow"));
  expect(await client.who("tcp", addressesOf[4].public, PORT)).toBe("before");
  await lab.open("after", "tcp", "0.0.0.0", 9000);
  expect(await boundTo("tcp", 9000)).toBe("0.0.0.0");
});
