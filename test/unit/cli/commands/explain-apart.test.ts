// Goal: `explain -f` tells what rules decide that are loaded nowhere, and asks nothing of the host.
import { beforeEach, describe, expect, test } from "vitest";
import { explain, type ExplainOptions } from "../../../../src/cli/commands/explain.js";
import type { Context } from "../../../../src/cli/shell/context.js";
import { ExitStatus, IlmError } from "../../../../src/errors.js";
import { put } from "./files.js";
import { World } from "./world.js";

let world: World;
let file: string;

const rules = `version: 1
services:
  web: { address: [127.0.1.10, "fd5e:ed00::10"] }
  old: { address: 127.0.1.11 }
mappings:
  - { name: https, port: 443, to: web }
  - { name: office, port: 443, from: 192.0.2.0/24, to: [old, web], miss: reject }
  - { name: inner, port: 443, interface: wg0, to: old }
  - { name: closed, port: 25, to: none }
  - { name: old, port: 2222, to: web }
  - { name: web, port: 8080, to: web }
  - { name: only4, port: 6379, to: old }
  - { name: canary, port: 8443, to: [{ address: web, weight: 3 }, { address: old, weight: 1 }] }
`;

/** Whatever looks at the host fails. */
beforeEach(() => {
  world = new World();
  file = put("rules.yaml", rules);
  const forbidden = new IlmError("NOT_PERMITTED", "this needs root");
  for (const name of ["openDataPlane", "lookForPlaces", "lookAround", "holdersOf"] as const) {
    world.failures.set(name, forbidden);
  }
});

const asking =
  (dialled: string, options: Omit<ExplainOptions, "file"> = {}) =>
  (context: Context): Promise<ExitStatus> =>
    explain(context, "tcp", dialled, { file: [file], ...options });

const client = { from: "198.51.100.7:5555" };

describe("what is said", () => {
  test("is which mapping decides and why, the order, and what follows if nobody listens", async () => {
    const text = await world.text(asking("203.0.113.5:443", { from: "192.0.2.9:5555" }));
    const where = file.replaceAll(/[.\\]/g, "\\$&");
    expect(text).toMatch(
      new RegExp(
        [
          `^tcp 203\\.0\\.113\\.5:443 from 192\\.0\\.2\\.9:5555, by the rules of ${where}`,
          `  1\\. the mapping office \\(${where}:7\\) is chosen: it has port 443 on every local address`,
          "  2\\. a socket that already listens on exactly 203\\.0\\.113\\.5:443 would keep it .*",
          "  3\\. the destinations, in their order, are 127\\.0\\.1\\.11:443 \\(old\\), 127\\.0\\.1\\.10:443 \\(web\\)",
          "  4\\. if no destination listens, it is refused \\(miss: reject\\)",
          "  5\\. office decides: 127\\.0\\.1\\.11:443 \\(old\\) gets it if it listens \\(who listens was not looked at: --listening\\)\n$",
        ].join("\n"),
      ),
    );
  });

  test("names mappings that are passed over, and why", async () => {
    const text = await world.text(asking("203.0.113.5:443", client));
    expect(text).toMatch(/office .* is passed over: 198\.51\.100\.7 is not in 192\.0\.2\.0\/24/);
    expect(text).toMatch(/inner .* is passed over: it is for wg0, .* no known interface/);
    expect(text).toMatch(/https decides: 127\.0\.1\.10:443 \(web\) gets it if it listens/);
  });

  test("never is that a destination is selected, unless --listening says so", async () => {
    const open = asking("203.0.113.5:443", client);
    expect(await world.text(open)).not.toContain("selected");
    expect(await world.json("explain", open)).toMatchObject({
      mapping: "https",
      listeners: "unknown",
      verdict: null,
      destination: null,
      unserved: "missed",
    });
    const assumed = asking("203.0.113.5:443", { ...client, listening: ["127.0.1.10:443"] });
    expect(await world.text(assumed)).toMatch(/selected: 127\.0\.1\.10:443 \(web\) gets it/);
    expect(await world.json("explain", assumed)).toMatchObject({
      listeners: "assumed",
      verdict: "selected",
      destination: { address: "127.0.1.10", port: 443 },
    });
  });

  test.each([
    [["203.0.113.5:443", "127.0.1.10:443"], "existing"],
    [["*:443"], "missed"],
    [["127.0.1.10:80"], "missed"],
    [["[fd5e:ed00::10]:443"], "missed"],
  ])("follows from who is taken to listen: %s leads to %s", async (listening, verdict) => {
    expect(
      await world.json("explain", asking("203.0.113.5:443", { ...client, listening })),
    ).toMatchObject({ mapping: "https", verdict });
  });

  test("of weights is the share of each, as the draw depends on a secret of the host", async () => {
    const text = await world.text(asking("203.0.113.5:8443", client));
    expect(text).toMatch(/weight 3\): 75 % of the clients, .*weight 1\): 25 % of the clients/);
    expect(text).toMatch(/canary decides: 127\.0\.1\.10:8443 .* or 127\.0\.1\.11:8443 /);
    expect(
      await world.json(
        "explain",
        asking("203.0.113.5:8443", { ...client, listening: ["127.0.1.11:8443"] }),
      ),
    ).toMatchObject({ verdict: "selected", destination: { address: "127.0.1.11" } });
  });

  test("knows interfaces that this host does not have", async () => {
    expect(
      await world.json("explain", asking("203.0.113.5:443", { ...client, interface: "wg0" })),
    ).toMatchObject({ mapping: "inner", packet: { interface: "wg0" } });
  });

  test("of an address of a service is that it is never mapped", async () => {
    expect(await world.json("explain", asking("127.0.1.10:443"))).toMatchObject({
      mapping: null,
      matchedBy: "owned",
      verdict: "unmanaged",
      candidates: [],
    });
  });
});

