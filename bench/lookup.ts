/**
 * What the program costs, by BPF_PROG_TEST_RUN, above an empty one. All rule sets are built first
 * and their programs kept, so that everything that is compared is measured in turns, within
 * seconds. Nanoseconds of this machine: compare within one table.
 */
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { bpfSkLookupLayout } from "../src/abi/generated.js";
import { decode } from "../src/abi/layout.js";
import { lookupContext } from "../src/dataplane/observe/explain.js";
import { openDataPlane } from "../src/dataplane/open.js";
import type { DataPlane } from "../src/dataplane/types.js";
import { BpfObject } from "../src/kernel/bpf/object.js";
import { type BpfProgram } from "../src/kernel/bpf/program.js";
import { acquireWriterLock } from "../src/kernel/lock.js";
import { Pins } from "../src/kernel/pins.js";
import type { Address, Prefix } from "../src/model/address.js";
import type { Packet, Verdict } from "../src/model/decision.js";
import type { Mapping } from "../src/model/mapping.js";
import { type ActiveRules, type Rules, inMemory, toBeActive } from "../src/model/rules.js";
import { toColumns } from "../src/model/mapping-columns.js";
import { revise } from "../src/model/revision.js";
import { version } from "../src/version.js";
import { progress } from "./network.js";

/**
 * Of one test run, and how often each is run: milliseconds each, so that most meet no interruption.
 */
const REPEAT = 20_000;
const ROUNDS = 60;
/** Addresses that a hot figure is the mean of: where an entry lies in its hash bucket is luck. */
const KEYS = 8;
/** Look-ups that are made one at a time, of each kind in each of so many rounds. */
const SINGLES = 4000;
const SINGLE_ROUNDS = 5;
/** The share of single look-ups to keep: the slowest are interruptions. */
const KEPT = 0.98;

const target = "127.0.1.10" as Address;
const origin = { file: "<bench>", line: 0, column: 0 };

const EXACT_PORT = 8443;
const PREFIX_PORT = 8444;

function mapping(name: string, port: number, on: readonly Prefix[], to = target): Mapping {
  return {
    name,
    protocol: "tcp",
    ports: [{ first: port, last: port }],
    on,
    to: [{ address: to, port: 8080 }],
    existing: "exact",
    miss: "pass",
    origin,
  };
}

function packet(local: string, localPort: number): Packet {
  return {
    protocol: "tcp",
    local: local as Address,
    localPort,
    remote: "198.51.100.7" as Address,
    remotePort: 40000,
    interfaceIndex: 0,
  };
}

/** The n-th of 2^24 addresses. */
function addressAt(n: number): string {
  return `10.${(n >> 16) & 255}.${(n >> 8) & 255}.${n & 255}`;
}

/** In every rule set: what does not depend on its size. */
const common: readonly Mapping[] = [
  mapping("port", 80, []),
  mapping("existing", 443, []),
  mapping("down", 81, [], "127.0.1.99" as Address),
];

function exactRules(size: number): Mapping[] {
  return Array.from({ length: size }, (_, i) =>
    mapping(`exact-${i}`, EXACT_PORT, [`${addressAt(i)}/32` as Prefix]),
  );
}

/** So many /28, and what they are nested in: each /24, /16 and the /8 has a mapping too. */
function prefixRules(size: number): Mapping[] {
  const prefixes = new Set<string>();
  for (let i = 0; i < size; i++) {
    const address = i * 16;
    for (const length of [8, 16, 24, 28]) {
      const network = address - (address % 2 ** (32 - length));
      prefixes.add(`${addressAt(network)}/${length}`);
    }
  }
  return [...prefixes].map((prefix) =>
    mapping(`in-${prefix.replace("/", "-")}`, PREFIX_PORT, [prefix as Prefix]),
  );
}

/** All that a rule set of that kind and size has. */
export function mappingsOf(kind: Kept["kind"], size: number): Mapping[] {
  return [...common, ...(kind === "prefix" ? prefixRules(size) : exactRules(size))];
}

function rulesOf(mappings: readonly Mapping[]): Rules {
  const services = [{ name: "web", addresses: [target], origin }];
  return { sources: [], file: { services, mappings }, runtime: [] };
}

async function listen(host: string, port: number): Promise<Server> {
  const server = createServer();
  server.listen(port, host);
  await once(server, "listening");
  return server;
}

/** A program that outlives its rules: it holds its own tables. */
export interface Kept {
  /** Whose it is. */
  readonly release: string;
  /** `over`: as `exact`, of which one mapping has changed since its tables were filled. */
  readonly kind: "exact" | "prefix" | "over";
  readonly size: number;
  readonly program: BpfProgram;
}

export interface Scenario {
  readonly name: string;
  readonly kind: Kept["kind"];
  readonly verdict: Verdict;
  /** Nanoseconds that the design allows, at any size. */
  readonly budget?: number;
  /** The packets, of a rule set of that size. The figure is the mean over them. */
  readonly packets: (size: number) => Packet[];
}

