// Goal: `apply` makes the kernel do what a file or arguments say, tells what became of it, and
// changes nothing when it cannot.
import { beforeEach, describe, expect, test } from "vitest";
import { apply, type ApplyCommandOptions } from "../../../../src/cli/commands/apply.js";
import type { Context } from "../../../../src/cli/shell/context.js";
import { ExitStatus, IlmError } from "../../../../src/errors.js";
import { mapping, ruleSet, activeRules } from "../../daemon/fixtures.js";
import { listener } from "../fixtures.js";
import { bad, doubtful, good, put } from "./files.js";
import { World } from "./world.js";

let world: World;

beforeEach(() => {
  world = new World();
});

type Task = (context: Context) => Promise<void>;

const applying =
  (options: ApplyCommandOptions, ...mappings: string[]): Task =>
  (context) =>
    apply(context, options, mappings);

const nameless = {
  pid: 53,
  command: "unbound",
  uid: 0,
  user: "unbound",
  cgroup: "",
  canBindLowPorts: false,
};

describe("a change", () => {
  test("of a file tells the generation, and the daemon gets the path to follow", async () => {
    const file = put("rules.yaml", good);
    const value = await world.json("apply", applying({ file: [file] }));
    expect(value).toMatchObject({
      generation: 1,
      changed: true,
      mappings: 2,
      difference: { added: { count: 2, names: ["http", "https"] } },
      by: "command",
      warnings: [],
      unreached: [],
    });
    expect(world.asked).toMatchObject([{ kind: "apply", sources: [file], given: [] }]);
  });

  test("of arguments needs no file", async () => {
    expect(await world.text(applying({}, "tcp:8080=127.0.1.10:80"))).toMatch(
      /^generation 1 .*: 1 mapping, \+1 -0 ~0\n$/,
    );
    expect(world.asked).toMatchObject([
      { sources: [], given: ["tcp:8080=127.0.1.10:80"], file: { count: 1 } },
    ]);
  });

  test("tells which mappings came, went and differ", async () => {
    world.dataPlane.apply(activeRules(ruleSet(mapping("http"), mapping("old"))));
    expect(await world.text(applying({ file: [put("rules.yaml", good)] }))).toMatch(
      /^generation 2 .*: 2 mappings, \+1 -1 ~1\n {2}\+ https\n {2}- old\n {2}~ http\n$/,
    );
  });

  test("names ten of each kind at most", async () => {
    world.dataPlane.apply(activeRules(ruleSet(mapping("old"))));
    const many = Array.from({ length: 12 }, (_, index) => `tcp:${8000 + index}=127.0.1.10:80`);
    const text = await world.text(applying({ replace: true }, ...many));
    expect(text.match(/^ {2}\+ tcp:80/gm)).toHaveLength(10);
    expect(text).toContain("\n  and 2 more that are new\n");
  });

  test("made by the daemon says so", async () => {
    world.by = "daemon";
    const file = put("rules.yaml", good);
    expect(await world.text(applying({ file: [file] }))).toContain("by the daemon");
    expect(await world.json("apply", applying({ file: [file] }))).toMatchObject({ by: "daemon" });
  });

  test("says what the daemon follows from then on, if that is another file", async () => {
    world.by = "daemon";
    world.follows = ["/etc/other.yaml"];
    const other = applying({ file: [put("rules.yaml", good)] });
    expect(await world.text(other)).toContain("\nthe daemon follows /etc/other.yaml from now on\n");
    world.follows = [];
    expect(await world.text(applying({ replace: true }, "tcp:80=127.0.1.10"))).toContain(
      "\nthe daemon follows no file any more\n",
    );
  });

  test("of a file alone is refused where it would take away what an argument gave beside it", async () => {
    const file = put("rules.yaml", good);
    await world.text(applying({ file: [file] }, "tcp:82=127.0.1.10:80", "udp:82=127.0.1.10"));
    const { err, status } = await world.end(false, applying({ file: [file] }, "udp:82=127.0.1.10"));
    expect(status).toBe(ExitStatus.usage);
    expect(err).toContain("this would take away tcp:82, which was given as an argument beside");
    expect(err).toContain("Give it again (tcp:82=127.0.1.10:80), which keeps it; `--replace`");
    expect(await world.text(applying({ file: [file], replace: true }))).toContain("- tcp:82");
  });

  test("of the same text again is none, and keeps the generation", async () => {
    const file = put("rules.yaml", good);
    await world.text(applying({ file: [file] }));
    expect(await world.json("apply", applying({ file: [file] }))).toMatchObject({
      generation: 1,
      changed: false,
      difference: null,
      mappings: 2,
    });
    expect(await world.text(applying({ file: [file] }))).toMatch(
      /^unchanged: generation 1 .*2 mappings\n$/,
    );
  });

  test("while ilm is off warns that nothing is decided", async () => {
    world.dataPlane.setOff(true);
    const file = put("rules.yaml", good);
    expect(await world.text(applying({ file: [file] }))).toContain("warning: ilm is off");
    expect(await world.json("apply", applying({ file: [file] }))).toMatchObject({ off: true });
  });

  test("shows the time of each step with --timing, and in JSON always", async () => {
    const file = put("rules.yaml", good);
    expect(await world.text(applying({ file: [file] }))).not.toContain(" ms ");
    expect(await world.text(applying({ file: [file], timing: true }))).toMatch(
      /^ *[0-9.]+ ms {2}all of it$/m,
    );
    const { timing } = (await world.json("apply", applying({ file: [file] }))) as {
      timing: object[];
    };
    expect(timing).toContainEqual({
      step: "reading the files",
      milliseconds: expect.any(Number) as number,
    });
  });
});

