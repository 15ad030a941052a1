/**
 * `ilm mappings`: shows the active mappings, how often each was used, and who would get a
 * connection now.
 */
import type { DestinationJson, MappingJson } from "../../json/mapping.js";
import type { Mapping } from "../../model/mapping.js";
import { allMappings, readRules } from "../../model/rules.js";
import type { DataPlane } from "../../dataplane/types.js";
import type { Counters } from "../../model/decision.js";
import { type Holder, type Listener, isFull } from "../../model/listener.js";
import { judgeOf } from "../../dataplane/judge.js";
import type { DrainedPlaces } from "../../rules/drained.js";
import { drainedIn } from "../../rules/health.js";
import { healthIn } from "../../daemon/faults.js";
import type { Judge, OwnedService } from "../../rules/judge.js";
import { liveOf } from "../../rules/live.js";
import { JoinedListeners, type DestinationState } from "../../rules/listening.js";
import { describeChoice, parseChoice, type ChoiceOptions } from "../../daemon/chosen.js";
import { pickMappings, readFirst, untilNext } from "../../daemon/pick.js";
import type { DaemonAccess } from "../../control/over-api.js";
import {
  destinationShape,
  mappingShape,
  openShape,
  ratesShape,
  rounded,
} from "../../api/mapping-shape.js";
import { print, type Context } from "../shell/context.js";
import {
  type AbsenceJson,
  describesAbsence,
  presentJson,
  readEndings,
} from "../../daemon/ended.js";
import type { MappingsJson, RatesJson } from "../../json/mappings.js";
import { published } from "../../json/published.js";
import type { Obstacle } from "../../doctor/obstacle.js";
import { describeHolder, describeListener } from "../../words/listener.js";
import { remedyForStranger, whyStranger } from "../../words/stranger.js";
import { describeTarget } from "../render/mapping.js";
import { renderTable, type Cell, type Column } from "../render/table.js";
import { describeQueue } from "../../words/queue.js";
import { count, formatTime, printable } from "../../words/text.js";
import { describeUntil } from "../../words/until.js";
import { noteObstacles, surveyOf, type Survey } from "../../doctor/survey.js";
import { beginStep } from "../../progress.js";
import { refuseNamesAsJson } from "../shell/names.js";
import { survey } from "../shell/survey.js";
import { withDataPlane } from "../shell/with-data-plane.js";

const noCounters = { existing: 0, selected: 0, missed: 0, errors: 0, to: null };

type AbsenceAt = (mapping: Mapping, index: number) => AbsenceJson;
type HolderOf = (listener: Listener) => Holder | undefined;

interface Row {
  readonly mapping: MappingJson;
  /**
   * What keeps packets from the mapping before they are counted, or may; null when not examined.
   */
  readonly obstacles: readonly Obstacle[] | null;
  readonly counters: Counters;
  /** What it counted in a second; null when that was not measured, or is not known. */
  readonly rates: RatesJson | null;
  readonly destinations: readonly DestinationRow[];
}

interface DestinationRow {
  readonly destination: DestinationJson;
  readonly listening: boolean;
  /** How often the mapping selected it; null when nobody tells. */
  readonly selected: number | null;
  readonly selectedPerSecond: number | null;
  /** How many connections or flows are open there; null when they were not counted. */
  readonly live: number | null;
  /** True when it gets nobody new. */
  readonly drained: boolean;
  /** The listener at the destination; null when there is none. */
  readonly listener: Listener | null;
  /** Since when there is none, as far as that is known. */
  readonly absence: AbsenceJson;
  /** A listener at the destination whom the rules do not permit there, where no other listens. */
  readonly stranger: Stranger | null;
  /** A listener on every address, which therefore does not count as one at the destination. */
  readonly wildcard: Listener | null;
}

interface Stranger {
  readonly listener: Listener;
  /** Whose the address is, provided its service has an owner. */
  readonly owned: OwnedService | undefined;
}

export interface MappingsOptions extends ChoiceOptions {
  /** Print names only, one on a line. */
  readonly names?: boolean;
}

