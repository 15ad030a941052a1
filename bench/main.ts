/**
 * `make bench`: the tables that the documentation quotes. Ratios within one run; machines differ.
 *   make bench                    all of them
 *   make bench ARGS=udp           one part (or several)
 *   make bench ARGS=--write       into docs/performance.md as well, each part between its markers
 */
import { readFileSync, writeFileSync } from "node:fs";
import { cpus, release } from "node:os";
import { join } from "node:path";
import { version } from "../src/version.js";
import { renderTable, replacePart } from "../tools/markdown.js";
import { measureApply } from "./apply.js";
import { measureTcp } from "./connections.js";
import { measureListeners } from "./listeners.js";
import { type LookupRow, measureLookup } from "./lookup.js";
import { enterBenchNamespace, progress, removeLeftovers } from "./network.js";
import { measureOwnership, type OwnershipRow } from "./ownership.js";
import { type Beside, measureRelease } from "./release.js";
import { type Call, measureRewrite } from "./rewrite.js";
import { root } from "./sites.js";
import { measureStart } from "./start.js";
import { measureTakenAway } from "./taken-away.js";
import type { Compared } from "./turns.js";
import { measureUdp } from "./udp.js";
import { measureWatching } from "./watching.js";

const DOCUMENT = join(root, "docs", "performance.md");
const SIZES = [1, 1000, 100_000, 1_000_000];
const LISTENERS = [0, 1000, 50_000];
/** The same cost at any size: no more than this times the smallest's. */
const FLAT = 1.25;

/** Tables, one below the other. */
function tables(...parts: readonly string[]): string {
  return parts.join("\n\n");
}

function table(...rows: readonly (readonly string[])[]): string {
  return renderTable(rows, "right");
}

const grouped = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
function whole(value: number): string {
  return grouped.format(value);
}