describe("what is doubtful", () => {
  test("about a file is on standard error with its place, and in JSON on standard output alone", async () => {
    const file = put("rules.yaml", doubtful);
    const { err, status } = await world.end(false, applying({ file: [file] }));
    expect(err).toContain(`${file}:3:`);
    expect(err).toContain("is inside its own mapping");
    expect(status).toBe(ExitStatus.done);
    expect((await world.say(true, applying({ file: [file] }))).err).toBe("");
    expect(await world.json("apply", applying({ file: [file] }))).toMatchObject({
      warnings: [{ severity: "warning", file, line: 3, path: "mappings[0].to" }],
    });
  });

  test("is a UDP daemon that NAT cuts off: it is named, with its remedy", async () => {
    world.dataPlane.translated = [4];
    const socket = listener("127.0.1.10", 53, { protocol: "udp", kind: "udp", cookie: "53" });
    world.dataPlane.sockets = [socket];
    world.holders.set(socket.cookie, nameless);
    const command = applying({}, "udp:53=127.0.1.10:53");
    expect(await world.text(command)).toMatch(
      /warning: unbound \(pid 53\) on 127\.0\.1\.10:53 \(of udp:53\) is not reached.*\n {2}Start `ilm run`/,
    );
    const { unreached } = (await world.json("apply", command)) as { unreached: object[] };
    expect(unreached).toMatchObject([{ kind: "unreached" }, { kind: "unregistered" }]);
    world.by = "daemon";
    expect(await world.json("apply", command)).toMatchObject({
      unreached: [{ kind: "unreached" }],
    });
  });
});

describe("--dry-run", () => {
  test("shows what would change, and changes nothing", async () => {
    world.dataPlane.apply(activeRules(ruleSet(mapping("old"))));
    const command = applying({ file: [put("rules.yaml", good)], dryRun: true });
    const text = await world.text(command);
    expect(text).toMatch(/^- old: .*\n[^]*^\+ https: /m);
    expect(text).toMatch(/\ndry run: nothing was changed\n$/);
    expect(await world.json("apply", command)).toMatchObject({
      dryRun: true,
      same: false,
      added: [{ name: "http" }, { name: "https" }],
      removed: [{ name: "old" }],
    });
    expect(world.asked).toEqual([]);
    expect(world.dataPlane.active()?.generation).toBe(1);
  });

  test("shows as much as is asked for, and ends with what it comes to", async () => {
    world.dataPlane.apply(activeRules(ruleSet(mapping("old"))));
    const file = [put("rules.yaml", good)];
    const summed = await world.text(applying({ file, dryRun: true, summary: true }));
    expect(summed).toMatch(/^\+2 -1 ~0 mappings, .*\ndry run: nothing was changed\n$/);
    const limited = await world.text(applying({ file, dryRun: true, limit: "1" }));
    expect(limited.match(/^\+ http/gm)).toHaveLength(1);
    expect(limited).toMatch(
      /\nand 1 more mappings added.*\n\+2 -1 ~0 mappings, .*\ndry run: nothing was changed\n$/,
    );
    const json = await world.json("apply", applying({ file, dryRun: true, summary: true }));
    expect(json).toMatchObject({ counts: { added: 2, removed: 1 }, added: [], removed: [] });
  });

  test.each([{ summary: true }, { limit: "3" }])("is what takes %j", async (options) => {
    const { err, status } = await world.end(false, applying(options, "tcp:8080=127.0.1.10:80"));
    expect(err).toMatch(/^ilm: --\w+: no difference is shown without --dry-run\n  Add --dry-run/);
    expect(status).toBe(ExitStatus.usage);
    expect(world.asked).toEqual([]);
  });

  test("of a mapping that is there already is refused as the change would be", async () => {
    world.dataPlane.apply(activeRules(ruleSet(), [mapping("tcp:8080")]));
    const { err, status } = await world.end(
      false,
      applying({ dryRun: true }, "tcp:8080=127.0.1.10:80"),
    );
    expect(status).toBe(ExitStatus.configuration);
    expect(err).toContain("tcp:8080");
  });
});

