/**
 * Which mappings have a listener: `status`, `mappings --down`, `wait`, the metrics and the API tell
 * the same, as daemons come and go.
 */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { MappingsJson } from "../../src/json/mappings.js";
import { protocolOf, useLab, type Kind, type Lab } from "../support/lab.js";
import { addressesOf, families, type Family } from "../support/matrix.js";
import { useNetwork } from "../support/network.js";
import { eventually } from "../support/process.js";

const network = useNetwork();
let lab: Lab;
useLab(network, (one) => {
  lab = one;
});
const rules = `version: 1
services:
  web: { address: [127.0.1.10, "fd5e:ed00::10"], unit: nginx.service, publish: { 6000: 7000 } }
mappings:
  - { name: names, protocol: [tcp, udp], port: 53, to: "127.0.1.53:5353" }
  - { name: spare, port: 6001, to: ["127.0.1.20:7001", "127.0.1.21:7001"] }
`;

const web = "tcp:6000";
const aTime = expect.stringMatching(/^20[0-9T:.-]+Z$/) as unknown;

async function down(...more: readonly string[]): Promise<readonly string[]> {
  const { stdout } = await network.server.ask(["mappings", "--down", "--names", ...more]);
  return stdout.split("\n").filter(Boolean);
}

/** What `status` says of health, in its lines. */
async function health(): Promise<string> {
  const { stdout } = await network.server.ask(["status"]);
  const [, text = ""] = /^health: +([^]*?)\n(?! {12})/m.exec(stdout) ?? [];
  return withoutTimes(text).replaceAll(/\n +/g, "\n");
}

/** Leaves out since when there was no listener yet. */
function withoutTimes(text: string): string {
  return text.replaceAll(/(none yet) since (?:[0-9]+-[0-9]+-[0-9]+ )?[0-9]+:[0-9]+/g, "$1");
}

async function check(): Promise<number | null> {
  return (await network.server.ask(["status", "--check"])).status;
}

beforeEach(async () => {
  await network.server.apply(rules);
});

afterEach(async () => {
  await network.server.reset();
});

test("a mapping is down until one of its destinations has a listener, of its own protocol", async () => {
  const { server } = network;
  expect(await down()).toEqual([web, "names", "names", "spare"]);
  expect(await health()).toBe(
    `4 of 4 mappings have no listener: ${web} (unit nginx.service, none yet), ` +
      "names tcp (none yet), names udp (none yet), spare (none yet)",
  );
  expect(await check()).toBe(1);
  const spare = await server.echo("spare", [["tcp", "127.0.1.21", 7001]]);
  await server.echo("names", [["udp", "127.0.1.53", 5353]]);
  expect(await down()).toEqual([web, "names"]);
  expect(await down("--protocol", "udp")).toEqual([]);
  await server.echo("names over tcp", [["tcp", "127.0.1.53", 5353]]);
  expect(await health()).toBe(
    `1 of 4 mappings has no listener: ${web} (unit nginx.service, none yet)\n` +
      "degraded: spare: 1 of 2 destinations is down: 127.0.1.20:7001 (none yet)",
  );
  await spare.stop();
  expect(await down()).toEqual([web, "spare"]);
  expect((await server.ask(["status", "--json"])).json()).toMatchObject({
    unserved: {
      count: 2,
      mappings: [
        { name: web, owner: "unit nginx.service", ended: null, neverSince: aTime },
        { name: "spare", owner: null, ended: { user: "root", unit: null }, neverSince: null },
      ],
    },
  });
});

test("a stranger at the destination does not serve it", async () => {
  const { server } = network;
  // Once the address is known to be nginx's, nobody else may bind it.
  await server.unload();
  await server.echo("stranger", [["tcp", "127.0.1.10", 7000]]);
  await server.ilmDone(["apply", "-f", server.file(rules)]);
  expect(await down()).toContain(web);
  expect(await health()).toContain(`${web} (unit nginx.service, none yet)`);
});