export async function mappings(
  context: Context,
  options: MappingsOptions,
  names: readonly string[],
): Promise<void> {
  refuseNamesAsJson(context, options.names);
  const asked = parseChoice(names, options);
  const connections = asked.connections || (asked.names.size > 0 && options.names !== true);
  const choice = { ...asked, connections };
  const here = async (dataPlane: DataPlane): Promise<Found | null> => {
    const before = choice.rateSeconds === null ? null : wholeOf(dataPlane);
    const first = before && readFirst(dataPlane, before, choice);
    if (choice.rateSeconds !== null) {
      beginStep(`measuring for ${choice.rateSeconds} s`);
      await untilNext(choice.rateSeconds);
    }
    const whole = wholeOf(dataPlane);
    if (whole === null) return null;
    const { rules, listeners, judge } = whole;
    const { indexes, total, counters, rates, live } = pickMappings(dataPlane, whole, choice, {
      first,
      open: () => liveOf(dataPlane.connections(), dataPlane.flows()),
    });
    const fromFile = rules.file.mappings.length;
    const around = await survey(context, dataPlane, rules);
    const all = allMappings(rules);
    const chosen = indexes.flatMap((index) => all.at(index) ?? []);
    // Only the mappings that are shown are joined.
    const joined = new JoinedListeners(chosen, listeners, judge.selects);
    const endings = readEndings(dataPlane);
    endings.prepare(chosen);
    const describe = describesAbsence(rules.file.services);
    const absenceAt: AbsenceAt = (mapping, index) => describe(endings.at(mapping, index));
    const drained = drainedIn(rules);
    const rows = chosen.map((mapping, row): Row => {
      const index = indexes[row] ?? 0;
      const { to: selected, ...own } = counters.at(row) ?? noCounters;
      const rate = rates?.of[row] ?? null;
      return {
        mapping: mappingShape(mapping, index >= fromFile),
        obstacles: obstaclesOf(around, index),
        counters: own,
        rates: rates === null || rate === null ? null : ratesShape(rate, rates.seconds),
        destinations: destinationRows(mapping, joined.statesAt(row), judge, {
          selected,
          perSecond: rate?.to ?? null,
          live: live?.at(row) ?? null,
          absenceAt,
          drained,
        }),
      };
    });
    const used = rows.flatMap((row) =>
      row.destinations.flatMap(({ listener, stranger, wildcard }) => [
        listener,
        stranger?.listener ?? null,
        wildcard,
      ]),
    );
    const holderOf = await context.reach.holdersOf(used.filter((listener) => listener !== null));
    const shown = new Set(indexes);
    if (!context.json && options.names !== true) {
      const ofThese = surveyOf(around, (index) => shown.has(index));
      noteObstacles(context, ofThese, rules);
    }
    if (total > rows.length) {
      context.note(`ilm: showing ${rows.length} of ${count(total, "mapping")}\n`);
    }
    return { rows, holderOf, none: all.length === 0 };
  };
  const found = await withDataPlane(context, here, (daemon) =>
    askDaemon(context, daemon, names, options),
  );
  if (found === null) {
    await print(context, published<MappingsJson>()([]), () =>
      options.names === true ? "" : "nothing is loaded\n",
    );
    return;
  }
  const { rows, holderOf, none } = found;
  const unknown = rows.filter(({ rates }) => rates === null).length;
  if (choice.rateSeconds !== null && unknown > 0) {
    context.note(
      `ilm: ${unknown} of ${count(rows.length, "mapping")} without a rate: the rules changed meanwhile, and counters may have begun anew\n`,
    );
  }
  await print(
    context,
    published<MappingsJson>()(rows.map((row) => rowShape(row, holderOf))),
    () => {
      if (options.names === true) return rows.map(({ mapping }) => `${mapping.name}\n`).join("");
      if (rows.length > 0) {
        const described = choice.names.size === 0 ? "" : descriptions(rows);
        const columns = choice.rateSeconds === null ? countColumns : rateColumns;
        return renderRows(context, rows, { holderOf, columns }) + described;
      }
      return none
        ? "there are no active mappings\n"
        : `no mapping ${describeChoice(choice)} is active\n`;
    },
  );
}

interface Found {
  readonly rows: readonly Row[];
  readonly holderOf: HolderOf;
  /** True when there are no mappings at all. */
  readonly none: boolean;
}

