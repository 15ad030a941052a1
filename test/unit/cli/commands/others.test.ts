// Goal: the commands that start something, or only print what is built in, do so and nothing else.
import { beforeEach, describe, expect, test } from "vitest";
import { completion } from "../../../../src/cli/commands/completion.js";
import { demo } from "../../../../src/cli/commands/demo.js";
import { run } from "../../../../src/cli/commands/run.js";
import { schema } from "../../../../src/cli/commands/schema.js";
import type { Context } from "../../../../src/cli/shell/context.js";
import { buildProgram } from "../../../../src/cli/shell/program.js";
import type { DaemonOptions } from "../../../../src/daemon/daemon.js";
import type { DemoOptions } from "../../../../src/demo/demo.js";
import { ExitStatus, IlmError } from "../../../../src/errors.js";
import { linesOf, World } from "./world.js";

let world: World;

beforeEach(() => {
  world = new World();
});

describe("run", () => {
  const started: DaemonOptions[] = [];

  beforeEach(() => {
    started.length = 0;
    world.daemonRuns = (options) => {
      started.push(options);
      options.log.log("info", "ready", { generation: 1, changed: true });
    };
  });

  test("starts the daemon with the absolute path of its file, and its mappings", async () => {
    const mappings = ["tcp:80=127.0.1.10"];
    await world.text((context) =>
      run(context, { file: ["rules.yaml"], overNewer: true }, mappings),
    );
    expect(started).toMatchObject([
      { source: { paths: [`${process.cwd()}/rules.yaml`], mappings }, overNewer: true },
    ]);
  });

  test("needs no file: the daemon goes on with what there is", async () => {
    await world.text((context) => run(context, {}, []));
    expect(started).toMatchObject([{ source: { paths: [], mappings: [] } }]);
  });

  test("logs to standard error, a line for each entry", async () => {
    const task = (context: Context): Promise<void> => run(context, {}, []);
    expect(await world.say(false, task)).toEqual({ out: "", err: "info    ready\n" });
    const { out, err } = await world.say(true, task);
    expect(out).toBe("");
    expect(linesOf("run", err)).toMatchObject([{ level: "info", message: "ready", generation: 1 }]);
  });

  test("refuses standard input, which cannot be followed, and starts nothing", async () => {
    const task = (context: Context): Promise<void> => run(context, { file: ["-"] }, []);
    const { err, status } = await world.end(false, task);
    expect(err).toContain("standard input cannot be followed");
    expect(err).toContain("ilm apply -f -");
    expect(status).toBe(ExitStatus.usage);
    expect(await world.failure(task)).toMatchObject({ error: { code: "USAGE" } });
    expect(started).toEqual([]);
  });

  test("finds the groups that have rights over the API, by name or id", async () => {
    world.groups.set("deploy", 200);
    await world.text((context) => run(context, { readers: "100", writers: "deploy" }, []));
    await world.text((context) => run(context, {}, []));
    expect(started).toMatchObject([
      { groups: { readers: { name: "100", gid: 100 }, writers: { name: "deploy", gid: 200 } } },
      { groups: { readers: null, writers: null } },
    ]);
  });

  test.each(["deploy", "", "a b", "-1", "4294967295"])(
    "refuses the group %j, which does not exist, and starts nothing",
    async (readers) => {
      const { err, status } = await world.end(false, (context) => run(context, { readers }, []));
      expect(err).toContain(`--readers: there is no group ${JSON.stringify(readers)}`);
      expect(err).toContain("getent group");
      expect([status, started]).toEqual([ExitStatus.usage, []]);
    },
  );

  test("keeps no capability but those that it needs and those that it is told to", async () => {
    await world.text((context) => run(context, {}, []));
    expect(world.kept).toEqual([]);
    await world.text((context) => run(context, { keep: "sys_ptrace,CAP_DAC_READ_SEARCH" }, []));
    expect(world.kept).toEqual(["CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"]);
    world.kept = null;
    await world.text((context) => run(context, { keep: "all" }, []));
    expect(world.kept).toBeNull();
    const task = (context: Context): Promise<void> => run(context, { keep: "root" }, []);
    expect((await world.end(false, task)).err).toContain('--keep: "root" is not a capability');
  });

  test("warns of capabilities that could not be given up", async () => {
    world.notGivenUp = ["CAP_CHOWN", "CAP_SYSLOG"];
    const { err } = await world.say(false, (context) => run(context, {}, []));
    expect(err).toMatch(/^warning keeps capabilities .*: CAP_CHOWN, CAP_SYSLOG\n/);
  });

  test("fails as the daemon does", async () => {
    const remedy = "Stop it first.";
    world.failures.set("runDaemon", new IlmError("LOCKED", "another daemon", { remedy }));
    const { err, status } = await world.end(false, (context) => run(context, {}, []));
    expect([err, status]).toEqual([`ilm: another daemon\n  ${remedy}\n`, ExitStatus.notPossible]);
  });
});

