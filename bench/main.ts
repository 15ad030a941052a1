/** `make bench`: the tables that the documentation quotes. Ratios within one run; machines differ. */
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

const namespace = enterBenchNamespace();
try {
  console.log("## Cost of a lookup\n");
  console.log(lookupTable(await measureLookup([1, 1000, 100_000])));
} finally {
  namespace.remove();
}
