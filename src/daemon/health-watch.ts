/**
 * Notices destinations that get a listener or lose their last one, and mappings that are left
 * without one or have one again. Tells what came of a second, so that a hundred daemons that are
 * restarted are one line; and while that goes on, what came of ten.
 */
import type { HealthJson, TurnsJson, UnservedJson } from "../json/health.js";
import type { Tell } from "./events.js";
import type { Turn } from "../model/listener.js";

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
  /**
   * Returns the mappings without a listener; null when they are not known, or too many to look
   * through.
   */
  readonly unserved: () => readonly UnservedJson[] | null;
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
  if (health.unserved.count + health.served.count > 0) tell({ event: "health", ...health });
}

const keyOf = ({ name, protocol }: MappingId): string => `${protocol} ${name}`;

export class HealthWatch {
  readonly #options: HealthWatchOptions;
  /** The first and the last turn of each destination since they were told. */
  #turns = new Map<string, { readonly first: Turn; readonly last: Turn }>();
  /** Those that were told to be without a listener; null before the first look. */
  #down: ReadonlyMap<string, UnservedJson> | null = null;
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
    const list = this.#options.unserved();
    const before = this.#down ?? new Map<string, UnservedJson>();
    const now = new Map((list ?? []).map((one) => [keyOf(one), one]));
    if (list !== null) this.#down = now;
    const unserved = list === null ? [] : list.filter((one) => !before.has(keyOf(one)));
    const served = list === null ? [] : this.#stillMapped(before, now);
    return {
      unserved: { count: unserved.length, mappings: unserved.slice(0, NAMED) },
      served: {
        count: served.length,
        mappings: served.slice(0, NAMED).map(({ name, protocol }) => ({ name, protocol })),
      },
      down: now.size,
    };
  }

  /** Returns those of `before` that have a listener now: others were removed. */
  #stillMapped(
    before: ReadonlyMap<string, UnservedJson>,
    now: ReadonlyMap<string, UnservedJson>,
  ): UnservedJson[] {
    const gone = [...before].flatMap(([key, one]) => (now.has(key) ? [] : one));
    return gone.length === 0 ? [] : gone.filter(this.#options.isMapped());
  }

  close(): void {
    this.#waiting?.cancel();
  }
}
