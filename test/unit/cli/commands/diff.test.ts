// Goal: `diff` shows what `apply` would change, ends as diff(1) does, and changes nothing.
import { beforeEach, describe, expect, test } from "vitest";
import { apply } from "../../../../src/cli/commands/apply.js";
import { diff, type DiffOptions } from "../../../../src/cli/commands/diff.js";
import type { Context } from "../../../../src/cli/shell/context.js";
import { ExitStatus, IlmError } from "../../../../src/errors.js";
import { address, mapping, ruleSet, activeRules } from "../../daemon/fixtures.js";
import { bad, doubtful, good, put } from "./files.js";
import { World } from "./world.js";

let world: World;

beforeEach(() => {
  world = new World();
});

const comparing =
  (options: DiffOptions, ...mappings: string[]) =>
  (context: Context): Promise<ExitStatus> =>
    diff(context, options, mappings);

describe("a file", () => {
  test("that is applied already changes nothing, and the status is 0", async () => {
    const file = put("rules.yaml", good);
    await world.text((context) => apply(context, { file: [file] }, []));
    expect(await world.end(false, comparing({ file: [file] }))).toEqual({
      out: "unchanged\n",
      err: "",
      status: ExitStatus.done,
    });
    expect(await world.json("diff", comparing({ file: [file] }))).toMatchObject({
      same: true,
      added: [],
      removed: [],
      changed: [],
      moves: [],
    });
  });

  test("where nothing is loaded adds all that it has", async () => {
    const { out, status } = await world.end(false, comparing({ file: [put("rules.yaml", good)] }));
    expect(out).toMatch(
      /^\+ service web: 127\.0\.1\.10\n\+ http: .*\n\+ https: .*127\.0\.1\.10:8443/,
    );
    expect(status).toBe(ExitStatus.failed);
  });

  test("that differs shows each mapping, and the connections that go elsewhere", async () => {
    const moved = mapping("https", {
      ports: [{ first: 443, last: 443 }],
      to: [{ address: address("127.0.1.11"), port: "same" }],
    });
    world.dataPlane.apply(activeRules(ruleSet(moved, mapping("old", { protocol: "udp" }))));
    const command = comparing({ file: [put("rules.yaml", good)] });
    const { out, status } = await world.end(false, command);
    expect(out).toMatch(/^- old: /m);
    expect(out).toMatch(/^~ https \(to\)\n {4}- .*127\.0\.1\.11\n {4}\+ .*127\.0\.1\.10:8443/m);
    expect(out).toMatch(/^\+ http: /m);
    expect(out).toMatch(
      /^connections that go elsewhere\n(?: {2}.*\n)* {2}tcp 443 on all IPv4 addresses: 127\.0\.1\.11 -> 127\.0\.1\.10:8443\n/m,
    );
    expect(status).toBe(ExitStatus.failed);
    expect(await world.json("diff", command)).toMatchObject({
      same: false,
      added: [{ name: "http" }],
      removed: [{ name: "old", runtime: false }],
      changed: [{ before: { name: "https" }, after: { name: "https" }, fields: ["to"] }],
      servicesAdded: [{ name: "web" }],
    });
  });

  test("leaves what was added at run time as it is", async () => {
    world.dataPlane.apply(
      activeRules(ruleSet(), [mapping("tcp:9000", { ports: [{ first: 9000, last: 9000 }] })]),
    );
    const value = await world.json("diff", comparing({ file: [put("rules.yaml", good)] }));
    expect(value).toMatchObject({ removed: [], added: [{ name: "http" }, { name: "https" }] });
  });
});

test("arguments are compared as files are", async () => {
  world.dataPlane.apply(activeRules(ruleSet()));
  const { out, status } = await world.end(false, comparing({}, "tcp:8080=127.0.1.10:80"));
  expect(out).toContain("+ tcp:8080: ");
  expect(status).toBe(ExitStatus.failed);
});

test("warnings are on standard error, beside the difference", async () => {
  const file = put("rules.yaml", doubtful);
  const { out, err } = await world.end(false, comparing({ file: [file] }));
  expect(err).toContain(`${file}:3:`);
  expect(out).not.toContain("warning");
});