/** Three digits that mean something, as far as they are behind the point. */
function short(value: number): string {
  return value >= 100 ? whole(value) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

function count(mappings: number): string {
  return mappings === 1 ? "1 mapping" : `${whole(mappings)} mappings`;
}

/** In bold: more than it may be. */
function judged(value: number, limit: number | null, digits: number): string {
  const text = value.toFixed(digits);
  return limit !== null && value > limit ? `**${text}**` : text;
}

function lookupTable(title: string, rows: readonly LookupRow[], flat: boolean): string {
  const budgets = rows.some((row) => row.budget !== null);
  const head = [title, ...SIZES.map(count), `${whole(SIZES.at(-1) ?? 0)} : 1`];
  const body = rows.map(({ scenario, above, budget }) => {
    const ratio = (above.at(-1) ?? Number.NaN) / (above[0] ?? Number.NaN);
    const cells = [
      scenario,
      ...above.map((ns) => judged(ns, budget, 1)),
      judged(ratio, flat && budget !== null ? FLAT : null, 2),
    ];
    return budgets ? [...cells, budget === null ? "" : String(budget)] : cells;
  });
  return table(budgets ? [...head, "budget"] : head, ...body);
}

async function lookup(): Promise<string> {
  const { emptyNs, emptySingleNs, hot, single } = await measureLookup(SIZES);
  return tables(
    lookupTable("the same look-up again and again, ns", hot, true),
    lookupTable("one look-up at a time, ns", single, false),
    `The empty program, harness included: ${emptyNs.toFixed(1)} ns again and again, ` +
      `${emptySingleNs.toFixed(0)} ns one at a time.`,
  );
}

function comparison(
  [title, unit, cpu]: readonly [string, string, string],
  rows: readonly (Compared & { readonly way: string })[],
): string {
  return table(
    [title, unit, "of direct", "95 % interval", cpu, "of direct"],
    ...rows.map((row) => [
      row.way,
      short(row.value),
      row.ratio.toFixed(2),
      row.interval.map((end) => end.toFixed(2)).join(" to "),
      short(row.cpu),
      row.cpuRatio.toFixed(2),
    ]),
  );
}

async function connections(): Promise<string> {
  const { connections, bulk } = await measureTcp();
  const milliseconds = bulk.map((row) => ({ ...row, cpu: row.cpu / 1000 }));
  return tables(
    comparison(["new connections", "per second", "CPU each, µs"], connections),
    comparison(["one connection, bulk", "GiB/s", "CPU per GiB, ms"], milliseconds),
  );
}

async function udp(): Promise<string> {
  const rows = await measureUdp();
  return comparison(
    ["request and reply", "per second", "CPU each, µs"],
    rows.map((row) => ({ ...row, way: `${row.family}, ${row.way}` })),
  );
}

async function apply(): Promise<string> {
  const { columns, latency } = await measureApply(SIZES);
  const row = (name: string, pick: (column: (typeof columns)[number]) => number): string[] => [
    name,
    ...columns.map((column) => short(pick(column))),
  ];
  return tables(
    table(
      ["whole commands, s", ...SIZES.map(count)],
      row("`ilm apply`, all new", ({ allNew }) => allNew),
      row("`ilm apply`, nothing changed", ({ same }) => same),
      row("`ilm apply`, one mapping changed", ({ oneChanged }) => oneChanged),
      row("`ilm add`, one mapping more", ({ oneAdded }) => oneAdded),
      row("`ilm remove`, that one", ({ oneRemoved }) => oneRemoved),
      row("`ilm status`", ({ status }) => status),
      row("`node -e 0`", ({ node }) => node),
    ),
    table(
      ["over the socket of `ilm run`, ms", ...SIZES.map(count)],
      row("one mapping added, by itself", ({ addition }) => addition),
      row("one removed, by itself", ({ removal }) => removal),
      row("100 added, one right after the other", ({ additionsInARow }) => additionsInARow),
    ),
    table(
      ["memory, MiB", ...SIZES.map(count)],
      row("kernel: tables of the active generation", ({ tables: mib }) => mib),
      row("kernel: registry of listeners", ({ registry }) => registry),
      row("`ilm apply`, all new, at its peak", ({ peak }) => peak),
      row("`ilm run`, resident", ({ resident }) => resident),
    ),
    table(
      ["connect() meanwhile, µs", "median", "99 of 100", "of quiet", "longest", "connections"],
      ...latency.map(({ when, p50, p99, ratio, max, connections }) => [
        when,
        short(p50),
        short(p99),
        ratio.toFixed(2),
        short(max),
        whole(connections),
      ]),
    ),
  );
}

async function listeners(): Promise<string> {
  const { calls, many, gaps } = await measureListeners(LISTENERS);
  return tables(
    table(
      ["call", "without ilm, µs", "with ilm, µs", "ratio"],
      ...calls.map((row) => [
        row.call,
        (row.without / 1000).toFixed(1),
        (row.with / 1000).toFixed(1),
        (row.with / row.without).toFixed(2),
      ]),
    ),
    table(
      ["listeners there before", "apply, ms", "resync, ms", "list, ms", "registry, MiB"],
      ...many.map((row) => [
        ...[row.listeners, row.apply_ms, row.resync_ms, row.list_ms].map(whole),
        row.maps_mib.toFixed(1),
      ]),
    ),
    table(
      ["from the return of listen() or bind(), µs", "p50", "p99", "max", "first tries lost"],
      ...gaps.map(({ daemon, p50, p99, max, lost }) => [
        daemon,
        ...[p50, p99, max].map(whole),
        String(lost),
      ]),
    ),
  );
}

function ownership(): string {
  const { calls, traffic } = measureOwnership();
  const rows = (all: readonly OwnershipRow[]): string[][] =>
    all.map(({ what, before, after }) => [
      what,
      whole(before),
      whole(after),
      (after / before).toFixed(2),
    ]);
  return tables(
    table(["call", "without ilm, ns", "with ilm, ns", "ratio"], ...rows(calls)),
    table(
      ["through a mapping", "without owners, ns", "with owners, ns", "ratio"],
      ...rows(traffic),
    ),
  );
}

function rewrite(): string {
  const rows = measureRewrite();
  const calls = {
    tcp: ["bind", "listen", "getsockname", "accept", "accepted"],
    udp: ["bind", "getsockname"],
  } as const satisfies Record<string, readonly Call[]>;
  const heads = {
    bind: "bind()",
    listen: "listen()",
    getsockname: "its getsockname()",
    accept: "accept()",
    accepted: "getsockname() of a connection",
  } as const satisfies Record<Call, string>;
  return tables(
    ...(["tcp", "udp"] as const).map((protocol) =>
      table(
        [
          `${protocol.toUpperCase()}, ns without and with ilm`,
          "binds to",
          ...calls[protocol].flatMap((call) => [heads[call], "ratio"]),
        ],
        ...rows
          .filter((row) => row.protocol === protocol)
          .map((row) => [
            row.who,
            row.address,
            ...calls[protocol].flatMap((call) => {
              const cost = row.calls[call];
              if (cost === undefined) return ["no connection", ""];
              return [`${whole(cost.without)} to ${whole(cost.with)}`, cost.ratio.toFixed(2)];
            }),
          ]),
      ),
    ),
  );
}

function start(): string {
  return table(
    ["whole command", "ms", "of node"],
    ...measureStart().map(({ command, milliseconds, ratio }) => [
      command,
      whole(milliseconds),
      ratio.toFixed(2),
    ]),
  );
}

async function besideRelease(): Promise<string> {
  const sizes = [1, 100_000, 1_000_000];
  const { format, commands, hot, single } = await measureRelease(sizes);
  const beside = (title: string, rows: readonly Beside[]): string =>
    table(
      [title, ...sizes.flatMap((size) => [`${count(size)}, then`, "now", "of then"])],
      ...rows.map(({ what, values }) => [
        what,
        ...values.flatMap(([then, now]) => [short(then), short(now), (now / then).toFixed(2)]),
      ]),
    );
  return tables(
    `The older release is the one whose state has format ${format}.`,
    beside("whole commands, s", commands),
    beside("the same look-up again and again, ns", hot),
    beside("one look-up at a time, ns", single),
  );
}

async function takenAway(): Promise<string> {
  const rows = await measureTakenAway();
  const shown = (gap: number): string => (gap === 0 ? "no dial fails" : whole(gap));
  return renderTable(
    [
      ["what is taken away", "TCP, ms", "UDP, ms"],
      ...rows.map(({ what, tcp, udp }) => [what, shown(tcp), shown(udp)]),
    ],
    "right",
  );
}

async function watching(): Promise<string> {
  const rows = await measureWatching();
  const heads = { TCP: "new TCP connections", UDP: "UDP, request and reply" } as const;
  return tables(
    ...(["TCP", "UDP"] as const).map((protocol) =>
      table(
        [
          heads[protocol],
          "per second",
          "watchers, of a CPU",
          "beside as much CPU",
          "95 % interval",
          "CPU of each",
        ],
        ...rows
          .filter((row) => row.protocol === protocol)
          .map(({ way, value, share, ratio, interval, cpuRatio }) => [
            way,
            short(value),
            share.toFixed(2),
            ratio.toFixed(2),
            interval.map((end) => end.toFixed(2)).join(" to "),
            cpuRatio.toFixed(2),
          ]),
      ),
    ),
  );
}

interface Part {
  readonly title: string;
  readonly measure: () => string | Promise<string>;
  /** In a namespace of its own, in which this process stays: such parts come last. */
  readonly inside: boolean;
}

const parts: Readonly<Record<string, Part>> = {
  connections: { title: "TCP: new connections and bulk", measure: connections, inside: false },
  udp: { title: "UDP", measure: udp, inside: false },
  watching: { title: "While somebody watches", measure: watching, inside: false },
  start: { title: "Starting", measure: start, inside: false },
  away: { title: "What is taken away beside ilm run", measure: takenAway, inside: false },
  apply: { title: "Changing the rules", measure: apply, inside: false },
  lookup: { title: "One look-up", measure: lookup, inside: true },
  listeners: { title: "Listeners", measure: listeners, inside: true },
  ownership: { title: "Owners of services", measure: ownership, inside: true },
  rewrite: { title: "Binds that are rewritten", measure: rewrite, inside: true },
  release: { title: "Beside an older release", measure: besideRelease, inside: true },
};

/** What the figures were taken on. */
function describeMachine(): string {
  const all = cpus();
  const kernel = /^[\d.]+\d/.exec(release())?.[0] ?? release();
  const date = new Date().toISOString().slice(0, 10);
  const processor = `${all.length} × ${all[0]?.model.trim() ?? "unknown CPU"}`;
  return `Linux ${kernel}, ${processor}, Node.js ${process.versions.node}, ilm ${version}, ${date}`;
}

const [options, names] = [true, false].map((option) =>
  process.argv.slice(2).filter((word) => word.startsWith("--") === option),
);
const unknown = [
  ...(options ?? []).filter((option) => option !== "--write"),
  ...(names ?? []).filter((name) => !(name in parts)),
];
if (unknown.length > 0) {
  throw new Error(
    `not known: ${unknown.join(" ")}; there are --write, ${Object.keys(parts).join(", ")}`,
  );
}
const write = (options ?? []).includes("--write");
let namespace: { remove(): void } | undefined;
removeLeftovers();
try {
  for (const [name, part] of Object.entries(parts)) {
    if ((names ?? []).length > 0 && !(names ?? []).includes(name)) continue;
    if (part.inside) namespace ??= enterBenchNamespace();
    const start = performance.now();
    progress(`${name} ...`);
    const text = tables(await part.measure(), describeMachine());
    progress(`${name}: ${((performance.now() - start) / 1000).toFixed(0)} s`);
    process.stdout.write(`## ${part.title}\n\n${text}\n\n`);
    if (write) {
      writeFileSync(DOCUMENT, replacePart(readFileSync(DOCUMENT, "utf8"), `bench ${name}`, text));
    }
  }
} finally {
  namespace?.remove();
}
