/**
 * All views tell the same facts: `status`, `mappings`, `listeners`, `explain`, `monitor`, the
 * metrics, the API and its events, the history and the export, of mappings in every state.
 */
import { afterEach, beforeEach, expect, test } from "vitest";
import type { ExplainJson } from "../../src/json/explain.js";
import type { HistoryJson } from "../../src/json/history.js";
import type { MetricsJson } from "../../src/json/metrics.js";
import type { MonitorJson } from "../../src/json/monitor.js";
import { Lab } from "../support/lab.js";
import { addressesOf, endpoint, matrix, type Cell } from "../support/matrix.js";
import { useNetwork } from "../support/network.js";
import { lockRoot } from "../support/paths.js";
import { type Background, eventually } from "../support/process.js";
import type { MappingRow, Status } from "../support/shapes.js";

const network = useNetwork();
const [four, six] = [addressesOf[4], addressesOf[6]];

const rules = `version: 1
services:
  web: { address: [${four.daemon}, "${six.daemon}"], unit: web.service, description: the shop }
  spare: { address: [${four.daemon2}, "${six.daemon2}"] }
  stuck: { address: [${four.daemon3}, "${six.daemon3}"] }
mappings:
  - { name: first, protocol: [tcp, udp], port: 6000, to: [web, spare], description: the first one }
  - { name: second, protocol: [tcp, udp], port: 6001, to: ["web:7001", "spare:6000"] }
  - { name: missed, protocol: [tcp, udp], port: 6002, to: "spare:7002" }
  - { name: closed, protocol: [tcp, udp], port: 6003, to: none }
  - { name: drained, protocol: [tcp, udp], port: 6004, to: [web, "spare:6000"] }
  - { name: kept, protocol: [tcp, udp], port: 6005, to: "spare:6000" }
  - { name: stuck, protocol: [tcp, udp], port: 6006, to: stuck }
`;

/** What becomes of a dial: who answers, and where it went. */
interface Fate {
  readonly name: string;
  readonly port: number;
  readonly verdict: MonitorJson["verdict"];
  readonly answer: string;
  readonly to: ((cell: Cell) => { address: string; port: number }) | null;
}

const spare: Fate["to"] = ({ daemon2 }) => ({ address: daemon2, port: 6000 });
const refused = { answer: "ECONNREFUSED", to: null };
const bySpare = { verdict: "selected", answer: "spare", to: spare } as const;

const fates: readonly Fate[] = [
  {
    name: "first",
    port: 6000,
    verdict: "selected",
    answer: "web",
    to: ({ daemon }) => ({ address: daemon, port: 6000 }),
  },
  { name: "second", port: 6001, ...bySpare },
  { name: "missed", port: 6002, verdict: "missed", ...refused },
  { name: "closed", port: 6003, verdict: "rejected", ...refused },
  { name: "drained", port: 6004, ...bySpare },
  { name: "kept", port: 6005, verdict: "existing", answer: "own", to: null },
  { name: "tcp:6100", port: 6100, ...bySpare },
];

/** The dials, of both protocols and families. */
const dials = fates.flatMap((fate) =>
  matrix
    .filter(({ protocol }) => protocol === "tcp" || fate.name !== "tcp:6100")
    .map((cell) => ({ ...fate, cell })),
);

/** Fills the queues of the daemon that hangs, and holds its connections. */
const fill = `
import socket, time
kept = []
for address in ("${four.public}", "${six.public}"):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    for _ in range(3):
        kept.append(socket.create_connection((address, 6006)))
    sock = socket.socket(family, socket.SOCK_DGRAM)
    for _ in range(1000):
        sock.sendto(bytes(1000), (address, 6006))
print("filled", flush=True)
time.sleep(600)
`;

let labs: readonly Lab[];

beforeEach(async () => {
  const { server } = network;
  const web = await Lab.start(server, { cgroup: "web.service" });
  const stuck = await Lab.start(server);
  const others = await Lab.start(server);
  labs = [web, stuck, others];
});

afterEach(async () => {
  for (const lab of labs) {
    lab.process.signal("SIGCONT");
    await lab.process.stop();
  }
  await network.server.reset();
});

/** What only a command looks for: processes, and with `--connections` what is open. */
const withoutProcesses = {
  listener: null,
  stranger: null,
  wildcardWouldAnswer: null,
  connections: null,
  flows: null,
};

async function json<T>(...args: readonly string[]): Promise<T> {
  return (await network.server.ask([...args, "--json"])).json() as T;
}

async function api<T>(path: string): Promise<T> {
  const socket = `${lockRoot}/${network.server.inode}.sock`;
  const text = await network.server.must(["curl", "-sS", "--unix-socket", socket, path]);
  return (JSON.parse(text) as { result: T }).result;
}