describe("what cannot be compared", () => {
  test("is a bad file: each error has its place and what would be right", async () => {
    world.failures.set("openDataPlane", new IlmError("NOT_PERMITTED", "this needs root"));
    const file = put("rules.yaml", bad);
    const { out, err, status } = await world.end(false, comparing({ file: [file] }));
    expect(out).toBe("");
    expect(err).toMatch(/rules\.yaml:5:\d+: mappings\[0\]\.port: .*65535/);
    expect(status).toBe(ExitStatus.configuration);
    expect(await world.failure(comparing({ file: [file] }))).toMatchObject({
      error: { code: "CONFIGURATION", problems: [{ line: 5 }, { line: 6 }] },
    });
  });

  test("is a data plane that cannot be opened: the status differs from that of a difference", async () => {
    const remedy = "Run as root.";
    world.failures.set(
      "openDataPlane",
      new IlmError("NOT_PERMITTED", "this needs root", { remedy }),
    );
    const command = comparing({ file: [put("rules.yaml", good)] });
    expect(await world.end(false, command)).toEqual({
      out: "",
      err: `ilm: this needs root\n  ${remedy}\n`,
      status: ExitStatus.notPossible,
    });
    expect(await world.failure(command)).toMatchObject({
      error: { code: "NOT_PERMITTED", remedy },
    });
  });

  test("is nothing", async () => {
    const { err, status } = await world.end(false, comparing({}));
    expect(err).toContain("-f FILE");
    expect(status).toBe(ExitStatus.usage);
  });
});

test("nothing is asked for, whatever would change", async () => {
  world.dataPlane.apply(activeRules(ruleSet(mapping("old"))));
  await world.text(comparing({ file: [put("rules.yaml", good)] }));
  expect(world.asked).toEqual([]);
  expect(world.dataPlane.active()?.generation).toBe(1);
});

describe("two configurations", () => {
  const moved = good
    .replace("web:8443", "127.0.1.11:8443")
    .replace("{ name: http, port: 80, to: web }", "{ name: shop, port: 81, to: web }");

  beforeEach(() => {
    const forbidden = new IlmError("NOT_PERMITTED", "this needs root");
    for (const name of ["openDataPlane", "lookForPlaces", "accessDaemon"] as const) {
      world.failures.set(name, forbidden);
    }
  });

  test("are compared without the data plane, and the status is that of diff(1)", async () => {
    const [file, against] = [put("new.yaml", moved), put("old.yaml", good)];
    const { out, status } = await world.end(false, comparing({ file: [file], against }));
    expect(out).toMatch(/^- http: /m);
    expect(out).toMatch(/^~ https \(to\)\n/m);
    expect(out).toMatch(/^\+ shop: /m);
    expect(status).toBe(ExitStatus.failed);
    expect(await world.end(false, comparing({ file: [file], against: file }))).toMatchObject({
      out: "unchanged\n",
      status: ExitStatus.done,
    });
  });

  test("in a summary are one line, and the same counts in JSON", async () => {
    const [file, against] = [put("new.yaml", moved), put("old.yaml", good)];
    const command = comparing({ file: [file], against, summary: true });
    expect(await world.text(command)).toBe("+1 -1 ~1 mappings, 3 connections elsewhere\n");
    expect(await world.json("diff", command)).toMatchObject({
      same: false,
      counts: { added: 1, removed: 1, changed: 1, moves: 3 },
      added: [],
      moves: [],
    });
  });

  test("are shown up to a limit, and the last line says how much more there is", async () => {
    const ports = Array.from({ length: 30 }, (_, index) => 9000 + 2 * index);
    const many = `${good}${ports.map((port) => `  - { port: ${port}, to: web }\n`).join("")}`;
    const [file, against] = [put("new.yaml", many), put("old.yaml", good)];
    const { out } = await world.end(false, comparing({ file: [file], against, limit: "3" }));
    expect(out.match(/^\+ tcp:/gm)).toHaveLength(3);
    expect(out).toMatch(
      /\nand 27 more mappings added, 27 more connections that go elsewhere: shown with a higher --limit\n\+30 -0 ~0 mappings, 30 connections elsewhere\n$/,
    );
    expect(
      await world.json("diff", comparing({ file: [file], against, limit: "3" })),
    ).toMatchObject({
      counts: { added: 30 },
      added: [{}, {}, {}],
      moves: [{}, {}, {}],
    });
  });

  test("are not both read from standard input", async () => {
    const { err, status } = await world.end(false, comparing({ file: ["-"], against: "-" }));
    expect(err).toMatch(/^ilm: --against: standard input is read once/);
    expect(status).toBe(ExitStatus.usage);
  });

  test("have to be right, both of them", async () => {
    const [file, against] = [put("new.yaml", good), put("old.yaml", bad)];
    const { err, status } = await world.end(false, comparing({ file: [file], against }));
    expect(err).toMatch(/old\.yaml:5:/);
    expect(status).toBe(ExitStatus.configuration);
  });
});
