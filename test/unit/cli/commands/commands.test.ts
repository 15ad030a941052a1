// Goal: each command says what there is, as text and as JSON of its published shape, without root
// and without a kernel.
import { beforeEach, describe, expect, test } from "vitest";
import { add } from "../../../../src/cli/commands/add.js";
import { audit } from "../../../../src/cli/commands/audit.js";
import { explain } from "../../../../src/cli/commands/explain.js";
import { flows } from "../../../../src/cli/commands/flows.js";
import { listeners } from "../../../../src/cli/commands/listeners.js";
import { mappings } from "../../../../src/cli/commands/mappings.js";
import { off } from "../../../../src/cli/commands/off.js";
import { on } from "../../../../src/cli/commands/on.js";
import { remove } from "../../../../src/cli/commands/remove.js";
import { status } from "../../../../src/cli/commands/status.js";
import { unload } from "../../../../src/cli/commands/unload.js";
import { ExitStatus } from "../../../../src/errors.js";
import { listener, packet } from "../fixtures.js";
import { address, mapping, prefix, ruleSet, rules } from "../../daemon/fixtures.js";
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
  uid: 33,
  user: "www-data",
  cgroup: "/system.slice/nginx.service",
};

beforeEach(() => {
  world = new World();
});

function load(): void {
  world.dataPlane.apply(rules(ruleSet(web), [near]));
}

function serveWeb(): void {
  const socket = listener("127.0.1.10", 8080, { cookie: "8080" });
  world.dataPlane.sockets = [socket];
  world.owners.set(socket.cookie, nginx);
}

describe("status", () => {
  test("of nothing says so", async () => {
    expect(await world.text(status)).toContain("nothing is loaded");
    expect(await world.json("status", status)).toMatchObject({ loaded: false, generation: null });
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
      lookups: { existing: 2, selected: 40, missed: 6, errors: 0 },
    });
    expect(await world.text(status)).toMatch(/^state: +loaded\ngeneration: 1,/);
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
  world.dataPlane.apply(rules(ruleSet(dns)));
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

test("audit finds who is on every address, and its status says so", async () => {
  const socket = listener("0.0.0.0", 80, { cookie: "80" });
  world.dataPlane.sockets = [socket];
  world.owners.set(socket.cookie, nginx);
  let result: unknown;
  const text = await world.text(async (context) => {
    result = await audit(context);
  });
  expect(result).toBe(ExitStatus.failed);
  expect(text).toContain("nginx (pid 812) on 0.0.0.0:80");
  expect(await world.json("audit", audit)).toMatchObject([{ kind: "wildcard", pid: 812 }]);
});

test("explain tells the mapping and the listener that the program would select", async () => {
  load();
  serveWeb();
  world.dataPlane.explanation = {
    verdict: "selected",
    packet: packet("203.0.113.1", 80),
    mapping: 0,
    matchedBy: "default",
    destination: 0,
    attempts: [{ destination: 0, outcome: "selected" }],
    generation: 1,
    cookie: "8080",
  };
  const ask = (context: Parameters<typeof explain>[0]): Promise<unknown> =>
    explain(context, "tcp", "203.0.113.1:80", { from: "198.51.100.7:40000" });
  expect(await world.json("explain", ask)).toMatchObject({
    mapping: "web",
    destination: { address: "127.0.1.10", port: 8080 },
    listener: { pid: 812 },
  });
  expect(await world.text(ask)).toContain("the mapping web");
});

describe("add and remove", () => {
  test("ask for just that change, and say what became of it", async () => {
    load();
    const plus = (context: Parameters<typeof add>[0]): Promise<void> =>
      add(context, {}, ["tcp:9000=127.0.1.10:8080"]);
    expect(await world.json("add", plus)).toMatchObject({
      generation: 2,
      changed: true,
      by: "command",
      added: [{ name: "tcp:9000", runtime: true }],
    });
    expect(world.asked).toMatchObject([{ kind: "add", replace: false }]);
    const minus = (context: Parameters<typeof remove>[0]): Promise<void> =>
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

describe("off, on and unload", () => {
  test("say what was done, and what was so already", async () => {
    load();
    expect(await world.text((context) => off(context, {}))).toMatch(
      /^off: mappings have no effect/,
    );
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

  test("say that the daemon ended with what it had", async () => {
    load();
    world.by = "daemon";
    expect(await world.text((context) => unload(context, {}))).toContain("the daemon ended");
  });
});