/** Reads the active rules, and who listens; null when nothing is loaded. */
function wholeOf(dataPlane: DataPlane) {
  const active = dataPlane.active();
  if (active === null) return null;
  const rules = readRules(active.rules);
  const listeners = dataPlane.listeners();
  const judge = judgeOf(dataPlane, rules);
  const health = healthIn(rules, { listeners, selects: judge.selects });
  return { active, rules, listeners, judge, health };
}

/** Asks the daemon, which knows whether somebody listens, but not who. */
async function askDaemon(
  context: Context,
  daemon: DaemonAccess,
  names: readonly string[],
  options: MappingsOptions,
): Promise<Found | null> {
  const { loaded, mappings: all } = await daemon.state();
  if (!loaded) return null;
  const query = new URLSearchParams();
  for (const name of names) query.append("name", name);
  for (const key of ["protocol", "on", "port", "to", "limit", "sort"] as const) {
    const value = options[key];
    if (value !== undefined) query.set(key, value);
  }
  const { rateSeconds } = parseChoice(names, options);
  if (rateSeconds !== null) query.set("rate", String(rateSeconds));
  for (const key of ["added", "down", "degraded", "connections"] as const) {
    if (options[key] === true) query.set(key, "true");
  }
  const { total, mappings: listed } = await daemon.mappings(query, rateSeconds ?? 0);
  if (total > listed.length) {
    context.note(`ilm: showing ${listed.length} of ${count(total, "mapping")}\n`);
  }
  const rows = listed.map(({ counters, rates, to, ...mapping }): Row => {
    const targets = to.map(
      ({
        listening,
        selected,
        selectedPerSecond,
        connections,
        flows,
        ended,
        neverSince,
        drained,
        ...destination
      }) => ({
        destination,
        listening,
        selected,
        selectedPerSecond,
        live: connections ?? flows,
        absence: { ended, neverSince },
        drained,
      }),
    );
    return {
      mapping: { ...mapping, to: targets.map(({ destination }) => destination) },
      obstacles: null,
      counters,
      rates,
      destinations: targets.map((target) => ({
        ...target,
        listener: null,
        stranger: null,
        wildcard: null,
      })),
    };
  });
  return { rows, holderOf: () => undefined, none: all === 0 };
}

function obstaclesOf({ found, looked }: Survey, index: number): readonly Obstacle[] | null {
  if (index >= looked) return null;
  return found.flatMap(({ mappings: those, obstacle }) =>
    those.includes(index) ? [obstacle] : [],
  );
}

interface DestinationFacts {
  readonly selected: readonly number[] | null;
  readonly perSecond: readonly number[] | null;
  readonly live: readonly number[] | null;
  readonly absenceAt: AbsenceAt;
  readonly drained: DrainedPlaces;
}

function destinationRows(
  mapping: Mapping,
  states: readonly DestinationState[],
  judge: Judge,
  { selected, perSecond, live, absenceAt, drained }: DestinationFacts,
): DestinationRow[] {
  return mapping.to.map((destination, index) => {
    const state = states.find((one) => one.destination === index);
    const stranger = state?.listening === false ? state.strangers[0] : undefined;
    return {
      destination: destinationShape(destination),
      listening: state?.listening ?? false,
      selected: selected?.at(index) ?? null,
      selectedPerSecond: roundedAt(perSecond, index),
      live: live?.at(index) ?? null,
      listener: state?.listeners.find(isFull) ?? busiest(state?.listeners ?? []),
      absence: state?.listening === true ? presentJson : absenceAt(mapping, index),
      drained: drained.hasDestination(mapping.protocol, mapping.ports, destination),
      stranger:
        stranger === undefined
          ? null
          : { listener: stranger, owned: judge.ownerOf(destination.address) },
      wildcard: state?.wildcardWouldAnswer ?? null,
    };
  });
}

/** One for which most waits is what people look for. */
function busiest(listeners: readonly Listener[]): Listener | null {
  return listeners.toSorted((a, b) => b.queue.waiting - a.queue.waiting)[0] ?? null;
}

function roundedAt(perSecond: readonly number[] | null, index: number): number | null {
  const one = perSecond?.at(index);
  return one === undefined ? null : rounded(one);
}

