// Goal: each command says what there is, as text and as JSON of its published shape, without root
// and without a kernel.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { add } from "../../../../src/cli/commands/add.js";
import { address as showAddress } from "../../../../src/cli/commands/address.js";
import { audit } from "../../../../src/cli/commands/audit.js";
import { explain } from "../../../../src/cli/commands/explain.js";
import { doctor } from "../../../../src/cli/commands/doctor.js";
import { flows } from "../../../../src/cli/commands/flows.js";
import { hosts } from "../../../../src/cli/commands/hosts.js";
import { listeners } from "../../../../src/cli/commands/listeners.js";
import { mappings } from "../../../../src/cli/commands/mappings.js";
import { confirm } from "../../../../src/cli/commands/confirm.js";
import { off } from "../../../../src/cli/commands/off.js";
import { on } from "../../../../src/cli/commands/on.js";
import { remove } from "../../../../src/cli/commands/remove.js";
import { status } from "../../../../src/cli/commands/status.js";
import { unload } from "../../../../src/cli/commands/unload.js";
import type { Context } from "../../../../src/cli/shell/context.js";
import { ExitStatus, IlmError } from "../../../../src/errors.js";
import { listener, packet } from "../fixtures.js";
import { address, mapping, activeRules, prefix, ruleSet } from "../../daemon/fixtures.js";
import { World } from "./world.js";

let world: World;

const web = mapping("web", { to: [{ address: address("127.0.1.10"), port: 8080 }] });
const near = mapping("near", {
  ports: [{ first: 443, last: 443 }],
  on: [prefix("203.0.113.1/32")],
  to: [{ address: address("127.0.1.11"), port: "same" }],
});
const nginx = {
  pid: 812,
  command: "nginx",
  identity: { uid: 33, gid: 33, unit: "0" },
  user: "www-data",
  cgroup: "/system.slice/nginx.service",
  canBindLowPorts: false,
};

beforeEach(() => {
  world = new World();
});

function load(): void {
  world.dataPlane.apply(activeRules(ruleSet(web), [near]));
}

function serveWeb(): void {
  const socket = listener("127.0.1.10", 8080, { cookie: "8080" });
  world.dataPlane.sockets = [socket];
  world.holders.set(socket.cookie, nginx);
}

describe("a limit", () => {
  const many = 30;

  test("of listeners shows the first, and how many more there are", async () => {
    load();
    world.dataPlane.sockets = Array.from({ length: many }, (_, index) =>
      listener("127.0.9.9", 9000 + index, { cookie: `${9000 + index}` }),
    );
    const limited = (context: Context) => listeners(context, { limit: "4" });
    const text = await world.text(limited);
    expect(text.match(/^tcp /gm)).toHaveLength(4);
    expect(text).toMatch(/\nand 26 more listeners: shown with a higher --limit\n$/);
    expect(await world.json("listeners", limited)).toHaveLength(4);
  });

  test("of findings shows the first, and how many more there are", async () => {
    load();
    world.dataPlane.sockets = Array.from({ length: many }, (_, index) =>
      listener("0.0.0.0", 9000 + index, { cookie: `${9000 + index}` }),
    );
    const { out } = await world.end(false, (context) => audit(context, { limit: "4" }));
    expect(out.match(/listens on every address/g)).toHaveLength(1);
    expect(out).toMatch(/\n {2}and 3 more like it: tcp /);
    expect(out).toMatch(/\n32 findings\nand 28 more findings: shown with a higher --limit\n$/);
  });

  test.each(["0", "all", "-1"])("has to be a number: %s", async (limit) => {
    load();
    const { err, status: ended } = await world.end(false, (context) =>
      listeners(context, { limit }),
    );
    expect(err).toContain(`--limit: "${limit}" is not a number of listeners`);
    expect(ended).toBe(ExitStatus.usage);
  });
});

