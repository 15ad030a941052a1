/**
 * How often each destination was selected: what `mappings` says is what the daemons got, whatever
 * hands connections and datagrams over, and it stays when rules and tables change.
 */
import { request } from "node:http";
import { once } from "node:events";
import { afterAll, afterEach, expect, test } from "vitest";
import type { MappingList } from "../../src/api/api.js";
import type { MappingsJson } from "../../src/json/mappings.js";
import { protocolOf, stopLabs, useLab, type Kind, type Lab } from "../support/lab.js";
import { addressesOf, families, type Family } from "../support/matrix.js";
import { useNetwork } from "../support/network.js";

const network = useNetwork();
let lab: Lab;
useLab(network, (one) => {
  lab = one;
});

afterEach(async () => {
  await network.server.reset();
});
afterAll(stopLabs);

interface Counted {
  readonly selected: number;
  readonly to: readonly (number | null)[];
}

async function counted(name: string): Promise<Counted> {
  const rows = await network.server.mappings();
  const row = rows.find((one) => one.name === name);
  if (row === undefined) throw new Error(`no mapping ${name}`);
  return { selected: row.counters.selected, to: row.to.map(({ selected }) => selected) };
}

/** Dials so often, and says how many each daemon answered. */
async function dial(
  kind: Kind,
  family: Family,
  port: number,
  times: number,
): Promise<ReadonlyMap<string, number>> {
  const answered = new Map<string, number>();
  for (let i = 0; i < times; i++) {
    const options = kind === "mptcp" ? { mptcp: true } : {};
    const { public: address } = addressesOf[family];
    const who = await network.client.who(protocolOf(kind), address, port, options);
    answered.set(who, (answered.get(who) ?? 0) + 1);
  }
  return answered;
}

const ways: readonly { readonly kind: Kind; readonly handover: string }[] = [
  { kind: "tcp", handover: "auto" },
  { kind: "mptcp", handover: "auto" },
  { kind: "udp", handover: "ingress" },
  { kind: "udp", handover: "lookup" },
];

for (const family of families) {
  for (const { kind, handover } of ways) {
    const { label, daemon, daemon2 } = addressesOf[family];
    test(`a canary's share is what it answered: ${kind} over ${label}, handover ${handover}`, async () => {
      const { server } = network;
      const addresses = `[${[daemon, daemon2].map((one) => `"${one}"`).join(", ")}]`;
      await server.apply(`version: 1
services: { both: { address: ${addresses}${handover === "auto" ? "" : `, handover: ${handover}`} } }
mappings:
  - name: shared
    protocol: ${protocolOf(kind)}
    port: 6000
    to: [{ address: "${daemon}", weight: 3 }, { address: "${daemon2}", weight: 1 }]
`);
      await lab.open("most", kind, daemon, 6000, { tag: "most" });
      await lab.open("canary", kind, daemon2, 6000, { tag: "canary" });
      // `handover: lookup` takes a UDP socket that is there when rules are applied.
      if (handover === "lookup") await server.ilmDone(["add", "tcp:9999=127.0.1.99"]);
      const answered = await dial(kind, family, 6000, 30);
      const to = [answered.get("most") ?? 0, answered.get("canary") ?? 0];
      expect(Math.min(...to)).toBeGreaterThan(0);
      expect(await counted("shared")).toEqual({ selected: 30, to });
    });
  }
}

test("of a service with two addresses, each family's address has its own count", async () => {
  const { server } = network;
  await server.apply(`version: 1
services: { web: { address: [127.0.1.10, "fd5e:ed00::10"], publish: [6000] } }
`);
  for (const family of families) {
    await lab.open(`web ${family}`, "tcp", addressesOf[family].daemon, 6000, { tag: "web" });
  }
  await dial("tcp", 4, 6000, 2);
  await dial("tcp", 6, 6000, 3);
  expect(await counted("tcp:6000")).toEqual({ selected: 5, to: [2, 3] });
  const { stdout } = await server.ask(["mappings", "tcp:6000"]);
  expect(stdout).toMatch(/ 127\.0\.1\.10 .* 2 +[0-9]+ +0 +0$/m);
  expect(stdout).toMatch(/ fd5e:ed00::10 .* 3 +[0-9]+$/m);
});

const three = (...to: readonly string[]): string => `version: 1
mappings:
  - { name: shared, port: 6000, to: [${to.map((one) => `"${one}:7000"`).join(", ")}] }
`;

