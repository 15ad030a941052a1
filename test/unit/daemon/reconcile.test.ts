// Goal: changes never overlap, each starts from what the one before it left, and a bad one changes
// nothing.
import { describe, expect, test } from "vitest";
import type { ApiChange } from "../../../src/api/api.js";
import type { Desired, RulesSource } from "../../../src/control/desired.js";
import type { Good } from "../../../src/daemon/last-good.js";
import { eventLog } from "../../../src/daemon/event-log.js";
import type { Level } from "../../../src/daemon/log.js";
import { Reconciler } from "../../../src/daemon/reconcile.js";
import { configurationError, IlmError } from "../../../src/errors.js";
import type { Mapping } from "../../../src/model/mapping.js";
import { formatMoment } from "../../../src/model/moment.js";
import { allMappings, inMemory, noActiveRules, readRules } from "../../../src/model/rules.js";
import { FakeDataPlane, mapping, ruleSet } from "./fixtures.js";

interface World {
  /** What was right of the file last. */
  stored: Good | null;
  /** The sources whose files were right. */
  readonly good: readonly string[];
  readonly dataPlane: FakeDataPlane;
  readonly reconciler: Reconciler;
  readonly lines: readonly string[];
  readonly followed: readonly (readonly string[])[];
  readonly ended: () => boolean;
  /** What the file has from now on; an error is what reading it throws. */
  write(content: readonly Mapping[] | Error): void;
  readonly loads: () => number;
  /** How often it was decided about a change that waited. */
  readonly decided: () => number;
}

function makeWorld(source: RulesSource = { paths: ["/etc/rules.yaml"], mappings: [] }): World {
  const dataPlane = new FakeDataPlane();
  const lines: string[] = [];
  const followed: (readonly string[])[] = [];
  const good: string[] = [];
  let content: readonly Mapping[] | Error = [mapping("web")];
  let loads = 0;
  let ended = false;
  const log = {
    log: (level: Level, message: string) => {
      lines.push(`${level} ${message}`);
    },
  };
  let decided = 0;
  const reconciler = new Reconciler({
    dataPlane,
    log,
    tell: eventLog(log),
    lastGood: () => world.stored,
    onGood: (paths) => {
      good.push(...paths);
    },
    load: async ({ paths, mappings }, { stored }): Promise<Desired> => {
      loads += 1;
      // Reading takes a while, in which other changes arrive.
      await Promise.resolve();
      if (content instanceof Error && stored === undefined) throw content;
      return {
        sources: paths,
        given: mappings,
        file: inMemory(ruleSet(...(content instanceof Error ? [mapping("stored")] : content))),
        warnings: [],
        revision: null,
        compiled: null,
        text: null,
        files: [{ name: paths[0] ?? "", bytes: Buffer.from("text") }],
      };
    },
    source,
    onSource: (paths) => {
      followed.push(paths);
    },
    onUnloaded: () => {
      ended = true;
    },
    onDecided: () => {
      decided += 1;
    },
  });
  const world: World = {
    stored: null,
    good,
    dataPlane,
    reconciler,
    lines,
    followed,
    ended: () => ended,
    write: (next) => {
      content = next;
    },
    loads: () => loads,
    decided: () => decided,
  };
  return world;
}

const bad = configurationError([
  {
    severity: "error",
    file: "/etc/rules.yaml",
    line: 7,
    column: 3,
    path: "mappings[0]",
    message: "is wrong",
    hint: "be right",
  },
]);

function activeNames({ dataPlane }: World): string[] {
  const rules = readRules(dataPlane.active()?.rules ?? noActiveRules);
  return allMappings(rules).map(({ name }) => name);
}