describe("status", () => {
  test("of nothing says so", async () => {
    expect(await world.text(status)).toContain("nothing is loaded");
    expect(await world.json("status", status)).toMatchObject({ loaded: false, generation: null });
  });

  test("names the daemon that is running, and what it follows", async () => {
    load();
    const daemon = {
      pid: 7,
      version: "1.2.3",
      startedAt: "2026-01-02T03:04:05.000Z",
      following: "/etc/ilm/rules.yaml",
      followed: ["/etc/ilm/rules.yaml"],
      lastReload: null,
      reloads: { done: 1, failed: 0 },
    };
    world.daemon = { daemon, writer: null };
    expect(await world.text(status)).toMatch(/^daemon: +pid 7, follows \/etc\/ilm\/rules\.yaml$/m);
    expect(await world.json("status", status)).toMatchObject({ daemon: { pid: 7 }, notes: [] });
  });

  test("and doctor group warnings of a kind, with a count and the first names", async () => {
    const ports = Array.from({ length: 40 }, (_, index) => 8000 + index);
    const many = ports.map((port) =>
      mapping(`m${port}`, {
        ports: [{ first: port, last: port }],
        to: [{ address: address("127.0.1.10"), port }],
      }),
    );
    world.dataPlane.apply(activeRules(ruleSet(...many)));
    world.dataPlane.sockets = ports.map((port) => listener("0.0.0.0", port, { cookie: `${port}` }));
    const more = "and 39 more like it: m8001, m8002, m8003 and 36 more (--json has all)\n";
    const text = await world.text(status);
    expect(text.match(/^warning: the mapping m/gm)).toHaveLength(1);
    expect(text).toContain(more);
    const examined = await world.text(doctor);
    expect(examined.match(/wildcard-would-answer: the mapping m/g)).toHaveLength(1);
    expect(examined).toContain(more);
    const json = (await world.json("status", status)) as { warnings: { kind: string }[] };
    expect(json.warnings.filter(({ kind }) => kind === "wildcard-would-answer")).toHaveLength(40);
    const checks = (await world.json("doctor", doctor)) as { checks: { name: string }[] };
    expect(checks.checks.filter(({ name }) => name === "wildcard-would-answer")).toHaveLength(40);
  });

  test("warns of a mapping once, whatever the number of its addresses", async () => {
    const both = mapping("web", {
      to: ["127.0.1.10", "fd5e:ed00::10"].map((one) => ({ address: address(one), port: 80 })),
    });
    world.dataPlane.apply(activeRules(ruleSet(both)));
    world.dataPlane.sockets = [listener("::", 80, { cookie: "80" })];
    const text = await world.text(status);
    expect(text.match(/^warning: the mapping web leads to 127\.0\.1\.10:80/gm)).toHaveLength(1);
    expect(text).toMatch(/^ {2}the same of \[fd5e:ed00::10\]:80$/m);
    expect(text.match(/Let that daemon listen/g)).toHaveLength(1);
    const json = (await world.json("status", status)) as { warnings: { kind: string }[] };
    expect(json.warnings.filter(({ kind }) => kind === "wildcard-would-answer")).toHaveLength(2);
  });

  test("says that nobody follows the file, and who is about to change the rules", async () => {
    load();
    world.daemon = { daemon: null, writer: { pid: 7, command: "ilm apply" } };
    expect(await world.text(status)).toContain("\nnote: process 7 (ilm apply) is about to change");
    expect(await world.json("status", status)).toMatchObject({
      writer: { pid: 7 },
      notes: [expect.anything(), expect.stringContaining("/etc/ilm/rules.yaml are not followed")],
    });
  });

  test("warns of a daemon out of reach, and answers all the same", async () => {
    load();
    world.daemon = { daemon: null, writer: { pid: 7, command: "ilm run" } };
    expect(await world.text(status)).toMatch(/^daemon: +pid 7, not reachable\n[^]*kill 7/m);
    const remedy = "Restart it.";
    world.failures.set("askDaemon", new IlmError("DAEMON", "it does not answer", { remedy }));
    const text = await world.text(status);
    expect(text).toMatch(/^daemon: +does not answer$/m);
    expect(text).toContain(`warning: it does not answer\n  ${remedy}\n`);
    expect(await world.json("status", status)).toMatchObject({
      loaded: true,
      warnings: [{ kind: "daemon", message: "it does not answer", remedy }, {}],
    });
  });

  test("counts mappings of both kinds and those who listen for one", async () => {
    load();
    serveWeb();
    world.dataPlane.counted = { existing: 1, selected: 20, missed: 3, errors: 0 };
    const value = await world.json("status", status);
    expect(value).toMatchObject({
      loaded: true,
      mappings: 2,
      runtimeMappings: 1,
      listeners: 1,
      mappedListeners: 1,
      unserved: { count: 1, mappings: [{ name: "near", protocol: "tcp", owner: null }] },
      lookups: { existing: 2, selected: 40, missed: 6, errors: 0 },
    });
    expect(await world.text(status)).toMatch(/^state: +loaded\ngeneration: 1,/);
    // Since when is not known.
    expect(await world.text(status)).toMatch(/^health: +1 of 2 mappings has no listener: near$/m);
    world.dataPlane.silentSince = Date.now();
    expect(await world.text(status)).toMatch(
      /^health: +1 of 2 mappings has no listener: near \(none yet since [0-9]{2}:[0-9]{2}\)$/m,
    );
  });

  test("--check ends with status 1 when nothing is loaded, or a mapping has no listener", async () => {
    const check = (context: Context) => status(context, { check: true });
    expect((await world.end(false, check)).status).toBe(ExitStatus.failed);
    load();
    serveWeb();
    expect((await world.end(false, check)).status).toBe(ExitStatus.failed);
    expect((await world.end(false, status)).status).toBe(ExitStatus.done);
  });
});

