/** The metrics page: Prometheus text format 0.0.4. Written by hand, for the counters live in the kernel. Pure. */
import type { Faults, FlowCount } from "../dataplane/types.js";
import type { Counters } from "../model/decision.js";
import type { Mapping } from "../model/mapping.js";

export interface MetricsInput {
  readonly version: string;
  readonly netnsInode: number;
  /** Null when nothing is loaded. `counters` has one entry per mapping, in the same order. */
  readonly loaded: {
    readonly generation: number;
    /** ISO 8601. */
    readonly appliedAt: string;
    readonly mappings: readonly Mapping[];
    readonly runtimeMappings: number;
    readonly counters: readonly Counters[];
    readonly flows: FlowCount;
    readonly faults: Faults;
  } | null;
  /** Per protocol, of the network namespace. */
  readonly listeners: Readonly<Record<"tcp" | "udp", number>>;
  readonly destinations: readonly {
    readonly mapping: string;
    readonly protocol: string;
    readonly address: string;
    readonly port: string;
    readonly listening: boolean;
  }[];
  readonly reloads: {
    readonly done: number;
    readonly failed: number;
    readonly lastFailed: boolean;
  };
}

type Labels = Readonly<Record<string, string>>;
type Sample = readonly [labels: Labels, value: number];

export function renderMetrics(input: MetricsInput): string {
  const { loaded, reloads } = input;
  const page = [
    metric("ilm_build_info", "gauge", "Version of the daemon.", [[{ version: input.version }, 1]]),
    metric("ilm_loaded", "gauge", "1 when rules are in force in the network namespace.", [
      [{ netns: String(input.netnsInode) }, loaded === null ? 0 : 1],
    ]),
    metric("ilm_reloads_total", "counter", "Times the configuration was read again.", [
      [{ result: "done" }, reloads.done],
      [{ result: "failed" }, reloads.failed],
    ]),
    metric(
      "ilm_last_reload_failed",
      "gauge",
      "1 when the configuration last read was refused; what was in force before it still is.",
      [[{}, reloads.lastFailed ? 1 : 0]],
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
      metric("ilm_generation", "gauge", "Number of the generation in force.", [
        [{}, loaded.generation],
      ]),
      metric("ilm_applied_timestamp_seconds", "gauge", "When the generation was put in force.", [
        [{}, Date.parse(loaded.appliedAt) / 1000],
      ]),
      metric("ilm_mappings", "gauge", "Mappings in force, by where they come from.", [
        [{ origin: "file" }, loaded.mappings.length - loaded.runtimeMappings],
        [{ origin: "runtime" }, loaded.runtimeMappings],
      ]),
      metric(
        "ilm_lookups_total",
        "counter",
        "Lookups by mapping and outcome. Lookups, not packets: ICMP errors and GRO look up for UDP too.",
        loaded.mappings.flatMap((mapping, index) => outcomes(mapping, loaded.counters[index])),
      ),
      metric(
        "ilm_udp_flows",
        "gauge",
        "UDP clients of which it is remembered what they dialled; when the limit is reached, the least recently used are forgotten.",
        [[{}, loaded.flows.live]],
      ),
      metric("ilm_udp_flows_limit", "gauge", "How many UDP clients can be remembered.", [
        [{}, loaded.flows.capacity],
      ]),
      metric(
        "ilm_faults_total",
        "counter",
        "What the kernel side could not do, by kind; `ilm status` says what each means.",
        Object.entries(loaded.faults).map(([kind, value]) => [{ kind }, value]),
      ),
      metric(
        "ilm_destination_listening",
        "gauge",
        "1 when a listener is bound to the destination.",
        input.destinations.map(({ listening, ...labels }) => [labels, listening ? 1 : 0]),
      ),
    );
  }
  return page.join("");
}

function outcomes({ name, protocol }: Mapping, counters: Counters | undefined): Sample[] {
  if (counters === undefined) return [];
  const { existing, selected, missed, errors } = counters;
  return Object.entries({ existing, selected, missed, error: errors }).map(([outcome, value]) => [
    { mapping: name, protocol, outcome },
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