test("a listener that was there before the destination is one that was seen", async () => {
  const { server } = network;
  // On a mapped port, so that the programs know it already.
  const early = await server.echo("early", [["tcp", "127.0.1.30", 6001]]);
  await server.ilmDone(["add", "tcp:7777=127.0.1.30:6001", "tcp:7776=127.0.1.31:6001"]);
  await early.stop();
  const rows = (await server.askDone(["mappings", "--added", "--json"])).json() as MappingsJson;
  expect(rows.map(({ to }) => to[0])).toMatchObject([
    { ended: { user: "root" }, neverSince: null },
    { ended: null, neverSince: aTime },
  ]);
  // What is added again begins again, as far as ends are not known.
  const [, before] = rows.map(({ to }) => to[0]?.neverSince ?? "");
  await server.ilmDone(["remove", "tcp:7776"]);
  await server.ilmDone(["add", "tcp:7776=127.0.1.31:6001"]);
  const [again] = (await server.askDone(["mappings", "tcp:7776", "--json"])).json() as MappingsJson;
  expect(Date.parse(again?.to[0]?.neverSince ?? "")).toBeGreaterThan(Date.parse(before ?? ""));
});

/** A daemon's listeners of every kind, which `both` leads to. */
const kinds: readonly Kind[] = ["tcp", "mptcp", "udp"];
const cells = kinds.flatMap((kind) => families.map((family) => ({ kind, family })));

function rulesOf(kind: Kind, family: Family): string {
  return `version: 1
mappings:
  - { name: app, protocol: ${protocolOf(kind)}, port: 6000, to: "${addressesOf[family].daemon}" }
services: { app: { address: "${addressesOf[family].daemon}" } }
`;
}

const ROUNDING_MS = 5;

/** When the mapping's last listener ended, as `status`, `mappings` and the API tell it. */
async function ended(): Promise<number> {
  const { server } = network;
  const { unserved } = await server.status();
  const [row] = await server.mappings();
  const [one, other] = [unserved?.mappings[0]?.ended, row?.to[0]?.ended];
  for (const end of [one, other]) expect(end).toMatchObject({ user: "root", unit: null });
  const [at, same] = [Date.parse(one?.at ?? ""), Date.parse(other?.at ?? "")];
  // Clocks are compared at each command, and their difference is rounded.
  expect(Math.abs(at - same)).toBeLessThanOrEqual(ROUNDING_MS);
  return at;
}

/** Since when the mapping has had no listener yet; null when it has had one, or has one. */
async function neverSince(): Promise<number | null> {
  const { server } = network;
  const { unserved } = await server.status();
  const [row] = await server.mappings();
  const [one = null, other = null] = [unserved?.mappings[0]?.neverSince, row?.to[0]?.neverSince];
  if (one === null || other === null) {
    expect([one, other]).toEqual([null, null]);
    return null;
  }
  const [since, same] = [Date.parse(one), Date.parse(other)];
  expect(Math.abs(since - same)).toBeLessThanOrEqual(ROUNDING_MS);
  return since;
}

test.each(cells)(
  "a listener's end is known, and a handover is none: $kind over IPv$family",
  async ({ kind, family }) => {
    const { server } = network;
    const { daemon, public: dialled } = addressesOf[family];
    const address = family === 4 ? dialled : `[${dialled}]`;
    const explained = async (): Promise<string> =>
      (await server.ask(["explain", protocolOf(kind), `${address}:6000`])).stdout;
    const began = Date.now();
    await server.apply(rulesOf(kind, family));
    const since = (await neverSince()) ?? 0;
    expect(since).toBeGreaterThanOrEqual(began - ROUNDING_MS);
    expect(since).toBeLessThanOrEqual(Date.now() + ROUNDING_MS);
    expect(await health()).toBe("1 of 1 mapping has no listener: app (none yet)");
    expect((await server.ask(["mappings"])).stdout).toMatch(/ none yet /);
    expect(await explained()).toMatch(/: nothing listens, none yet since [0-9]/);
    const options = { options: ["reuseport"] } as const;
    await lab.open("old", kind, daemon, 6000, options);
    const first = (await server.mappings())[0]?.to[0]?.listener?.since ?? null;
    const opened = Date.parse(first ?? "");
    expect(Math.abs(Date.now() - opened)).toBeLessThan(60_000);
    await lab.open("new", kind, daemon, 6000, options);
    await lab.do("close", "old");
    expect(await down()).toEqual([]);
    // There was no gap.
    const [after] = (await server.mappings())[0]?.to ?? [];
    expect(after?.ended).toBeNull();
    expect(Math.abs(Date.parse(after?.listener?.since ?? "") - opened)).toBeLessThanOrEqual(
      ROUNDING_MS,
    );
    await lab.do("close", "new");
    const end = await ended();
    expect(end).toBeGreaterThan(opened);
    expect(await health()).toMatch(
      /^1 of 1 mapping has no listener: app \(user root, ended [0-9: -]+\)$/,
    );
    expect((await server.ask(["mappings"])).stdout).toMatch(/ none since [0-9]/);
    expect(await explained()).toMatch(/: nothing listens, ended [0-9]/);
    expect(await neverSince()).toBeNull();
    const page = (await server.ask(["metrics"])).stdout;
    for (const what of ["mapping", "destination"]) {
      const [, told] =
        new RegExp(`^ilm_${what}_down_since_timestamp_seconds{.*} ([0-9]+)$`, "m").exec(page) ?? [];
      expect(Math.abs(Number(told) * 1000 - end)).toBeLessThanOrEqual(500 + ROUNDING_MS);
    }
    // Other rules leave it as it is, and so does another daemon that comes and goes elsewhere.
    await server.ilmDone(["add", "tcp:6001=127.0.1.9:80"]);
    expect(Math.abs((await ended()) - end)).toBeLessThanOrEqual(ROUNDING_MS);
    await lab.open("again", kind, daemon, 6000);
    expect(await down("--protocol", protocolOf(kind))).toEqual(kind === "udp" ? [] : ["tcp:6001"]);
    await lab.do("close", "again");
    expect(await ended()).toBeGreaterThan(end);
  },
);

