// Goal: what ends following for a while does not end the daemon, and a bug is not hidden.
import { expect, test, vi } from "vitest";
import { keepFollowing } from "../../../src/daemon/keep-following.js";
import type { RefusedAttempt } from "../../../src/model/refusal.js";
import { address } from "./fixtures.js";
import { syscallError } from "../../../src/kernel/ffi.js";

const attempt: RefusedAttempt = {
  reason: "mapped",
  protocol: "tcp",
  address: address("203.0.113.1"),
  port: 6000,
  uid: 1000,
  gid: 1000,
  pid: 42,
  command: "python3",
};
const EMFILE = 24;
const short = syscallError("socket", EMFILE);

/** A data plane whose following ends when it is told to. */
function world(begin: (nth: number) => void = () => undefined) {
  const lines: string[] = [];
  const restored: string[] = [];
  const refused: number[] = [];
  const begun: ((error: unknown) => void)[] = [];
  let closed = 0;
  let attempts = 0;
  const following = keepFollowing(
    {
      follow: ({ onError = () => undefined, onRestored, onRefused } = {}) => {
        attempts += 1;
        begin(attempts);
        begun.push(onError);
        onRestored?.(["ingress/eth0"]);
        onRefused?.(attempt);
        return { close: () => (closed += 1) };
      },
    },
    { log: (_, message) => lines.push(message) },
    {
      onRestored: (missing) => restored.push(...missing),
      onRefused: ({ port }) => refused.push(port),
    },
    () => 1,
  );
  return {
    lines,
    restored,
    refused,
    begun,
    closed: () => closed,
    attempts: () => attempts,
    following,
  };
}

test("following begins again after the host was short of something, also when it still is", async () => {
  const { lines, begun, attempts, closed, following } = world((nth) => {
    if (nth === 2) throw short;
  });
  begun[0]?.(short);
  await vi.waitFor(() => {
    expect(begun).toHaveLength(2);
  });
  expect(attempts()).toBe(3);
  expect(lines).toHaveLength(2);
  expect(lines[0]).toMatch(/^socket: .*EMFILE.*LimitNOFILE.*followed again/);
  following.close();
  expect(closed()).toBe(1);
});

test("what was missing and is back is reported, and what was refused", () => {
  const { restored, refused } = world();
  expect([restored, refused]).toEqual([["ingress/eth0"], [6000]]);
});

test("what does not pass is thrown on", () => {
  const { begun } = world();
  expect(() => begun[0]?.(new TypeError("a bug"))).toThrow("a bug");
});

test("closed, it does not begin again", () => {
  const { begun, lines, following } = world();
  following.close();
  begun[0]?.(short);
  expect([begun.length, lines]).toEqual([1, []]);
});
