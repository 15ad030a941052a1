/** Who holds the writer's lock although no daemon answers. */
import { socketPath } from "../api/socket-path.js";
import { describeHolder, type LockHolder } from "../kernel/lock-holder.js";
import type { Warning } from "./warnings.js";

export function isDaemon({ command }: LockHolder): boolean {
  return /^\S*ilm\S* (?:.* )?run(?: |$)/.test(command);
}

/** Warns of a daemon that cannot be reached. */
export function unreachableWarning(holder: LockHolder, netnsInode: number): Warning {
  return {
    kind: "daemon",
    message: `${describeHolder(holder)} holds the lock, but no process serves the API on ${socketPath(netnsInode)}: it is starting or ending, or its socket was removed`,
    remedy: `A daemon recreates its socket within seconds. Otherwise restart it: \`systemctl restart ilm\`, or \`kill ${holder.pid}\` and \`ilm run\` again; the rules stay active meanwhile.`,
  };
}
