/**
 * How often each destination was selected: what `mappings` says is what the daemons got, whatever
 * hands connections and datagrams over, and it stays when rules and tables change.
 */
import { afterAll, afterEach, expect, test } from "vitest";
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
