/**
 * Notices destinations that get a listener or lose their last one, mappings that are left without
 * one or have one again, and those of which a family or a destination is down. Tells what came of
 * a second, so that a hundred daemons that are restarted are one line; and while that goes on, what
 * came of ten.
 */
import type { DegradedJson, GapJson, HealthJson, TurnsJson, UnservedJson } from "../json/health.js";
import type { Tell } from "./events.js";
import type { Turn } from "../model/listener.js";
import { mappingKey } from "../model/mapping.js";
import type { Faults } from "./faults.js";

/** How long turns are collected after the first, and after others that were just told. */
const SOON_MS = 1000;
const LATER_MS = 10_000;

/** The most listeners or mappings of one kind that are named. */
const NAMED = 20;

/** What there is to tell; one of both may be nothing. */
export interface Health {
  readonly turns: TurnsJson;
  readonly health: HealthJson;
}

type MappingId = Pick<UnservedJson, "name" | "protocol">;

interface HealthWatchOptions {
  /** Returns what is wrong; null when it is not known, or too many mappings to look through. */
  readonly faults: () => Omit<Faults, "over"> | null;
  /** Returns a function that reports whether the rules have the mapping, and lead it somewhere. */
  readonly isMapped: () => (mapping: MappingId) => boolean;
  readonly describe: (turn: Turn) => TurnsJson["started"]["listeners"][number];
  readonly tell: (health: Health) => void;
  readonly later?: (after_ms: number, action: () => void) => { readonly cancel: () => void };
}

function laterByTimer(after_ms: number, action: () => void): { readonly cancel: () => void } {
  const timer = setTimeout(action, after_ms);
  timer.unref();
  return {
    cancel: () => {
      clearTimeout(timer);
    },
  };
}

/** Tells what there is as events. */
export function tellHealth(tell: Tell, { turns, health }: Health): void {
  const { started, ended, restarted } = turns;
  if (started.count + ended.count + restarted.count > 0) tell({ event: "listeners", ...turns });
  const { unserved, served, gaps, degraded, whole } = health;
  const changes = [unserved, served, gaps, degraded, whole];
  if (changes.some(({ count }) => count > 0)) tell({ event: "health", ...health });
}

/** What was told to be wrong. */
interface Told {
  readonly down: ReadonlyMap<string, UnservedJson>;
  readonly gaps: ReadonlyMap<string, GapJson>;
  readonly degraded: ReadonlyMap<string, DegradedJson>;
}

const nothingTold: Told = { down: new Map(), gaps: new Map(), degraded: new Map() };

/** A mapping of which something else is down than before is told again. */
function keyOfDegraded(one: DegradedJson): string {
  return [mappingKey(one), ...one.down.map(({ address, port }) => `${address} ${port}`)].join(" ");
}

const keyOfGap = (one: GapJson): string => `${mappingKey(one)} ${one.family} ${one.drained}`;

export class HealthWatch {
  readonly #options: HealthWatchOptions;
  /** The first and the last turn of each destination since they were told. */
  #turns = new Map<string, { readonly first: Turn; readonly last: Turn }>();
  #told = nothingTold;
  #waiting: { readonly cancel: () => void } | null = null;
  #isBusy = false;

  constructor(options: HealthWatchOptions) {
    this.#options = options;
  }

  /** Takes note of a destination's turn. */
  turned(turn: Turn): void {
    const key = `${turn.protocol} ${turn.address} ${turn.port}`;
    this.#turns.set(key, { first: this.#turns.get(key)?.first ?? turn, last: turn });
    this.look();
  }

  /** Looks again soon: the rules may be others. */
  look(): void {
    if (this.#waiting !== null) return;
    const { later = laterByTimer } = this.#options;
    this.#waiting = later(this.#isBusy ? LATER_MS : SOON_MS, () => {
      this.#waiting = null;
      this.#tell();
    });
  }

  #tell(): void {
    const turns = this.#takeTurns();
    const health = this.#compare();
    const hasTurns = turns.started.count + turns.ended.count + turns.restarted.count > 0;
    this.#options.tell({ turns, health });
    if (!hasTurns) {
      this.#isBusy = false;
      return;
    }
    // What comes next is told less often, until nothing has come for as long.
    this.#isBusy = true;
    this.look();
  }

  #takeTurns(): TurnsJson {
    const turns = [...this.#turns.values()];
    this.#turns = new Map();
    const some = (is: (first: Turn, last: Turn) => boolean): TurnsJson["started"] => {
      const found = turns.filter(({ first, last }) => is(first, last));
      const listeners = found.slice(0, NAMED).map(({ last }) => this.#options.describe(last));
      return { count: found.length, listeners };
    };
    return {
      started: some((first, last) => first.listens && last.listens),
      ended: some((_, last) => !last.listens),
      restarted: some((first, last) => !first.listens && last.listens),
    };
  }

  #compare(): HealthJson {
    const faults = this.#options.faults();
    const before = this.#told;
    if (faults === null) return { ...nothingNew, down: before.down.size };
    const now: Told = {
      down: keyed(faults.unserved.mappings, mappingKey),
      gaps: keyed(faults.gaps.mappings, keyOfGap),
      degraded: keyed(faults.degraded.mappings, keyOfDegraded),
    };
    this.#told = now;
    const down = new Set([
      ...now.down.keys(),
      // Where all is drained, nobody gets anything, whoever listens.
      ...faults.drainedMappings.mappings.map(mappingKey),
    ]);
    const faulty = new Set([
      ...down,
      ...[...now.gaps.values(), ...now.degraded.values()].map(mappingKey),
    ]);
    const served = this.#stillMapped([...before.down.values()], down);
    const whole = this.#stillMapped([...before.gaps.values(), ...before.degraded.values()], faulty);
    return {
      unserved: some(added(before.down, now.down)),
      served: some(served.map(idOf)),
      down: now.down.size,
      gaps: some(added(before.gaps, now.gaps)),
      degraded: some(added(before.degraded, now.degraded)),
      whole: some(whole.map(idOf)),
    };
  }

  /** Returns those that have no such fault any more, each once: others were removed. */
  #stillMapped<One extends MappingId>(before: readonly One[], now: ReadonlySet<string>): One[] {
    const gone = [...keyed(before, mappingKey)].flatMap(([key, one]) => (now.has(key) ? [] : one));
    return gone.length === 0 ? [] : gone.filter(this.#options.isMapped());
  }

  close(): void {
    this.#waiting?.cancel();
  }
}

const none = { count: 0, mappings: [] };
const nothingNew = { unserved: none, served: none, gaps: none, degraded: none, whole: none };

function some<One>(all: readonly One[]) {
  return { count: all.length, mappings: all.slice(0, NAMED) };
}

function keyed<One>(list: readonly One[], keyOf: (one: One) => string): Map<string, One> {
  return new Map(list.map((one) => [keyOf(one), one]));
}

function added<One>(before: ReadonlyMap<string, One>, now: ReadonlyMap<string, One>): One[] {
  return [...now].flatMap(([key, one]) => (before.has(key) ? [] : one));
}

function idOf({ name, protocol }: MappingId): MappingId {
  return { name, protocol };
}