function rowShape({ mapping, obstacles, counters, rates, destinations }: Row, holderOf: HolderOf) {
  return {
    ...mapping,
    to: destinations.map(({ destination, listening, live, drained, ...who }) => ({
      ...destination,
      listening,
      selected: who.selected,
      selectedPerSecond: who.selectedPerSecond,
      ...openShape(mapping.protocol, live),
      drained,
      ...who.absence,
      listener: listenerShape(who.listener, holderOf),
      stranger: listenerShape(who.stranger?.listener ?? null, holderOf),
      wildcardWouldAnswer: listenerShape(who.wildcard, holderOf),
    })),
    counters,
    rates,
    obstacles,
  };
}

function listenerShape(listener: Listener | null, holderOf: HolderOf) {
  if (listener === null) return null;
  const holder = holderOf(listener);
  return {
    address: listener.address,
    port: listener.port,
    kind: listener.kind,
    cookie: listener.cookie,
    since: listener.since === null ? null : new Date(listener.since).toISOString(),
    queue: listener.queue,
    pid: holder?.pid ?? null,
    command: holder?.command ?? null,
  };
}

/** A column of numbers, of which each has a heading of its own. */
interface NumberColumn extends Column {
  readonly of: (row: Row) => Cell;
}

const identifying: readonly Column[] = [
  { heading: "NAME", shrink: true },
  { heading: "PROTO" },
  { heading: "PORT", shrink: true },
  { heading: "ON", shrink: true },
  { heading: "TO", shrink: true },
  { heading: "LISTENER", shrink: true },
];

const open: NumberColumn = {
  heading: "OPEN",
  align: "right",
  count: true,
  of: ({ destinations }) => destinations.map(({ live }) => String(live ?? 0)).join("\n"),
};

const countColumns: readonly NumberColumn[] = [
  {
    heading: "EXISTING",
    align: "right",
    count: true,
    of: ({ counters }) => String(counters.existing),
  },
  {
    heading: "SELECTED",
    align: "right",
    count: true,
    of: ({ counters, destinations }) => describeSelected(counters, destinations),
  },
  open,
  { heading: "MISSED", align: "right", count: true, of: ({ counters }) => String(counters.missed) },
  { heading: "ERRORS", align: "right", count: true, of: ({ counters }) => String(counters.errors) },
];

/** What was counted in a second, instead of what was counted in all: the table is wide enough. */
const rateColumns: readonly NumberColumn[] = [
  {
    heading: "EXISTING/S",
    align: "right",
    count: true,
    of: ({ rates }) => formatRate(rates?.existingPerSecond),
  },
  { heading: "SELECTED/S", align: "right", count: true, of: describeSelectedRates },
  open,
  {
    heading: "MISSED/S",
    align: "right",
    count: true,
    of: ({ rates }) => formatRate(rates?.missedPerSecond),
  },
  {
    heading: "ERRORS/S",
    align: "right",
    count: true,
    of: ({ rates }) => formatRate(rates?.errorsPerSecond),
  },
];

interface Rendering {
  readonly holderOf: HolderOf;
  readonly columns: readonly NumberColumn[];
}

function renderRows(
  context: Context,
  rows: readonly Row[],
  { holderOf, columns }: Rendering,
): string {
  const { colours, width } = context;
  const hasLive = rows.some(({ destinations }) => destinations.some(({ live }) => live !== null));
  const numbers = columns.filter((column) => hasLive || column !== open);
  const cells = rows.map((row): Cell[] => {
    const { mapping, counters, destinations } = row;
    const { port, on, from, interface: interfaces, runtime } = mapping;
    const answered = destinations.some(({ listening }) => listening);
    return [
      printable(mapping.name) + (runtime ? ` (${describeRuntime(mapping.until)})` : ""),
      mapping.protocol,
      port,
      [
        ...(on.length === 0 ? ["every"] : on),
        ...from.map((prefix) => `from ${prefix}`),
        ...interfaces.map((name) => `by ${printable(name)}`),
      ].join("\n"),
      destinations.length === 0
        ? "none"
        : destinations.map(({ destination }) => describeTarget(destination)).join("\n"),
      destinations.length === 0
        ? "refused on purpose"
        : {
            text: destinations
              .map((each) => describeAnswer(each, holderOf) + (each.drained ? " (drained)" : ""))
              .join("\n"),
            paint: answered ? colours.green : colours.yellow,
          },
      ...numbers.map(({ heading, of }): Cell => {
        const cell = of(row);
        const isError = heading.startsWith("ERRORS") && counters.errors > 0;
        return isError && typeof cell === "string" ? { text: cell, paint: colours.red } : cell;
      }),
    ];
  });
  return (
    renderTable([...identifying, ...numbers], cells, { width, paintHeading: colours.bold }) +
    strangerHints(rows, holderOf) +
    hints(rows, holderOf)
  );
}

