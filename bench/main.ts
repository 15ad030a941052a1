/** `make bench`: the tables that the documentation quotes. Ratios within one run; machines differ. */
import { measureListeners } from "./listeners.js";
import { type LookupRow, measureLookup } from "./lookup.js";
import { enterBenchNamespace } from "./network.js";

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

const only = process.argv[2];
const namespace = enterBenchNamespace();
try {
  if (only === undefined || only === "lookup") {
    console.log("## Cost of a lookup\n");
    console.log(lookupTable(await measureLookup([1, 1000, 100_000])));
  }
  if (only === undefined || only === "listeners") {
    console.log("\n## Listeners\n");
    console.log(await listenersTables());
  }
} finally {
  namespace.remove();
}