/** Spread evenly over the rule set, and never its first entry. */
function spread(size: number, of: (n: number) => Packet): Packet[] {
  return Array.from({ length: Math.min(size, KEYS) }, (_, i) =>
    of(Math.floor(((i + 0.5) * size) / Math.min(size, KEYS))),
  );
}

const exactPacket = (n: number): Packet => packet(addressAt(n), EXACT_PORT);
const prefixPacket = (n: number): Packet => packet(addressAt(n * 16 + 5), PREFIX_PORT);

export const scenarios: readonly Scenario[] = [
  {
    name: "port that no mapping has",
    kind: "exact",
    verdict: "unmanaged",
    budget: 3,
    packets: () => [packet("203.0.113.1", 9)],
  },
  {
    name: "hit, by port only",
    kind: "exact",
    verdict: "selected",
    budget: 50,
    packets: () => [packet("203.0.113.1", 80)],
  },
  {
    name: "hit, by exact address",
    kind: "exact",
    verdict: "selected",
    budget: 85,
    packets: (size) => spread(size, exactPacket),
  },
  {
    name: "hit, by exact address, after a changed line",
    kind: "over",
    verdict: "selected",
    packets: (size) => spread(size, exactPacket),
  },
  {
    name: "hit, by prefix, of four nested ones",
    kind: "prefix",
    verdict: "selected",
    budget: 85,
    packets: (size) => spread(size, prefixPacket),
  },
  {
    name: "already listening",
    kind: "exact",
    verdict: "existing",
    packets: () => [packet("203.0.113.1", 443)],
  },
  {
    name: "miss: nothing listens",
    kind: "exact",
    verdict: "missed",
    packets: () => [packet("203.0.113.1", 81)],
  },
];

/** One look-up at a time: the same one, or one of all. */
export interface Single {
  readonly name: string;
  readonly kind: Kept["kind"];
  readonly packetAt: (size: number) => Packet;
}

function anyOf(size: number): number {
  return Math.floor(Math.random() * size);
}

export const singles: readonly Single[] = [
  {
    name: "exact address, always the same",
    kind: "exact",
    packetAt: (size) => exactPacket(size >> 1),
  },
  { name: "exact address, at random", kind: "exact", packetAt: (size) => exactPacket(anyOf(size)) },
  {
    name: "prefix, always the same",
    kind: "prefix",
    packetAt: (size) => prefixPacket(size >> 1),
  },
  { name: "prefix, at random", kind: "prefix", packetAt: (size) => prefixPacket(anyOf(size)) },
];

export interface LookupRow {
  readonly scenario: string;
  readonly budget: number | null;
  /** Nanoseconds above the empty program, in the order of the sizes. */
  readonly above: readonly number[];
}

export interface LookupResult {
  /** The time of the empty program, including the harness. */
  readonly emptyNs: number;
  readonly emptySingleNs: number;
  readonly hot: LookupRow[];
  readonly single: LookupRow[];
}

function selects(program: BpfProgram, what: Packet): boolean {
  return decode(bpfSkLookupLayout, program.testRun(lookupContext(what)).context).cookie !== 0n;
}

/**
 * The wall time of many runs is finer than the kernel's own average, which is in whole nanoseconds.
 */
