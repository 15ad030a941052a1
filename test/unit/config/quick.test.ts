// Goal: documents that are right are read without the validator, and mean what the validator would
// have made of them.
import { expect, test } from "vitest";
import { readQuickEntry, readQuickly } from "../../../src/config/quick.js";
import { configuration, mappingEntry } from "../../../src/config/schema.js";
import { random } from "../../support/random.js";

test("of a mapping the quick reader takes what the schema takes, and makes the same of it", () => {
  const source = random();
  const values: Readonly<Record<string, readonly unknown[]>> = {
    name: ["a", "web-1", "", "x".repeat(300), "a b", 1, null],
    protocol: ["tcp", "udp", "sctp", ["tcp"], ["tcp", "udp"]],
    port: [80, 0, 65536, "80-90", "90-80", "*", [80, "90-92"], [], "x", 1.5, null, ["80", 80]],
    on: ["203.0.113.1", "203.0.113.0/24", "203.0.113.1/24", "::/0", ["10.0.0.0/8"], [], "eth0", 5],
    from: ["198.51.100.0/24", "2001:db8::/32", "198.51.100.1/24", []],
    interface: ["eth0", "a/b", "x".repeat(16), ["eth0", "eth1"], []],
    to: [
      "127.0.1.1",
      "127.0.1.1:80",
      "[::1]:80",
      "*:22",
      "web",
      "web:0",
      ["127.0.1.1", "web"],
      [],
      "300.1.1.1",
      { address: "127.0.1.1", weight: 2 },
      "none",
      "none:80",
      { address: "none", weight: 1 },
      [{ address: "web", weight: 0 }],
      [{ address: "web:80", weight: 10 }, "127.0.1.1"],
      { address: "web", weight: 1, port: 80 },
      { address: "web" },
      { address: { address: "web", weight: 1 }, weight: 1 },
      { address: "web", weight: 1.5 },
    ],
    existing: ["exact", "any", "never", "maybe"],
    miss: ["pass", "reject", true],
    handover: ["auto", "lookup", "ingress", "none", ["auto"]],
    listeners: [
      "anyone",
      { unit: "nginx" },
      { user: "www-data", group: 33 },
      [{ user: 0 }, { unit: "a@b.service" }],
      "nobody",
      {},
      [],
      ["anyone"],
      { unit: "nginx.slice" },
      { user: -1 },
      { user: 2 ** 32 - 1 },
      { uid: 1 },
    ],
    description: ["the shop", "", " ", "two\nlines", "\u001b[31m", "x".repeat(201), 7],
    other: [1],
  };
  let taken = 0;
  for (let round = 0; round < 20_000; round += 1) {
    const entry = Object.fromEntries(
      Object.entries(values)
        .filter(([key]) => (key === "port" || key === "to" ? !source.oneIn(20) : source.oneIn(4)))
        .filter(([key]) => key !== "other" || source.oneIn(10))
        .map(([key, choices]) => [key, source.pick(choices)]),
    );
    const quick = readQuickEntry(entry);
    if (quick !== null) taken += 1;
    const story = `ILM_SEED=${source.seed}: ${JSON.stringify(entry)}`;
    expect(quick, story).toEqual(mappingEntry.safeParse(entry).data ?? null);
  }
  expect(taken).toBeGreaterThan(500);
});

test("of a document the quick reader takes what the schema takes, and makes the same of it", () => {
  const source = random();
  const entry = { port: 80, to: "web" };
  const values: Readonly<Record<string, readonly unknown[]>> = {
    $schema: ["https://example.org/schema.json", 1, null],
    version: [1, 1, 1, 1, 1, 1, 2, "1", null],
    engine: ["auto", "kfunc", "registry", "fast", null],
    mptcp: ["on", "off", true],
    strangers: ["refuse", "report", "allow", "deny"],
    wildcard: [
      "allow",
      "deny",
      { default: "report" },
      { units: { nginx: "deny" }, users: { 33: "allow", "www-data": "report" } },
      "rewrite",
      {},
      { units: {} },
      { units: { nginx: "deny", "nginx.service": "deny" } },
      { users: { "a b": "deny" } },
      { groups: { adm: "deny" } },
    ],
    ula: ["fd5e:ed00:1::/48", "fd5e:ed00:1::/64", "fc00::/48", 1],
    services: [
      { web: { address: "127.0.1.10" } },
      { web: { address: ["127.0.1.10", "fd5e:ed00::10"], handover: "ingress" } },
      { web: { address: "127.0.1.10", originate: true }, 7: { address: "127.0.1.7" } },
      {},
      { web: { address: "127.0.1.10", originate: false } },
      { web: { address: [] } },
      { web: { address: "8.8.8.8" } },
      { web: {} },
      { web: null },
      { web: { address: "127.0.1.10", user: "www-data" } },
      { web: { address: "auto", unit: "nginx", user: "1000", group: 4, mptcp: "off" } },
      { web: { address: ["auto", "fd5e:ed00::10"], user: 0, wildcard: "deny" } },
      { web: { address: "127.0.1.10", user: 1.5 } },
      { web: { address: "127.0.1.10", user: "a b" } },
      { web: { address: "127.0.1.10", unit: "nginx.socket" } },
      { web: { address: "127.0.1.10", mptcp: "on" } },
      { web: { address: "127.0.1.10", user: "www-data", wildcard: "rewrite" } },
      { web: { address: "127.0.1.10", publish: 443 } },
      { web: { address: "127.0.1.10", publish: [80, "443/udp", "8000-8099"], on: "203.0.113.7" } },
      { web: { address: "127.0.1.10", publish: { 80: 8080, "53/udp": 53 }, on: ["::/0"] } },
      { web: { address: "127.0.1.10", publish: [] } },
      { web: { address: "127.0.1.10", publish: {} } },
      { web: { address: "127.0.1.10", publish: { 80: "8080" } } },
      { web: { address: "127.0.1.10", publish: { http: 8080 } } },
      { web: { address: "127.0.1.10", publish: ["80/sctp"] } },
      { web: { address: "127.0.1.10", publish: 0.5 } },
      { web: { address: "127.0.1.10", publish: 80, on: "eth0" } },
      { web: { address: "127.0.1.10", on: "203.0.113.7" } },
      { "a b": { address: "127.0.1.10" } },
      { "10.0.0.1": { address: "127.0.1.10" } },
      [{ address: "127.0.1.10" }],
      null,
    ],
    mappings: [[], [entry], [entry, entry], [entry, { port: 80 }], entry, null, ["tcp:80=web"]],
    other: [1],
  };
  let taken = 0;
  for (let round = 0; round < 20_000; round += 1) {
    const document = Object.fromEntries(
      Object.entries(values)
        .filter(([key]) => (key === "version" ? !source.oneIn(20) : source.oneIn(3)))
        .filter(([key]) => key !== "other" || source.oneIn(10))
        .map(([key, choices]) => [key, source.pick(choices)]),
    );
    const quick = readQuickly(document);
    const { data } = configuration.safeParse(document);
    const story = `ILM_SEED=${source.seed}: ${JSON.stringify(document)}`;
    if (data === undefined || (data.services === undefined && data.mappings === undefined)) {
      expect(quick, story).toBeNull();
      continue;
    }
    taken += 1;
    const { $schema: _, version: __, services, mappings, ...settings } = data;
    expect(quick, story).toEqual({
      services: Object.entries(services ?? {}),
      mappings: mappings ?? [],
      settings,
    });
  }
  expect(taken).toBeGreaterThan(500);
});
