/** The clock by which the programs know that a time has passed: it counts while the host sleeps. */
import { CLOCK_BOOTTIME, clockNs } from "./libc.js";

const NANOSECONDS = 1_000_000_000n;

/** Returns the seconds since the host was booted. */
export function bootSeconds(): number {
  return Number(clockNs(CLOCK_BOOTTIME) / NANOSECONDS);
}

/** Returns the time of day at that second since the host was booted: ISO 8601, UTC. */
export function timeAt(bootSecond: number): string {
  const inSeconds = bootSecond - Number(clockNs(CLOCK_BOOTTIME)) / Number(NANOSECONDS);
  return new Date(Math.round(Date.now() / 1000 + inSeconds) * 1000).toISOString();
}
