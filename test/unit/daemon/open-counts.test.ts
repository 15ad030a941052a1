// Goal: however often somebody asks, counting what is open takes a small share of the daemon's
// time, and what was counted before a change is told by the rules that are active.
import { beforeEach, expect, test } from "vitest";
import { OpenCounts } from "../../../src/daemon/open-counts.js";
import { FakeDataPlane, address, mapping, ruleSet, rules } from "./fixtures.js";

let now: number;
let walks: number;
/** How long a walk takes, in milliseconds. */
let takes: number;
let open: OpenCounts;
const dataPlane = new FakeDataPlane();

const walked = {
  connections() {
    walks += 1;
    now += takes;
    return [
      {
        dialled: { address: address("203.0.113.1"), port: 80 },
        client: address("192.0.2.7"),
        daemon: { address: address("127.0.1.10"), port: 80 },
        count: walks,
      },
    ];
  },
  flows: () => dataPlane.flows(),
};

const active = rules(ruleSet(mapping("a")));

beforeEach(() => {
  now = 5_000;
  walks = 0;
  takes = 0;
  open = new OpenCounts(() => now);
});

test("ten times a second, it is counted once a second", () => {
  const seen = [];
  for (let i = 0; i < 30; i++) {
    seen.push(open.of(walked, active, "1").counts[0]?.[0]);
    now += 100;
  }
  expect(walks).toBe(3);
  expect(new Set(seen)).toEqual(new Set([1, 2, 3]));
});

test("a count that takes long is made as seldom as to take a twentieth of the time", () => {
  takes = 500;
  const began = now;
  while (now - began < 60_000) {
    open.live(walked);
    now += 100;
  }
  expect((walks * takes) / (now - began)).toBeLessThanOrEqual(0.05);
  expect(walks).toBeGreaterThanOrEqual(5);
});

test("says how long it took, and counts for other rules what was counted before", () => {
  takes = 40;
  const { seconds, counts, countedAt } = open.of(walked, active, "1");
  expect([seconds, counts]).toEqual([0.04, [[1]]]);
  expect(Math.abs(Date.now() - countedAt)).toBeLessThan(60_000);
  const more = rules(ruleSet(mapping("b", { ports: [{ first: 81, last: 81 }] })), [mapping("a")]);
  expect(open.of(walked, more, "2").counts).toEqual([[0], [1]]);
  expect(walks).toBe(1);
});
