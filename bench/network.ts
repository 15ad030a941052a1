/**
 * A network namespace for one measurement; the main thread stays in it until the process ends. And
 * what all parts share.
 */
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { enterNetns } from "../src/kernel/netns.js";
import { ilm } from "./sites.js";

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

/**
 * What a run that was killed left: namespaces that bear the number of a process that is no more.
 */
export function removeLeftovers(): void {
  const folder = "/run/netns";
  if (!existsSync(folder)) return;
  for (const name of readdirSync(folder)) {
    const pid = /^ilm-bench-(\d+)/.exec(name)?.[1];
    if (pid === undefined || existsSync(`/proc/${pid}`)) continue;
    execFileSync(ilm, ["unload", "--netns", `${folder}/${name}`]);
    execFileSync("ip", ["netns", "delete", name]);
    progress(`removed ${name}, which an earlier run left`);
  }
}

/** Where a measurement has come to: it takes minutes. Not part of what it prints. */
export function progress(message: string): void {
  process.stderr.write(`  ${message}\n`);
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}