function linesOf({ stdout }: Background): readonly unknown[] {
  const whole = stdout.slice(0, stdout.lastIndexOf("\n") + 1);
  return whole
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line) as unknown);
}

/** The samples of a metric, by the labels that are asked for. */
function series(samples: MetricsJson, metric: string, ...labels: readonly string[]) {
  const found = samples.filter(({ name }) => name === metric);
  return Object.fromEntries(
    found.map((sample) => {
      const texts = sample.labels as Readonly<Record<string, string>>;
      return [labels.map((label) => texts[label] ?? "").join(" "), sample.value];
    }),
  );
}

const keyOf = ({ name, protocol }: { name: string; protocol: string }): string =>
  `${name} ${protocol}`;

function byKey<T>(rows: readonly MappingRow[], value: (row: MappingRow) => T): Record<string, T> {
  return Object.fromEntries(rows.map((row) => [keyOf(row), value(row)]));
}

/** What each destination has. */
function byDestination<T>(
  rows: readonly MappingRow[],
  value: (to: MappingRow["to"][number]) => T,
): Record<string, T> {
  return Object.fromEntries(
    rows.flatMap((row) =>
      row.to.map((to) => {
        // Each mapping has one port, which `same` stands for.
        const port = to.port === "same" ? row.port : to.port;
        return [`${keyOf(row)} ${to.address} ${port}`, value(to)] as const;
      }),
    ),
  );
}

/** A mapping as a configuration has it. */
interface Written {
  readonly name?: string;
  readonly protocol?: string;
  readonly description?: string;
}

interface Event {
  readonly event: string;
  readonly generation?: number;
  readonly mappings?: number;
  readonly down?: number;
  readonly [field: string]: unknown;
}

