/** What was seen of daemons, as the tables of docs/daemons.md. */
import { readFileSync, writeFileSync } from "node:fs";
import { readPart, renderTable, replacePart } from "../../../tools/markdown.js";

/** A row. */
export interface Seen {
  readonly daemon: string;
  readonly written: readonly string[];
  readonly policy: string;
  /** The daemon's sockets, as `ss` shows them. */
  readonly sockets: string;
  readonly serves: string;
  readonly itself: string;
  readonly peer: string;
  readonly log: string;
  readonly kept: string;
}

const document = new URL("../../../docs/daemons.md", import.meta.url);

const head = [
  "daemon",
  "it is told",
  "policy",
  "`ss` shows",
  "it serves",
  "it sees itself as",
  "it sees a client as",
  "it logs a client as",
  "it serves on after",
];

function code(text: string): string {
  return `\`${text.replaceAll("|", "\\|")}\``;
}

/** In the order of daemons and of what each is told. */
export function renderSeen(rows: readonly Seen[]): string {
  const order = [...new Set(rows.map(({ daemon }) => daemon))];
  const told = (row: Seen): string => row.written.map(code).join(" ") || "nothing";
  const sorted = order.flatMap((daemon) => {
    const own = rows.filter((row) => row.daemon === daemon);
    return [...new Set(own.map(told))].flatMap((way) => own.filter((row) => told(row) === way));
  });
  return renderTable([
    head,
    ...sorted.map((row) => [
      row.daemon,
      told(row),
      row.policy,
      row.sockets,
      row.serves,
      row.itself,
      row.peer,
      row.log,
      row.kept,
    ]),
  ]);
}

/** What docs/daemons.md has of these; with ILM_DAEMONS=write, once it has been written there. */
export function documented(part: string, table: string): string {
  const page = readFileSync(document, "utf8");
  if (process.env["ILM_DAEMONS"] !== "write") return readPart(page, `daemons ${part}`);
  writeFileSync(document, replacePart(page, `daemons ${part}`, table));
  return table;
}