describe("mappings", () => {
  test("of nothing is an empty list", async () => {
    expect(await world.json("mappings", (context) => mappings(context, {}, []))).toEqual([]);
  });

  test("shows who listens for each, or none", async () => {
    load();
    serveWeb();
    const all = await world.json("mappings", (context) => mappings(context, {}, []));
    expect(all).toMatchObject([
      { name: "web", runtime: false, to: [{ listening: true, listener: { pid: 812 } }] },
      { name: "near", runtime: true, to: [{ listening: false, listener: null }] },
    ]);
    const text = await world.text((context) => mappings(context, {}, ["web"]));
    expect(text).toContain("nginx");
    expect(text).not.toContain("near");
  });
});

test("mappings says what those are for that were named", async () => {
  world.dataPlane.apply(activeRules(ruleSet({ ...web, description: "the shop" }), []));
  const named = await world.text((context) => mappings(context, {}, ["web"]));
  expect(named).toMatch(/\n\nweb: the shop\n$/);
  expect(await world.text((context) => mappings(context, {}, []))).not.toContain("the shop");
});

test.each([
  [{ port: "0" }, "--port: ", "65535"],
  [{ to: "127.1" }, "--to: ", "octets"],
  [{ limit: "all" }, '--limit: "all"', "Write 20."],
])("mappings refuses a choice that is none: %j", async (options, what, right) => {
  load();
  const command = (context: Context): Promise<void> => mappings(context, options, []);
  const { err, status: ended } = await world.end(false, command);
  expect(err).toContain(what);
  expect(err).toContain(right);
  expect(ended).toBe(ExitStatus.usage);
});

test("mappings names a mapping that is not there", async () => {
  load();
  const command = (context: Context): Promise<void> => mappings(context, {}, ["wev"]);
  const { err, status: ended } = await world.end(false, command);
  expect(err).toMatch(/wev[^]*web/);
  expect(ended).toBe(ExitStatus.failed);
  expect(await world.failure(command)).toMatchObject({ error: { code: "NOT_FOUND" } });
});

test.each([
  ["listeners", (context: Context) => listeners(context, {})],
  ["flows", flows],
  ["audit", audit],
])("%s says why the data plane cannot be opened", async (_, command) => {
  const remedy = "Run as root.";
  world.failures.set("openDataPlane", new IlmError("NOT_PERMITTED", "this needs root", { remedy }));
  const { out, err, status: ended } = await world.end(false, command);
  expect([out, err, ended]).toEqual([
    "",
    `ilm: this needs root\n  ${remedy}\n`,
    ExitStatus.notPossible,
  ]);
  expect(await world.failure(command)).toMatchObject({ error: { code: "NOT_PERMITTED", remedy } });
});

