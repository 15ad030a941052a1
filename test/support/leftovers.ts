/**
 * Names of the suites' namespaces, and how one is taken away with everything that belongs to it.
 */
import { existsSync, readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { sweepCgroups } from "./cgroup.js";
import { lockRoot, pinRoot } from "./paths.js";
import { run } from "./process.js";

const netnsFolder = "/run/netns";
/**
 * The process that made it is in the name, so that a later run can tell what no process will remove
 * any more.
 */
const namePattern = /^ilm(\d+)-/;

export function netnsPath(name: string): string {
  return join(netnsFolder, name);
}

function isAlive(pid: number): boolean {
  return existsSync(`/proc/${pid}`);
}

/** Ends the processes in a namespace of ours, removes what ilm pinned for it, and removes it. */
export async function destroyNamespace(name: string): Promise<void> {
  const path = netnsPath(name);
  if (!existsSync(path)) {
    return;
  }
  const inode = String(statSync(path).ino);
  const members = await run(["ip", "netns", "pids", name]);
  for (const pid of members.stdout.split("\n").filter((line) => line !== "")) {
    await run(["kill", "-9", pid]);
  }
  for (const folder of [pinRoot, lockRoot]) {
    for (const entry of existsSync(folder) ? readdirSync(folder) : []) {
      if (entry.includes(inode)) {
        rmSync(join(folder, entry), { recursive: true, force: true });
      }
    }
  }
  await run(["ip", "netns", "del", name]);
}

/**
 * Takes away the namespaces of test runs that were killed, and then their cgroups, which are empty
 * with that.
 */
export async function sweepLeftovers(): Promise<void> {
  for (const name of existsSync(netnsFolder) ? readdirSync(netnsFolder) : []) {
    const maker = namePattern.exec(name)?.[1];
    if (maker !== undefined && !isAlive(Number(maker))) {
      await destroyNamespace(name);
    }
  }
  await sweepCgroups(isAlive);
}
