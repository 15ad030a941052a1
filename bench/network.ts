/** A network namespace for one measurement; the main thread stays in it until the process ends. */
import { execFileSync } from "node:child_process";
import { enterNetns } from "../src/kernel/netns.js";

/** Its loopback has public-looking addresses, so that the dialled address is not the listener's. */
export function enterBenchNamespace(): { remove(): void } {
  const name = `ilm-bench-${process.pid}`;
  const ip = (...args: string[]): void => {
    execFileSync("ip", ["-n", name, ...args]);
  };
  execFileSync("ip", ["netns", "add", name]);
  ip("link", "set", "lo", "up");
  ip("address", "add", "203.0.113.1/32", "dev", "lo");
  ip("address", "add", "2001:db8::1/128", "dev", "lo", "nodad");
  enterNetns(name);
  return { remove: () => void execFileSync("ip", ["netns", "delete", name]) };
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}
