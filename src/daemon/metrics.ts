/**
 * The metrics page in Prometheus text format 0.0.4. It is written by hand, as the counters live in
 * the kernel. Pure.
 */
import type { Faults, FlowCount, Missing, Overtaken, Watching } from "../dataplane/types.js";
import type { Counters, MappingCounters } from "../model/decision.js";
import { type Listener, type Queue, isFull } from "../model/listener.js";
import type { Family } from "../model/address.js";
import type { PortRange, Protocol } from "../model/mapping.js";
import { onlyPort } from "../model/ports.js";
import {
  type ActiveRules,
  type Rules,
  allMappings,
  countMappings,
  readRules,
} from "../model/rules.js";
import type { DurationCounts } from "./durations.js";
import type { OpenCount } from "./open-counts.js";
import type { OwnProcess } from "./own-process.js";
import type { RefusalCounts } from "./refusal-totals.js";
import type { Judge } from "../rules/judge.js";
import type { Absence, Endings } from "../rules/endings.js";
import { healthOf } from "../rules/health.js";

/**
 * With more mappings than this, a page has only sums: series for a million mappings would be too
 * much for collectors, and for the daemon, which does nothing else while it writes them.
 */
export const LISTED_MAPPINGS_MAX = 10_000;

/** The media type of the page. */
export const PAGE_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** How many programs, addresses and interfaces a metric names; the rest are one sample. */
const NAMED_MAX = 100;
const OTHERS = "others";

type Labels = Readonly<Record<string, string>>;
type Sample = readonly [labels: Labels, value: number];

export interface Lookups {
  /** The labels of the mapping; empty for the sum of all. */
  readonly labels: Labels;
  readonly counters: Counters;
}

export interface Listening {
  readonly labels: Labels;
  /** Of a mapping: whether somebody gets what is dialled. */
  readonly listening: boolean;
  /**
   * Since when nobody listens, in milliseconds since the epoch; null when somebody does, or it is
   * not known.
   */
  readonly downSince: number | null;
}

export interface OfMapping extends Listening {
  /** True when all its destinations are drained. */
  readonly drained: boolean;
  /** How many destinations are down while others serve. */
  readonly down: number;
  /** For each family that it has destinations of, whether somebody gets what is dialled. */
  readonly families: readonly (readonly [family: Family, listening: boolean])[];
}

export interface OfDestination extends Listening {
  /** How often it was selected; null when nobody tells. */
  readonly selected: number | null;
  /** What waits for all its listeners together; null when there are none. */
  readonly queue: Queue | null;
  /** True when one of them has no room for more. */
  readonly full: boolean;
  /** How many connections or clients are open; null when they were not counted. */
  readonly open: number | null;
}

export interface OfMappings {
  readonly lookups: readonly Lookups[];
  /**
   * Whether each mapping that has destinations has a listener; null when there are too many to look
   * at each time.
   */
  readonly mappings: readonly OfMapping[] | null;
  readonly destinations: readonly OfDestination[];
  /** When what is open was counted; null when it was not. */
  readonly open: Pick<OpenCount, "countedAt" | "seconds"> | null;
}

/** What is known of mappings. */
export interface Sources {
  readonly counters: {
    readonly of: (indexes: readonly number[]) => readonly MappingCounters[];
    readonly total: () => Counters;
  };
  readonly listeners: readonly Listener[];
  readonly judge: (rules: Rules) => Judge;
  /** Counts what is open at destinations. */
  readonly open: (rules: Rules) => OpenCount;
  readonly endings: Endings;
  /** Seconds since the host was booted. */
  readonly now: number;
}

