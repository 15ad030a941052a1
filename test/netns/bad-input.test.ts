/** Bad input of every kind: exit 3, the place and the remedy, and the kernel exactly as before. */
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { beforeAll, describe, expect, test } from "vitest";
import { pinnedPaths, pinnedProgram } from "../support/kernel-state.js";
import { useNetwork } from "../support/network.js";

const network = useNetwork();

const good = `
version: 1
services:
  app: { address: 127.0.1.10 }
mappings:
  - { port: 6000, to: app }
`;

interface Row {
  readonly what: string;
  readonly content: string | Buffer;
  /** `line:column` of the message, or its line alone; absent where the file as a whole is wrong. */
  readonly at?: RegExp;
  /** What the message has to contain. */
  readonly says: RegExp;
}

const mappings = (...lines: readonly string[]): string =>
  `version: 1\nmappings:\n${lines.map((line) => `  - ${line}\n`).join("")}`;

const table: readonly Row[] = [
  { what: "an empty file", content: "", says: /empty|version/ },
  { what: "only a comment", content: "# nothing here\n", says: /empty|version/ },
  {
    what: "a truncated file",
    content: 'version: 1\nmappings:\n  - { port: 80, to: "127.0.',
    at: /:[34]:\d+/,
    says: /./,
  },
  {
    what: "a binary file",
    content: Buffer.from([0x7f, 0x45, 0x4c, 0x46, 0, 1, 2, 0xff, 0xfe, 0]),
    says: /./,
  },
  { what: "a list instead of a document", content: "- 1\n- 2\n", says: /mapping|object|keys/i },
  {
    what: "an unknown version",
    content: "version: 9\nmappings: []\n",
    at: /:1:\d+/,
    says: /version.*1/,
  },
  {
    what: "an unknown key, with a suggestion",
    content: mappings("{ potr: 80, to: 127.0.0.2 }"),
    at: /:3:\d+/,
    says: /did you mean.*port/i,
  },
  {
    what: "an unknown key at the top",
    content: "version: 1\nmapings: []\n",
    at: /:2:1/,
    says: /did you mean.*mappings/i,
  },
  {
    what: "a duplicate key",
    content: "version: 1\nmappings: []\nmappings: []\n",
    at: /:3:1/,
    says: /mappings/,
  },
  {
    what: "port 0",
    content: mappings("{ port: 0, to: 127.0.0.2 }"),
    at: /:3:13/,
    says: /1.*65535/,
  },
  {
    what: "port 65536",
    content: mappings("{ port: 65536, to: 127.0.0.2 }"),
    at: /:3:13/,
    says: /65535/,
  },
  {
    what: "a reversed range",
    content: mappings("{ port: 90-80, to: 127.0.0.2 }"),
    at: /:3:13/,
    says: /80-90|revers|before|greater|larger/i,
  },
  {
    what: "a port that is a word",
    content: mappings("{ port: http, to: 127.0.0.2 }"),
    at: /:3:13/,
    says: /http/,
  },
  {
    what: "a prefix with host bits",
    content: mappings("{ port: 80, on: 203.0.113.5/24, to: 127.0.0.2 }"),
    at: /:3:21/,
    says: /203\.0\.113\.0\/24/,
  },
  {
    what: "a prefix that is too long",
    content: mappings("{ port: 80, on: 203.0.113.5/33, to: 127.0.0.2 }"),
    at: /:3:21/,
    says: /32/,
  },
  {
    what: "an octal address",
    content: mappings("{ port: 80, to: 127.0.0.010 }"),
    at: /:3:21/,
    says: /127\.0\.0\.010/,
  },
  {
    what: "a short address",
    content: mappings("{ port: 80, to: 127.1 }"),
    at: /:3:21/,
    says: /127\.1/,
  },
  {
    what: "an address with a zone",
    content: mappings('{ port: 80, to: "fe80::1%lo" }'),
    at: /:3:21/,
    says: /zone|%/,
  },
  {
    what: "a v4-mapped address",
    content: mappings('{ port: 80, to: "::ffff:127.0.0.2" }'),
    at: /:3:21/,
    says: /127\.0\.0\.2/,
  },
  {
    what: "a service that is not there, with a suggestion",
    content: good.replace("to: app", "to: ap"),
    at: /:6:\d+/,
    says: /did you mean.*app/i,
  },
  {
    what: "two mappings that tie",
    content: mappings("{ port: 80, to: 127.0.0.2 }", "{ name: other, port: 80, to: 127.0.0.3 }"),
    at: /:[34]:\d+/,
    says: /:3\b[^]*:4\b|:4\b[^]*:3\b|line 3|line 4/,
  },
  {
    what: "two mappings of one name",
    content: mappings(
      "{ name: a, port: 80, to: 127.0.0.2 }",
      "{ name: a, port: 81, to: 127.0.0.2 }",
    ),
    at: /:4:\d+/,
    says: /a/,
  },
  {
    what: "a mapping without a port",
    content: mappings("{ to: 127.0.0.2 }"),
    at: /:3:\d+/,
    says: /port/,
  },
  {
    what: "a mapping without a destination",
    content: mappings("{ port: 80 }"),
    at: /:3:\d+/,
    says: /to\b/,
  },
  {
    what: "a destination list that is empty",
    content: mappings("{ port: 80, to: [] }"),
    at: /:3:\d+/,
    says: /to\b/,
  },
  {
    what: "an unknown protocol",
    content: mappings("{ protocol: sctp, port: 80, to: 127.0.0.2 }"),
    at: /:3:\d+/,
    says: /tcp.*udp/,
  },
  {
    what: "docker's two ports",
    content: mappings("{ port: 8080:80, to: 127.0.0.2 }"),
    at: /:3:13/,
    says: /write port: 8080 and to: "127\.0\.0\.2:80"/,
  },
  {
    what: "an interface where an address belongs",
    content: mappings("{ port: 80, on: eth0, to: 127.0.0.2 }"),
    at: /:3:21/,
    says: /write interface: eth0/,
  },
  {
    what: "a multicast address that is dialled",
    content: mappings("{ port: 80, on: 224.0.0.1, to: 127.0.0.2 }"),
    at: /:3:21/,
    says: /multicast.*remove it/,
  },
  {
    what: "a wildcard address that is dialled",
    content: mappings("{ port: 80, on: 0.0.0.0, to: 127.0.0.2 }"),
    at: /:3:21/,
    says: /leave on out/,
  },
  {
    what: "a pattern of interfaces",
    content: mappings("{ port: 80, interface: eth*, to: 127.0.0.2 }"),
    at: /:3:28/,
    says: /list the names/,
  },
  {
    what: "a URL as destination",
    content: mappings("{ port: 80, to: http://127.0.0.2:8080/ }"),
    at: /:3:21/,
    says: /write "127\.0\.0\.2:8080"/,
  },
  {
    what: "a word that existing does not know",
    content: mappings("{ port: 80, to: 127.0.0.2, existing: some }"),
    at: /:3:\d+/,
    says: /exact.*any.*never/,
  },
  {
    what: "a policy that lacks the addresses that it gives",
    content: "version: 1\nservices:\n  a: { address: 127.0.0.2, user: app, wildcard: rewrite }\n",
    at: /:3:\d+/,
    says: /the service has none of IPv6; write address: auto, or add one/,
  },
];

