/**
 * What keeping track of listeners costs: bind(), listen(), connect() and close() with and without
 * us in turn, within one run; and the scan and memory of many. And the gap after a daemon's start,
 * through a mapping.
 */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { openDataPlane } from "../src/dataplane/open.js";
import type { DataPlane } from "../src/dataplane/types.js";
import { acquireWriterLock } from "../src/kernel/lock.js";
import type { Address } from "../src/model/address.js";
import { type Mapping } from "../src/model/mapping.js";
import { type ActiveRules, emptyRules, toBeActive } from "../src/model/rules.js";
import { kernelMemory } from "./memory.js";
import { median, progress } from "./network.js";

export const script = join(fileURLToPath(import.meta.url), "..", "..", "..", "bench", "sockets.py");
const ROUNDS = 7;
const CYCLES = 2000;
const GAPS = 2000;

function mapping(protocol: "tcp" | "udp", port: number): Mapping {
  return {
    name: `${protocol}${port}`,
    protocol,
    ports: [{ first: port, last: port }],
    on: [],
    to: [{ address: "127.0.1.10" as Address, port: "same" }],
    existing: "exact",
    miss: "pass",
    origin: { file: "<bench>", line: 0, column: 0 },
  };
}

const rules: ActiveRules = toBeActive({
  ...emptyRules,
  file: { services: [], mappings: [mapping("tcp", 8081), mapping("udp", 8081)] },
});

function measure(...args: readonly string[]): Record<string, number> {
  return JSON.parse(execFileSync("python3", [script, ...args], { encoding: "utf8" })) as Record<
    string,
    number
  >;
}

export interface CallRow {
  readonly call: string;
  /** Nanoseconds, medians. */
  readonly without: number;
  readonly with: number;
}

/** In turn, so that what else the machine does meets both. */
function measureCalls(dataPlane: DataPlane): CallRow[] {
  const found = new Map<string, { without: number[]; with: number[] }>();
  const add = (call: string, when: "without" | "with", ns: number | undefined): void => {
    const known = found.get(call) ?? { without: [], with: [] };
    known[when].push(ns ?? Number.NaN);
    found.set(call, known);
  };
  for (let round = 0; round < ROUNDS; round++) {
    for (const when of ["without", "with"] as const) {
      if (when === "with") dataPlane.apply(rules);
      const tcp = measure("cycle", "TCP", String(CYCLES));
      const udp = measure("cycle", "UDP", String(CYCLES));
      add("TCP bind() and listen()", when, tcp["open"]);
      add("TCP close() of a listener", when, tcp["close"]);
      add("UDP bind()", when, udp["open"]);
      add("UDP close()", when, udp["close"]);
      add("UDP connect()", when, measure("connect", String(CYCLES))["connect"]);
      if (when === "with") dataPlane.unload();
    }
  }
  return [...found].map(([call, times]) => ({
    call,
    without: median(times.without),
    with: median(times.with),
  }));
}

export interface ManyRow {
  readonly listeners: number;
  readonly apply_ms: number;
  readonly resync_ms: number;
  readonly list_ms: number;
  /**
   * Memory of the registry's maps; what is kept with each socket (about 100 bytes) comes on top.
   */
  readonly maps_mib: number;
}

function took(act: () => void): number {
  const start = performance.now();
  act();
  return Math.round(performance.now() - start);
}

async function measureMany(dataPlane: DataPlane, count: number): Promise<ManyRow> {
  const holder = spawn("python3", [script, "hold", String(count)]);
  await once(holder.stdout, "data");
  try {
    const apply_ms = took(() => void dataPlane.apply(rules));
    const resync_ms = took(() => {
      dataPlane.resync();
    });
    const list_ms = took(() => {
      const listed = dataPlane.listeners().length;
      if (listed < count) throw new Error(`${listed} of ${count} listeners are listed`);
    });
    const { registry } = kernelMemory(dataPlane.netnsInode);
    return { listeners: count, apply_ms, resync_ms, list_ms, maps_mib: registry };
  } finally {
    dataPlane.unload();
    holder.stdin.end();
    await once(holder, "exit");
  }
}

export interface GapRow {
  readonly daemon: string;
  /**
   * Microseconds from the return of listen() or bind() to the first connection or datagram, dial
   * and all.
   */
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
  /** First tries that reached no daemon. */
  readonly lost: number;
}

function measureGaps(dataPlane: DataPlane): GapRow[] {
  const gap = (daemon: string, protocol: string, listen: string): GapRow => {
    const { p50, p99, max, lost } = measure(
      "gap",
      protocol,
      String(GAPS),
      listen,
      "203.0.113.1",
      "8081",
    );
    return { daemon, p50: p50 ?? 0, p99: p99 ?? 0, max: max ?? 0, lost: lost ?? 0 };
  };
  const direct = ["tcp", "udp"].map((one) => gap(`${one}, dialled directly`, one, "203.0.113.1"));
  dataPlane.apply(rules);
  try {
    return ["tcp", "udp"].flatMap((one, i) => {
      const row = direct[i];
      return [...(row ? [row] : []), gap(`${one}, through a mapping`, one, "127.0.1.10")];
    });
  } finally {
    dataPlane.unload();
  }
}

export async function measureListeners(
  counts: readonly number[],
): Promise<{ calls: CallRow[]; many: ManyRow[]; gaps: GapRow[] }> {
  const dataPlane = openDataPlane();
  const lock = acquireWriterLock(dataPlane.netnsInode);
  try {
    const many: ManyRow[] = [];
    for (const count of counts) {
      many.push(await measureMany(dataPlane, count));
      progress(`${count} listeners`);
    }
    return { calls: measureCalls(dataPlane), many, gaps: measureGaps(dataPlane) };
  } finally {
    dataPlane.close();
    lock.release();
  }
}