test("all views tell the same facts", async () => {
  const { server, client } = network;
  const [web, stuck, others] = labs as [Lab, Lab, Lab];
  const file = server.file(rules);
  await server.startRun(["-f", file]);
  const socket = `${lockRoot}/${server.inode}.sock`;
  const events = server.start(["curl", "-sSN", "--unix-socket", socket, "http://ilm/v1/events"]);
  await events.waitForOutput(/"connected"/);
  for (const { protocol, daemon, daemon2, daemon3, public: own, family } of matrix) {
    const name = `${protocol} ${family}`;
    for (const port of [6000, 6004]) {
      await web.open(`web ${name} ${port}`, protocol, daemon, port, { tag: "web" });
    }
    await stuck.open(`stuck ${name}`, protocol, daemon3, 6006, { tag: "stuck", backlog: 2 });
    await others.open(`spare ${name}`, protocol, daemon2, 6000, { tag: "spare" });
    await others.open(`own ${name}`, protocol, own, 6005, { tag: "own" });
  }
  await server.ilmDone(["add", `tcp:6100=${four.daemon2}:6000,[${six.daemon2}]:6000`]);
  await server.ilmDone(["drain", "web:6004"]);

  const monitor = server.start(server.ilmCommand(["monitor", "--json"]));
  await eventually("the monitor watches", async () => {
    const readers = series(await json("metrics"), "ilm_decision_readers");
    return readers[""] === 1 ? true : null;
  });
  for (const { name, port, answer, cell } of dials) {
    const who = await client.who(cell.protocol, cell.public, port);
    expect(who, `${name} ${cell.title}`).toBe(answer);
  }
  const decisions = await eventually("the monitor has shown each dial", async () => {
    const shown = linesOf(monitor) as readonly MonitorJson[];
    return shown.length >= dials.length ? shown : null;
  });
  await monitor.stop("SIGINT");
  // Stopped, it accepts nobody.
  stuck.process.signal("SIGSTOP");
  await client.start(["python3", "-c", fill]).waitForOutput(/filled/);

  const status = await json<Status>("status");
  const rows = await server.mappings();
  const listening = await server.listeners();
  const metrics = await json<MetricsJson>("metrics");

  // Each dial, as it went, as the monitor saw it, and as it would go again.
  const keys = rows.map(keyOf);
  expect(decisions).toHaveLength(dials.length);
  for (const [index, { name, port, verdict, to, cell }] of dials.entries()) {
    const { protocol } = cell;
    const dialled = { address: cell.public, port };
    const mapping = rows.find((row) => keyOf(row) === `${name} ${protocol}`);
    const wanted = { mapping: name, destination: to?.(cell) ?? null };
    const { generation } = status;
    const title = `${name} ${cell.title}`;
    const same = { ...wanted, generation };
    expect(decisions[index], title).toMatchObject({ protocol, dialled, verdict, ...same });
    const explained = await json<ExplainJson>("explain", protocol, endpoint(cell.public, port));
    expect(explained, title).toMatchObject({ decision: verdict, ...same });
    expect(explained.matchedBy, title).toBe(decisions[index]?.matchedBy);
    // The socket that would get it is listed, with the same process, user and unit.
    if (explained.listener === null) {
      expect(["missed", "rejected"], title).toContain(verdict);
      continue;
    }
    const { cookie, pid, command, user, unit, address } = explained.listener;
    const listed = listening.find((one) => one.cookie === cookie);
    expect(listed, title).toMatchObject({ protocol, pid, command, user, unit, address });
    expect(pid).toBe((to?.(cell).address === cell.daemon ? web : others).process.pid);
    expect(unit?.startsWith("web.service") ?? false, title).toBe(name === "first");
    if (verdict !== "selected") continue;
    expect(listed?.mappings, title).toContain(name);
    const listener = mapping?.to.find(({ address: own }) => own === address)?.listener;
    expect(listener, title).toMatchObject({ cookie, pid, command });
    expect(listener?.queue, title).toEqual(listed?.queue);
  }

  // What was counted: by mapping, by destination and in all.
  for (const { name, protocol, counters, to } of rows) {
    const own = dials.filter((dial) => dial.name === name && dial.cell.protocol === protocol);
    if (own.length === 0) continue;
    const count = (verdict: string): number => own.filter((d) => d.verdict === verdict).length;
    expect(counters, `${name} ${protocol}`).toEqual({
      existing: count("existing"),
      selected: count("selected"),
      missed: count("missed") + count("rejected"),
      errors: 0,
    });
    const gone = to.map(({ address }) => own.filter((d) => d.to?.(d.cell).address === address));
    expect(to.map(({ selected }) => selected)).toEqual(gone.map(({ length }) => length));
  }
  const sums = { existing: 0, selected: 0, missed: 0, errors: 0 };
  for (const { counters } of rows) {
    for (const key of Object.keys(sums) as (keyof typeof sums)[]) sums[key] += counters[key];
  }
  expect(status.lookups).toEqual(sums);
  const lookups = series(metrics, "ilm_lookups_total", "mapping", "protocol", "outcome");
  const outcomes = rows.flatMap((row) =>
    Object.entries({ ...row.counters, error: row.counters.errors })
      .filter(([outcome]) => outcome !== "errors")
      .map(([outcome, value]): [string, number] => [`${keyOf(row)} ${outcome}`, value]),
  );
  expect(lookups).toEqual(Object.fromEntries(outcomes));
  const at = ["mapping", "protocol", "address", "port"];
  expect(series(metrics, "ilm_destination_selected_total", ...at)).toEqual(
    byDestination(rows, ({ selected }) => selected),
  );

  // Who listens, and which mappings nobody serves, which hang, and what is drained.
  expect(series(metrics, "ilm_destination_listening", ...at)).toEqual(
    byDestination(rows, ({ listening: is }) => Number(is)),
  );
  const down = ["missed tcp", "missed udp"];
  expect(status.unserved?.mappings.map(keyOf)).toEqual(down);
  expect(status.unserved?.count).toBe(2);
  expect((await json<readonly MappingRow[]>("mappings", "--down")).map(keyOf)).toEqual(down);
  expect(series(metrics, "ilm_mappings_unserved")).toEqual({ "": 2 });
  const served = rows.filter(({ to }) => to.length > 0);
  expect(series(metrics, "ilm_mapping_listening", "mapping", "protocol")).toEqual(
    byKey(served, (row) => Number(!down.includes(keyOf(row)))),
  );
  // Since when there is no listener: in whole seconds, of clocks that are compared each time.
  const since = series(metrics, "ilm_destination_down_since_timestamp_seconds", ...at);
  const absences = byDestination(rows, ({ listening: is, ended, neverSince }) =>
    is ? 0 : Date.parse(ended?.at ?? neverSince ?? "") / 1000,
  );
  expect(Object.keys(since).toSorted()).toEqual(Object.keys(absences).toSorted());
  for (const [place, told] of Object.entries(absences)) {
    expect(Math.abs((since[place] ?? NaN) - told), place).toBeLessThan(0.6);
  }
  const downSince = series(
    metrics,
    "ilm_mapping_down_since_timestamp_seconds",
    "mapping",
    "protocol",
  );
  for (const { name, protocol, ...absence } of status.unserved?.mappings ?? []) {
    const told = Date.parse(absence.ended?.at ?? absence.neverSince ?? "") / 1000;
    expect(Math.abs((downSince[`${name} ${protocol}`] ?? NaN) - told), name).toBeLessThan(0.6);
  }
  expect(new Set(status.full?.mappings.map(keyOf))).toEqual(new Set(["stuck tcp", "stuck udp"]));
  const queues = byDestination(rows, ({ listener }) => listener?.queue);
  const waiting = series(metrics, "ilm_listener_queue", ...at);
  for (const [place, queue] of Object.entries(queues)) {
    if (queue === undefined) expect(waiting, place).not.toHaveProperty(place);
    else expect(waiting[place], place).toBe(queue.waiting);
  }
  for (const { name, protocol, address, port, queue } of status.full?.mappings ?? []) {
    expect(port).toBe(6006);
    expect(queues[`${name} ${protocol} ${address} ${port}`]).toEqual(queue);
  }
  expect(status.drained).toMatchObject([{ destination: "web:6004" }]);
  expect(series(metrics, "ilm_drained")).toEqual({ "": 1 });
  for (const key of ["unserved", "drainedMappings", "gaps", "degraded"] as const) {
    const named = status[key]?.mappings.map(keyOf) ?? [];
    expect(named, key).toHaveLength(status[key]?.count ?? NaN);
  }
  const degraded = (await json<readonly MappingRow[]>("mappings", "--degraded")).map(keyOf);
  expect(status.degraded?.mappings.map(keyOf)).toEqual(degraded);
  expect(series(metrics, "ilm_mappings_degraded")).toEqual({ "": degraded.length });
  const missing = series(metrics, "ilm_mapping_destinations_down", "mapping", "protocol");
  expect(Object.keys(missing).filter((key) => missing[key] !== 0)).toEqual(degraded);
  expect(series(metrics, "ilm_mappings_drained")).toEqual({
    "": status.drainedMappings?.count ?? NaN,
  });
  const drainedAt = byDestination(rows, ({ drained }) => drained);
  const areDrained = Object.keys(drainedAt).filter((place) => drainedAt[place] === true);
  expect(areDrained).toEqual(
    (["tcp", "udp"] as const).flatMap((protocol) =>
      [four, six].map(({ daemon }) => `drained ${protocol} ${daemon} 6004`),
    ),
  );
  expect(await json("drain")).toEqual(status.drained);

  // How many there are, and which generation decides.
  expect(status.mappings).toBe(rows.length);
  expect(status.runtimeMappings).toBe(rows.filter(({ runtime }) => runtime).length);
  expect(series(metrics, "ilm_generation")).toEqual({ "": status.generation });
  expect(series(metrics, "ilm_mappings", "origin")).toEqual({ file: keys.length - 1, runtime: 1 });
  expect(status.listeners).toBe(listening.length);
  expect(status.mappedListeners).toBe(
    listening.filter(({ mappings }) => mappings.length > 0).length,
  );

  // The API tells what the commands tell, except the processes.
  const state = await api<Partial<Status>>("http://ilm/v1/state");
  const known = Object.fromEntries(
    Object.entries(status).filter(([field]) => Object.hasOwn(state, field)),
  );
  expect(Object.keys(known)).toEqual(
    expect.arrayContaining(["generation", "unserved", "full", "drained", "lookups"]),
  );
  expect(
    Object.fromEntries(Object.keys(known).map((key) => [key, state[key as keyof Status]])),
  ).toEqual(known);
  const told = await api<{ mappings: readonly MappingRow[]; total: number }>(
    "http://ilm/v1/mappings",
  );
  expect(told.total).toBe(rows.length);
  const bare = (list: readonly MappingRow[]): unknown =>
    list.map(({ to, ...row }) => ({
      ...row,
      obstacles: null,
      connections: null,
      flows: null,
      to: to.map((one) => ({ ...one, ...withoutProcesses })),
    }));
  expect(bare(told.mappings)).toEqual(bare(rows));

  // The last event of each kind says what is so now.
  const last = await eventually("the events have told everything", async () => {
    const all = linesOf(events) as readonly Event[];
    const changed = all.findLast(({ event }) => event === "changed");
    const health = all.findLast(({ event }) => event === "health");
    return changed?.generation === status.generation && health?.down === 2
      ? { changed, health }
      : null;
  });
  expect(last.changed?.mappings).toBe(rows.length);

  // The history, and the export.
  const [latest] = (await json<HistoryJson>("history")).changes;
  expect(latest).toMatchObject({
    cause: "drain",
    active: true,
    generation: status.generation,
    mappings: rows.length,
    drained: status.drained.map(({ destination }) => destination),
    sources: status.sources,
  });
  const exported = await json<{ mappings: readonly Written[] }>("export");
  const pairs = exported.mappings.map(({ name = "tcp:6100", protocol = "tcp", ...one }) => [
    keyOf({ name, protocol }),
    one.description ?? null,
  ]);
  expect(pairs).toEqual(rows.map((row) => [keyOf(row), row.description]));

  // To be looked at changes nothing.
  expect(await server.mappings()).toEqual(rows);
});