describe("a change", () => {
  test("is answered before it has settled, and has settled before the next begins", async () => {
    const { reconciler, dataPlane } = makeWorld();
    const settledAt: number[] = [];
    const note = (): void => {
      settledAt.push(dataPlane.settled);
    };
    const add = (name: string): Promise<void> =>
      reconciler.submit({ kind: "add", mappings: [mapping(name)], replace: false }).then(note);
    await Promise.all([add("first"), add("second")]);
    await reconciler.idle();
    expect(settledAt).toEqual([0, 1]);
    expect(dataPlane.settled).toBe(2);
  });

  test("that cannot settle is active, and the next one is made all the same", async () => {
    const { reconciler, dataPlane, lines } = makeWorld();
    dataPlane.failToSettle = new IlmError("UNAVAILABLE", "too many open files");
    await reconciler.submit({ kind: "add", mappings: [mapping("first")], replace: false });
    await reconciler.submit({ kind: "add", mappings: [mapping("second")], replace: false });
    await reconciler.idle();
    expect(lines.filter((line) => line.startsWith("error"))).toEqual([
      "error the last change is not finished, and the next one will finish it: too many open files",
    ]);
    expect(dataPlane.settled).toBe(1);
  });
});

describe("reload", () => {
  test("activates the file", async () => {
    const world = makeWorld();
    const result = await world.reconciler.submit({ kind: "reload" });
    expect(result).toMatchObject({ generation: 1, changed: true, mappings: 1 });
    expect(activeNames(world)).toEqual(["web"]);
  });

  test("of an unchanged file changes nothing and says so", async () => {
    const world = makeWorld();
    await world.reconciler.submit({ kind: "reload" });
    const again = await world.reconciler.submit({ kind: "reload" });
    expect(again).toMatchObject({ generation: 1, changed: false });
    expect(world.dataPlane.applied).toHaveLength(1);
    expect(world.lines.at(-1)).toContain("nothing to change");
  });

  test("of a bad file keeps the active rules, logs each problem and remembers it", async () => {
    const world = makeWorld();
    await world.reconciler.submit({ kind: "reload" });
    world.write(bad);
    await expect(world.reconciler.submit({ kind: "reload" })).rejects.toBe(bad);
    expect(activeNames(world)).toEqual(["web"]);
    expect(world.lines.filter((line) => line.startsWith("error")).join("\n")).toContain(
      "/etc/rules.yaml:7:3: mappings[0]: is wrong; be right",
    );
    expect(world.reconciler.reloadState).toMatchObject({
      done: 1,
      failed: 1,
      last: { error: { code: "CONFIGURATION" } },
    });
  });

  test("of a fixed file forgets the failure", async () => {
    const world = makeWorld();
    await world.reconciler.submit({ kind: "reload" });
    world.write(bad);
    await expect(world.reconciler.submit({ kind: "reload" })).rejects.toBe(bad);
    world.write([mapping("mended")]);
    await world.reconciler.submit({ kind: "reload" });
    expect(world.reconciler.reloadState.last?.error).toBeNull();
    expect(activeNames(world)).toEqual(["mended"]);
  });

  test("what was right is passed on, and what is begun with instead stays a failure", async () => {
    const world = makeWorld();
    world.write(bad);
    await expect(world.reconciler.begin()).rejects.toBe(bad);
    const read = { files: [], names: [], problems: [], again: true };
    world.stored = { read, keptAt: "2026-01-02T03:04:05.000Z" };
    await world.reconciler.begin();
    expect(activeNames(world)).toEqual(["stored"]);
    expect(world.good).toEqual([]);
    expect(world.reconciler.reloadState.last?.error).toMatchObject({ code: "CONFIGURATION" });
    expect(world.lines.join("\n")).toMatch(/^error .*\/etc\/rules\.yaml:7:3: .*is wrong/m);
    expect(world.lines.at(-1)).toBe(
      `error the rules are those of ${formatMoment("2026-01-02T03:04:05.000Z")}, when the configuration was right`,
    );
    world.write([mapping("mended")]);
    await world.reconciler.submit({ kind: "reload" });
    expect(world.good).toEqual(["/etc/rules.yaml"]);
    expect(world.reconciler.reloadState.last?.error).toBeNull();
  });

  test("a beginning with a bad file leaves what is active of it, whatever was right before", async () => {
    const world = makeWorld();
    await world.reconciler.submit({ kind: "reload" });
    world.write(bad);
    const read = { files: [], names: [], problems: [], again: true };
    world.stored = { read, keptAt: "2026-01-02T03:04:05.000Z" };
    await world.reconciler.begin();
    expect(activeNames(world)).toEqual(["web"]);
    expect(world.lines.join("\n")).toMatch(/^error generation 1 stays active; fix the file/m);
    expect(world.reconciler.reloadState.last?.error).toMatchObject({ code: "CONFIGURATION" });
  });

  test("a failure is forgotten once other rules are applied", async () => {
    const world = makeWorld();
    await world.reconciler.submit({ kind: "reload" });
    world.write(bad);
    await expect(world.reconciler.submit({ kind: "reload" })).rejects.toBe(bad);
    const file = inMemory(ruleSet(mapping("other")));
    await world.reconciler.submit({ kind: "apply", sources: ["/etc/other.yaml"], given: [], file });
    expect(world.reconciler.reloadState).toMatchObject({ failed: 1, last: null });
  });

  test("requests that wait for their turn are one", async () => {
    const world = makeWorld();
    await Promise.all([
      world.reconciler.submit({ kind: "add", mappings: [mapping("tcp:1")], replace: false }),
      world.reconciler.submit({ kind: "reload" }),
      world.reconciler.submit({ kind: "reload" }),
      world.reconciler.submit({ kind: "reload" }),
    ]);
    expect(world.loads()).toBe(1);
  });

  test("a request during a reload is another reload, for the file may have changed since it was read", async () => {
    const world = makeWorld();
    const first = world.reconciler.submit({ kind: "reload" });
    await Promise.resolve();
    await Promise.resolve();
    expect(world.loads()).toBe(1);
    await Promise.all([first, world.reconciler.submit({ kind: "reload" })]);
    expect(world.loads()).toBe(2);
  });

  test("keeps mappings added at run time", async () => {
    const world = makeWorld();
    await world.reconciler.submit({ kind: "reload" });
    await world.reconciler.submit({
      kind: "add",
      mappings: [mapping("tcp:1")],
      replace: false,
    });
    world.write([mapping("other")]);
    await world.reconciler.submit({ kind: "reload" });
    expect(activeNames(world)).toEqual(["other", "tcp:1"]);
  });

  test("without a file keeps what is active", async () => {
    const world = makeWorld({ paths: [], mappings: [] });
    const result = await world.reconciler.submit({ kind: "reload" });
    expect(result).toMatchObject({ generation: 1, mappings: 0 });
    expect(world.loads()).toBe(0);
  });

  test("that the kernel refuses is remembered like a bad file", async () => {
    const world = makeWorld();
    const refusal = new IlmError("SYSCALL", "bpf(BPF_LINK_UPDATE): EPERM");
    world.dataPlane.fail = refusal;
    await expect(world.reconciler.submit({ kind: "reload" })).rejects.toBe(refusal);
    expect(world.reconciler.reloadState.last?.error).toMatchObject({ code: "SYSCALL" });
  });
});

