/**
 * What services publish, end to end: a configuration without mappings leads clients to daemons, and
 * every command names what was published as it names mappings.
 */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { selected } from "../support/counters.js";
import { refused } from "../support/dialler.js";
import { addressesOf, endpoint, matrix } from "../support/matrix.js";
import { useNetwork } from "../support/network.js";

const network = useNetwork();
const [four, six] = [addressesOf[4], addressesOf[6]];

const rules = `version: 1
ula: "fd5e:ed00:1::/48"
services:
  web:  { address: auto, publish: [6000, 6000/udp, 6010-6012] }
  blog: { address: ["${four.daemon}", "${six.daemon}"], publish: { 6000: 6100, 6000/udp: 6101 }, on: ["${four.second}", "${six.second}"] }
`;

/** The addresses that web has by its name: IPv4, IPv6. */
let own: readonly string[] = [];

beforeEach(async () => {
  const { server } = network;
  const file = server.file(rules);
  await server.ilmDone(["apply", "-f", file]);
  const { stdout } = await server.ask(["address", "web", "-f", file, "--json"]);
  const [web] = JSON.parse(stdout) as readonly { readonly addresses: readonly string[] }[];
  own = web?.addresses ?? [];
});

afterEach(async () => {
  await network.server.reset();
});

for (const { title, protocol, family, ...cell } of matrix) {
  const mine = family === 4 ? 0 : 1;
  const blogPort = protocol === "tcp" ? 6100 : 6101;

  describe(title, () => {
    beforeEach(async () => {
      const { server } = network;
      await server.echo("web", [[protocol, own[mine] ?? "", 6000]]);
      await server.echo("blog", [[protocol, cell.daemon, blogPort]]);
    });

    test("a published port leads to the service, on the same port or the one that is said", async () => {
      const { client } = network;
      expect(await client.dial(protocol, cell.public, 6000)).toMatchObject({
        tag: "web",
        repliedFrom: { address: cell.public, port: 6000 },
      });
      // The longer `on` decides, as with mappings.
      expect(await client.who(protocol, cell.second, 6000)).toBe("blog");
      expect(await client.dial(protocol, cell.public, 6001)).toEqual(refused);
      expect(await client.dial(protocol, cell.public, blogPort)).toEqual(refused);
    });

    test("mappings, its counters and explain have the name that a mapping has", async () => {
      const { server, client } = network;
      const [web, blog] = [
        `${protocol}:6000`,
        `${protocol}:6000@${four.second}/32,${six.second}/128`,
      ];
      const before = [await selected(server, web), await selected(server, blog)];
      await client.who(protocol, cell.public, 6000);
      await client.who(protocol, cell.second, 6000);
      await client.who(protocol, cell.second, 6000);
      const after = [await selected(server, web), await selected(server, blog)];
      expect(before.every((count) => count >= 0)).toBe(true);
      // One more for each dial; the same name is counted apart for each protocol.
      expect(after).toEqual([before[0]! + 1, before[1]! + 2]);
      for (const [name, address] of [
        [web, cell.public],
        [blog, cell.second],
      ] as const) {
        const explained = await server.ask(["explain", protocol, endpoint(address, 6000)]);
        expect(explained.text).toContain(name);
      }
      expect((await server.ask(["mappings"])).text).toContain(web);
    });
  });
}

test("remove of a published mapping says which file has it, as with any mapping of a file", async () => {
  const { server, client } = network;
  await server.echo("web", [["tcp", own[0] ?? "", 6000]]);
  const result = await server.ilm(["remove", "tcp:6000"]);
  expect(result.status).not.toBe(0);
  expect(result.stderr).toMatch(/the mapping tcp:6000 was not added at run time: \S+:4 has it/);
  expect(await client.who("tcp", four.public, 6000)).toBe("web");
});

test("the long form is no change, and a mapping that ties with what is published is refused with both lines", async () => {
  const { server } = network;
  const long = `version: 1
ula: "fd5e:ed00:1::/48"
services:
  web:  { address: auto }
  blog: { address: ["${four.daemon}", "${six.daemon}"] }
mappings:
  - { port: 6000, to: web }
  - { protocol: udp, port: 6000, to: web }
  - { port: 6010-6012, to: web }
  - { port: 6000, on: ["${four.second}", "${six.second}"], to: "blog:6100" }
  - { protocol: udp, port: 6000, on: ["${four.second}", "${six.second}"], to: "blog:6101" }
`;
  const difference = await server.ask(["diff", "-f", server.file(long), "--json"]);
  expect(JSON.parse(difference.stdout)).toMatchObject({ added: [], removed: [], changed: [] });
  const tied = server.file(`${rules}mappings:\n  - { name: other, port: 6011-6013, to: blog }\n`);
  const refusal = await server.ilm(["apply", "-f", tied]);
  expect(refusal.status).toBe(3);
  expect(refusal.stderr).toMatch(/:4:\d+/);
  expect(refusal.stderr).toMatch(/:7:\d+/);
});
