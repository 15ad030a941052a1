/**
 * `ilm monitor`: shows decisions as they are made. The kernel reports them only while a monitor
 * watches.
 */
import type { DataPlane, DecisionStream, ObservedDecision } from "../../dataplane/types.js";
import { IlmError } from "../../errors.js";
import { type Mapping } from "../../model/mapping.js";
import { type Mappings } from "../../model/mappings.js";
import { allMappings, readRules } from "../../model/rules.js";
import type { Context } from "../shell/context.js";
import type { MonitorJson, MonitorSummaryJson } from "../../json/monitor.js";
import { published } from "../../json/published.js";
import { needNames } from "../../daemon/chosen.js";
import { decisionFilter, type FilterOptions } from "../shell/decision-filter.js";
import { decisionHeading, renderDecision } from "../render/decision.js";
import { count } from "../../words/text.js";
import { noteObstacles, surveyOf } from "../../doctor/survey.js";
import { survey } from "../shell/survey.js";
import { needActive, withDataPlane } from "../shell/with-data-plane.js";

export interface MonitorOptions extends FilterOptions {
  /** The number of decisions after which to end. */
  readonly count?: string;
  /** The number of seconds after which to end. */
  readonly seconds?: string;
  /** Show one of so many. */
  readonly sample?: string;
  /** Show at most so many a second. */
  readonly rate?: string;
  /** Print the counts at the end in JSON, too. */
  readonly summary?: boolean;
}

/** The shortest interval, in milliseconds, between notes on decisions that were not shown. */
const TELL_DROPPED_MS = 1_000;
/** The most decisions shown in a second unless told otherwise: more than people read. */
const RATE = 2_000;
/** The most that can be asked for; their ring buffer takes 64 MiB. */
const MAX_RATE = 1_000_000;
/** The most that the programs can count to. */
const MAX_SAMPLE = 0xffffffff;
/** The longest time, in seconds, that a timer of node can be set for: 24 days. */
const MAX_SECONDS = 2_147_483;
/** The number of generations whose mappings are kept, for decisions that still name them. */
const GENERATIONS_KEPT = 4;

export async function monitor(context: Context, options: MonitorOptions): Promise<void> {
  const most = parseLimit(options.count, "--count");
  if (most !== Infinity && !Number.isInteger(most)) {
    throw refusal("--count", options.count, "is not a whole number");
  }
  const seconds = parseLimit(options.seconds, "--seconds");
  if (seconds !== Infinity && seconds > MAX_SECONDS) {
    throw refusal("--seconds", options.seconds, `is more than ${MAX_SECONDS}, which is the most`);
  }
  if (options.summary === true && !context.json) {
    throw new IlmError("USAGE", "--summary: it adds a line to --json", {
      remedy: "Leave it out: without --json, standard error has the counts anyway.",
    });
  }
  const filter = {
    ...decisionFilter(options),
    every: options.sample === undefined ? 1 : parseWhole(options.sample, "--sample", MAX_SAMPLE),
    perSecond: options.rate === undefined ? RATE : parseWhole(options.rate, "--rate", MAX_RATE),
  };
  await withDataPlane(context, async (dataPlane) => {
    const rules = readRules(needActive(dataPlane).rules);
    const all = allMappings(rules);
    const { mappings: names } = filter;
    needNames(all, names ?? []);
    const around = await survey(context, dataPlane, rules);
    const isShown = (index: number): boolean =>
      names === null || names.includes(all.at(index)?.name ?? "");
    noteObstacles(context, surveyOf(around, isShown), rules);
    const stream = dataPlane.watch(filter);
    const ending = awaitEnd(seconds);
    ending.ended.addEventListener("abort", () => {
      stream.end();
    });
    const tellDropped = dropTeller(context, stream);
    let shown = 0;
    try {
      shown = await show(context, dataPlane, { stream, most, ending, tellDropped });
    } finally {
      ending.dispose();
      stream.close();
    }
    tellDropped("last");
    tellSummary(context, { ...stream.counts(), shown }, options.summary === true);
    const signal = ending.signal();
    // Output that is not read would keep the process for as long as the reader stalls. It was
    // asked to end.
    if (signal !== null) await context.caughtUp(ending.tooLate());
    if (signal !== null && context.isBehind()) process.kill(process.pid, signal);
  });
}

interface Showing {
  readonly stream: DecisionStream;
  /** The number of decisions to show. */
  readonly most: number;
  readonly ending: Ending;
  readonly tellDropped: () => void;
}

/** Returns how many were shown. */
async function show(
  context: Context,
  dataPlane: DataPlane,
  { stream, most, ending, tellDropped }: Showing,
): Promise<number> {
  const mappingOf = mappingFinder(dataPlane);
  const line = (decision: ObservedDecision): string => {
    const mapping = mappingOf(decision);
    if (!context.json) {
      const destination = destinationOf(decision, mapping);
      return renderDecision(context, decision, mapping?.name ?? null, destination);
    }
    return `${JSON.stringify(published<MonitorJson>()(decisionShape(decision, mapping)))}\n`;
  };
  const { ended } = ending;
  let shown = 0;
  if (!context.json) context.write(decisionHeading(context));
  for await (const decisions of stream) {
    const some = decisions.slice(0, most - shown);
    context.write(some.map(line).join(""));
    shown += some.length;
    // Decisions wait in the kernel, which counts those that it has no room for, and not here.
    if (shown < most && context.isBehind()) await context.caughtUp(ended);
    if (ended.aborted) await context.caughtUp(ending.tooLate());
    if (shown >= most || (ended.aborted && context.isBehind())) break;
    tellDropped();
  }
  return shown;
}