test("listeners names the process, the unit and the mapping of each", async () => {
  load();
  serveWeb();
  const [only] = (await world.json("listeners", (context) => listeners(context, {}))) as object[];
  expect(only).toMatchObject({
    command: "nginx",
    unit: "nginx.service",
    cgroup: nginx.cgroup,
    mappings: ["web"],
  });
  expect(await world.text((context) => listeners(context, {}))).toMatch(
    /127\.0\.1\.10:8080.*nginx/,
  );
});

test("flows names the mapping by which each client came, the last first", async () => {
  const dns = mapping("dns", { protocol: "udp", ports: [{ first: 53, last: 53 }] });
  world.dataPlane.apply(activeRules(ruleSet(dns)));
  const flow = (port: number, idle_s: number): (typeof world.dataPlane.clients)[number] => ({
    client: { address: address("198.51.100.7"), port },
    dialled: { address: address("203.0.113.1"), port: 53 },
    daemon: { address: address("127.0.1.10"), port: 53 },
    idle_s,
  });
  world.dataPlane.clients = [flow(1, 9), flow(2, 3)];
  const value = await world.json("flows", flows);
  expect(value).toMatchObject([{ client: { port: 2 }, mapping: "dns" }, { client: { port: 1 } }]);
  expect(await world.text(flows)).toContain("198.51.100.7:2");
});

test("audit groups findings that are alike; JSON has all", async () => {
  const many = Array.from({ length: 40 }, (_, index) =>
    mapping(`m${8000 + index}`, {
      ports: [{ first: 8000 + index, last: 8000 + index }],
      to: [{ address: address("127.0.1.10"), port: 8000 + index }],
    }),
  );
  world.dataPlane.apply(activeRules(ruleSet(...many)));
  const unserved = (context: Context) => audit(context, { kind: ["mapping-unserved"] });
  const text = (await world.end(false, unserved)).out;
  expect(text).toMatch(/^mapping m8000\n.*\n.*\n {2}and 39 more like it: m8001, m8002, m8003 and/);
  expect(text).toMatch(/\n\n40 findings\n$/);
  expect(await world.json("audit", unserved)).toHaveLength(40);
});

test("audit finds who is on every address, and its status says so", async () => {
  const socket = listener("0.0.0.0", 80, { cookie: "80" });
  world.dataPlane.sockets = [socket];
  world.holders.set(socket.cookie, nginx);
  let result: unknown;
  const text = await world.text(async (context) => {
    result = await audit(context);
  });
  expect(result).toBe(ExitStatus.failed);
  expect(text).toContain("nginx (pid 812) on 0.0.0.0:80");
  expect(await world.json("audit", audit)).toMatchObject([{ kind: "wildcard", pid: 812 }]);
});

describe("a stranger at a service's address", () => {
  const owner = { unit: "nginx.service" };
  const service = {
    name: "web",
    addresses: [address("127.0.1.10")],
    owner,
    origin: { file: "rules.yaml", line: 3, column: 3 },
  };

  beforeEach(() => {
    world.dataPlane.apply(activeRules({ ...ruleSet(web), services: [service] }));
    serveWeb();
    world.dataPlane.strangers = world.dataPlane.sockets;
  });

  test("is found by audit, which names the process and whose the address is", async () => {
    const text = await world.text(async (context) => {
      expect(await audit(context)).toBe(ExitStatus.failed);
    });
    expect(text).toContain(
      "tcp nginx (pid 812) on 127.0.1.10:8080, user www-data, unit nginx.service\n",
    );
    expect(text).toContain("belongs to unit nginx.service: it is a stranger there");
    expect(text).toContain("service web\n  nobody serves it");
    expect(await world.json("audit", audit)).toMatchObject([
      { kind: "foreign-address", service: "web", mapping: "web", denied: false, pid: 812 },
      { kind: "service-unserved", service: "web", pid: null, address: null },
    ]);
  });

  test("is not what `--kind` does not ask for, and the status is that of the others", async () => {
    const kinds = (context: Context) => audit(context, { kind: ["wildcard", "refused"] });
    expect(await world.end(false, kinds)).toMatchObject({
      status: ExitStatus.done,
      out: "nothing found\n",
    });
  });

  test("makes the destination one that does not listen, with the reason and a remedy", async () => {
    expect(await world.json("mappings", (context) => mappings(context, {}, []))).toMatchObject([
      { to: [{ listening: false, listener: null, stranger: { pid: 812 } }] },
    ]);
    const text = await world.text((context) => mappings(context, {}, []));
    expect(text).toContain("none (but a stranger)");
    expect(text).toContain("web: nginx (pid 812) on 127.0.1.10:8080 is a stranger there");
    expect(await world.json("status", status)).toMatchObject({
      mappedListeners: 0,
      warnings: expect.arrayContaining([
        expect.objectContaining({ kind: "stranger-listens" }),
      ]) as unknown,
    });
    expect(await world.json("listeners", (context) => listeners(context, {}))).toMatchObject([
      { mappings: [], handover: "none" },
    ]);
  });
});

