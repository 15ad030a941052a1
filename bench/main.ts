/** `make bench`: the tables that the documentation quotes. Ratios within one run; machines differ. */
import { measureListeners } from "./listeners.js";
import { type ApplyRow, type LookupRow, measureLookup } from "./lookup.js";
import { enterBenchNamespace } from "./network.js";
import { measureUdp, type UdpRow } from "./udp.js";

function table(rows: readonly (readonly string[])[]): string {
  const [head = []] = rows;
  const lines = rows.map((row) => `| ${row.join(" | ")} |`);
  lines.splice(1, 0, `|${head.map((_, i) => (i === 0 ? "---" : "---:")).join("|")}|`);
  return lines.join("\n");
}

function lookupTable(rows: readonly LookupRow[]): string {
  const sizes = [...new Set(rows.map((row) => row.mappings))];
  const scenarios = [...new Set(rows.map((row) => row.scenario))];
  const cell = (scenario: string, size: number): string => {
    const row = rows.find((each) => each.scenario === scenario && each.mappings === size);
    if (row === undefined) return "";
    return row.scenario === "empty program" ? `(${row.ns})` : `+${row.aboveEmpty}`;
  };
  return table([
    ["ns above an empty program", ...sizes.map((size) => `${size} exact addresses`)],
    ...scenarios.map((scenario) => [scenario, ...sizes.map((size) => cell(scenario, size))]),
  ]);
}

function timesTable(rows: readonly ApplyRow[]): string {
  return table([
    ["", ...rows.map((row) => `${row.mappings} mappings`)],
    ["apply, all new", ...rows.map((row) => `${row.applyMs} ms`)],
    ["apply, nothing changed", ...rows.map((row) => `${row.sameMs} ms`)],
    ["apply, one mapping changed", ...rows.map((row) => `${row.oneMs} ms`)],
    ["resident memory of the process then", ...rows.map((row) => `${row.residentMb} MB`)],
  ]);
}

async function listenersTables(): Promise<string> {
  const { calls, many, gaps } = await measureListeners([0, 1000, 50_000]);
  return [
    table([
      ["call", "without ilm, µs", "with ilm, µs", "ratio"],
      ...calls.map((row) => [
        row.call,
        (row.without / 1000).toFixed(1),
        (row.with / 1000).toFixed(1),
        (row.with / row.without).toFixed(2),
      ]),
    ]),
    table([
      ["listeners there before", "apply, ms", "resync, ms", "list, ms", "maps, MiB"],
      ...many.map((row) =>
        [row.listeners, row.apply_ms, row.resync_ms, row.list_ms, row.maps_mib].map(String),
      ),
    ]),
    table([
      ["from the return of listen() or bind(), µs", "p50", "p99", "max", "first tries lost"],
      ...gaps.map(({ daemon, p50, p99, max, lost }) => [
        daemon,
        ...[p50, p99, max].map((time) => time.toFixed(0)),
        String(lost),
      ]),
    ]),
  ].join("\n\n");
}

function udpTable(rows: readonly UdpRow[]): string {
  return table([
    ["request and reply", "per second", "of direct", "CPU, us", "of direct"],
    ...rows.map(({ family, way, perSecond, ratio, cpuMicroseconds, cpuRatio }) => [
      `${family}, ${way}`,
      String(Math.round(perSecond)),
      ratio.toFixed(2),
      cpuMicroseconds.toFixed(1),
      cpuRatio.toFixed(2),
    ]),
  ]);
}

/** `make bench ARGS=udp` is this part alone. */
const parts = process.argv.slice(2);
const wanted = (part: string): boolean => parts.length === 0 || parts.includes(part);

// First: it makes namespaces of its own, and the other part leaves this process in one.
if (wanted("udp")) {
  console.log("## UDP, two namespaces joined by veth\n");
  console.log(`${udpTable(await measureUdp())}\n`);
}
const namespace = enterBenchNamespace();
try {
  if (wanted("lookup")) {
    console.log("## Cost of a lookup\n");
    const { rows, applies } = await measureLookup([1, 1000, 100_000, 1_000_000]);
    console.log(lookupTable(rows));
    console.log("\n## Applying rules\n");
    console.log(timesTable(applies));
  }
  if (wanted("listeners")) {
    console.log("\n## Listeners\n");
    console.log(await listenersTables());
  }
} finally {
  namespace.remove();
}