test("in failover each destination keeps what it got, and takes it along in the list", async () => {
  const { server } = network;
  const [one, two, other] = ["127.0.1.1", "127.0.1.2", "127.0.1.3"];
  await server.apply(three(one, two));
  await lab.open("one", "tcp", one, 7000, { tag: "one" });
  await lab.open("two", "tcp", two, 7000, { tag: "two" });
  expect(await dial("tcp", 4, 6000, 3)).toEqual(new Map([["one", 3]]));
  await lab.do("close", "one");
  expect(await dial("tcp", 4, 6000, 2)).toEqual(new Map([["two", 2]]));
  expect(await counted("shared")).toEqual({ selected: 5, to: [3, 2] });
  await server.ilmDone(["apply", "-f", server.file(three(other, two, one))]);
  expect(await counted("shared")).toEqual({ selected: 5, to: [0, 2, 3] });
  await dial("tcp", 4, 6000, 4);
  expect(await counted("shared")).toEqual({ selected: 9, to: [0, 6, 3] });
  // What went with a destination is nobody's.
  await server.ilmDone(["apply", "-f", server.file(three(two))]);
  expect(await counted("shared")).toEqual({ selected: 9, to: [6] });
  await server.ilmDone(["apply", "-f", server.file(three(other, two))]);
  expect(await counted("shared")).toEqual({ selected: 9, to: [0, 6] });
  const { stdout } = await server.ask(["mappings", "shared"]);
  expect(stdout).toMatch(/^ .* before 3$/m);
});

test("more destinations than the tables tell apart have new tables, and keep their counts", async () => {
  const { server } = network;
  const some = Array.from({ length: 16 }, (_, i) => `127.0.1.${i + 1}`);
  await server.apply(three("127.0.1.15", "127.0.1.16"));
  await lab.open("last", "tcp", "127.0.1.16", 7000, { tag: "last" });
  await dial("tcp", 4, 6000, 2);
  await server.ilmDone(["apply", "-f", server.file(three(...some))]);
  await dial("tcp", 4, 6000, 3);
  const first = Array.from({ length: 15 }, () => 0);
  expect(await counted("shared")).toEqual({ selected: 5, to: [...first, 5] });
});

const large = (to: string): string => `version: 1
mappings:
${Array.from({ length: 20 }, (_, i) => `  - { port: ${8000 + i}, to: "${to}:80" }\n`).join("")}`;

test("a mapping over a large file's tables, added or changed there, has counts for its destinations", async () => {
  const { server } = network;
  const options = { layeredFrom: 10 };
  const added = "tcp:6000=127.0.1.1:7000,127.0.1.2:7000";
  await server.apply(large("127.0.1.10"), options);
  await server.ilmDone(["add", added]);
  await lab.open("second", "tcp", "127.0.1.2", 7000, { tag: "second" });
  await dial("tcp", 4, 6000, 3);
  expect(await counted("tcp:6000")).toEqual({ selected: 3, to: [0, 3] });
  // The other side of the tables, and the first again.
  for (const port of [9001, 9002]) {
    await server.ilmDone(["add", `tcp:${port}=127.0.1.9:80`]);
    await dial("tcp", 4, 6000, 1);
  }
  expect(await counted("tcp:6000")).toEqual({ selected: 5, to: [0, 5] });
  // All the tables again.
  await server.apply(large("127.0.1.11"), options);
  expect(await counted("tcp:6000")).toEqual({ selected: 5, to: [0, 5] });
});

const rated = `version: 1
mappings:
  - { name: idle, port: 6001, to: "127.0.1.1:7000" }
  - { name: shared, port: 6000, to: [{ address: "127.0.1.1:7000", weight: 500 }, { address: "127.0.1.2:7000", weight: 500 }] }
  - { name: nobody, port: 6002, to: "127.0.1.3:7000" }
`;

/** Dials until the work is done. Returns its result, and how often what answered. */
async function dialUntil<T>(
  work: Promise<T>,
  port: number,
): Promise<{ readonly result: T; readonly answered: ReadonlyMap<string, number> }> {
  const answered = new Map<string, number>();
  const result = await whileDialling(work, async () => {
    const who = await network.client.who("tcp", "203.0.113.1", port);
    answered.set(who, (answered.get(who) ?? 0) + 1);
  });
  return { result, answered };
}

/** Dials again and again until the work is done. */
async function whileDialling<T>(work: Promise<T>, once: () => Promise<unknown>): Promise<T> {
  const state = { isDone: false };
  const ended = work.finally(() => {
    state.isDone = true;
  });
  while (!state.isDone) await once();
  return await ended;
}