/** Formats how often something was in a second: `0`, `<0.1`, `2.5`, `1200`; `?` for unknown. */
function formatRate(rate: number | undefined): string {
  if (rate === undefined) return "?";
  if (rate === 0 || rate >= 10) return String(Math.round(rate));
  return rate < 0.1 ? "<0.1" : String(Math.round(rate * 10) / 10);
}

/** Several destinations have a rate each, beside their names. */
function describeSelectedRates({ rates, destinations }: Row): string {
  const each = destinations.flatMap((row) => row.selectedPerSecond ?? []);
  return each.length < 2
    ? formatRate(rates?.selectedPerSecond)
    : each.map((one) => formatRate(one)).join("\n");
}

/**
 * Several destinations have a count each, beside their names; what a mapping selected before it had
 * these comes last.
 */
function describeSelected({ selected }: Counters, destinations: readonly DestinationRow[]): string {
  const each = destinations.flatMap((row) => row.selected ?? []);
  if (each.length < 2) return String(selected);
  const before = selected - each.reduce((sum, one) => sum + one, 0);
  return [...each.map(String), ...(before > 0 ? [`before ${before}`] : [])].join("\n");
}

function describeRuntime(until: string | null): string {
  return until === null ? "run time" : `run time, ${describeUntil(until, Date.now())}`;
}

function describeAnswer(row: DestinationRow, holderOf: HolderOf): string {
  if (row.listener !== null) {
    const holder = describeHolder(holderOf(row.listener));
    if (isFull(row.listener)) return `${holder} hangs: ${describeQueue(row.listener)}`;
    return row.listener.queue.waiting === 0 ? holder : `${holder}: ${describeQueue(row.listener)}`;
  }
  if (row.listening) return "listens";
  if (row.stranger !== null) return "none (but a stranger)";
  if (row.wildcard !== null) return "none (but a wildcard)";
  const { ended, neverSince } = row.absence;
  if (ended !== null) return `none since ${formatTime(new Date(ended.at))}`;
  return neverSince === null ? "none" : "none yet";
}

/** Says what the mappings are for. Only for those that were named: in a long list it is noise. */
function descriptions(rows: readonly Row[]): string {
  const lines = rows.flatMap(({ mapping: { name, description } }) =>
    description === null ? [] : `${printable(name)}: ${printable(description)}\n`,
  );
  // A mapping of both protocols is two rows.
  return lines.length === 0 ? "" : `\n${[...new Set(lines)].join("")}`;
}

function strangerHints(rows: readonly Row[], holderOf: HolderOf): string {
  return rows
    .flatMap(({ mapping, destinations }) =>
      destinations.flatMap(({ stranger }) => {
        if (stranger === null) return [];
        const { listener, owned } = stranger;
        return (
          `\n${printable(mapping.name)}: ${describeListener(listener, holderOf(listener))} is a stranger there and gets nothing: ` +
          `${whyStranger(owned)}. ${remedyForStranger(owned)}\n`
        );
      }),
    )
    .join("");
}

function hints(rows: readonly Row[], holderOf: HolderOf): string {
  return rows
    .flatMap(({ mapping, destinations }) =>
      destinations.flatMap(({ destination, wildcard }) =>
        wildcard === null
          ? []
          : `\n${printable(mapping.name)}: nothing listens on ${describeTarget(destination)} itself; ` +
            `${describeHolder(holderOf(wildcard))} listens on every address. Let it listen on that address, ` +
            `or write the destination as "*:${wildcard.port}".\n`,
      ),
    )
    .join("");
}
