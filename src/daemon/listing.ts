/**
 * `GET /v1/mappings`: some of the active mappings, with what each has counted and whether its
 * destinations listen.
 */
import { IlmError } from "../errors.js";
import { judgeOf } from "../dataplane/judge.js";
import type { DataPlane } from "../dataplane/types.js";
import { allMappings, readRules } from "../model/rules.js";
import { DrainedPlaces } from "../rules/drained.js";
import { JoinedListeners, servedIn } from "../rules/listening.js";
import type { EndedJson } from "../json/common.js";
import type { Mapping, Protocol } from "../model/mapping.js";
import { Endings } from "../rules/endings.js";
import { describesEnds } from "./ended.js";
import { type Choice, chooseMappings, parseChoice } from "./chosen.js";
import type { ListedMapping, MappingList } from "../api/api.js";
import { destinationShape, mappingShape } from "../api/mapping-shape.js";

/**
 * The maximum number of mappings in an answer: the daemon does nothing else while it makes the
 * list.
 */
const LISTED_MAX = 10_000;

const noCounters = { existing: 0, selected: 0, missed: 0, errors: 0, to: null };

const single = ["protocol", "port", "to", "limit", "added", "down"] as const;

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
  const [protocol, port, to, limit, added, down] = single.map((key) => query.get(key) ?? undefined);
  return parseChoice(
    query.getAll("name"),
    {
      ...(protocol !== undefined && { protocol: parseProtocol(protocol) }),
      ...(port !== undefined && { port }),
      ...(to !== undefined && { to }),
      ...(limit !== undefined && { limit }),
      added: added !== undefined && parseFlag("added", added),
      down: down !== undefined && parseFlag("down", down),
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

/**
 * Lists mappings; none when nothing is loaded. Throws USAGE, and NOT_FOUND for a name that no
 * mapping has.
 */
export function listMappings(dataPlane: DataPlane, query: URLSearchParams): MappingList {
  const choice = choiceOf(query);
  const rules = dataPlane.active()?.rules;
  if (rules === undefined) return { total: 0, mappings: [] };
  const whole = readRules(rules);
  const all = allMappings(whole);
  const limit = Math.min(choice.limit, LISTED_MAX);
  const fromFile = rules.file.count;
  const listeners = dataPlane.listeners();
  const { selects } = judgeOf(dataPlane, whole);
  const served = servedIn(all, listeners, selects);
  const { indexes, total } = chooseMappings(all, { fromFile, served }, { ...choice, limit });
  const chosen = indexes.flatMap((index) => all.at(index) ?? []);
  const joined = new JoinedListeners(chosen, listeners, selects);
  const counters = dataPlane.countersOf(indexes);
  const endings = new Endings(dataPlane.endings());
  const describeEnd = describesEnds(whole.file.services);
  const endedAt = (mapping: Mapping, index: number): EndedJson | null =>
    describeEnd(endings.at(mapping, index));
  const drained = new DrainedPlaces(whole.drained ?? [], whole.file.services);
  const mappings = chosen.map((mapping, row): ListedMapping => {
    const states = joined.statesAt(row);
    const shape = mappingShape(mapping, (indexes[row] ?? 0) >= fromFile);
    const { to: selected, ...own } = counters.at(row) ?? noCounters;
    return {
      ...shape,
      to: mapping.to.map((destination, index) => ({
        ...destinationShape(destination),
        listening: states.find((one) => one.destination === index)?.listening ?? false,
        selected: selected?.at(index) ?? null,
        ended:
          states.find((one) => one.destination === index)?.listening === true
            ? null
            : endedAt(mapping, index),
        drained: drained.hasDestination(mapping.protocol, mapping.ports, destination),
      })),
      counters: own,
    };
  });
  return { total, mappings };
}
