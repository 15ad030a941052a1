/**
 * A change is killed at each of its steps: what was active stays, the state can be read, and the
 * next command works. A step is a system call that changes something; the kill comes instead of it,
 * so what holds before the step is what holds after the one before. The sample of `make test` takes
 * some of the steps, ILM_SIZE=whole all. Each test has a BPF file system of its own, so that the
 * steps are the same whatever else runs on the machine. Of changes that a command and a daemon make
 * alike, the sample has one, drawn by its seed.
 */
import { existsSync, mkdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import type { HistoryJson } from "../../src/json/history.js";
import { owner, stranger } from "../support/actor.js";
import { useLabs } from "../support/attacks.js";
import type { Lab } from "../support/lab.js";
import { Mounts } from "../support/mounts.js";
import { families, addressesOf, protocols } from "../support/matrix.js";
import { useNetwork } from "../support/network.js";
import { lockRoot, pinRoot, python, script } from "../support/paths.js";
import { eventually, must, run, run as runCommand } from "../support/process.js";
import { random } from "../support/random.js";
import type { MappingRow, Status } from "../support/shapes.js";
import { sizes } from "../support/sizes.js";
import { sample, traceOf, Traced, type Trace } from "../support/steps.js";

const network = useNetwork();
const labOf = useLabs(network);
const chance = random();
let mounts: Mounts;

/**
 * Port 6000 is mapped by every one of them; 7000 + turn tells them apart. Every other one puts one
 * more address on lo.
 */
function rules(turn: number, more = ""): string {
  const spare = turn % 2 === 0 ? "" : `\n  spare: { address: "fd5e:ed00::11" }`;
  return `
version: 1
services:
  app: { address: [127.0.1.10, "fd5e:ed00::10"] }${spare}
mappings:
  - { protocol: [tcp, udp], port: 6000, to: app }
  - { protocol: [tcp, udp], port: ${7000 + turn}, to: "app:6000" }
${more}`;
}

function addresses(turn: number): readonly string[] {
  const always = ["127.0.1.10", "fd5e:ed00::10"];
  return turn % 2 === 0 ? always : [...always, "fd5e:ed00::11"];
}

beforeAll(async () => {
  // The daemon is there before the first apply puts its address on lo.
  await network.server.must(["sh", "-c", "echo 1 > /proc/sys/net/ipv6/ip_nonlocal_bind"]);
});

beforeEach(async () => {
  const { server } = network;
  mounts = await Mounts.make(server);
  const listen = families.flatMap((family) =>
    protocols.map((protocol) => [protocol, addressesOf[family].daemon, 6000] as const),
  );
  await server.echo("app", listen);
});

afterEach(async () => {
  await ilmDone("unload");
  await network.server.stopStarted();
});

function ilm(...args: readonly string[]): readonly string[] {
  return mounts.inside(network.server.ilmCommand(args));
}

async function ilmDone(...args: readonly string[]): Promise<string> {
  return await must(ilm(...args), { timeout_ms: 300_000 });
}

function file(turn: number, more?: string): string {
  return network.server.file(rules(turn, more), "rules.yaml");
}

async function apply(turn: number, more?: string): Promise<void> {
  await ilmDone("apply", "-f", file(turn, more));
}

/** False also of state that status refuses to read. */
async function isLoaded(): Promise<boolean> {
  const { status, stdout, stderr } = await run(ilm("status", "--json"));
  const answer = JSON.parse(stdout) as Status | { readonly error: { readonly code: string } };
  if ("loaded" in answer) return answer.loaded;
  expect(answer.error.code, stderr).toBe("INCOMPATIBLE");
  expect(status).toBe(4);
  return false;
}

/**
 * As `rules`, and 10,000 more on FILLING: so many that what differs is laid over what is active.
 */
function manyRules(turn: number): string {
  const services = { app: { address: ["127.0.1.10", "fd5e:ed00::10"] } };
  const many = Array.from({ length: 10_000 }, (_, i) => ({
    name: `m${i}`,
    port: FILLING,
    on: `10.0.${i >> 8}.${i & 255}`,
    to: "app",
  }));
  const both = { protocol: protocols };
  const lines = [
    { version: 1, services },
    { ...both, port: 6000, to: "app" },
    ...many,
    { ...both, port: 7000 + turn, to: "app:6000" },
  ];
  return lines.map((line) => `${JSON.stringify(line)}\n`).join("");
}

/** A port of 10,000 mappings. */
const FILLING = 9000;

/** A port of a service that has an owner. */
const OWNED_PORT = 8000;

/** The ports of the active rules that tell them apart. */
async function activePorts(): Promise<readonly number[]> {
  const rows = JSON.parse(await ilmDone("mappings", "--json")) as readonly MappingRow[];
  const ports = new Set(rows.map(({ port }) => Number(port)));
  expect([...ports]).toContain(6000);
  return [...ports].filter((port) => ![6000, FILLING, OWNED_PORT].includes(port));
}

/** Who answers at a port, by protocol and family. */
async function answers(port: number): Promise<Readonly<Record<string, string>>> {
  const seen: Record<string, string> = {};
  for (const protocol of protocols) {
    for (const family of families) {
      const { public: address } = addressesOf[family];
      seen[`${protocol}${family}`] = await network.client.who(protocol, address, port);
    }
  }
  return seen;
}

const served = { tcp4: "app", tcp6: "app", udp4: "app", udp6: "app" };
const refused = "ECONNREFUSED";
const notServed = { tcp4: refused, tcp6: refused, udp4: refused, udp6: refused };

/**
 * Either the rules decide or nothing does. UDP follows right after TCP: in between it may have the
 * other answer, but it has one.
 */
async function expectAllOrNone(where: string): Promise<void> {
  const tcp = (await isLoaded()) ? "app" : refused;
  const { udp4, udp6, ...found } = await answers(6000);
  expect(found, where).toEqual({ tcp4: tcp, tcp6: tcp });
  expect(["app", refused], where).toContain(udp4);
  expect(udp6, where).toBe(udp4);
}

/**
 * The turn whose rules decide in the middle of a change to the next one: all of them, and nothing
 * of the other's.
 */
async function activeTurn(before: number, where: string): Promise<number> {
  expect(await answers(6000), where).toEqual(served);
  const [port = 0, ...more] = await activePorts();
  expect(more, where).toEqual([]);
  const now = port - 7000;
  expect([before, before + 1], where).toContain(now);
  const own = await answers(port);
  const other = await answers(7000 + 2 * before + 1 - now);
  expect(own, where).toMatchObject({ tcp4: "app", tcp6: "app" });
  expect(other, where).toMatchObject({ tcp4: refused, tcp6: refused });
  // Ingress is switched right after: in between, UDP is decided by the rules before.
  const udp = [own, other].map(({ udp4, udp6 }) => ({ udp4, udp6 }));
  expect(udp, where).toContainEqual({ udp4: "app", udp6: "app" });
  expect(udp, where).toContainEqual({ udp4: refused, udp6: refused });
  return now;
}

interface Expected {
  readonly turn: number;
  readonly pins: readonly string[];
}

/** As if no change had ever been killed. */
async function expectClean({ turn, pins }: Expected, where: string): Promise<void> {
  expect(await answers(6000), where).toEqual(served);
  expect(await answers(7000 + turn), where).toEqual(served);
  expect(mounts.pins(), where).toEqual(pins);
  expect([...(await network.server.loopbackAddresses())].sort(), where).toEqual(addresses(turn));
}

async function expectNothing(where: string): Promise<void> {
  const { server } = network;
  expect(await answers(6000), where).toEqual(notServed);
  expect(mounts.pins(), where).toEqual([]);
  expect(await server.loopbackAddresses(), where).toEqual([]);
  expect(existsSync(`${lockRoot}/${server.inode}.lock`), where).toBe(false);
}

interface Change {
  readonly title: string;
  /** What each try begins with. */
  readonly prepare: () => Promise<unknown>;
  /** Makes the change to the end, or until it is killed at a step. */
  readonly make: (kill: number | undefined) => Promise<Trace>;
  /** Looks at what a kill left, and goes on from there in one of the two ways that there are. */
  readonly check: (where: string, way: "back" | "on") => Promise<void>;
}

async function killEach({ title, prepare, make, check }: Change): Promise<void> {
  const where = `${title}, seed ${chance.seed}`;
  let total = 0;
  // The second time, as the first one writes tables that were never written before: it has more
  // steps than any later one.
  for (let time = 0; time < 2; time++) {
    await prepare();
    const whole = await make(undefined);
    expect(whole.status, `${where}\n${whole.text}`).toBe(0);
    total = whole.steps.length;
    expect(total, where).toBeGreaterThan(0);
    await check(`${where}, not killed`, "on");
  }
  const chosen = sample(total, sizes.killSteps, chance);
  process.stdout.write(
    `${title}: ${total} steps change something, ${chosen.length} of them tried (seed ${chance.seed})\n`,
  );
  for (const [turn, step] of chosen.entries()) {
    await prepare();
    const killed = await make(step);
    const at = `${where}, killed at step ${step} of ${total}: ${killed.steps.at(-1)}`;
    if (killed.status === 0) {
      // It had fewer steps than the one that was counted: fewer entries of sockets to tidy up.
      expect(killed.steps.length, at).toBeLessThan(step);
      expect(killed.steps.length, at).toBeGreaterThan(total - 5);
      await check(at, "on");
      continue;
    }
    expect(killed.status, `${at}\n${killed.text}`).toBe(137);
    expect(killed.steps, at).toHaveLength(step);
    await check(at, (turn + chance.seed) % 2 === 0 ? "back" : "on");
  }
}

async function command(kill: number | undefined, ...args: readonly string[]): Promise<Trace> {
  const traced = new Traced(ilm(...args), kill === undefined ? {} : { kill });
  network.server.adopt(traced);
  return await traceOf(traced);
}

const long = { timeout: 7_200_000 };

test("a call at which a command is killed has not been made, and those before it have", async () => {
  const folder = join(network.server.folder, "calls");
  mkdirSync(folder);
  const calls = ["first", "second", "third"].map((name) => `os.mkdir("${folder}/${name}")`);
  const program = [python, "-S", "-c", ["import os", ...calls].join("\n")];
  const killed = await traceOf(new Traced(program, { kill: 2 }));
  expect(killed.status).toBe(137);
  expect(killed.steps).toEqual([`mkdir ${folder}/first`, `mkdir ${folder}/second`]);
  expect(existsSync(`${folder}/first`)).toBe(true);
  expect(existsSync(`${folder}/second`)).toBe(false);
});

test(
  "the first apply, which also mounts the BPF file system, killed at each step",
  long,
  async () => {
    let pins: readonly string[] | undefined;
    await killEach({
      title: "the first apply",
      prepare: async () => await mounts.removeBpffs(),
      make: async (kill) => await command(kill, "apply", "-f", file(1)),
      check: async (where, way) => {
        await expectAllOrNone(where);
        if (way === "on") {
          await apply(1);
          pins ??= mounts.pins();
          await expectClean({ turn: 1, pins }, where);
        }
        await ilmDone("unload");
        await expectNothing(where);
      },
    });
  },
);

test("an apply over other rules, killed at each step", long, async () => {
  await killEach(await nextRules("an apply over other rules", makeNext));
});

/** Ends the time of a change that waits for its confirmation, if there is one. */
async function timeIsOver(): Promise<number> {
  const folder = `${pinRoot}/${network.server.inode}`;
  return Number(await must(mounts.inside([python, script("time_over.py"), folder])));
}

/** What is done to a change that waits for its confirmation; the first one makes it. */
const aboutWaiting = [
  { title: "an apply that waits for its confirmation", does: "apply" },
  { title: "its confirmation", does: "confirm" },
  { title: "taking it back", does: "back" },
  { title: "settling what has gone back", does: "settle" },
] as const;
type Does = (typeof aboutWaiting)[number]["does"];

/** Not the file that a daemon follows, which would read it at once. */
function waiting(turn: number): readonly string[] {
  const path = network.server.file(rules(turn), "waiting.yaml");
  return ["apply", "-f", path, "--confirm", "3600"];
}

/** Does it by a command, which is killed at a step. */
async function doneByCommand(does: Does, turn: number, kill?: number): Promise<Trace> {
  if (does === "apply") return await command(kill, ...waiting(turn + 1));
  await ilmDone(...waiting(turn + 1));
  if (does === "back") return await command(kill, "confirm", "--back");
  if (does === "confirm") return await command(kill, "confirm");
  expect(await timeIsOver()).toBe(1);
  return await command(kill, "on");
}

/** Has a running daemon do it, which is killed at a step. */
async function doneByRun(does: Does, turn: number, kill?: number): Promise<Trace> {
  const run = new Traced(ilm("run"), { wait: true, ...(kill !== undefined && { kill }) });
  network.server.adopt(run);
  await run.waitForOutput(/ready: network namespace/);
  if (does !== "apply") await ilmDone(...waiting(turn + 1));
  await run.begin();
  if (does === "apply") await runCommand(ilm(...waiting(turn + 1)));
  else if (does === "back") await runCommand(ilm("confirm", "--back"));
  else if (does === "confirm") await runCommand(ilm("confirm"));
  else {
    expect(await timeIsOver()).toBe(1);
    await Promise.race([run.waitForOutput(/was not confirmed and went back/), run.exited]);
  }
  if (kill !== undefined) {
    // Where it has fewer steps than the one that was counted, it is not killed, and answers. What
    // traces it outlives it for a moment.
    await eventually("run has ended, or answers", async () => {
      if (!run.running) return true;
      const { stdout } = await runCommand(ilm("status", "--json"));
      const { daemon } = JSON.parse(stdout) as { readonly daemon?: object | null };
      return daemon === null || daemon === undefined ? null : true;
    });
    if (run.running) await run.stop("SIGTERM");
    return await traceOf(run);
  }
  await run.begin();
  const steps = run.steps();
  await run.stop("SIGTERM");
  return { ...(await traceOf(run)), steps };
}

const endings = ["confirm", "back", "unconfirmed"];

/**
 * The history says how each wait that it knows of has ended, whoever was killed before he could
 * record it. `told` is the last end that was looked at, and that of the next round is returned.
 */
async function expectEndTold(
  { told, kept }: { readonly told: number; readonly kept: boolean },
  where: string,
): Promise<number> {
  const { changes, wentBack } = JSON.parse(await ilmDone("history", "--json")) as HistoryJson;
  expect(wentBack, where).toBeNull();
  const last = changes.find(({ until, cause }) => until !== null || endings.includes(cause));
  // A writer that was killed right after the switch left no entry of the change, nor of its end.
  if (last === undefined) return told;
  expect(endings, where).toContain(last.cause);
  if (last.number > told) expect(last.cause === "confirm", where).toBe(kept);
  return last.number;
}

const makers = [
  ["without run", doneByCommand],
  ["by run", doneByRun],
] as const;

for (const { title, does } of aboutWaiting) {
  for (const [by, make] of sizes.killSteps === Infinity ? makers : [chance.pick(makers)]) {
    test(
      `${title}, killed at each step, ${by}: the rules of one of both decide, and those before it once its time is over`,
      long,
      async () => {
        let turn = 0;
        let told = 0;
        await apply(turn);
        const pins = mounts.pins();
        await killEach({
          title: `${title}, ${by}`,
          prepare: async () => undefined,
          make: async (kill) => await make(does, turn, kill),
          check: async (where) => {
            const now = await activeTurn(turn, where);
            const waits = (await timeIsOver()) > 0;
            const stays = waits ? turn : now;
            expect(await activeTurn(turn, where), where).toBe(stays);
            if (does !== "confirm") expect(stays, where).toBe(turn);
            await apply(stays);
            told = await expectEndTold({ told, kept: stays !== turn }, where);
            turn = stays;
            await expectClean({ turn, pins }, where);
          },
        });
      },
    );
  }
}

type Make = (turn: number, kill: number | undefined) => Promise<Trace>;

const makeNext: Make = async (turn, kill) => await command(kill, "apply", "-f", file(turn + 1));

/** Rules over rules, however they get there. */
async function nextRules(title: string, make: Make): Promise<Change> {
  let turn = 0;
  await apply(turn);
  const pins = mounts.pins();
  return {
    title,
    prepare: async () => undefined,
    make: async (kill) => await make(turn, kill),
    check: async (where, way) => {
      const now = await activeTurn(turn, where);
      // What is active, once more: it takes away what the killed one left. Or what was wanted,
      // which may be active too.
      turn = way === "back" ? now : turn + 1;
      await apply(turn);
      await expectClean({ turn, pins }, where);
    },
  };
}

test("a rollback, killed at each step, and what the history then says", long, async () => {
  await apply(0);
  await apply(1);
  const pins = mounts.pins();
  await killEach({
    title: "a rollback",
    prepare: async () => {
      await apply(0);
      await apply(1);
    },
    make: async (kill) => await command(kill, "rollback"),
    check: async (where, way) => {
      const now = await activeTurn(0, where);
      const { changes, unrecorded } = JSON.parse(await ilmDone("history", "--json")) as HistoryJson;
      const [active, ...more] = changes.filter((change) => change.active);
      expect(unrecorded, where).toBe(false);
      expect(more, where).toEqual([]);
      // Whatever was written is of what was made: the active entry has the active rules.
      const number = String(active?.number);
      expect(await ilmDone("rollback", number, "--dry-run"), where).toContain("unchanged\n");
      const kept = changes.map((change) => ({ kept: change.kept, mappings: change.mappings }));
      expect(kept, where).toEqual(kept.map(() => ({ kept: true, mappings: 4 })));
      const turn = way === "back" ? now : 0;
      const wanted = changes.find(
        ({ difference }) => difference?.added.names.includes(`tcp:${7000 + turn}`) === true,
      );
      await ilmDone("rollback", String(wanted?.number));
      await expectClean({ turn, pins }, where);
    },
  });
});

test("a changed line of a large file, killed at each step", long, async () => {
  let turn = 0;
  const large = (of: number): string => network.server.file(manyRules(of), "many.ndjson");
  const change = async (of: number): Promise<{ incremental: boolean; changed: boolean }> => {
    const text = await ilmDone("apply", "-f", large(of), "--json");
    return JSON.parse(text) as { incremental: boolean; changed: boolean };
  };
  await change(turn);
  expect(await change(turn + 1)).toMatchObject({ incremental: true });
  expect(await change(turn)).toMatchObject({ incremental: true });
  const pins = mounts.pins();
  await killEach({
    title: "a changed line of a large file",
    prepare: async () => undefined,
    make: async (kill) => await command(kill, "apply", "-f", large(turn + 1)),
    check: async (where, way) => {
      const now = await activeTurn(turn, where);
      turn = way === "back" ? now : turn + 1;
      const { changed, incremental } = await change(turn);
      expect(!changed || incremental, where).toBe(true);
      expect(await answers(6000), where).toEqual(served);
      expect(await answers(7000 + turn), where).toEqual(served);
      expect(mounts.pins(), where).toEqual(pins);
    },
  });
});

test("a reload of run, killed at each step", long, async () => {
  await killEach(await nextRules("a reload of run", reload));
});

const reload: Make = async (turn, kill) => {
  const { server } = network;
  const followed = file(turn);
  const wait = { wait: true, ...(kill === undefined ? {} : { kill }) };
  const run = new Traced(ilm("run", "-f", followed), wait);
  server.adopt(run);
  await run.waitForOutput(/ready: network namespace/);
  await run.begin();
  writeFileSync(`${followed}.next`, rules(turn + 1));
  renameSync(`${followed}.next`, followed);
  if (kill !== undefined) return await traceOf(run);
  await run.waitForOutput(/generation \d+ is active/);
  await run.begin();
  const steps = run.steps();
  await run.stop("SIGTERM");
  return { ...(await traceOf(run)), steps };
};

const OWNED = "127.0.1.20";

/** As `rules`, and a service that is `owner`'s at even turns, and another user's at odd ones. */
function ownedFile(turn: number): string {
  const { uid } = turn % 2 === 0 ? owner : stranger;
  const text = rules(turn, `  - { protocol: [tcp, udp], port: ${OWNED_PORT}, to: owned }\n`);
  const services = `services:\n  owned: { address: ${OWNED}, user: ${uid} }`;
  return network.server.file(text.replace("services:", services), "owned.yaml");
}

/** What of the service `owner` has, whose sockets `lab` opens. */
async function ownedBy(lab: Lab): Promise<object> {
  const { client } = network;
  const { public: dialled } = addressesOf[4];
  const place = { kind: "tcp", address: OWNED, port: OWNED_PORT + 1 };
  const { errno } = await lab.ask({ do: "open", name: "new", ...place });
  if (errno === undefined) await lab.do("close", "new");
  const [tcp, udp] = [
    await client.who("tcp", dialled, OWNED_PORT),
    await client.who("udp", dialled, OWNED_PORT),
  ];
  return { tcp, udp, bind: errno ?? "bound" };
}

const ownedAt = (turn: number): object =>
  turn % 2 === 0
    ? { tcp: "his tcp", udp: "his udp", bind: "bound" }
    : { tcp: refused, udp: refused, bind: "EACCES" };

async function openOwned(): Promise<Lab> {
  await ilmDone("apply", "-f", ownedFile(0));
  const lab = await labOf(owner);
  for (const protocol of protocols) await lab.open(`his ${protocol}`, protocol, OWNED, OWNED_PORT);
  return lab;
}

for (const { title, turn } of [
  { title: "a service's next owner", turn: 0 },
  { title: "a service's previous owner", turn: 1 },
]) {
  test(`${title}, killed at each step`, long, async () => {
    const lab = await openOwned();
    await killEach({
      title,
      prepare: async () => await ilmDone("apply", "-f", ownedFile(turn)),
      make: async (kill) => await command(kill, "apply", "-f", ownedFile(turn + 1)),
      check: async (where, way) => {
        const now = await activeTurn(turn, where);
        // Just after the switch, sockets are still where they were for the previous rules.
        if (now === turn) expect(await ownedBy(lab), where).toEqual(ownedAt(turn));
        const next = way === "back" ? now : turn + 1;
        await ilmDone("apply", "-f", ownedFile(next));
        expect(await ownedBy(lab), where).toEqual(ownedAt(next));
      },
    });
  });
}

test("a service's next owner, killed just before the switch, takes nothing from the previous one", async () => {
  const lab = await openOwned();
  const change = async (turn: number, kill?: number): Promise<readonly string[]> =>
    (await command(kill, "apply", "-f", ownedFile(turn))).steps;
  const isLast = (step: string): boolean => /^rename .*staging-generation/.test(step);
  // Not the first time, which has more steps than any later one.
  for (const turn of [1, 2]) await change(turn);
  const last = (await change(3)).findIndex(isLast) + 1;
  await change(4);
  expect((await change(5, last)).findIndex(isLast) + 1).toBe(last);
  expect(await activeTurn(4, "killed")).toBe(4);
  expect(await ownedBy(lab)).toEqual(ownedAt(4));
  for (const turn of [4, 5]) {
    await change(turn);
    expect(await ownedBy(lab)).toEqual(ownedAt(turn));
  }
});

test("the next apply takes an address from lo that a killed one left there", async () => {
  // Each time the tables' other side has what the change is about to write, so that the steps are
  // the same.
  await apply(2);
  await apply(1);
  const { steps } = await command(undefined, "apply", "-f", file(2));
  const removal = steps.findIndex((step) => step === "netlink 21") + 1;
  expect(removal).toBeGreaterThan(0);
  await apply(1);
  expect((await command(removal, "apply", "-f", file(2))).steps.at(-1)).toBe("netlink 21");
  expect(await network.server.loopbackAddresses()).toHaveLength(3);
  await apply(2);
  expect(await network.server.loopbackAddresses()).toEqual(addresses(2));
});

for (const { whose, format, kept } of [
  { whose: "state that cannot be read", format: "0x7f", kept: false },
  { whose: "an earlier version's state", format: "0x00", kept: true },
]) {
  test(`an apply over ${whose}, killed at each step`, long, async () => {
    let turn = 0;
    await apply(turn);
    if (kept) await ilmDone(...verbs.add);
    const pins = mounts.pins();
    const withoutAdded = async (): Promise<readonly number[]> =>
      (await activePorts()).filter((port) => port !== 7900);
    await killEach({
      title: `an apply over ${whose}`,
      prepare: async () => await makeForeign(format),
      make: async (kill) => await makeNext(turn, kill),
      check: async (where) => {
        expect(await answers(6000), where).toEqual(served);
        if (kept) {
          // Whoever decides, what was added at run time is shown and served.
          expect(await answerAtRunTime(), where).toBe("app");
          const [port, ...more] = await withoutAdded();
          expect([7000 + turn, 7000 + turn + 1], where).toContain(port);
          expect(more, where).toEqual([]);
        } else if (await isLoaded()) {
          expect(await activePorts(), where).toEqual([7000 + turn + 1]);
        }
        turn += 1;
        await apply(turn);
        if (kept) expect(await answerAtRunTime(), where).toBe("app");
        await expectClean({ turn, pins }, where);
      },
    });
  });
}

/**
 * Makes what is active look like another version's, which a new registry replaces. `high`: bytes
 * of its format above the first.
 */
async function makeForeign(high: string): Promise<void> {
  const { inode } = network.server;
  const folder = `${pinRoot}/${inode}`;
  const names = (await mounts.must(["ls", folder])).split("\n");
  const registry = names.find((name) => name.startsWith("registry-"));
  const map = ["pinned", `${folder}/${registry}/meta`, "key", "0", "0", "0", "0"];
  const found = JSON.parse(await mounts.must(["bpftool", "-j", "map", "lookup", ...map])) as {
    readonly value: readonly string[];
  };
  // `abi_version` of struct ilm_meta, after the cookie. Format 8 is what this one was without a
  // header, and with counters of each CPU.
  const bytes = ["0x08", high, high, high];
  const value = found.value.map((byte, at) => bytes[at - 8] ?? byte);
  await mounts.must(["bpftool", "map", "update", ...map, "value", ...value]);
  const programs = names.find((name) => name.startsWith("programs-"));
  const counters = `${folder}/${programs}/counters`;
  await mounts.must(["rm", counters]);
  const shape = ["type", "percpu_array", "key", "4", "value", "32", "entries", "1024"];
  await mounts.must(["bpftool", "map", "create", counters, ...shape, "name", "counters"]);
}

const verbs = {
  add: ["add", "--replace", "tcp:7900=127.0.1.10:6000"],
  remove: ["remove", "tcp:7900"],
} as const;

/** Each of the two commands begins where the other has come to its end. */
test("add and remove, killed at each step", long, async () => {
  // From so many on, both generations use the file's tables, and the command writes into what is
  // active. Beside fewer it does what an apply over other rules does.
  const ports = Array.from({ length: 10_000 }, (_, i) => 10_000 + i);
  const more = ports.map((port) => `  - { port: ${port}, to: 127.0.1.12 }`).join("\n");
  const pins: (readonly string[])[] = [];
  await apply(1, more);
  pins[0] = mounts.pins();
  await ilmDone(...verbs.add);
  pins[1] = mounts.pins();
  let added = 1;
  for (const verb of ["add", "remove"] as const) {
    const from = verb === "add" ? 0 : 1;
    await killEach({
      title: `${verb} beside 10,000 mappings`,
      prepare: async () => {
        if (added !== from) await ilmDone(...verbs[from === 0 ? "remove" : "add"]);
      },
      make: async (kill) => await command(kill, ...verbs[verb]),
      check: async (where, way) => {
        expect(await answers(6000), where).toEqual(served);
        const answer = await answerAtRunTime();
        expect(["app", refused], where).toContain(answer);
        const now = answer === "app" ? 1 : 0;
        // To add what is there already takes away what the killed one left, and does no more.
        added = verb === "add" || way === "back" || now === 0 ? 1 : 0;
        await ilmDone(...verbs[added === 1 ? "add" : "remove"]);
        expect(await answerAtRunTime(), where).toBe(added === 1 ? "app" : refused);
        await expectClean({ turn: 1, pins: pins[added] ?? [] }, where);
      },
    });
  }
});

async function answerAtRunTime(): Promise<string> {
  return await network.client.who("tcp", addressesOf[4].public, 7900);
}

test("unload, killed at each step", long, async () => {
  await apply(1);
  const pins = mounts.pins();
  await killEach({
    title: "unload",
    prepare: async () => await apply(1),
    make: async (kill) => await command(kill, "unload"),
    check: async (where, way) => {
      await expectAllOrNone(where);
      if (way === "back") {
        await apply(1);
        await expectClean({ turn: 1, pins }, where);
        return;
      }
      await ilmDone("unload");
      await expectNothing(where);
    },
  });
});

test("an unload that is killed among its hooks leaves no UDP request without an answer", async () => {
  await apply(1);
  const { steps } = await command(undefined, "unload");
  // From then on, an answer would leave from the daemon's own address.
  const gone = steps.findIndex((step) => step.endsWith("/link_sendmsg6")) + 1;
  expect(gone).toBeGreaterThan(0);
  await apply(1);
  expect((await command(gone, "unload")).steps.at(-1)).toBe(steps[gone - 1]);
  expect(await answers(6000)).toEqual(notServed);
});
