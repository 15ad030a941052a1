// Goal: what came of a moment is told once, however many daemons are restarted, and a mapping
// without a listener is told when that changes only.
import { beforeEach, describe, expect, test } from "vitest";
import { eventLog } from "../../../src/daemon/event-log.js";
import { type Health, HealthWatch, tellHealth } from "../../../src/daemon/health-watch.js";
import type { DegradedJson, GapJson, UnservedJson } from "../../../src/json/health.js";
import type { Turn } from "../../../src/model/listener.js";
import { address } from "./fixtures.js";

const identity = { uid: 33, gid: 33, unit: "0" };

function turn(port: number, listens: boolean): Turn {
  return { protocol: "tcp", address: address("127.0.1.10"), port, identity, listens };
}

const neverSince = new Date(2026, 0, 2, 13, 58).toISOString();

function unserved(name: string): UnservedJson {
  return { name, protocol: "tcp", owner: "unit nginx.service", ended: null, neverSince };
}

let down: readonly UnservedJson[] | null;
let gaps: readonly GapJson[];
let degraded: readonly DegradedJson[];
let drained: readonly string[];
/** The names of the mappings that the rules no longer have. */
let removed: ReadonlySet<string>;
let told: Health[];
let waiting: { readonly after_ms: number; readonly action: () => void } | null;
let watch: HealthWatch;

function all<One>(mappings: readonly One[]) {
  return { count: mappings.length, mappings };
}

/** Lets the time that the watch waits pass. */
function pass(): number {
  const now = waiting;
  if (now === null) throw new Error("nothing waits");
  waiting = null;
  now.action();
  return now.after_ms;
}

function lines(): string[] {
  const said: string[] = [];
  const log = eventLog({ log: (level, message) => said.push(`${level}: ${message}`) });
  for (const one of told) tellHealth(log, one);
  told = [];
  return said;
}

beforeEach(() => {
  down = [];
  gaps = [];
  degraded = [];
  drained = [];
  removed = new Set();
  told = [];
  waiting = null;
  watch = new HealthWatch({
    faults: () =>
      down && {
        unserved: all(down),
        drainedMappings: all(drained.map((name) => ({ name, protocol: "tcp" as const }))),
        gaps: all(gaps),
        degraded: all(degraded),
      },
    isMapped:
      () =>
      ({ name }) =>
        !removed.has(name),
    describe: ({ protocol, address: at, port }) => ({
      protocol,
      address: at,
      port,
      user: "www-data",
      unit: null,
    }),
    tell: (health) => told.push(health),
    later: (after_ms, action) => {
      waiting = { after_ms, action };
      return { cancel: () => (waiting = null) };
    },
  });
});

describe("a destination", () => {
  test("that loses its listener leaves its mapping without one, until it has one again", () => {
    down = [unserved("web")];
    watch.turned(turn(80, false));
    pass();
    expect(lines()).toEqual([
      "info: 1 listener ended: tcp 127.0.1.10:80 (user www-data)",
      "warning: 1 mapping has no listener: web (unit nginx.service, none yet since 2026-01-02 13:58)",
    ]);
    down = [];
    watch.turned(turn(80, true));
    pass();
    expect(lines()).toEqual([
      "info: 1 listener started: tcp 127.0.1.10:80 (user www-data)",
      "info: 1 mapping has a listener now: web",
    ]);
  });

  test("that has its listener back at once was restarted, and nothing happened to mappings", () => {
    watch.turned(turn(80, false));
    watch.turned(turn(80, true));
    pass();
    expect(lines()).toEqual(["info: 1 listener restarted: tcp 127.0.1.10:80 (user www-data)"]);
  });
});

test("a hundred restarts are one line, and what follows is told less often until it is quiet", () => {
  for (let port = 1; port <= 100; port++) {
    watch.turned(turn(port, false));
    watch.turned(turn(port, true));
  }
  expect(pass()).toBe(1000);
  const [line, ...more] = lines();
  expect(more).toEqual([]);
  expect(line).toMatch(/^info: 100 listeners restarted: .* and 95 more$/);
  watch.turned(turn(80, false));
  expect(pass()).toBe(10_000);
  expect(lines()).toHaveLength(1);
  // Nothing came for as long.
  pass();
  expect(lines()).toEqual([]);
  watch.turned(turn(80, true));
  expect(pass()).toBe(1000);
});

test("other rules may leave mappings without a listener, which is told once", () => {
  down = [unserved("web"), unserved("mail")];
  watch.look();
  pass();
  expect(lines()).toEqual([
    "warning: 2 mappings have no listener: web (unit nginx.service, none yet since 2026-01-02 13:58), mail (unit nginx.service, none yet since 2026-01-02 13:58)",
  ]);
  watch.look();
  pass();
  expect(lines()).toEqual([]);
  down = [unserved("mail"), unserved("dns")];
  watch.look();
  pass();
  expect(lines()).toEqual([
    "warning: 1 mapping has no listener: dns (unit nginx.service, none yet since 2026-01-02 13:58); 1 mapping has a listener now: web; 2 in all without",
  ]);
});

test("a mapping that is removed while it has no listener is not told to have one", () => {
  down = [unserved("web"), unserved("mail"), unserved("dns")];
  watch.look();
  pass();
  told = [];
  down = [unserved("dns")];
  removed = new Set(["web"]);
  watch.look();
  pass();
  expect(told.map(({ health }) => health.served)).toEqual([
    { count: 1, mappings: [{ name: "mail", protocol: "tcp" }] },
  ]);
  expect(lines()).toEqual(["info: 1 mapping has a listener now: mail; 1 in all without"]);
});

test("where mappings are too many to look through, listeners are told all the same", () => {
  down = null;
  watch.turned(turn(80, false));
  pass();
  expect(lines()).toEqual(["info: 1 listener ended: tcp 127.0.1.10:80 (user www-data)"]);
});

const absent = { ended: null, neverSince };
const since = "none yet since 2026-01-02 13:58";

test("a family without a listener is told once, and when it has one again", () => {
  gaps = [{ name: "dns", protocol: "udp", family: 6, drained: false, ...absent }];
  watch.look();
  pass();
  expect(lines()).toEqual([`warning: no listener for IPv6: dns (${since})`]);
  watch.look();
  pass();
  expect(lines()).toEqual([]);
  gaps = [];
  watch.look();
  pass();
  expect(lines()).toEqual(["info: 1 mapping has all destinations again: dns"]);
});

test("each further destination that is down is told", () => {
  const canary = { address: "127.0.1.11", port: 80, service: "canary", ...absent };
  const web = { ...canary, address: "fd5e:ed00::10", service: "web" };
  const of = { name: "web", protocol: "tcp", destinations: 3 } as const;
  degraded = [{ ...of, down: [canary] }];
  watch.look();
  pass();
  expect(lines()).toEqual([`warning: web: 1 of 3 destinations is down: canary (${since})`]);
  degraded = [{ ...of, down: [canary, web] }];
  watch.look();
  pass();
  expect(lines()).toEqual([
    `warning: web: 2 of 3 destinations are down: canary (${since}), web (${since})`,
  ]);
  // Where nobody is left, that is what is told.
  degraded = [];
  down = [unserved("web")];
  watch.look();
  pass();
  expect(lines()).toHaveLength(1);
});

test("a mapping without a listener that is drained is not told to have one", () => {
  down = [unserved("web")];
  watch.look();
  pass();
  told = [];
  [down, drained] = [[], ["web"]];
  watch.look();
  pass();
  expect(lines()).toEqual([]);
});