describe("what was refused", () => {
  const refusal = {
    reason: "mapped",
    protocol: "tcp",
    address: address("203.0.113.9"),
    port: 80,
    uid: 0,
    gid: 0,
    pid: 42,
    command: "python3",
    count: 3,
  } as const;

  test("within a day is a finding, with who tried first and the mapping; before that it is none", async () => {
    load();
    world.dataPlane.refused = [
      { ...refusal, lastAt: Date.now() - 60_000 },
      { ...refusal, port: 443, lastAt: Date.now() - 90_000_000 },
    ];
    const refused = (context: Context) => audit(context, { kind: ["refused"] });
    expect(await world.json("audit", refused)).toMatchObject([
      { reason: "mapped", count: 3, pid: 42, command: "python3", user: "root", mapping: "web" },
    ]);
    const { out } = await world.end(false, refused);
    expect(out).toContain("tcp 203.0.113.9:80\n  a bind was refused 3 times, last 60 s ago");
    expect(out).toContain("the first to try was python3 (pid 42, user root)");
    expect(out).toContain("`listeners` of mapping web");
  });

  test("as a reported bind is a finding of its own once the socket is gone", async () => {
    load();
    const at = { ...refusal, reason: "reported", address: address("0.0.0.0") } as const;
    world.dataPlane.refused = [{ ...at, lastAt: Date.now() }];
    const reported = (context: Context) => audit(context, { kind: ["reported"] });
    expect(await world.json("audit", reported)).toMatchObject([{ reason: "reported", port: 80 }]);
    world.dataPlane.sockets = [listener("0.0.0.0", 80)];
    expect(await world.json("audit", reported)).toEqual([]);
  });
});