describe("what is expected", () => {
  test.each([
    ["https", "203.0.113.5:443", true],
    ["web:443", "203.0.113.5:443", true],
    ["127.0.1.10", "203.0.113.5:443", true],
    ["[fd5e:ed00::10]:443", "[2001:db8::5]:443", true],
    ["none", "203.0.113.5:80", true],
    ["canary", "203.0.113.5:8443", true],
    ["old", "203.0.113.5:443", false],
    ["web:444", "203.0.113.5:443", false],
    ["none", "203.0.113.5:443", false],
    ["https", "203.0.113.5:80", false],
    ["web", "203.0.113.5:8443", false],
    // Both a mapping and a service.
    ["old", "203.0.113.5:2222", false],
    ["mapping:old", "203.0.113.5:2222", true],
    ["service:old", "203.0.113.5:2222", false],
    ["service:web", "203.0.113.5:2222", true],
    ["web", "203.0.113.5:8080", true],
    ["web:8080", "203.0.113.5:8080", true],
    ["web", "203.0.113.5:443", false],
    ["service:web:443", "203.0.113.5:443", true],
    // On purpose, or not at all.
    ["none", "203.0.113.5:25", false],
    ["refused", "203.0.113.5:25", true],
    ["closed", "203.0.113.5:25", true],
    ["refused", "203.0.113.5:26", false],
    // No destination takes IPv6.
    ["only4", "203.0.113.5:6379", true],
    ["only4", "[2001:db8::5]:6379", false],
  ])("%s for %s: %s", async (expected, dialled, asExpected) => {
    const command = asking(dialled, { expect: expected });
    const { err, status } = await world.end(false, command);
    expect(status).toBe(asExpected ? ExitStatus.done : ExitStatus.failed);
    if (asExpected) expect(err).toBe("");
    else expect(err).toMatch(/^ilm: expected \S+, got (?:no mapping|\S+: .*|\S+ -> .*)\n$/);
    expect(await world.json("explain", command)).toMatchObject({ expected, asExpected });
  });

  test("and is the name of nothing is said to be so", async () => {
    const { err } = await world.end(false, asking("203.0.113.5:443", { expect: "wbe" }));
    expect(err).toBe(
      "ilm: expected wbe, got https -> 127.0.1.10:443 (web) (there is no mapping or service named wbe)\n",
    );
  });
});

describe("who is expected to get what nobody gets", () => {
  test.each([
    ["https", ["127.0.1.10:443"], true],
    ["service:web", ["127.0.1.10:443"], true],
    ["https", ["127.0.1.99:80"], false],
    ["service:web", ["127.0.1.99:80"], false],
    // A socket on the dialled address keeps it, and is not of the mapping.
    ["https", ["203.0.113.5:443"], false],
    ["none", ["127.0.1.99:80"], false],
  ])("is %s while only %s listens: %s", async (expected, listening, asExpected) => {
    const command = asking("203.0.113.5:443", { ...client, listening, expect: expected });
    const { status } = await world.end(false, command);
    expect(status).toBe(asExpected ? ExitStatus.done : ExitStatus.failed);
  });

  test("is nobody where a mapping of miss: reject rejects it", async () => {
    const options = { from: "192.0.2.9:5555", listening: ["127.0.1.99:80"], expect: "office" };
    const { status, err } = await world.end(false, asking("203.0.113.5:443", options));
    expect(err).toBe("ilm: expected office, got office: rejected\n");
    expect(status).toBe(ExitStatus.failed);
  });

  test.each([
    ["mapping:web2", "mapping"],
    ["service:https", "service"],
  ])("is said not to exist: %s", async (expected, what) => {
    const { err } = await world.end(false, asking("203.0.113.5:443", { expect: expected }));
    expect(err).toContain(`(there is no ${what} named ${expected.split(":")[1]})`);
  });
});

test.each([
  [["tcp", "203.0.113.5:443", { listening: ["127.0.1.10:443"] }], /^ilm: --listening: the loaded/],
  [["tcp", undefined, {}], /^ilm: what the client dials is missing/],
  [["-", "203.0.113.5:443", {}], /^ilm: ADDRESS:PORT: each line of the list has its own/],
  [["-", undefined, { from: "1.2.3.4:5" }], /^ilm: --from: each line of the list has its own/],
  [["-", undefined, { file: ["-"] }], /^ilm: -f: standard input is read once/],
] as const)("the command line %j is refused", async ([protocol, dialled, options], message) => {
  const command = (context: Context): Promise<ExitStatus> =>
    explain(context, protocol, dialled, options);
  const { err, status } = await world.end(false, command);
  expect(err).toMatch(message);
  expect(status).toBe(ExitStatus.usage);
});
