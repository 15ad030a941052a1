/**
 * The clock by which the programs know that a time has passed: CLOCK_BOOTTIME, which counts while
 * the host sleeps.
 */
import { readFileSync } from "node:fs";
import { nodeErrno } from "../errors.js";
import { CLOCK_BOOTTIME, clockNs } from "./libc.js";

/** Returns the time in seconds, with a fraction. */
function preciseSeconds(): number {
  return Number(clockNs(CLOCK_BOOTTIME)) / 1e9 - ownOffset();
}

/** Returns by how many seconds a time namespace has moved this process's clock (proc(5)). */
function ownOffset(): number {
  let text: string;
  try {
    text = readFileSync("/proc/self/timens_offsets", "utf8");
  } catch (error) {
    // A kernel without time namespaces.
    if (nodeErrno(error) === "ENOENT") return 0;
    throw error;
  }
  const [, seconds = "0", nanoseconds = "0"] = /^boottime\s+(-?\d+)\s+(\d+)/m.exec(text) ?? [];
  return Number(seconds) + Number(nanoseconds) / 1e9;
}

/** Returns the whole seconds since the host was booted, as the programs count them. */
export function bootSeconds(): number {
  return Math.floor(preciseSeconds());
}

/** Returns the first second since the host was booted by which that many more have passed. */
export function secondAfter(seconds: number): number {
  return Math.ceil(preciseSeconds() + seconds);
}

/** Returns the time of day at that second since the host was booted: ISO 8601, UTC. */
export function timeAt(bootSecond: number): string {
  const inSeconds = bootSecond - preciseSeconds();
  return new Date(Math.round(Date.now() / 1000 + inSeconds) * 1000).toISOString();
}

/** A boot of the host, by which seconds are counted. */
export interface Boot {
  /** What random(4) has in boot_id. */
  readonly id: string;
  /** When it was, by the time of day: ISO 8601, UTC. */
  readonly at: string;
}

export function thisBoot(): Boot {
  const id = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  return { id, at: timeAt(0) };
}

/**
 * Returns the second since this boot that is the same time of day as a second since another one;
 * negative for one before this boot. Within a boot it is the same second: the time of day may be
 * set meanwhile.
 */
export function secondOf(second: number, of: Boot, now = thisBoot()): number {
  if (of.id === now.id) return second;
  return second + Math.round((Date.parse(of.at) - Date.parse(now.at)) / 1000);
}