describe("addresses of services", () => {
  const origin = { file: "rules.yaml", line: 3, column: 3 };
  const services = [
    { name: "web", addresses: [address("127.0.1.10"), address("fd5e:ed00::10")], origin },
    { name: "dns", addresses: [address("127.0.1.53")], origin },
  ];
  const ofAuto = ["127.99.174.42", "fd05:44e6:de7e:0:4f9f:9c6e:3a15:611"];
  const shown = (context: Context, ...names: string[]) => showAddress(context, {}, names);

  test("of the active rules are a table, and those of one are lines", async () => {
    world.dataPlane.apply(activeRules({ ...ruleSet(web), services }));
    expect(await world.text((context) => shown(context))).toBe(
      "SERVICE  ADDRESSES\nweb      127.0.1.10\n         fd5e:ed00::10\ndns      127.0.1.53\n",
    );
    expect(await world.text((context) => shown(context, "web"))).toBe(
      "127.0.1.10\nfd5e:ed00::10\n",
    );
    expect(await world.json("address", (context) => shown(context, "dns", "web"))).toEqual([
      { service: "dns", addresses: ["127.0.1.53"], defined: true },
      { service: "web", addresses: ["127.0.1.10", "fd5e:ed00::10"], defined: true },
    ]);
  });

  test("of a name that nothing has are those that auto would give, and it says so", async () => {
    const said = await world.say(false, (context) => shown(context, "new"));
    expect(said.out.split("\n").slice(0, -1)).toEqual(ofAuto);
    expect(said.err).toContain("there is no service new");
    expect(await world.json("address", (context) => shown(context, "new"))).toEqual([
      { service: "new", addresses: ofAuto, defined: false },
    ]);
  });

  test("are out of the prefix of the active rules", async () => {
    world.machineId = null;
    const ula = prefix("fd5e:ed00:1::/48");
    world.dataPlane.apply(activeRules({ ...ruleSet(web), services, ula }));
    const text = await world.text((context) => shown(context, "new"));
    expect(text.split("\n")[1]).toBe(ofAuto[1]?.replace("fd05:44e6:de7e", "fd5e:ed00:1"));
  });

  test("are an error without a machine id, or for what is no name", async () => {
    world.machineId = null;
    await expect(world.text((context) => shown(context, "new"))).rejects.toMatchObject({
      code: "NOT_FOUND",
      remedy: expect.stringContaining("`ula:`") as string,
    });
    await expect(world.text((context) => shown(context, "127.0.0.1"))).rejects.toMatchObject({
      code: "USAGE",
    });
  });

  test("are those of the file that is given, and none without rules", async () => {
    const folder = mkdtempSync(join(tmpdir(), "ilm-address-"));
    try {
      const file = join(folder, "a.yaml");
      const ula = 'ula: "fd5e:ed00:1::/48"';
      writeFileSync(file, `version: 1\n${ula}\nservices:\n  new: { address: auto }\n`);
      const ofFile = (context: Context) => showAddress(context, { file: [file] }, ["new"]);
      expect(await world.json("address", ofFile)).toMatchObject([
        { addresses: [ofAuto[0], expect.stringMatching(/^fd5e:ed00:1:/)], defined: true },
      ]);
      expect(await world.text((context) => hosts(context, { file: [file] }))).toContain(
        `# Addresses of services, from ${file} (ilm hosts)\n`,
      );
    } finally {
      rmSync(folder, { recursive: true });
    }
    expect(await world.text((context) => shown(context))).toBe("no services\n");
    expect(await world.json("hosts", (context) => hosts(context, {}))).toEqual([]);
  });

  test("are lines of /etc/hosts", async () => {
    world.dataPlane.apply(activeRules({ ...ruleSet(web), services }));
    expect(await world.text((context) => hosts(context, {}))).toBe(
      [
        "# Addresses of services, from the active rules (ilm hosts)",
        "127.0.1.10    web",
        "fd5e:ed00::10 web",
        "127.0.1.53    dns",
        "",
      ].join("\n"),
    );
    expect(await world.json("hosts", (context) => hosts(context, {}))).toEqual([
      { address: "127.0.1.10", name: "web" },
      { address: "fd5e:ed00::10", name: "web" },
      { address: "127.0.1.53", name: "dns" },
    ]);
  });
});

test("explain tells the mapping and the listener that the program would select", async () => {
  load();
  serveWeb();
  world.dataPlane.explanation = {
    verdict: "selected",
    packet: packet("203.0.113.1", 80),
    mapping: 0,
    matchedBy: "default",
    strangers: false,
    destination: 0,
    attempts: [{ destination: 0, outcome: "selected" }],
    generation: 1,
    cookie: "8080",
  };
  const ask = (context: Context): Promise<ExitStatus> =>
    explain(context, "tcp", "203.0.113.1:80", { from: "198.51.100.7:40000" });
  expect(await world.json("explain", ask)).toMatchObject({
    mapping: "web",
    destination: { address: "127.0.1.10", port: 8080 },
    listener: { pid: 812 },
  });
  expect(await world.text(ask)).toContain("the mapping web");
});

