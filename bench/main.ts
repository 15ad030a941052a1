/** `make bench`: the tables that the documentation quotes. Ratios within one run; machines differ. */
import { type LookupRow, measureLookup } from "./lookup.js";
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
if (!wanted("lookup")) process.exit();
const namespace = enterBenchNamespace();
try {
  console.log("## Cost of a lookup\n");
  console.log(lookupTable(await measureLookup([1, 1000, 100_000])));
} finally {
  namespace.remove();
}
