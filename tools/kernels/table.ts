/**
 * The guests' logs -> the table in docs/kernels.md, between its markers.
 *   node dist/tools/kernels/table.js NAME=LOG...
 * A kernel that was not run this time keeps its column.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { readPart, renderTable, replacePart } from "../markdown.js";
import { MARK } from "./report.js";

const DOCUMENT = "docs/kernels.md";
const PART = "kernels";
const CAPABILITY = "capability";
const RELEASE = "release";
/** Not a row of the table: that only some parts were run. */
const PARTS = "parts";

const NOT_TRIED = "not tried";

/** Column name -> row name -> cell. */
type Table = Map<string, Map<string, string>>;

const cells: Readonly<Record<string, string>> = {
  ok: "yes",
  absent: "-",
  refused: "refused",
  failed: "**NO**",
};

/** Rows of one guest's log; details of what is not plainly yes go to `remarks`. */
function readLog(name: string, log: string, remarks: string[]): Map<string, string> {
  const rows = new Map<string, string>();
  let running: string | undefined;
  let ended = false;
  for (const line of log.split("\n")) {
    const [mark, kind, what = "", ...rest] = line.trim().split("|");
    if (mark !== MARK) continue;
    if (kind === "start") running = what;
    if (kind === "note" && what === "kernel") rows.set(RELEASE, rest[0]?.split(" ")[0] ?? "");
    if (kind === "note" && what === "end") ended = true;
    if (kind === "note" && what === "parts") rows.set(PARTS, rest[0] ?? "");
    if (kind === "figure") rows.set(what, rest[0] ?? "");
    if (kind !== "result") continue;
    running = undefined;
    const [verdict = "", detail = ""] = rest;
    rows.set(what, cells[verdict] ?? `**${verdict}**`);
    if (verdict !== "ok") remarks.push(`${name}, ${what}: ${verdict}: ${detail}`);
  }
  if (!ended) {
    const where = running ?? "the start";
    rows.set(where, "**no end**");
    remarks.push(
      `${name}: the guest did not come further than "${where}": it hangs, or had too little time`,
    );
  }
  return rows;
}

function split(line: string): string[] {
  return line
    .split("|")
    .slice(1, -1)
    .map((cell) => cell.trim());
}

function readTable(text: string): Table {
  const lines = text.split("\n").filter((line) => line.startsWith("|"));
  const [head, , ...body] = lines.map(split);
  const table: Table = new Map();
  head?.slice(1).forEach((name, index) => {
    const filled = body.map((row): [string, string] => [row[0] ?? "", row[index + 1] ?? ""]);
    table.set(name, new Map(filled.filter(([, cell]) => cell !== NOT_TRIED)));
  });
  return table;
}

/** Rows that need the module. */
const OF_MODULE = /^(kfunc|module|engine kfunc|engine auto|cost): /;

/** What a row says that a guest did not write. */
function emptyCell(row: string, rows: ReadonlyMap<string, string> | undefined): string {
  const first = rows?.get("module: loads");
  return OF_MODULE.test(row) && (first === "-" || first === "refused") ? "-" : NOT_TRIED;
}

function writeTable(table: Table, order: readonly string[]): string {
  const names = [...table.keys()].sort((a, b) => Number.parseFloat(a) - Number.parseFloat(b));
  const known = new Set([...table.values()].flatMap((rows) => [...rows.keys()]));
  const rows = [
    ...order.filter((row) => known.has(row)),
    ...[...known].filter((row) => !order.includes(row)),
  ];
  return renderTable([
    [CAPABILITY, ...names],
    ...rows.map((row) => [
      row,
      ...names.map((name) => table.get(name)?.get(row) || emptyCell(row, table.get(name))),
    ]),
  ]);
}

const document = readFileSync(DOCUMENT, "utf8");
const table = readTable(readPart(document, PART));
const remarks: string[] = [];
let order: string[] = [RELEASE];
for (const argument of process.argv.slice(2)) {
  const [name = "", path = ""] = argument.split(/=(.*)/s);
  const rows = readLog(name, readFileSync(path, "utf8"), remarks);
  if (!rows.has(RELEASE)) {
    process.stdout.write(`${name}: did not boot; its column stays as it was\n`);
    process.exitCode = 1;
    continue;
  }
  const partial = rows.delete(PARTS);
  table.set(name, partial ? new Map([...(table.get(name) ?? []), ...rows]) : rows);
  const others = [...(table.get(name)?.keys() ?? [])].filter((row) => row !== RELEASE);
  if (others.length >= order.length) order = [RELEASE, ...others];
}
writeFileSync(DOCUMENT, replacePart(document, PART, writeTable(table, order)));
for (const remark of remarks) process.stdout.write(`${remark}\n`);
// Of the whole table: also what an earlier run wrote.
const bad = [...table].flatMap(([name, rows]) =>
  [...rows].filter(([, cell]) => cell.startsWith("**")).map(([row]) => `${name}, ${row}`),
);
process.stdout.write(
  bad.length === 0
    ? "all kernels: as promised\n"
    : `NOT as promised: ${bad.length}\n${bad.map((cell) => `  ${cell}\n`).join("")}`,
);
if (bad.length > 0) process.exitCode = 1;
