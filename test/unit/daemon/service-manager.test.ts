// Goal: a daemon that the service manager watches is told apart from one that it does not.
import { expect, test } from "vitest";
import { watchdogMs } from "../../../src/daemon/service-manager.js";

test("the time of the watchdog is the process's own", () => {
  expect(watchdogMs({ WATCHDOG_USEC: "3000000", WATCHDOG_PID: "17" }, 17)).toBe(3_000);
  expect(watchdogMs({ WATCHDOG_USEC: "3000000" }, 17)).toBe(3_000);
  expect(watchdogMs({ WATCHDOG_USEC: "3000000", WATCHDOG_PID: "16" }, 17)).toBeNull();
});

test.each(["", "0", "-1", "1.5", "soon"])("a time of %j is none", (microseconds) => {
  expect(watchdogMs({ WATCHDOG_USEC: microseconds }, 17)).toBeNull();
  expect(watchdogMs({}, 17)).toBeNull();
});
