/** `make bench`: the tables that the documentation quotes. Ratios within one run; machines differ. */
import { type ApplyRow, type LookupRow, measureLookup } from "./lookup.js";
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

function timesTable(rows: readonly ApplyRow[]): string {
  return table([
    ["", ...rows.map((row) => `${row.mappings} mappings`)],
    ["apply, all new", ...rows.map((row) => `${row.applyMs} ms`)],
    ["apply, nothing changed", ...rows.map((row) => `${row.sameMs} ms`)],
    ["apply, one mapping changed", ...rows.map((row) => `${row.oneMs} ms`)],
    ["resident memory of the process then", ...rows.map((row) => `${row.residentMb} MB`)],
  ]);
}

const namespace = enterBenchNamespace();
try {
  console.log("## Cost of a lookup\n");
  const { rows, applies } = await measureLookup([1, 1000, 100_000, 1_000_000]);
  console.log(lookupTable(rows));
  console.log("\n## Applying rules\n");
  console.log(timesTable(applies));
} finally {
  namespace.remove();
}
