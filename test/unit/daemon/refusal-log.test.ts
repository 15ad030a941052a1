// Goal: one line says who tried what and why it was refused, in words and as values, also when the
// process is gone by then; sums only grow.
import { expect, test, vi } from "vitest";
import { eventLog } from "../../../src/daemon/event-log.js";
import type { Logger } from "../../../src/daemon/log.js";
import { refusalLog } from "../../../src/daemon/refusal-log.js";
import { RefusalTotals } from "../../../src/daemon/refusal-totals.js";
import type { Refusal, RefusedAttempt } from "../../../src/model/refusal.js";
import { activeRules, address, FakeDataPlane, mapping, ruleSet } from "./fixtures.js";

const attempt: RefusedAttempt = {
  reason: "mapped",
  protocol: "tcp",
  address: address("203.0.113.1"),
  port: 80,
  uid: 1000,
  gid: 1000,
  pid: 42,
  command: "python3",
};

const web = {
  name: "web",
  addresses: [address("127.0.1.10")],
  owner: { unit: "nginx.service" },
  origin: { file: "rules.yaml", line: 2, column: 3 },
};

function logger(isThere = true) {
  const dataPlane = new FakeDataPlane();
  const listeners = [{ user: "tester" }];
  dataPlane.apply(activeRules({ ...ruleSet(mapping("web", { listeners })), services: [web] }));
  const lines: unknown[] = [];
  const log: Logger = {
    log: (level, message, details) => {
      lines.push({ level, message, ...details });
    },
  };
  const tell = refusalLog(
    dataPlane,
    { log, tell: eventLog(log) },
    {
      find: (pid, command) =>
        isThere
          ? {
              pid,
              command,
              user: "alice",
              cgroup: "/system.slice/old.service",
              canBindLowPorts: false,
            }
          : undefined,
      userName: () => "alice",
    },
  );
  return { tell, lines };
}

function log(given: Partial<RefusedAttempt>, isThere = true) {
  const { tell, lines } = logger(isThere);
  tell({ ...attempt, ...given });
  return lines;
}

test("who was refused is named with process, user and unit, and the mapping with whom it permits", () => {
  expect(log({})).toEqual([
    {
      level: "warning",
      message:
        "python3 (pid 42, user alice, unit old.service) was not allowed to bind to tcp 203.0.113.1:80: " +
        "mapping web covers it, and permits only root, service web (unit nginx.service), user tester " +
        "(`ilm audit` has the remedy)",
      refusal: {
        ...attempt,
        user: "alice",
        unit: "old.service",
        service: null,
        mapping: "web",
      },
    },
  ]);
});

test("a process that is gone is named without its unit", () => {
  const [line] = log({ reason: "address", address: address("127.0.1.10") }, false);
  expect(line).toMatchObject({
    message: expect.stringContaining(
      "python3 (pid 42, user alice) was not allowed to bind to tcp 127.0.1.10:80: the address belongs to service web (unit nginx.service)",
    ) as string,
    refusal: { unit: null, service: "web", mapping: null },
  });
});

test("a wildcard bind that is reported is information, and one that is refused a warning", () => {
  const at = { address: address("0.0.0.0"), port: 7000 };
  expect(log({ ...at, reason: "reported" })).toMatchObject([
    { level: "info", message: expect.stringContaining("is report") as string },
  ]);
  expect(log({ ...at, reason: "wildcard" })).toMatchObject([
    { level: "warning", message: expect.stringContaining("is deny") as string },
  ]);
});

test("of packets nobody is named", () => {
  const nobody = { uid: null, gid: null, pid: null, command: null };
  expect(log({ ...nobody, reason: "lookup" })).toMatchObject([
    {
      message: expect.stringMatching(
        /^a packet to tcp 203\.0\.113\.1:80 reached nobody: only a stranger listens there: mapping web/,
      ) as string,
    },
  ]);
});

test("a flood of attempts does not fill the log, which says how many there were", () => {
  vi.useFakeTimers();
  try {
    const { tell, lines } = logger();
    for (let port = 1; port <= 150; port++) tell({ ...attempt, port });
    expect(lines).toHaveLength(100);
    vi.advanceTimersByTime(10_000);
    expect(lines.at(-1)).toMatchObject({
      message: "50 more were refused or reported meanwhile: `ilm audit` lists them",
    });
    tell(attempt);
    expect(lines).toHaveLength(102);
  } finally {
    vi.useRealTimers();
  }
});

test("the name of a process cannot forge a line", () => {
  const [line] = log({ command: "a\nerror b" }, false);
  expect((line as { message: string }).message).toMatch(/^a\\u\{a\}error b \(pid 42/);
});

test("sums of refusals grow when the kernel evicts some, and never shrink", () => {
  const totals = new RefusalTotals();
  const of = (port: number, count: number): Refusal => ({ ...attempt, port, count, lastAt: 0 });
  expect(totals.add([of(1, 2), of(2, 1)]).mapped).toBe(3);
  expect(totals.add([of(1, 5)]).mapped).toBe(6);
  expect(totals.add([of(1, 5), of(2, 1)]).mapped).toBe(7);
  expect(totals.add([of(1, 1)])).toMatchObject({ mapped: 8, address: 0 });
});