describe("explain", () => {
  type Ask = Parameters<typeof explain>;
  const asking =
    (
      protocol: Ask[1],
      local: Ask[2],
      options: Ask[3] = {},
    ): ((context: Context) => Promise<ExitStatus>) =>
    (context) =>
      explain(context, protocol, local, options);

  test("names what is in the way of the packet", async () => {
    load();
    world.dataPlane.explanation = {
      verdict: "missed",
      packet: packet("203.0.113.1", 80),
      mapping: 0,
      matchedBy: "default",
      strangers: false,
      destination: null,
      attempts: [{ destination: 0, outcome: "absent" }],
      generation: 1,
      cookie: null,
    };
    world.places = {
      ...world.places,
      own: [],
      routeOf: () => ({ type: "none", interfaceIndex: null }),
    };
    const ask = asking("tcp", "203.0.113.1:80");
    expect(await world.json("explain", ask)).toMatchObject({
      verdict: "blocked",
      decision: "missed",
      obstacles: [{ kind: "route", sure: true }],
    });
    expect(await world.text(ask)).toContain("ip route add local 203.0.113.1/32 dev lo");
  });

  test("of nothing says how to load rules", async () => {
    const { err, status: ended } = await world.end(false, asking("tcp", "203.0.113.1:80"));
    expect(err).toMatch(/nothing is loaded .*\n.*ilm apply -f FILE/);
    expect(ended).toBe(ExitStatus.failed);
  });

  test.each([
    [asking("sctp", "203.0.113.1:80"), '"sctp" is not a protocol', "tcp or udp"],
    [asking("tcp", "203.0.113.1"), "the address dialled: ", "203.0.113.1:"],
    [asking("tcp", "203.0.113.1:0"), "the address dialled: ", "1 to 65535"],
    [asking("tcp", "224.0.0.1:80"), "the address dialled: ", "203.0.113.5:443"],
    [asking("tcp", "203.0.113.1:80", { from: "[2001:db8::1]:5" }), "differ in family", "two IPv4"],
    [asking("tcp", "203.0.113.1:80", { from: "client" }), '--from: "client"', "203.0.113.5:443"],
  ])("refuses what is no packet, and says what would be one: %#", async (ask, what, right) => {
    load();
    const { err, status: ended } = await world.end(false, ask);
    expect(err).toContain(what);
    expect(err).toContain(right);
    expect(ended).toBe(ExitStatus.usage);
    expect(await world.failure(ask)).toMatchObject({ error: { code: "USAGE" } });
  });

  test("of an interface that is not there names those that are", async () => {
    load();
    const ask = asking("tcp", "203.0.113.1:80", { interface: "eth7" });
    const { err, status: ended } = await world.end(false, ask);
    expect(err).toBe('ilm: there is no interface named "eth7"\n  There are: lo, eth0.\n');
    expect(ended).toBe(ExitStatus.failed);
  });
});

describe("add and remove", () => {
  test.each([
    ["tcp:9000-127.0.1.10", ExitStatus.configuration, "CONFIGURATION"],
    ["tcp:9000=nobody", ExitStatus.configuration, "CONFIGURATION"],
  ])("of a mapping that is none ask for nothing: %s", async (text, ended, code) => {
    load();
    const plus = (context: Context): Promise<void> => add(context, {}, [text]);
    const { err, status: got } = await world.end(false, plus);
    expect(err).toContain("<argument>");
    expect(got).toBe(ended);
    expect(await world.failure(plus)).toMatchObject({ error: { code } });
    expect(world.asked).toEqual([]);
  });

  test("of a name that was not added change nothing, and say where the mapping is", async () => {
    load();
    const minus = (context: Context): Promise<void> => remove(context, {}, ["web"]);
    const { err, status: ended } = await world.end(false, minus);
    expect(err).toContain("web");
    expect(err).toContain("rules.yaml");
    expect(ended).toBe(ExitStatus.failed);
    expect(await world.failure(minus)).toMatchObject({ error: { code: "NOT_FOUND" } });
    expect(world.dataPlane.active()?.generation).toBe(1);
  });

  test("ask for just that change, and say what became of it", async () => {
    load();
    const plus = (context: Context): Promise<void> =>
      add(context, {}, ["tcp:9000=127.0.1.10:8080"]);
    expect(await world.json("add", plus)).toMatchObject({
      generation: 2,
      changed: true,
      by: "command",
      added: [{ name: "tcp:9000", runtime: true }],
    });
    expect(world.asked).toMatchObject([{ kind: "add", replace: false }]);
    const minus = (context: Context): Promise<void> =>
      remove(context, {}, ["tcp:9000=127.0.1.10:8080"]);
    expect(await world.json("remove", minus)).toMatchObject({ removed: ["tcp:9000"] });
  });

  test("with --dry-run change nothing", async () => {
    load();
    const text = await world.text((context) =>
      add(context, { dryRun: true }, ["tcp:9000=127.0.1.10:8080"]),
    );
    expect(text).toContain("tcp:9000");
    expect(world.asked).toEqual([]);
    expect(world.dataPlane.active()?.generation).toBe(1);
  });
});