test("rates are what was counted in between, of each destination too, and the most used comes first", async () => {
  const { server, client } = network;
  await server.apply(rated);
  await lab.open("one", "tcp", "127.0.1.1", 7000, { tag: "one" });
  await lab.open("two", "tcp", "127.0.1.2", 7000, { tag: "two" });
  const before = await counted("shared");
  const measuring = server.askDone(["mappings", "--sort", "rate", "--rate", "2", "--json"]);
  const { result, answered } = await dialUntil(measuring, 6000);
  const rows = result.json() as MappingsJson;
  expect(rows.map(({ name }) => name)).toEqual(["shared", "idle", "nobody"]);
  const [shared, idle] = rows;
  const { seconds = 0, selectedPerSecond = 0, missedPerSecond } = shared?.rates ?? {};
  expect(seconds).toBeGreaterThanOrEqual(1.999);
  expect(missedPerSecond).toBe(0);
  // As many as were dialled at most, and not more than were counted.
  const between = selectedPerSecond * seconds;
  expect(between).toBeGreaterThan(0);
  const dialled = [...answered.values()].reduce((sum, one) => sum + one, 0);
  expect(between).toBeLessThan(dialled + 0.5);
  expect(between).toBeLessThan((shared?.counters.selected ?? 0) - before.selected + 0.5);
  const each = shared?.to.map((one) => one.selectedPerSecond ?? 0) ?? [];
  expect(Math.abs(each.reduce((sum, one) => sum + one, 0) - selectedPerSecond)).toBeLessThan(1);
  expect(idle?.rates).toMatchObject({ selectedPerSecond: 0, missedPerSecond: 0 });

  const missing = server.askDone(["mappings", "nobody", "--rate", "--json"]);
  const found = await whileDialling(missing, () => client.dial("tcp", "203.0.113.1", 6002));
  const [nobody] = found.json() as MappingsJson;
  expect(nobody?.rates?.missedPerSecond).toBeGreaterThan(0);
  expect(nobody?.rates?.selectedPerSecond).toBe(0);
});

test("what no change in between has touched keeps its rate, and nothing else has one", async () => {
  const { server } = network;
  await server.apply(rated);
  await lab.open("one", "tcp", "127.0.1.1", 7000, { tag: "one" });
  await lab.open("two", "tcp", "127.0.1.2", 7000, { tag: "two" });
  await server.startRun([]);
  const { netns } = await server.status();
  /**
   * Asks the daemon to measure, adds mappings when it has begun, and dials until it answers. A
   * machine may be so slow that it has to measure for longer.
   */
  const measured = async (...added: readonly string[]): Promise<readonly unknown[]> => {
    for (const seconds of [3, 15, 60]) {
      const asked = request({
        socketPath: `/run/ilm/${netns}.sock`,
        path: `/v1/mappings?sort=rate&rate=${seconds}`,
      });
      const answered = once(asked, "response");
      asked.end();
      // Written before the change is: the daemon reads what comes in order.
      await once(asked, "finish");
      const work = async (): Promise<MappingList> => {
        for (const one of added) await server.ilmDone(["add", one, "--json"]);
        const [response] = (await answered) as [NodeJS.ReadableStream];
        let text = "";
        for await (const part of response) text += String(part);
        return (JSON.parse(text) as { readonly result: MappingList }).result;
      };
      const { mappings } = (await dialUntil(work(), 6000)).result;
      const names = mappings.map(({ name }) => name);
      if (added.every((one) => names.includes(one.split("=", 1)[0] ?? ""))) {
        return mappings.map(({ name, rates }) => [
          name,
          rates && (rates.selectedPerSecond > 0 ? "some" : rates.selectedPerSecond),
        ]);
      }
      for (const one of added) await server.ilmDone(["remove", one.split("=", 1)[0] ?? ""]);
    }
    throw new Error("the changes came too late each time");
  };
  expect(await measured("tcp:6005=127.0.1.1:7000")).toEqual([
    ["shared", "some"],
    ["idle", 0],
    ["nobody", 0],
    ["tcp:6005", null],
  ]);
  expect(await measured("tcp:6006=127.0.1.1:7000", "tcp:6007=127.0.1.1:7000")).toEqual(
    ["idle", "shared", "nobody", "tcp:6005", "tcp:6006", "tcp:6007"].map((name) => [name, null]),
  );
});