/** Says what became of all decisions: to people; to scripts, when they ask. */
function tellSummary(
  context: Context,
  counts: MonitorSummaryJson["summary"],
  asked: boolean,
): void {
  if (context.json) {
    if (!asked) return;
    const { decisions, matched, skipped, dropped, shown } = counts;
    const summary = { decisions, matched, skipped, dropped, shown };
    context.write(`${JSON.stringify(published<MonitorSummaryJson>()({ summary }))}\n`);
    return;
  }
  const sampled = counts.skipped === 0 ? "" : `, ${counts.skipped} left out by --sample`;
  context.note(
    `ilm: ${count(counts.decisions, "decision")}, ${counts.matched} matched, ${counts.shown} shown${sampled}, ${counts.dropped} dropped\n`,
  );
}

interface Ending {
  readonly ended: AbortSignal;
  /**
   * Returns the signal that asked to end, or null when the time was up or nothing has ended yet.
   */
  signal(): NodeJS.Signals | null;
  /** Returns what aborts once a reader has had its time for the last lines. */
  tooLate(): AbortSignal;
  dispose(): void;
}

/** How long a reader may take for the last lines, in milliseconds. */
const LAST_LINES_MS = 2_000;

function awaitEnd(seconds: number): Ending {
  const controller = new AbortController();
  let signal: NodeJS.Signals | null = null;
  let late: AbortSignal | null = null;
  const onSignal = (name: NodeJS.Signals): void => {
    signal = name;
    controller.abort();
  };
  process.once("SIGINT", onSignal).once("SIGTERM", onSignal);
  const onTime = (): void => {
    controller.abort();
  };
  const timer = seconds === Infinity ? undefined : setTimeout(onTime, seconds * 1000);
  return {
    ended: controller.signal,
    signal: () => signal,
    tooLate: () => (late ??= AbortSignal.timeout(LAST_LINES_MS)),
    dispose() {
      clearTimeout(timer);
      process.off("SIGINT", onSignal).off("SIGTERM", onSignal);
    },
  };
}

/**
 * Returns a function that says how many decisions were dropped, when more were than it said before.
 */
function dropTeller(context: Context, stream: DecisionStream): (when?: "last") => void {
  let told = 0;
  let toldAt = performance.now();
  return (when) => {
    const now = performance.now();
    if (when !== "last" && now - toldAt < TELL_DROPPED_MS) return;
    toldAt = now;
    const { dropped } = stream.counts();
    if (dropped <= told) return;
    told = dropped;
    context.note(
      `ilm: ${count(dropped, "decision")} came faster than they could be shown, and were dropped\n`,
    );
  };
}

function parseWhole(text: string, option: string, most: number): number {
  const value = parseLimit(text, option);
  if (!Number.isInteger(value)) throw refusal(option, text, "is not a whole number");
  if (value <= most) return value;
  throw refusal(option, text, `is more than ${most}, which is the most`);
}

/** Parses a positive number; Infinity when the option was not given. Throws USAGE. */
function parseLimit(text: string | undefined, option: string): number {
  if (text === undefined) return Infinity;
  const value = Number(text);
  if (/^[0-9]+(?:\.[0-9]+)?$/.test(text) && value > 0) return value;
  throw refusal(option, text, "is not a positive number");
}

function refusal(option: string, text: string | undefined, why: string): IlmError {
  return new IlmError("USAGE", `${option}: ${JSON.stringify(text)} ${why}`, {
    remedy: `Write for example \`${option} 10\`.`,
  });
}

/**
 * Returns a function that finds the mapping of a decision. Decisions carry an index into the
 * mappings of their generation, so it reads the active rules when a new generation comes up.
 */
function mappingFinder(dataPlane: DataPlane): (decision: ObservedDecision) => Mapping | null {
  const known = new Map<number, Mappings>();
  return ({ generation, mapping }) => {
    if (mapping === null) return null;
    if (!known.has(generation)) {
      const active = dataPlane.active();
      if (active !== null) known.set(active.generation, allMappings(readRules(active.rules)));
      const [oldest] = known.keys();
      if (known.size > GENERATIONS_KEPT && oldest !== undefined) known.delete(oldest);
    }
    return known.get(generation)?.at(mapping) ?? null;
  };
}

function decisionShape(decision: ObservedDecision, mapping: Mapping | null) {
  const { packet } = decision;
  return {
    time: new Date(decision.time).toISOString(),
    verdict: decision.verdict,
    protocol: packet.protocol,
    client: { address: packet.remote, port: packet.remotePort },
    dialled: { address: packet.local, port: packet.localPort },
    mapping: mapping?.name ?? null,
    destination: destinationOf(decision, mapping),
    strangers: decision.strangers,
    matchedBy: decision.matchedBy,
    interface: packet.interfaceIndex,
    generation: decision.generation,
  };
}

function destinationOf({ destination, packet }: ObservedDecision, mapping: Mapping | null) {
  const chosen = destination === null ? undefined : mapping?.to[destination];
  if (chosen === undefined) return null;
  return {
    address: chosen.address,
    port: chosen.port === "same" ? packet.localPort : chosen.port,
  };
}
