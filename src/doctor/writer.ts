/** The daemon, or who holds the writer's lock although no daemon answers. */
import type { DaemonStatus } from "../api/api.js";
import { socketExists, socketPath } from "../api/socket-path.js";
import { describeLockHolder, findLockHolder, type LockHolder } from "../kernel/lock-holder.js";
import type { Warning } from "./warnings.js";

export interface AskedDaemon {
  /** The status of the daemon; null when none answers. */
  readonly daemon: DaemonStatus | null;
  /** The process that holds the lock although no daemon answers. */
  readonly writer: LockHolder | null;
}

/** Asks the daemon of a network namespace. Throws DAEMON, NOT_PERMITTED and UNSAFE_PATH. */
export async function askDaemon(netnsInode: number): Promise<AskedDaemon> {
  // Usually no daemon runs, and then the client need not be loaded.
  if (socketExists(socketPath(netnsInode))) {
    const { requestStatus } = await import("../api/client.js");
    const daemon = await requestStatus(netnsInode);
    if (daemon !== null) return { daemon, writer: null };
  }
  return { daemon: null, writer: findLockHolder(netnsInode) };
}

export function isDaemon({ command }: LockHolder): boolean {
  return /^\S*ilm\S* (?:.* )?run(?: |$)/.test(command);
}

/** Warns of a daemon that cannot be reached. */
export function unreachableWarning(holder: LockHolder, netnsInode: number): Warning {
  return {
    kind: "daemon",
    message: `${describeLockHolder(holder)} holds the lock, but no process serves the API on ${socketPath(netnsInode)}: it is starting or ending, or its socket was removed`,
    remedy: `A daemon recreates its socket within seconds. Otherwise restart it: \`systemctl restart ilm\`, or \`kill ${holder.pid}\` and \`ilm run\` again; the rules stay active meanwhile.`,
  };
}