describe("a change that waits for its confirmation", () => {
  const waiting = async (): Promise<string> => {
    load();
    return await world.text((context) =>
      add(context, { confirm: "60" }, ["tcp:9000=127.0.1.10:8080"]),
    );
  };

  test("says until when it decides; status shows it, and confirm keeps it", async () => {
    expect(await waiting()).toMatch(
      /decides until 2026-01-0\d \d\d:05:05 .*, and then generation 1 again: `ilm confirm` keeps it/,
    );
    expect(world.asked).toMatchObject([{ kind: "add", confirmSeconds: 60 }]);
    expect(await world.text(async (context) => void (await status(context)))).toMatch(
      /^pending: +it decides until 2026/m,
    );
    expect(await world.json("confirm", (context) => confirm(context, {}))).toMatchObject({
      confirmed: true,
      generation: 2,
    });
    expect(world.dataPlane.active()?.pending).toBeNull();
    expect(await world.failure((context) => confirm(context, {}))).toMatchObject({
      error: { code: "NOT_FOUND" },
    });
  });

  test("is taken back by confirm --back", async () => {
    await waiting();
    expect(await world.text((context) => confirm(context, { back: true }))).toBe(
      "taken back: generation 1 is active: 2 mappings\n",
    );
    expect(world.dataPlane.active()?.generation).toBe(1);
    expect(await world.failure((context) => confirm(context, { back: true }))).toMatchObject({
      error: { code: "NOT_FOUND" },
    });
  });

  test("may have a unit, and one that changes nothing is told to be no such change", async () => {
    load();
    const task =
      (confirm: string) =>
      (context: Context): Promise<void> =>
        add(context, { confirm }, ["tcp:9000=127.0.1.10:8080"]);
    await world.text(task("10m"));
    expect(world.asked).toMatchObject([{ kind: "add", confirmSeconds: 600 }]);
    await world.text((context) => confirm(context, {}));
    const { err } = await world.say(false, task("1.5h"));
    expect(err).toContain("warning: these rules were active already: nothing waits");
  });

  test("keeps others from being made", async () => {
    await waiting();
    const other = (context: Context): Promise<void> => remove(context, {}, ["tcp:9000"]);
    expect(await world.failure(other)).toMatchObject({ error: { code: "PENDING" } });
  });

  test.each(["0", "0.5", "86401", "soon", "-1", ""])("%j is no time to wait", async (confirm) => {
    load();
    const task = (context: Context): Promise<void> =>
      add(context, { confirm }, ["tcp:1=127.0.1.1"]);
    expect(await world.failure(task)).toMatchObject({ error: { code: "USAGE" } });
    expect(world.asked).toEqual([]);
  });
});

describe("off, on and unload", () => {
  test("say what was done, and what was so already", async () => {
    load();
    expect(await world.text((context) => off(context, {}))).toMatch(
      /^off: mappings have no effect/,
    );
    expect(await world.json("off", (context) => off(context, {}))).toMatchObject({
      off: true,
      changed: false,
      generation: 1,
    });
    expect(await world.text((context) => off(context, {}))).toBe("ilm is already off\n");
    expect(await world.json("on", (context) => on(context, {}))).toMatchObject({
      off: false,
      changed: true,
    });
    expect(await world.json("unload", (context) => unload(context, {}))).toMatchObject({
      unloaded: true,
    });
    expect(await world.text((context) => unload(context, {}))).toBe("nothing was loaded\n");
  });

  test.each([
    ["off", off],
    ["on", on],
    ["unload", unload],
  ])("%s gives up when another writer does not end", async (_, command) => {
    load();
    world.failures.set("performChange", new IlmError("LOCKED", "process 7 writes"));
    const task = (context: Context): Promise<void> => command(context, {});
    const { out, err, status: ended } = await world.end(false, task);
    expect([out, err, ended]).toEqual(["", "ilm: process 7 writes\n", ExitStatus.notPossible]);
    expect(await world.failure(task)).toMatchObject({ error: { code: "LOCKED" } });
  });

  test("say that the daemon ended with what it had", async () => {
    load();
    world.by = "daemon";
    expect(await world.text((context) => unload(context, {}))).toContain("the daemon ended");
  });
});