function timeOf(program: BpfProgram, context: Uint8Array): number {
  const start = process.hrtime.bigint();
  program.testRun(context, REPEAT);
  return Number(process.hrtime.bigint() - start) / REPEAT;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** The last mapping, which is never dialled. */
function changeOne(dataPlane: DataPlane, rules: ActiveRules): void {
  const before = toColumns(rules.file.read().mappings);
  const last = before.at(before.length - 1);
  if (last === undefined) throw new Error("there are no mappings");
  const changed: Mapping = { ...last, existing: "any" };
  const pieces = [{ first: 0, count: before.length - 1, lines: 0 }, [changed]];
  const revision = { of: rules.file, pieces, name: null };
  dataPlane.apply({ ...rules, file: inMemory(revise(revision)) }, { revision });
}

/**
 * Activates the rules, sees that every scenario is what it is called, and keeps the program.
 */
function keep(dataPlane: DataPlane, kind: Kept["kind"], size: number): Kept {
  const start = performance.now();
  const rules = toBeActive(rulesOf(mappingsOf(kind, size)));
  dataPlane.apply(rules);
  if (kind === "over") changeOne(dataPlane, rules);
  for (const scenario of scenarios.filter((each) => each.kind === kind)) {
    for (const what of scenario.packets(size)) {
      const { verdict } = dataPlane.explain(what);
      if (verdict !== scenario.verdict) throw new Error(`"${scenario.name}" is ${verdict}`);
    }
  }
  const pins = Pins.open(dataPlane.netnsInode);
  const program = pins?.lookupProgram(Math.max(...pins.numbers("programs")));
  pins?.close();
  if (program === undefined) throw new Error("the program is not pinned");
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  progress(`${size} mappings, ${kind}: built in ${seconds} s`);
  return { release: version, kind, size, program };
}

/** Nanoseconds above the empty program, of which `base` is the time. */
export interface Above<Kind> {
  readonly base: number;
  readonly above: (kind: Kind, size: number, release?: string) => number;
}

/** The least of the rounds of each packet: whatever else the machine does only adds. */
export function measureHot(empty: BpfProgram, kept: readonly Kept[]): Above<Scenario> {
  const runs = kept.flatMap(({ release, kind, size, program }) =>
    scenarios
      .filter((scenario) => scenario.kind === kind)
      .flatMap((scenario) =>
        scenario.packets(size).map((what) => {
          // Its generation has been replaced meanwhile; it must decide as it did.
          if (selects(program, what) !== (scenario.verdict === "selected")) {
            throw new Error(`"${scenario.name}" of ${size} is no longer what it was`);
          }
          return {
            release,
            scenario,
            size,
            program,
            context: lookupContext(what),
            least: Infinity,
          };
        }),
      ),
  );
  const context = lookupContext(packet("203.0.113.1", 9));
  let base = Infinity;
  for (let round = 0; round < ROUNDS; round++) {
    base = Math.min(base, timeOf(empty, context));
    for (const run of runs) run.least = Math.min(run.least, timeOf(run.program, run.context));
    if (round % 20 === 19) progress(`look-ups again and again: round ${round + 1} of ${ROUNDS}`);
  }
  const above = (scenario: Scenario, size: number, release = version): number =>
    mean(
      runs
        .filter((run) => run.scenario === scenario && run.size === size && run.release === release)
        .map((run) => run.least - base),
    );
  return { base, above };
}

/** Mean of the times of single runs as the kernel took them, without the slowest. */
class Times {
  readonly #values: number[] = [];

  add(program: BpfProgram, contexts: readonly Uint8Array[]): void {
    for (const context of contexts) this.#values.push(program.testRun(context, 1).averageNs);
  }

  get mean(): number {
    const sorted = this.#values.toSorted((a, b) => a - b);
    return mean(sorted.slice(0, Math.floor(sorted.length * KEPT)));
  }
}

/**
 * Between two look-ups lies a system call and what this process does: code and tables are as warm
 * as that leaves them.
 */
export function measureSingles(empty: BpfProgram, kept: readonly Kept[]): Above<Single> {
  const runs = kept.flatMap(({ release, kind, size, program }) =>
    singles
      .filter((single) => single.kind === kind)
      .map((single) => ({ release, single, size, program, times: new Times() })),
  );
  const bases = new Times();
  for (let round = 0; round < SINGLE_ROUNDS; round++) {
    for (const { single, size, program, times } of runs) {
      const contexts = Array.from({ length: SINGLES }, () => lookupContext(single.packetAt(size)));
      times.add(program, contexts);
      bases.add(empty, contexts);
    }
    progress(`look-ups one at a time: round ${round + 1} of ${SINGLE_ROUNDS}`);
  }
  const base = bases.mean;
  const above = (single: Single, size: number, release = version): number =>
    mean(
      runs
        .filter((run) => run.single === single && run.size === size && run.release === release)
        .map((run) => run.times.mean - base),
    );
  return { base, above };
}

/** With statistics on, the kernel reads the clock twice for each run of a program. */
function requireQuietBpf(): void {
  const path = "/proc/sys/kernel/bpf_stats_enabled";
  if (readFileSync(path, "utf8").trim() === "0") return;
  throw new Error(
    "kernel.bpf_stats_enabled is on, and adds to every figure\n  sysctl kernel.bpf_stats_enabled=0",
  );
}

/** To be closed. */
export function emptyProgram(): BpfProgram {
  requireQuietBpf();
  const object = new BpfObject(
    join(fileURLToPath(import.meta.url), "..", "..", "bpf", "empty.bpf.o"),
  );
  object.load();
  const empty = object.program("ilm_empty");
  object.close();
  return empty;
}

/** To be closed: the daemons whom the packets lead to. */
export async function listenForAll(): Promise<Server[]> {
  return [await listen(target, 8080), await listen("203.0.113.1", 443)];
}

/** In the network namespace that the process is in. */
export async function measureLookup(sizes: readonly number[]): Promise<LookupResult> {
  const empty = emptyProgram();
  // Layered: each rule set gets tables, and so programs, of its own, as large files do.
  const dataPlane = openDataPlane({ layeredFrom: 0 });
  const lock = acquireWriterLock(dataPlane.netnsInode);
  const servers = await listenForAll();
  const kept: Kept[] = [];
  try {
    for (const size of sizes) {
      for (const kind of ["exact", "over", "prefix"] as const) {
        kept.push(keep(dataPlane, kind, size));
      }
    }
    const hot = measureHot(empty, kept);
    const single = measureSingles(empty, kept);
    return {
      emptyNs: hot.base,
      emptySingleNs: single.base,
      hot: scenarios.map((scenario) => ({
        scenario: scenario.name,
        budget: scenario.budget ?? null,
        above: sizes.map((size) => hot.above(scenario, size)),
      })),
      single: singles.map((each) => ({
        scenario: each.name,
        budget: null,
        above: sizes.map((size) => single.above(each, size)),
      })),
    };
  } finally {
    for (const server of servers) server.close();
    for (const { program } of kept) program.close();
    dataPlane.unload();
    dataPlane.close();
    lock.release();
    empty.close();
  }
}
