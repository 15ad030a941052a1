/**
 * The metrics page in Prometheus text format 0.0.4. It is written by hand, as the counters live in
 * the kernel. Pure.
 */
import type { Faults, FlowCount, Missing, Overtaken } from "../dataplane/types.js";
import type { Counters, MappingCounters } from "../model/decision.js";
import type { Listener, Queue } from "../model/listener.js";
import {
  type ActiveRules,
  type Rules,
  allMappings,
  countMappings,
  readRules,
} from "../model/rules.js";
import type { RefusalCounts } from "./refusal-totals.js";
import type { Judge } from "../rules/judge.js";
import { JoinedListeners } from "../rules/listening.js";

/**
 * With more mappings than this, a page has only sums: series for a million mappings would be too
 * much for collectors, and for the daemon, which does nothing else while it writes them.
 */
export const LISTED_MAPPINGS_MAX = 10_000;

type Labels = Readonly<Record<string, string>>;
type Sample = readonly [labels: Labels, value: number];

export interface Lookups {
  /** The labels of the mapping; empty for the sum of all. */
  readonly labels: Labels;
  readonly counters: Counters;
}

/** Returns what is shown for each mapping, or for all together. */
export function ofMappings(
  rules: ActiveRules,
  counters: {
    readonly of: (indexes: readonly number[]) => readonly MappingCounters[];
    readonly total: () => Counters;
  },
  listeners: readonly Listener[],
  judge: (rules: Rules) => Judge,
): { lookups: Lookups[]; destinations: MetricsInput["destinations"]; unserved: number | null } {
  if (countMappings(rules) > LISTED_MAPPINGS_MAX) {
    const all = { labels: {}, counters: counters.total() };
    return { lookups: [all], destinations: [], unserved: null };
  }
  const whole = readRules(rules);
  const mappings = allMappings(whole);
  const joined = new JoinedListeners(mappings, listeners, judge(whole).selects);
  const list = counters.of(Array.from({ length: mappings.length }, (_, index) => index));
  return {
    unserved: joined.unserved(0).count,
    lookups: mappings.flatMap(({ name, protocol }, index) => {
      const own = list.at(index);
      if (own === undefined) return [];
      const { to: _, ...all } = own;
      return [{ labels: { mapping: name, protocol }, counters: all }];
    }),
    destinations: mappings.flatMap(({ name, protocol }, index) =>
      joined.statesAt(index).map(({ destination, address, port, listening, listeners: there }) => ({
        labels: { mapping: name, protocol, address, port: String(port) },
        listening,
        selected: list.at(index)?.to?.at(destination) ?? null,
        queue: there.length === 0 ? null : queueOf(there),
      })),
    ),
  };
}

function queueOf(listeners: readonly Listener[]): Queue {
  const sum = (of: (queue: Queue) => number): number =>
    listeners.reduce((total, { queue }) => total + of(queue), 0);
  return {
    waiting: sum(({ waiting }) => waiting),
    limit: sum(({ limit }) => limit),
    drops: sum(({ drops }) => drops),
  };
}

export interface MetricsInput {
  readonly version: string;
  readonly netnsInode: number;
  /** The state of the active rules; null when nothing is loaded. */
  readonly loaded: {
    readonly generation: number;
    /** When the rules were applied: ISO 8601. */
    readonly appliedAt: string;
    readonly fileMappings: number;
    readonly runtimeMappings: number;
    readonly lookups: readonly Lookups[];
    /** How many mappings have no listener; null when there are too many to look at each time. */
    readonly unserved: number | null;
    readonly flows: FlowCount;
    readonly faults: Faults;
    /** What was refused or reported since the daemon started, by reason. */
    readonly refusals: RefusalCounts;
    readonly off: boolean;
    /** What is currently missing: not attached, or not there. */
    readonly missing: readonly Missing[];
    readonly overtaken: readonly Overtaken[];
  } | null;
  /** How many things of ours were put back since the daemon started. */
  readonly restored: number;
  /** The number of listeners in the network namespace, per protocol. */
  readonly listeners: Readonly<Record<"tcp" | "udp", number>>;
  readonly destinations: readonly {
    readonly labels: Labels;
    readonly listening: boolean;
    /** How often it was selected; null when nobody tells. */
    readonly selected: number | null;
    /** What waits for all its listeners together; null when there are none. */
    readonly queue: Queue | null;
  }[];
  readonly reloads: {
    readonly done: number;
    readonly failed: number;
    readonly lastFailed: boolean;
  };
}