let before = "";

beforeAll(async () => {
  await network.server.apply(good);
  before = await active();
});

/**
 * What must not change: the generation, everything that is pinned for it, and the program that
 * decides.
 */
async function active(): Promise<string> {
  const { server } = network;
  return JSON.stringify({
    generation: server.generation(),
    pins: pinnedPaths(server.inode),
    program: await pinnedProgram(server.inode),
    addresses: await server.loopbackAddresses(),
  });
}

describe("apply refuses, names the place, and changes nothing", () => {
  for (const row of table) {
    test(row.what, async () => {
      const { server } = network;
      const path = `${server.folder}/bad.yaml`;
      writeFileSync(path, row.content);
      const result = await server.ilm(["apply", "-f", path]);
      expect(result.status, result.text).toBe(3);
      expect(result.stdout).toBe("");
      expect(result.stderr).toContain(path);
      if (row.at !== undefined) {
        expect(result.stderr).toMatch(new RegExp(`bad\\.yaml${row.at.source}`));
      }
      expect(result.stderr).toMatch(row.says);
      expect(await active()).toBe(before);
      const checked = await server.ilm(["check", "-f", path]);
      expect(checked.status).toBe(3);
    });
  }

  test("a folder in the place of a file that has no configuration in it", async () => {
    const { server } = network;
    const folder = `${server.folder}/empty.d`;
    mkdirSync(folder);
    const result = await server.ilm(["apply", "-f", folder]);
    expect(result.status, result.text).toBe(3);
    expect(result.stderr).toContain(folder);
  });

  test("a link that leads nowhere", async () => {
    const { server } = network;
    const link = `${server.folder}/dangling.yaml`;
    symlinkSync("/nonexistent/rules.yaml", link);
    const result = await server.ilm(["apply", "-f", link]);
    expect(result.status, result.text).toBe(3);
    expect(result.stderr).toContain(link);
  });

  test("all errors are reported at once, each at its place", async () => {
    const { server } = network;
    const path = server.file(
      mappings(
        "{ port: 0, to: 127.0.0.2 }",
        "{ port: 80, to: 127.1 }",
        "{ port: 81, on: 203.0.113.5/24, to: 127.0.0.2 }",
      ),
    );
    const result = await server.ilm(["apply", "-f", path]);
    expect(result.status).toBe(3);
    for (const line of [3, 4, 5]) {
      expect(result.stderr).toContain(`${path}:${line}:`);
    }
  });

  test("a huge file that is good is applied", async () => {
    const { server } = network;
    const lines: string[] = [];
    for (let port = 1; port <= 20_000; port += 1) {
      lines.push(`{ port: ${port}, to: "127.0.1.10:6000" }`);
    }
    const path = server.file(mappings(...lines));
    const result = await server.ilm(["apply", "-f", path]);
    expect(result.status, result.stderr.slice(0, 2000)).toBe(0);
    expect(await server.status()).toMatchObject({ mappings: 20_000 });
    await server.apply(good);
    before = await active();
  });

  test("a huge file that is bad is refused in bounded time", async () => {
    const { server } = network;
    const path = server.file(`version: 1\nmappings: ${"[".repeat(100_000)}`);
    const result = await server.ilm(["apply", "-f", path]);
    expect(result.status, result.stderr.slice(0, 2000)).toBe(3);
    expect(await active()).toBe(before);
  });

  test("bad mappings as arguments are refused with the argument named", async () => {
    const { server } = network;
    for (const argument of [
      "tcp:0=127.0.0.2",
      "tcp:80=127.1",
      "icmp:80=127.0.0.2",
      "tcp:80",
      "tcp:80=",
      "tcp:90-80=127.0.0.2",
      "tcp:80=nowhere",
      "8080:80",
      "tcp:80->127.0.0.2:80",
      "80=8080",
      "80@eth0=127.0.0.2",
      "80@interface:eth*=127.0.0.2",
    ]) {
      const result = await server.ilm(["add", argument]);
      expect(result.status, `${argument}: ${result.text}`).toBe(3);
      expect(result.stderr).toContain(argument.split("=")[0] ?? argument);
      expect(await active()).toBe(before);
    }
  });

  test("a destination on another host is reported by check, diff, apply and status, and one of this host is not", async () => {
    const { server } = network;
    const bad = server.file(mappings("{ port: 80, on: 203.0.113.1, to: 192.0.2.77:80 }"));
    const told =
      /mapping tcp:80@203\.0\.113\.1.* 192\.0\.2\.77, which is not an address of this host/;
    for (const verb of ["check", "diff", "apply"]) {
      const { stderr } = await server.ilm([verb, "-f", bad]);
      expect(stderr, verb).toMatch(told);
    }
    expect((await server.ilm(["status"])).stdout).toMatch(told);
    const fine = server.file(mappings("{ port: 80, on: 203.0.113.0/24, to: 203.0.113.1:8080 }"));
    expect((await server.ilm(["check", "-f", fine])).stderr).toBe("");
    await server.apply(good);
    before = await active();
  });

  test("a destination inside its own mapping is reported as no loop, and works", async () => {
    const { server } = network;
    const path = server.file(mappings("{ port: 80-90, on: 203.0.113.1/32, to: 203.0.113.1:85 }"));
    const result = await server.ilm(["check", "-f", path]);
    expect(result.status, result.text).toBe(0);
    expect(result.text).toMatch(/85/);
  });
});