describe("a bad file", () => {
  test("changes nothing, and each error has its place, what is wrong and what would be right", async () => {
    world.dataPlane.apply(activeRules(ruleSet(mapping("old"))));
    const file = put("rules.yaml", bad);
    const { out, err, status } = await world.end(false, applying({ file: [file] }));
    expect(status).toBe(ExitStatus.configuration);
    expect(out).toBe("");
    expect(err).toMatch(/^ilm: the configuration has 2 errors; nothing was changed\n/);
    expect(err).toMatch(/rules\.yaml:5:\d+: mappings\[0\]\.port: .*65535/);
    expect(err).toMatch(/rules\.yaml:6:\d+: mappings\[1\]\.to: .*wbe.*web/);
    expect(world.asked).toEqual([]);
    expect(world.dataPlane.active()?.generation).toBe(1);
  });

  test("is one JSON document with every problem", async () => {
    const file = put("rules.yaml", bad);
    expect(await world.failure(applying({ file: [file] }))).toMatchObject({
      error: {
        code: "CONFIGURATION",
        problems: [
          { file, line: 5, path: "mappings[0].port" },
          { file, line: 6, path: "mappings[1].to" },
        ],
      },
    });
  });

  test("says more than a data plane that cannot be opened", async () => {
    world.failures.set("openDataPlane", new IlmError("NOT_PERMITTED", "this needs root"));
    const command = (text: string): Task => applying({ file: [put("rules.yaml", text)] });
    expect((await world.end(false, command(bad))).status).toBe(ExitStatus.configuration);
    const { err, status } = await world.end(false, command(good));
    expect(err).toContain("this needs root");
    expect(status).toBe(ExitStatus.notPossible);
  });

  test("that is not there is said so, with what to do", async () => {
    const { err, status } = await world.end(false, applying({ file: ["/nowhere/rules.yaml"] }));
    expect(err).toContain("/nowhere/rules.yaml: there is no such file; check the path");
    expect(status).toBe(ExitStatus.configuration);
  });
});

describe("a command line", () => {
  test.each([
    [applying({}), "neither a file nor a mapping was given", "-f FILE"],
    [applying({ wait: "soon" }, "tcp:80=127.0.1.10"), '--wait: "soon"', "1h30m"],
  ])("that is wrong asks for nothing, and says what to write: %#", async (command, what, right) => {
    const { err, status } = await world.end(false, command);
    expect(err).toContain(what);
    expect(err).toContain(right);
    expect(status).toBe(ExitStatus.usage);
    expect(await world.failure(command)).toMatchObject({ error: { code: "USAGE" } });
    expect(world.asked).toEqual([]);
  });

  test("with a mapping that is none says where it goes wrong", async () => {
    const { err, status } = await world.end(false, applying({}, "tcp:80-127.0.1.10"));
    expect(err).toMatch(/<argument>.*tcp:80/);
    expect(status).toBe(ExitStatus.configuration);
    expect(world.asked).toEqual([]);
  });
});

test("another writer that does not end is named, and nothing is changed", async () => {
  const remedy = "Wait for it, or end it.";
  world.failures.set("performChange", new IlmError("LOCKED", "process 7 writes", { remedy }));
  const command = applying({ file: [put("rules.yaml", good)] });
  const { out, err, status } = await world.end(false, command);
  expect([out, err, status]).toEqual([
    "",
    `ilm: process 7 writes\n  ${remedy}\n`,
    ExitStatus.notPossible,
  ]);
  expect(await world.failure(command)).toMatchObject({ error: { code: "LOCKED", remedy } });
});