/** Returns what is shown for each mapping or, with more than `limit`, for all together. */
export function ofMappings(
  rules: ActiveRules,
  { counters, listeners, judge, open: countOpen, endings, now }: Sources,
  limit: number = LISTED_MAPPINGS_MAX,
): OfMappings {
  if (countMappings(rules) > limit) {
    const all = { labels: {}, counters: counters.total() };
    return { lookups: [all], destinations: [], mappings: null, open: null };
  }
  const whole = readRules(rules);
  const mappings = allMappings(whole);
  const open = countOpen(whole);
  const health = healthOf(whole, { listeners, selects: judge(whole).selects, now });
  const { joined } = health;
  const isOver = (index: number): boolean => health.at(index).state === "over";
  // Most mappings have listeners.
  const isAbsent = (index: number): boolean =>
    joined.statesAt(index).some(({ listening }) => !listening);
  endings.prepare(mappings.filter((_, index) => isAbsent(index)));
  const list = counters.of(Array.from({ length: mappings.length }, (_, index) => index));
  return {
    mappings: mappings.flatMap((mapping, index) => {
      const { state, gaps, down, families } = health.at(index);
      if (state === "refusal" || state === "over") return [];
      const { name, protocol } = mapping;
      const drained = state === "drained";
      const listening = state === "served";
      const downSince = listening || drained ? null : sinceOf(endings.of(mapping));
      return {
        labels: { mapping: name, protocol },
        listening,
        downSince,
        drained,
        down: down.length,
        families: families.map(
          (family) => [family, listening && gaps.every((gap) => gap.family !== family)] as const,
        ),
      };
    }),
    lookups: mappings.flatMap(({ name, protocol }, index) => {
      const own = list.at(index);
      if (own === undefined || isOver(index)) return [];
      const { to: _, ...all } = own;
      return [{ labels: { mapping: name, protocol }, counters: all }];
    }),
    destinations: mappings.flatMap((mapping, index) =>
      (isOver(index) ? [] : joined.statesAt(index)).map(
        ({ destination, address, port, listening, listeners: there }) => ({
          labels: {
            mapping: mapping.name,
            protocol: mapping.protocol,
            address,
            port: portLabel(port, mapping.ports),
          },
          listening,
          downSince: listening ? null : sinceOf(endings.at(mapping, destination)),
          selected: list.at(index)?.to?.at(destination) ?? null,
          queue: there.length === 0 ? null : queueOf(there),
          full: there.some(isFull),
          open: open.counts[index]?.[destination] ?? null,
        }),
      ),
    ),
    open,
  };
}

/** Where there is one dialled port, `same` is that one; for more, the sample is for all of them. */
function portLabel(port: number | "same", ports: readonly PortRange[]): string {
  return String(port === "same" ? (onlyPort(ports) ?? port) : port);
}