export function renderMetrics(input: MetricsInput): string {
  const { loaded, reloads } = input;
  const page = [
    metric("ilm_build_info", "gauge", "Version of the daemon.", [[{ version: input.version }, 1]]),
    metric("ilm_loaded", "gauge", "1 when rules are active in the network namespace.", [
      [{ netns: String(input.netnsInode) }, loaded === null ? 0 : 1],
    ]),
    metric("ilm_reloads_total", "counter", "Times the configuration was re-read.", [
      [{ result: "done" }, reloads.done],
      [{ result: "failed" }, reloads.failed],
    ]),
    metric(
      "ilm_last_reload_failed",
      "gauge",
      "1 when the configuration last read was refused; the rules before it are still active.",
      [[{}, reloads.lastFailed ? 1 : 0]],
    ),
    metric(
      "ilm_restored_total",
      "counter",
      "Programs, pins and addresses that another program removed and that were put back.",
      [[{}, input.restored]],
    ),
    metric(
      "ilm_listeners",
      "gauge",
      "Listening TCP and bound, unconnected UDP sockets of the network namespace.",
      [
        [{ protocol: "tcp" }, input.listeners.tcp],
        [{ protocol: "udp" }, input.listeners.udp],
      ],
    ),
  ];
  if (loaded !== null) {
    page.push(
      metric("ilm_generation", "gauge", "Number of the active generation.", [
        [{}, loaded.generation],
      ]),
      metric("ilm_applied_timestamp_seconds", "gauge", "When the generation was activated.", [
        [{}, Date.parse(loaded.appliedAt) / 1000],
      ]),
      metric("ilm_mappings", "gauge", "Active mappings, by where they come from.", [
        [{ origin: "file" }, loaded.fileMappings],
        [{ origin: "runtime" }, loaded.runtimeMappings],
      ]),
      metric("ilm_off", "gauge", "1 when ilm is switched off, and mappings have no effect.", [
        [{}, loaded.off ? 1 : 0],
      ]),
      metric(
        "ilm_missing",
        "gauge",
        "1 for each program that is not attached and each address that is missing now, as the kernel reports its links.",
        loaded.missing.map((what) => [{ what }, 1]),
      ),
      metric(
        "ilm_overtaken",
        "gauge",
        "Programs of others that run before ours at an interface.",
        loaded.overtaken.map(({ interface: name, direction, programs }) => [
          { interface: name, direction },
          programs.length,
        ]),
      ),
      metric(
        "ilm_lookups_total",
        "counter",
        `Lookups by mapping and outcome; beyond ${LISTED_MAPPINGS_MAX} mappings only their sum. Lookups, not packets: for UDP, ICMP errors and GRO look up too.`,
        loaded.lookups.flatMap(outcomes),
      ),
      metric(
        "ilm_udp_flows",
        "gauge",
        "UDP clients whose dialled address is recorded; when the limit is reached, the least recently used are evicted.",
        [[{}, loaded.flows.live]],
      ),
      metric("ilm_udp_flows_limit", "gauge", "How many UDP clients can be recorded.", [
        [{}, loaded.flows.capacity],
      ]),
      metric(
        "ilm_faults_total",
        "counter",
        "Failures in the kernel programs, by kind; `ilm status` explains each.",
        Object.entries(loaded.faults).map(([kind, value]) => [{ kind }, value]),
      ),
      metric(
        "ilm_refusals_total",
        "counter",
        "Binds and packets that were refused because an address is somebody else's, by reason; `reported` ones were allowed. `ilm audit` lists them.",
        Object.entries(loaded.refusals).map(([reason, value]) => [{ reason }, value]),
      ),
      loaded.unserved === null
        ? ""
        : metric(
            "ilm_mappings_unserved",
            "gauge",
            `Mappings without a listener; omitted beyond ${LISTED_MAPPINGS_MAX} mappings.`,
            [[{}, loaded.unserved]],
          ),
      metric(
        "ilm_destination_listening",
        "gauge",
        `1 when a listener that may be selected is bound to the destination; omitted beyond ${LISTED_MAPPINGS_MAX} mappings.`,
        input.destinations.map(({ labels, listening }) => [labels, listening ? 1 : 0]),
      ),
      metric(
        "ilm_destination_selected_total",
        "counter",
        `Lookups for which the mapping selected the destination; omitted beyond ${LISTED_MAPPINGS_MAX} mappings.`,
        input.destinations.flatMap(({ labels, selected }): Sample[] =>
          selected === null ? [] : [[labels, selected]],
        ),
      ),
      metric(
        "ilm_listener_queue",
        "gauge",
        `What waits for the destination's listeners: connections to be accepted, or bytes of datagrams; omitted beyond ${LISTED_MAPPINGS_MAX} mappings.`,
        queues(input, ({ waiting }) => waiting),
      ),
      metric(
        "ilm_listener_queue_limit",
        "gauge",
        "How much may wait there: when it is reached, the daemon hangs or is too slow.",
        queues(input, ({ limit }) => limit),
      ),
      metric(
        "ilm_listener_drops_total",
        "counter",
        "What the kernel refused at the destination's listeners, mostly because nothing more could wait; begins again with each of them.",
        queues(input, ({ drops }) => drops),
      ),
    );
  }
  return page.join("");
}

function queues({ destinations }: MetricsInput, of: (queue: Queue) => number): Sample[] {
  return destinations.flatMap(({ labels, queue }): Sample[] =>
    queue === null ? [] : [[labels, of(queue)]],
  );
}

function outcomes({ labels, counters }: Lookups): Sample[] {
  const { existing, selected, missed, errors } = counters;
  return Object.entries({ existing, selected, missed, error: errors }).map(([outcome, value]) => [
    { ...labels, outcome },
    value,
  ]);
}

function metric(
  name: string,
  type: "counter" | "gauge",
  help: string,
  samples: readonly Sample[],
): string {
  const lines = samples.map(([labels, value]) => `${name}${formatLabels(labels)} ${value}\n`);
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join("")}`;
}

function formatLabels(labels: Labels): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escapeLabel(value)}"`);
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

function escapeLabel(value: string): string {
  return value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}