const fill = `
import socket, sys, time
kind, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
family = socket.AF_INET6 if ":" in address else socket.AF_INET
kept = []
if kind == "udp":
    sock = socket.socket(family, socket.SOCK_DGRAM)
    for _ in range(1000):
        sock.sendto(bytes(1000), (address, port))
for _ in range(6 if kind != "udp" else 0):
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setblocking(False)
    sock.connect_ex((address, port))
    kept.append(sock)
print("filled", flush=True)
time.sleep(600)
`;

test.each(cells)(
  "a daemon that hangs is told from one that is down: $kind over IPv$family",
  async ({ kind, family }) => {
    const { server, client } = network;
    const { daemon, public: address } = addressesOf[family];
    await server.apply(rulesOf(kind, family));
    await lab.open("app", kind, daemon, 6000, { backlog: 2 });
    expect(await health()).toBe("the mapping has a listener");
    expect(await check()).toBe(0);
    lab.process.signal("SIGSTOP");
    const filler = client.start(["python3", "-c", fill, kind, address, "6000"]);
    await filler.waitForOutput(/filled/);
    const wait = kind === "udp" ? /full: [0-9]+ bytes wait/ : /full: 3 connections wait/;
    const said = await eventually("the queue is full", async () => {
      const text = await health();
      return text.includes("hang") ? text : null;
    });
    expect(said).toMatch(/^the mapping has a listener\n1 of 1 mapping hangs: app \(/);
    expect(said).toMatch(wait);
    expect((await server.ask(["metrics"])).stdout).toMatch(/^ilm_listener_full\{.*\} 1$/m);
    expect(await check()).toBe(1);
    expect(await down()).toEqual([]);
    expect((await server.ask(["mappings"])).stdout).toMatch(wait);
    const [full] = (await server.status()).full?.mappings ?? [];
    expect(full).toMatchObject({ name: "app", address: daemon, port: 6000 });
    const listening = (await server.listeners()).find(({ mappings }) => mappings.includes("app"));
    expect(listening?.queue.waiting).toBe(full?.queue.waiting);
    await eventually("something was dropped", async () => {
      const [row] = await server.mappings();
      return (row?.to[0]?.listener?.queue.drops ?? 0) > 0 ? true : null;
    });
    expect(await health()).toMatch(/wait, [1-9][0-9]* dropped\)$/);
    lab.process.signal("SIGCONT");
    await eventually("it goes on", async () =>
      (await health()) === "the mapping has a listener" ? true : null,
    );
    await filler.stop();
  },
);

