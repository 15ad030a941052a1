/**
 * `GET /v1/mappings`: some of the active mappings, with what each has counted and whether its
 * destinations listen.
 */
import { IlmError } from "../errors.js";
import { judgeOf } from "../dataplane/judge.js";
import type { DataPlane } from "../dataplane/types.js";
import { allMappings, readRules } from "../model/rules.js";
import { drainedIn } from "../rules/health.js";
import { JoinedListeners } from "../rules/listening.js";
import type { Live } from "../rules/live.js";
import type { Protocol } from "../model/mapping.js";
import { describesAbsence, presentJson, readEndings } from "./ended.js";
import { type Choice, parseChoice } from "./chosen.js";
import { healthIn } from "./faults.js";
import { pickMappings, readFirst, untilNext } from "./pick.js";
import type { Reading } from "./rates.js";
import { Busy } from "./workload.js";
import type { ListedMapping, MappingList } from "../api/api.js";
import {
  destinationShape,
  mappingShape,
  openShape,
  ratesShape,
  rounded,
} from "../api/mapping-shape.js";

/**
 * The maximum number of mappings in an answer: the daemon does nothing else while it makes the
 * list.
 */
const LISTED_MAX = 10_000;

/**
 * The maximum number of lists that wait for a second reading of the counters: each holds what the
 * first one found.
 */
const MEASURING_MAX = 4;

const noCounters = { existing: 0, selected: 0, missed: 0, errors: 0, to: null };

const single = [
  "protocol",
  "on",
  "port",
  "to",
  "limit",
  "sort",
  "rate",
  "added",
  "down",
  "degraded",
  "connections",
] as const;

/** Parses a query. Throws USAGE. */
function choiceOf(query: URLSearchParams): Choice {
  for (const key of query.keys()) {
    if (key === "name") continue;
    if (!single.some((known) => known === key)) {
      throw new IlmError("USAGE", `there is no ${key} to list mappings by`, {
        remedy: `Use name, ${single.join(", ")}.`,
      });
    }
    if (query.getAll(key).length > 1) {
      throw new IlmError("USAGE", `${key} is given twice`, {
        remedy: "Only name may be repeated.",
      });
    }
  }
  const [protocol, on, port, to, limit, sort, rate, added, down, degraded, connections] =
    single.map((key) => query.get(key) ?? undefined);
  return parseChoice(
    query.getAll("name"),
    {
      ...(protocol !== undefined && { protocol: parseProtocol(protocol) }),
      ...(on !== undefined && { on }),
      ...(port !== undefined && { port }),
      ...(to !== undefined && { to }),
      ...(limit !== undefined && { limit }),
      ...(sort !== undefined && { sort }),
      ...(rate !== undefined && { rate }),
      added: added !== undefined && parseFlag("added", added),
      down: down !== undefined && parseFlag("down", down),
      degraded: degraded !== undefined && parseFlag("degraded", degraded),
      connections: connections !== undefined && parseFlag("connections", connections),
    },
    "",
  );
}

function parseFlag(name: string, text: string): boolean {
  if (text === "true" || text === "false") return text === "true";
  throw new IlmError("USAGE", `${name}: ${JSON.stringify(text)} is neither true nor false`, {
    remedy: `Write ${name}=true.`,
  });
}

function parseProtocol(text: string): Protocol {
  if (text === "tcp" || text === "udp") return text;
  throw new IlmError("USAGE", `protocol: ${JSON.stringify(text)} is no protocol of mappings`, {
    remedy: "Write tcp or udp.",
  });
}

/** What lists need of the daemon. */
export interface ListingOptions {
  /** Calls `read` with the data plane. */
  readonly withDataPlane: <T>(read: (dataPlane: DataPlane) => T) => T;
  /** Returns what is open. */
  readonly open: (dataPlane: DataPlane) => readonly Live[];
  readonly wait?: (seconds: number) => Promise<void>;
}

/** Lists mappings for the API. */
export class Listings {
  readonly #options: ListingOptions;
  #measuring = 0;

  constructor(options: ListingOptions) {
    this.#options = options;
  }

  /**
   * Lists mappings; none when nothing is loaded. Rejects with USAGE, with NOT_FOUND for a name that
   * no mapping has, and with LIMIT when too many lists wait for a second reading.
   */
  async list(query: URLSearchParams): Promise<MappingList> {
    const { withDataPlane, open } = this.#options;
    const asked = choiceOf(query);
    const choice = { ...asked, limit: Math.min(asked.limit, LISTED_MAX) };
    const first =
      choice.rateSeconds === null ? null : await this.#measure(choice, choice.rateSeconds);
    return withDataPlane((dataPlane) =>
      listMappings(dataPlane, choice, { first, open: () => open(dataPlane) }),
    );
  }

  /** Reads the counters, and waits until they are to be read again. */
  async #measure(choice: Choice, seconds: number): Promise<Reading | null> {
    if (this.#measuring >= MEASURING_MAX) {
      throw new Busy(`${MEASURING_MAX} requests are already measuring rates, which is the limit`);
    }
    this.#measuring += 1;
    try {
      const first = this.#options.withDataPlane((dataPlane) => {
        const whole = wholeOf(dataPlane);
        return whole && readFirst(dataPlane, whole, choice);
      });
      await (this.#options.wait ?? untilNext)(seconds);
      return first;
    } finally {
      this.#measuring -= 1;
    }
  }
}

/** Returns the active rules with their listeners; null when nothing is loaded. */
function wholeOf(dataPlane: DataPlane) {
  const active = dataPlane.active();
  if (active === null) return null;
  const rules = readRules(active.rules);
  const listeners = dataPlane.listeners();
  const { selects } = judgeOf(dataPlane, rules);
  const health = healthIn(rules, { listeners, selects });
  return { active, rules, listeners, selects, health };
}

function listMappings(
  dataPlane: DataPlane,
  choice: Choice,
  earlier: Parameters<typeof pickMappings>[3],
): MappingList {
  const whole = wholeOf(dataPlane);
  if (whole === null) return { total: 0, mappings: [] };
  const { rules, listeners, selects } = whole;
  const all = allMappings(rules);
  const { indexes, total, ...picked } = pickMappings(dataPlane, whole, choice, earlier);
  const chosen = indexes.flatMap((index) => all.at(index) ?? []);
  const joined = new JoinedListeners(chosen, listeners, selects);
  const endings = readEndings(dataPlane);
  endings.prepare(chosen);
  const describe = describesAbsence(rules.file.services);
  const drained = drainedIn(rules);
  const { rates } = picked;
  const mappings = chosen.map((mapping, row): ListedMapping => {
    const states = joined.statesAt(row);
    const shape = mappingShape(mapping, (indexes[row] ?? 0) >= rules.file.mappings.length);
    const { to: selected, ...own } = picked.counters.at(row) ?? noCounters;
    const rate = rates?.of[row] ?? null;
    return {
      ...shape,
      to: mapping.to.map((destination, index) => {
        const listening = states.find((one) => one.destination === index)?.listening ?? false;
        const perSecond = rate?.to?.[index];
        return {
          ...destinationShape(destination),
          listening,
          selected: selected?.at(index) ?? null,
          selectedPerSecond: perSecond === undefined ? null : rounded(perSecond),
          ...openShape(mapping.protocol, picked.live?.[row]?.[index] ?? null),
          ...(listening ? presentJson : describe(endings.at(mapping, index))),
          drained: drained.hasDestination(mapping.protocol, mapping.ports, destination),
        };
      }),
      counters: own,
      rates: rates === null || rate === null ? null : ratesShape(rate, rates.seconds),
    };
  });
  return { total, mappings };
}
