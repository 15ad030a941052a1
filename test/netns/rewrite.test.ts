/**
 * `wildcard: rewrite`: a daemon that binds to every address listens on its service's own. Two of
 * them share a port, and each takes both families.
 */
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import type { Actor } from "../support/actor.js";
import { useLabs } from "../support/attacks.js";
import { kinds, protocolOf } from "../support/lab.js";
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