describe("wait", () => {
  test("ends as soon as the daemon listens", async () => {
    const { server } = network;
    const waiting = server.ilm(["wait", "spare", "names", "--timeout", "60"]);
    await server.echo("names", [
      ["udp", "127.0.1.53", 5353],
      ["tcp", "127.0.1.53", 5353],
    ]);
    await server.echo("spare", [["tcp", "127.0.1.20", 7001]]);
    const { status, text } = await waiting;
    expect(status, text).toBe(0);
    expect(text).toBe("spare, names: all 3 mappings have a listener\n");
  });

  test("says who has none when the time is over", async () => {
    const { status, stdout } = await network.server.ilm(["wait", "spare", "--timeout", "0.1"]);
    expect(status).toBe(1);
    expect(stdout).toBe("1 of 1 mapping not served after 0.1 s: spare\n");
  });

  test.each([
    [["nobody"], /neither a mapping nor a service named nobody/],
    [["spare", "--timeout", "soon"], /--timeout: "soon" is not a length of time/],
  ])("%j is refused", async (args, message) => {
    const { status, stderr } = await network.server.ilm(["wait", ...args]);
    // 1 is that the time is over.
    expect(status).toBe(2);
    expect(stderr).toMatch(message);
  });

  test("of a service is for its own addresses, whoever else serves, and also while it is drained", async () => {
    const { server } = network;
    const both = `version: 1
services:
  site: { address: [127.0.1.12, "fd5e:ed00::12"] }
  canary: { address: 127.0.1.11 }
mappings:
  - { name: app, port: 80, to: [{ address: site, weight: 3 }, { address: canary, weight: 1 }] }
  - { name: block, port: 81, to: none }
`;
    await server.apply(both);
    const ends = async (...args: readonly string[]) =>
      (await server.ilm(["wait", ...args, "--timeout", "0"])).status;
    const site = await server.echo("site", [["tcp", "127.0.1.12", 80]]);
    expect([await ends("app"), await ends("site"), await ends("canary")]).toEqual([1, 1, 1]);
    expect(await health()).toBe(
      "all 2 mappings have a listener\n" +
        "no listener for IPv6: app (none yet)\n" +
        "degraded: app: 1 of 3 destinations is down: canary (none yet)",
    );
    expect([await down(), await check()]).toEqual([["app"], 1]);
    await server.echo("site over IPv6", [["tcp", "fd5e:ed00::12", 80]]);
    expect([await ends("app"), await ends("site"), await ends("canary")]).toEqual([0, 0, 1]);
    // Nobody is refused.
    expect([await down(), await check()]).toEqual([[], 0]);
    const degraded = await server.askDone(["mappings", "--degraded", "--names"]);
    expect(degraded.stdout).toBe("app\n");
    await server.echo("canary", [["tcp", "127.0.1.11", 80]]);
    expect(await health()).toBe("all 2 mappings have a listener");
    await site.stop();
    await server.ilmDone(["drain", "canary"]);
    expect(await health()).toMatch(/^all 2 .*\nno listener for IPv4: app \(ended [0-9: -]+\)$/);
    expect([await ends("app"), await ends("canary")]).toEqual([1, 0]);

    await server.ilmDone(["drain", "site", "--force"]);
    expect(await health()).toBe("1 mapping takes nobody new: app (drained)");
    expect([await down(), await check(), await ends("app")]).toEqual([["app"], 1, 1]);
    const page = (await server.ask(["metrics"])).stdout;
    expect(page).toMatch(/^ilm_mapping_drained\{mapping="app",protocol="tcp"\} 1$/m);
    expect(page).toMatch(/^ilm_mapping_listening\{mapping="app",protocol="tcp"\} 0$/m);
    expect(page).toMatch(/^ilm_mappings_unserved 0$/m);

    const refusing = await server.ilm(["wait", "block"]);
    expect([refusing.status, refusing.stderr]).toEqual([
      2,
      expect.stringContaining("block refuses on purpose"),
    ]);
    await server.ilmDone(["off"]);
    const off = await server.ilm(["wait", "canary", "--timeout", "0"]);
    expect([off.status, off.stdout]).toEqual([1, expect.stringContaining("ilm is off")]);
  });

  test("takes the name of a service", async () => {
    const { status, stdout } = await network.server.ilm(["wait", "web", "--timeout", "0"]);
    expect(status).toBe(1);
    expect(stdout).toContain(web);
  });
});

test("a mapping whose time is over is none", async () => {
  const { server } = network;
  await server.ilmDone(["add", "--for", "1s", "tcp:95=127.0.1.20:95"]);
  await eventually("its time is over", async () =>
    (await down()).includes("tcp:95") ? null : true,
  );
  expect((await server.ask(["mappings", "--added"])).stdout).toContain("has ended");
  expect(await server.status()).toMatchObject({
    mappings: 4,
    runtimeMappings: 0,
    unserved: { count: 4 },
  });
  const page = (await server.ask(["metrics"])).stdout;
  expect(page).toMatch(/^ilm_mappings\{origin="runtime"\} 0$/m);
  expect(page).not.toContain("tcp:95");
  for (const command of ["status", "audit"]) {
    expect((await server.ask([command])).text, command).not.toContain("tcp:95");
  }
  const { status, stderr } = await server.ilm(["wait", "tcp:95"]);
  expect(status).not.toBe(0);
  expect(stderr).toContain("tcp:95 has ended");
});

