/**
 * Daemons as systemd starts them: by the name of their unit, also those that leave their parent.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { commandAs } from "./actor.js";
import { makeCgroup } from "./cgroup.js";
import { type Background, eventually, must } from "./process.js";
import type { Server } from "./server.js";

async function processesOf(unit: string): Promise<readonly number[]> {
  const list = readFileSync(join(await makeCgroup(unit), "cgroup.procs"), "utf8");
  return list.split("\n").filter(Boolean).map(Number);
}

/**
 * A process that ends leaves the list of processes before it has closed its sockets; the cgroup is
 * populated until after that.
 */
async function isPopulated(unit: string): Promise<boolean> {
  const events = readFileSync(join(await makeCgroup(unit), "cgroup.events"), "utf8");
  return /^populated 1$/m.test(events);
}

/** Starts a daemon that stays in the foreground, as root. */
export async function startUnit(
  server: Server,
  unit: string,
  command: readonly string[],
): Promise<Background> {
  return server.start(await commandAs({ cgroup: unit }, command));
}

/** Ends everything that a unit has started. */
export async function endUnit(unit: string, signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
  const signalled = new Set<number>();
  await eventually(`${unit} has ended`, async () => {
    const processes = await processesOf(unit);
    for (const pid of processes) {
      if (!signalled.has(pid)) sendSignal(pid, signal);
      signalled.add(pid);
    }
    return (await isPopulated(unit)) ? null : true;
  });
}

/** One that has ended meanwhile needs no signal. */
export function sendSignal(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** Where a program is: daemons that start themselves again do not search for it. */
export async function pathOf(program: string): Promise<string> {
  return (await must(["sh", "-c", 'command -v "$0"', program])).trim();
}