describe("changes", () => {
  test("of many at once all are made, in order", async () => {
    const world = makeWorld();
    const names = Array.from({ length: 50 }, (_, index) => `tcp:${index + 1}`);
    await Promise.all([
      world.reconciler.submit({ kind: "reload" }),
      ...names.map((name) =>
        world.reconciler.submit({ kind: "add", mappings: [mapping(name)], replace: false }),
      ),
    ]);
    expect(activeNames(world)).toEqual(["web", ...names]);
    expect(world.dataPlane.active()?.generation).toBe(51);
  });

  test("after one that was refused go on", async () => {
    const world = makeWorld();
    const refused = world.reconciler.submit({ kind: "remove", names: ["tcp:9"] });
    const next = world.reconciler.submit({
      kind: "add",
      mappings: [mapping("tcp:1")],
      replace: false,
    });
    await expect(refused).rejects.toMatchObject({ code: "NOT_FOUND" });
    expect(await next).toMatchObject({ generation: 1 });
  });

  test("an applied file is the one that is followed from then on", async () => {
    const world = makeWorld();
    await world.reconciler.submit({ kind: "reload" });
    await world.reconciler.submit({
      kind: "apply",
      sources: ["/other.yaml"],
      given: ["tcp:1=127.0.0.2"],
      file: inMemory(ruleSet(mapping("other"))),
    });
    expect(world.followed).toEqual([["/other.yaml"]]);
    expect(world.reconciler.source).toEqual({
      paths: ["/other.yaml"],
      mappings: ["tcp:1=127.0.0.2"],
    });
  });

  test("an active file already is applied by its digest, and followed", async () => {
    const world = makeWorld();
    await world.reconciler.submit({ kind: "reload" });
    const fileDigest = world.dataPlane.active()?.fileDigest ?? "";
    const again = {
      kind: "reapply",
      sources: ["/etc/rules.yaml"],
      given: ["tcp:1=127.0.0.2"],
    } as const;
    const result = await world.reconciler.submit({ ...again, fileDigest });
    expect(result).toMatchObject({ changed: false, generation: 1 });
    expect(world.reconciler.source.mappings).toEqual(["tcp:1=127.0.0.2"]);
    const other = world.reconciler.submit({ ...again, fileDigest: "0".repeat(64) });
    await expect(other).rejects.toMatchObject({ code: "NOT_FOUND" });
  });

  test("what became of the active file is applied by what differs, where that can be laid over it", async () => {
    const world = makeWorld();
    await world.reconciler.submit({ kind: "reload" });
    const { fileDigest = "", rules = noActiveRules } = world.dataPlane.active() ?? {};
    const { count } = rules.file;
    const before = activeNames(world);
    const sources = ["/etc/rules.yaml"];
    const pieces = [{ first: 0, count, lines: 0 }, [mapping("more")]];
    const change = {
      kind: "revise",
      sources,
      given: [],
      fileDigest: fileDigest ?? "",
      pieces,
      name: null,
      result: "1".repeat(64),
    } as const;
    const refusal = { code: "NOT_FOUND" };
    await expect(world.reconciler.submit(change)).rejects.toMatchObject(refusal);
    world.dataPlane.text = "known";
    world.dataPlane.fits = () => false;
    await expect(world.reconciler.submit(change)).rejects.toMatchObject(refusal);
    world.dataPlane.fits = () => true;
    const other = { ...change, fileDigest: "0".repeat(64) };
    await expect(world.reconciler.submit(other)).rejects.toMatchObject(refusal);
    for (const first of [1, 5_000_000]) {
      const wrong = { ...change, pieces: [{ first, count, lines: 0 }] };
      await expect(world.reconciler.submit(wrong)).rejects.toMatchObject(refusal);
    }
    await world.reconciler.submit(change);
    // Somebody has activated the same meanwhile.
    const { fileDigest: result } = world.dataPlane.active() ?? {};
    const again = { ...other, result: result ?? "" };
    expect(await world.reconciler.submit(again)).toMatchObject({ changed: false });
    expect(activeNames(world)).toEqual([...before, "more"]);
  });

  test("applying the followed file does not follow it again", async () => {
    const world = makeWorld();
    await world.reconciler.submit({
      kind: "apply",
      sources: ["/etc/rules.yaml"],
      given: [],
      file: inMemory(ruleSet()),
    });
    expect(world.followed).toEqual([]);
  });

  test("a refused apply leaves the file that is followed", async () => {
    const world = makeWorld();
    world.dataPlane.fail = new IlmError("LIMIT", "too many");
    const apply = world.reconciler.submit({
      kind: "apply",
      sources: ["/other.yaml"],
      given: [],
      file: inMemory(ruleSet()),
    });
    await expect(apply).rejects.toMatchObject({ code: "LIMIT" });
    expect(world.followed).toEqual([]);
    expect(world.reconciler.source.paths).toEqual(["/etc/rules.yaml"]);
  });

  test("unload ends the daemon, and what waits behind it is refused, not made", async () => {
    const world = makeWorld();
    await world.reconciler.submit({ kind: "reload" });
    const unload = world.reconciler.submit({ kind: "unload" });
    const late = [
      world.reconciler.submit({ kind: "add", mappings: [mapping("tcp:1")], replace: false }),
      world.reconciler.submit({ kind: "reload" }),
    ];
    expect(await unload).toMatchObject({ generation: null, changed: true });
    expect(world.ended()).toBe(true);
    const refused = await Promise.allSettled(late);
    expect(refused.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    expect(world.dataPlane.active()).toBeNull();
  });
});

describe("a change that waits for its confirmation", () => {
  const other: ApiChange = {
    kind: "apply",
    sources: ["/etc/other.yaml"],
    given: [],
    file: inMemory(ruleSet(mapping("other"))),
    confirmSeconds: 60,
  };

  async function pendingWorld(): Promise<World> {
    const world = makeWorld();
    await world.reconciler.submit({ kind: "reload" });
    expect(await world.reconciler.submit(other)).toMatchObject({ pending: { backTo: 1 } });
    return world;
  }

  test("is followed once it is confirmed", async () => {
    const world = await pendingWorld();
    expect(world.reconciler.source.paths).toEqual(["/etc/rules.yaml"]);
    expect(world.decided()).toBe(0);
    expect(await world.reconciler.submit({ kind: "confirm" })).toMatchObject({ generation: 2 });
    expect(world.reconciler.source.paths).toEqual(["/etc/other.yaml"]);
    expect(world.decided()).toBe(1);
    await expect(world.reconciler.submit({ kind: "confirm" })).rejects.toMatchObject({
      code: "NOT_FOUND",
    });
  });

  test("is not followed when it goes back, which the next look at the kernel notices", async () => {
    const world = await pendingWorld();
    world.dataPlane.over = true;
    await world.reconciler.repair();
    expect(world.lines.slice(-2)).toEqual([
      "warning the last change was not confirmed and went back: generation 1 decides again",
      "info generation 1 is active: 1 mapping, +0 -0 ~0",
    ]);
    expect(world.reconciler.source.paths).toEqual(["/etc/rules.yaml"]);
    expect(world.decided()).toBe(1);
    await world.reconciler.repair();
    expect(world.decided()).toBe(1);
  });

  test("keeps the file from being read, and that is no failure of the file", async () => {
    const world = await pendingWorld();
    const loads = world.loads();
    await expect(world.reconciler.submit({ kind: "reload" })).rejects.toMatchObject({
      code: "PENDING",
    });
    expect(world.loads()).toBe(loads);
    expect(world.reconciler.reloadState).toMatchObject({ failed: 0, last: { error: null } });
    await world.reconciler.submit({ kind: "back" });
    await world.reconciler.submit({ kind: "reload" });
    expect(world.loads()).toBe(loads + 1);
  });

  test("stays when a daemon starts, and when the pins are lost meanwhile", async () => {
    const world = await pendingWorld();
    const loads = world.loads();
    expect(await world.reconciler.begin()).toBe(false);
    world.dataPlane.unpinned = true;
    await world.reconciler.repair();
    expect(world.loads()).toBe(loads);
    expect(world.dataPlane.active()).toMatchObject({ generation: 2, pending: { backTo: 1 } });
    await world.reconciler.submit({ kind: "confirm" });
    await world.reconciler.repair();
    expect(world.loads()).toBe(loads + 1);
  });
});

describe("resync", () => {
  test("waits for its turn", async () => {
    const world = makeWorld();
    const reload = world.reconciler.submit({ kind: "reload" });
    const resync = world.reconciler.resync();
    expect(world.dataPlane.resyncs).toBe(0);
    await Promise.all([reload, resync]);
    expect(world.dataPlane.resyncs).toBe(1);
  });

  test("names what another program removed, and counts it", async () => {
    const world = makeWorld();
    world.dataPlane.missingAtResync = ["ingress/eth0"];
    await world.reconciler.resync();
    expect(world.lines).toEqual(["warning ingress/eth0: removed by another program, put back"]);
    expect(world.reconciler.restored).toBe(1);
  });

  test("that fails is logged and ends nothing", async () => {
    const world = makeWorld();
    world.dataPlane.resync = () => {
      throw new IlmError("SYSCALL", "read(iterator): EIO");
    };
    await world.reconciler.resync();
    expect(world.lines).toEqual(["error resync failed: read(iterator): EIO"]);
    await world.reconciler.submit({ kind: "reload" });
    expect(activeNames(world)).toEqual(["web"]);
  });
});