describe("demo", () => {
  const started: DemoOptions[] = [];
  const dial = {
    protocol: "tcp",
    dialled: "203.0.113.1:80",
    expected: "web",
    why: "a mapping leads there",
    result: { outcome: "refused" },
    problem: "expected: an answer of web",
  } as const;
  const task = (context: Context): Promise<ExitStatus> => demo(context, {});

  beforeEach(() => {
    started.length = 0;
    world.demoRuns = (options) => {
      started.push(options);
    };
  });

  test("tells its story, in colours where there are some, and stays when it is reported", async () => {
    await world.end(false, (context) => demo(context, { keep: true }));
    expect(started).toEqual([{ keep: true, report: null, color: false }]);
  });

  test("is one document in JSON", async () => {
    world.demoRuns = ({ report }) => report?.({ ok: true, dials: [], servers: [], problems: [] });
    expect(await world.json("demo", task)).toEqual({
      ok: true,
      dials: [],
      servers: [],
      problems: [],
    });
  });

  test("with findings has status 1, and in JSON they are in its document alone", async () => {
    world.demoRuns = ({ report }) => {
      report?.({ ok: false, dials: [dial], servers: [], problems: [dial.problem] });
      throw new IlmError("FINDINGS", "1 thing is not as it should be");
    };
    expect(await world.json("demo", task)).toMatchObject({ ok: false, dials: [dial] });
    expect((await world.end(true, task)).status).toBe(ExitStatus.failed);
    const { err, status } = await world.end(false, task);
    expect(err).toContain("1 thing is not as it should be");
    expect(status).toBe(ExitStatus.failed);
  });

  test("that cannot begin says why, in JSON as every command", async () => {
    world.failures.set("runDemo", new IlmError("NOT_PERMITTED", "this needs root"));
    const { err, status } = await world.end(false, task);
    expect([err, status]).toEqual(["ilm: this needs root\n", ExitStatus.notPossible]);
    expect(await world.failure(task)).toMatchObject({ error: { code: "NOT_PERMITTED" } });
  });
});

test("schema is a JSON document, with a line end", async () => {
  const text = await world.text(schema);
  expect(text.endsWith("}\n")).toBe(true);
  expect(JSON.parse(text)).toMatchObject({ type: "object", properties: { mappings: {} } });
});

describe("completion", () => {
  const program = buildProgram(async () => undefined);

  test.each(["bash", "zsh", "fish"])("of %s knows each command and its options", async (shell) => {
    const text = await world.text((context) => {
      completion(context, shell, program);
    });
    for (const { name } of program.commands.map((command) => ({ name: command.name() }))) {
      expect(text).toContain(name);
    }
    expect(text).toContain("dry-run");
  });

  test("of another shell is refused, with those that there are", async () => {
    const task = (context: Context): void => {
      completion(context, "csh", program);
    };
    const { out, err, status } = await world.end(false, task);
    expect(out).toBe("");
    expect(err).toMatch(/"csh"\n {2}.*bash, zsh, fish/);
    expect(status).toBe(ExitStatus.usage);
    expect(await world.failure(task)).toMatchObject({ error: { code: "USAGE" } });
  });
});
