/** Who holds the writer's lock although no daemon answers. */
import { socketPath } from "../daemon/socket-path.js";
import type { LockHolder } from "../kernel/lock.js";
import type { Warning } from "./warnings.js";

/** Null: nobody does. Native code is loaded with it. */
export async function findWriter(netnsInode: number): Promise<LockHolder | null> {
  const { findLockHolder } = await import("../kernel/lock.js");
  return findLockHolder(netnsInode);
}

export function isDaemon({ command }: LockHolder): boolean {
  return /^\S*ilm\S* (?:.* )?run(?: |$)/.test(command);
}

/** Of a daemon that nobody can reach. */
export function unreachableWarning({ pid, command }: LockHolder, netnsInode: number): Warning {
  return {
    kind: "daemon",
    message: `process ${pid} (${command}) holds the lock, and nobody serves the API on ${socketPath(netnsInode)}: it is about to start or to end, or its socket was removed`,
    remedy: `A daemon makes its socket again within seconds. Otherwise restart it: \`systemctl restart ilm\`, or \`kill ${pid}\` and \`ilm run\` again; the rules stay active meanwhile.`,
  };
}