function sinceOf({ ended, neverSince }: Absence): number | null {
  return ended?.endedAt ?? neverSince;
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

/** What only a daemon can tell: what it did since it started. */
export interface DaemonMetrics {
  /** How many things of ours were put back. */
  readonly restored: number;
  readonly reloads: {
    readonly done: number;
    readonly failed: number;
    readonly lastFailed: boolean;
  };
  /** How long changes took, by kind. */
  readonly durations: Readonly<Record<"reload", DurationCounts> & Record<string, DurationCounts>>;
  readonly events: { readonly readers: number; readonly lost: number };
  readonly process: OwnProcess;
  /** How long it took to collect this page, in seconds. */
  readonly collectionSeconds: number;
}

export interface MetricsInput {
  readonly version: string;
  readonly netnsInode: number;
  /** With more mappings than this, only their sums. */
  readonly limit: number;
  /** The state of the active rules; null when nothing is loaded. */
  readonly loaded: {
    readonly generation: number;
    /** When the rules were applied: ISO 8601. */
    readonly appliedAt: string;
    /** When it goes back unless it is confirmed: ISO 8601; null when it does not. */
    readonly pendingUntil: string | null;
    readonly fileMappings: number;
    readonly runtimeMappings: number;
    /** How many destinations `ilm drain` named. */
    readonly drained: number;
    readonly lookups: readonly Lookups[];
    readonly mappings: OfMappings["mappings"];
    readonly open: OfMappings["open"];
    readonly flows: FlowCount;
    readonly faults: Faults;
    readonly watching: Watching;
    /** What was refused or reported since the daemon started, by reason. */
    readonly refusals: RefusalCounts;
    readonly off: boolean;
    /** What is currently missing: not attached, or not there. */
    readonly missing: readonly Missing[];
    readonly overtaken: readonly Overtaken[];
  } | null;
  /** The number of listeners in the network namespace, per protocol. */
  readonly listeners: Readonly<Record<"tcp" | "udp", number>>;
  readonly destinations: OfMappings["destinations"];
  /** Null when the page is made without a daemon. */
  readonly daemon: DaemonMetrics | null;
}

export function renderMetrics(input: MetricsInput): string {
  const { loaded, limit } = input;
  const page = [
    metric("ilm_build_info", "gauge", "Version of ilm.", [[{ version: input.version }, 1]]),
    metric("ilm_loaded", "gauge", "1 when rules are active in the network namespace.", [
      [{ netns: String(input.netnsInode) }, loaded === null ? 0 : 1],
    ]),
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
    const omitted = `omitted beyond ${limit} mappings`;
    page.push(
      metric("ilm_generation", "gauge", "Number of the active generation.", [
        [{}, loaded.generation],
      ]),
      metric(
        "ilm_pending_until_timestamp_seconds",
        "gauge",
        "When the generation goes back unless it is confirmed; 0 when it does not wait for that.",
        [[{}, loaded.pendingUntil === null ? 0 : Date.parse(loaded.pendingUntil) / 1000]],
      ),
      metric("ilm_applied_timestamp_seconds", "gauge", "When the generation was activated.", [
        [{}, Date.parse(loaded.appliedAt) / 1000],
      ]),
      metric("ilm_mappings", "gauge", "Active mappings, by where they come from.", [
        [{ origin: "file" }, loaded.fileMappings],
        [{ origin: "runtime" }, loaded.runtimeMappings],
      ]),
      metric("ilm_drained", "gauge", "Destinations that get nobody new, as `ilm drain` said.", [
        [{}, loaded.drained],
      ]),
      metric("ilm_off", "gauge", "1 when ilm is switched off, and mappings have no effect.", [
        [{}, loaded.off ? 1 : 0],
      ]),
      metric(
        "ilm_missing",
        "gauge",
        "1 for each program that is not attached and each address that is missing now, as the kernel reports its links.",
        bounded(
          loaded.missing.map((what) => [{ what }, 1]),
          { what: OTHERS },
        ),
      ),
      metric(
        "ilm_overtaken",
        "gauge",
        "Programs of others that run before ours at an interface.",
        bounded(
          loaded.overtaken.map(({ interface: name, direction, programs }) => [
            { interface: name, direction },
            programs.length,
          ]),
          { interface: OTHERS, direction: OTHERS },
        ),
      ),
      metric(
        "ilm_lookups_total",
        "counter",
        `Lookups by mapping and outcome; beyond ${limit} mappings only their sum. Lookups, not packets: for UDP, ICMP errors and GRO look up too.`,
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
      metric("ilm_decision_readers", "gauge", "Processes that watch decisions (`ilm monitor`).", [
        [{}, loaded.watching.readers],
      ]),
      metric(
        "ilm_decisions_dropped_total",
        "counter",
        "Decisions that came faster than those who watch them took them.",
        [[{}, loaded.watching.dropped]],
      ),
      metric(
        "ilm_refusals_total",
        "counter",
        "Binds and packets that were refused because an address is somebody else's, by reason; `reported` ones were allowed. `ilm audit` lists them.",
        Object.entries(loaded.refusals).map(([reason, value]) => [{ reason }, value]),
      ),
    );
    if (loaded.mappings !== null) {
      page.push(
        metric("ilm_mappings_unserved", "gauge", `Mappings without a listener; ${omitted}.`, [
          [{}, loaded.mappings.filter(({ listening, drained }) => !listening && !drained).length],
        ]),
        metric(
          "ilm_mappings_drained",
          "gauge",
          `Mappings that give nothing new to anyone, as all their destinations are drained or have the weight 0; ${omitted}.`,
          [[{}, loaded.mappings.filter(({ drained }) => drained).length]],
        ),
        metric(
          "ilm_mappings_degraded",
          "gauge",
          `Mappings of which a destination is down, while another of the same family serves; ${omitted}.`,
          [[{}, loaded.mappings.filter(({ down }) => down > 0).length]],
        ),
        metric(
          "ilm_mapping_listening",
          "gauge",
          `1 when one of the mapping's destinations has a listener that gets what is dialled: not while all are drained; ${omitted}.`,
          loaded.mappings.map(({ labels, listening }) => [labels, listening ? 1 : 0]),
        ),
        metric(
          "ilm_mapping_family_listening",
          "gauge",
          `The same for each family that the mapping has a destination's address of; ${omitted}.`,
          loaded.mappings.flatMap(({ labels, families }) =>
            families.map(([family, is]): Sample => [
              { ...labels, family: String(family) },
              is ? 1 : 0,
            ]),
          ),
        ),
        metric(
          "ilm_mapping_drained",
          "gauge",
          `1 when all the mapping's destinations are drained or have the weight 0; ${omitted}.`,
          loaded.mappings.map(({ labels, drained }) => [labels, drained ? 1 : 0]),
        ),
        metric(
          "ilm_mapping_destinations_down",
          "gauge",
          `How many of the mapping's destinations are down, while another of the same family serves; ${omitted}.`,
          loaded.mappings.map(({ labels, down }) => [labels, down]),
        ),
        metric(
          "ilm_mapping_down_since_timestamp_seconds",
          "gauge",
          `Since when the mapping has had no listener: since its last one ended, or nobody has been seen there yet; 0 while it has one, and no sample where that is not known; ${omitted}.`,
          downSince(loaded.mappings),
        ),
        metric(
          "ilm_destination_down_since_timestamp_seconds",
          "gauge",
          `The same for each destination; ${omitted}.`,
          downSince(input.destinations),
        ),
        metric(
          "ilm_destination_listening",
          "gauge",
          `1 when a listener that may be selected is bound to the destination; ${omitted}.`,
          input.destinations.map(({ labels, listening }) => [labels, listening ? 1 : 0]),
        ),
        metric(
          "ilm_destination_selected_total",
          "counter",
          `Lookups for which the mapping selected the destination; ${omitted}.`,
          input.destinations.flatMap(({ labels, selected }): Sample[] =>
            selected === null ? [] : [[labels, selected]],
          ),
        ),
        metric(
          "ilm_destination_connections",
          "gauge",
          `Open TCP connections that came by the mapping and that the destination's listeners accepted, as counted at ilm_connections_counted_timestamp_seconds; ${omitted}.`,
          openOf(input, "tcp"),
        ),
        metric(
          "ilm_destination_flows",
          "gauge",
          `UDP clients that came by the mapping and that the destination has, as counted then; ${omitted}.`,
          openOf(input, "udp"),
        ),
        metric(
          "ilm_listener_queue",
          "gauge",
          `What waits for the destination's listeners: connections to be accepted, or bytes of datagrams; ${omitted}.`,
          queues(input, ({ waiting }) => waiting),
        ),
        metric(
          "ilm_listener_queue_limit",
          "gauge",
          `How much may wait there, as it was asked for; ilm_listener_full says when it is too much; ${omitted}.`,
          queues(input, ({ limit: most }) => most),
        ),
        metric(
          "ilm_listener_full",
          "gauge",
          `1 when one of the destination's listeners has no room for more, as \`ilm status\` tells it: the daemon hangs, or is too slow; ${omitted}.`,
          input.destinations.flatMap(({ labels, queue, full }): Sample[] =>
            queue === null ? [] : [[labels, full ? 1 : 0]],
          ),
        ),
        metric(
          "ilm_listener_drops_total",
          "counter",
          `What the kernel refused at the destination's listeners, mostly because nothing more could wait; begins again with each of them; ${omitted}.`,
          queues(input, ({ drops }) => drops),
        ),
      );
    }
  }
  const open = loaded?.open ?? null;
  if (open !== null) {
    page.push(
      metric(
        "ilm_connections_counted_timestamp_seconds",
        "gauge",
        "When connections and clients were counted: less often than the page is asked for, where that takes long.",
        [[{}, open.countedAt / 1000]],
      ),
      metric("ilm_connections_count_duration_seconds", "gauge", "How long it took to count them.", [
        [{}, open.seconds],
      ]),
    );
  }
  if (input.daemon !== null) page.push(ofDaemon(input.daemon));
  return page.join("");
}

/** In whole seconds: clocks are compared anew each time, which would change the milliseconds. */
function downSince(listening: readonly Listening[]): Sample[] {
  return listening.flatMap(({ labels, listening: isUp, downSince: since }): Sample[] => {
    if (isUp) return [[labels, 0]];
    return since === null ? [] : [[labels, Math.round(since / 1000)]];
  });
}

function openOf({ destinations }: MetricsInput, protocol: Protocol): Sample[] {
  return destinations.flatMap(({ labels, open }): Sample[] =>
    open === null || labels["protocol"] !== protocol ? [] : [[labels, open]],
  );
}

function queues({ destinations }: MetricsInput, of: (queue: Queue) => number): Sample[] {
  return destinations.flatMap(({ labels, queue }): Sample[] =>
    queue === null ? [] : [[labels, of(queue)]],
  );
}

function ofDaemon(daemon: DaemonMetrics): string {
  const { restored, reloads, events, process: own } = daemon;
  const { reload, ...changes } = daemon.durations;
  return [
    metric("ilm_reloads_total", "counter", "Times the configuration was re-read.", [
      [{ result: "done" }, reloads.done],
      [{ result: "failed" }, reloads.failed],
    ]),
    histogram(
      "ilm_reload_duration_seconds",
      "How long it took to re-read the configuration and to activate it, also when it was refused.",
      [[{}, reload]],
    ),
    metric(
      "ilm_last_reload_failed",
      "gauge",
      "1 when the configuration last read was refused; the rules before it are still active.",
      [[{}, reloads.lastFailed ? 1 : 0]],
    ),
    histogram(
      "ilm_change_duration_seconds",
      "How long changes over the API took, by kind, also when they were refused.",
      Object.entries(changes).map(([kind, counts]) => [{ kind }, counts]),
    ),
    metric(
      "ilm_restored_total",
      "counter",
      "Programs, pins and addresses that another program removed and that were put back.",
      [[{}, restored]],
    ),
    metric("ilm_event_readers", "gauge", "Clients that read events now.", [[{}, events.readers]]),
    metric(
      "ilm_events_lost_total",
      "counter",
      "Events that clients did not get, as they read too slowly.",
      [[{}, events.lost]],
    ),
    metric(
      "ilm_metrics_collection_seconds",
      "gauge",
      "How long it took to collect what this page says.",
      [[{}, daemon.collectionSeconds]],
    ),
    metric("process_cpu_seconds_total", "counter", "Processor time that the daemon has used.", [
      [{}, own.cpuSeconds],
    ]),
    metric("process_resident_memory_bytes", "gauge", "Resident memory of the daemon.", [
      [{}, own.residentBytes],
    ]),
    metric("process_virtual_memory_bytes", "gauge", "Virtual memory of the daemon.", [
      [{}, own.virtualBytes],
    ]),
    metric("process_open_fds", "gauge", "Open files of the daemon.", [[{}, own.openFiles]]),
    metric("process_max_fds", "gauge", "How many files the daemon may open.", [
      [{}, own.openFilesMax],
    ]),
    metric("process_start_time_seconds", "gauge", "When the daemon started.", [
      [{}, own.startedAt],
    ]),
  ].join("");
}

/** Keeps a metric from having a sample for each of very many names. */
function bounded(samples: readonly Sample[], others: Labels): readonly Sample[] {
  if (samples.length <= NAMED_MAX) return samples;
  const rest = samples.slice(NAMED_MAX - 1).reduce((sum, [, value]) => sum + value, 0);
  return [...samples.slice(0, NAMED_MAX - 1), [others, rest]];
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
  // One of two that say the same would make the collector refuse the page.
  const lines = new Map<string, string>();
  for (const [labels, value] of samples) {
    const series = `${name}${formatLabels(labels)}`;
    if (!lines.has(series)) lines.set(series, `${series} ${formatValue(value)}\n`);
  }
  return head(name, type, help) + [...lines.values()].join("");
}

function histogram(
  name: string,
  help: string,
  samples: readonly (readonly [Labels, DurationCounts])[],
): string {
  const lines = samples.flatMap(([labels, { buckets, sum, count }]) => [
    ...[...buckets, [Infinity, count] as const].map(
      ([bound, below]) =>
        `${name}_bucket${formatLabels({ ...labels, le: formatValue(bound) })} ${below}\n`,
    ),
    `${name}_sum${formatLabels(labels)} ${formatValue(sum)}\n`,
    `${name}_count${formatLabels(labels)} ${count}\n`,
  ]);
  return head(name, "histogram", help) + lines.join("");
}

function head(name: string, type: "counter" | "gauge" | "histogram", help: string): string {
  const text = help.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
  return `# HELP ${name} ${text}\n# TYPE ${name} ${type}\n`;
}

function formatValue(value: number): string {
  if (Number.isFinite(value)) return String(value);
  return Number.isNaN(value) ? "NaN" : value > 0 ? "+Inf" : "-Inf";
}

function formatLabels(labels: Labels): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escapeLabel(value)}"`);
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

function escapeLabel(value: string): string {
  return value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}