test("a configuration without the service of a run-time mapping is warned of", async () => {
  const { server } = network;
  await server.ilmDone(["add", "tcp:96=web:7000"]);
  const file = server.file(rules.replace(/  web: .*/, "  site: { address: 127.0.1.12 }"));
  const warning = /the run-time mapping tcp:96 .* service web no longer has/;
  const dry = await server.ilmDone(["apply", "--dry-run", "-f", file]);
  expect(dry.stderr).toMatch(warning);
  expect((await server.ilmDone(["apply", "-f", file])).stdout).toMatch(warning);
  expect((await server.ask(["status"])).stdout).toMatch(warning);
  const run = await server.startRun(["-f", server.file(rules)]);
  await server.ilmDone(["apply", "-f", file]);
  await run.process.waitForOutput(warning);
});

test("run tells once what came of listeners, and which mappings are left without one", async () => {
  const { server } = network;
  const run = await server.startRun(["--json"]);
  const said = (): readonly string[] =>
    run.process.stderr
      .split("\n")
      .filter(Boolean)
      .map((line) => withoutTimes((JSON.parse(line) as { readonly message: string }).message))
      .filter((message) => /listener/.test(message));
  const tells = async (what: RegExp): Promise<void> => {
    await eventually(`run says ${what.source}`, async () =>
      said().some((message) => what.test(message)) ? true : null,
    );
  };
  await tells(/^4 mappings have no listener: tcp:6000 \(unit nginx.service, none yet\)/);
  for (const kind of ["tcp", "udp"] as const) {
    await lab.open(`names ${kind}`, kind, "127.0.1.53", 5353, { options: ["reuseport"] });
  }
  await tells(/^2 mappings have a listener now: names tcp, names udp; 2 in all without$/);
  const before = said().length;
  // A reload: the new sockets listen before the old ones close.
  for (const kind of ["tcp", "udp"] as const) {
    await lab.open(`new ${kind}`, kind, "127.0.1.53", 5353, { options: ["reuseport"] });
    await lab.do("close", `names ${kind}`);
  }
  await lab.open("spare", "tcp", "127.0.1.20", 7001);
  await tells(/^1 listener started: tcp 127\.0\.1\.20:7001 \(user root\)$/);
  for (const kind of ["tcp", "udp"] as const) await lab.do("close", `new ${kind}`);
  await tells(/^2 mappings have no listener: names [a-z]{3} \(user root, ended [0-9: -]+\)/);
  expect(said().slice(before).join("\n")).not.toMatch(/restarted/);
  const entries = run.process.stderr.split("\n").filter((line) => line.includes('"health"'));
  expect(JSON.parse(entries.at(-1) ?? "")).toMatchObject({
    level: "warning",
    health: { unserved: { count: 2, mappings: [{ name: "names" }, { name: "names" }] }, down: 3 },
  });
  // A mapping that is removed has no listener after that either.
  await server.ilmDone(["add", "tcp:6009=127.0.1.20:7009"]);
  await tells(/^1 mapping has no listener: tcp:6009 \(none yet\); 4 in all without$/);
  await server.ilmDone(["remove", "tcp:6009"]);
  await lab.open("late", "udp", "127.0.1.53", 5353);
  await tells(/^1 mapping has a listener now: names; 2 in all without$/);
  expect(said().join("\n")).not.toMatch(/a listener now: .*tcp:6009/);
});

test("the metrics and the API tell the same", async () => {
  const { server } = network;
  await server.startRun([]);
  await server.echo("spare", [["tcp", "127.0.1.21", 7001]]);
  const socket = (await server.status()).netns;
  const ask = (path: string): Promise<string> =>
    server.must(["curl", "-sS", "--unix-socket", `/run/ilm/${socket}.sock`, `http://ilm${path}`]);
  expect(await ask("/metrics")).toMatch(/^ilm_mappings_unserved 3$/m);
  expect(JSON.parse(await ask("/v1/state"))).toMatchObject({ result: { unserved: { count: 3 } } });
  expect(JSON.parse(await ask("/v1/mappings?down=true&protocol=tcp"))).toMatchObject({
    result: { mappings: [{ name: web }, { name: "names" }] },
  });
});
