/**
 * Who a process of the suites is: a user that needs no entry in /etc/passwd, without capabilities,
 * and in a cgroup named as a unit of systemd's.
 */
import { join } from "node:path";
import { makeCgroup } from "./cgroup.js";

export interface Actor {
  readonly uid?: number;
  readonly gid?: number;
  /** A folder below our own slice, such as "web.service". */
  readonly cgroup?: string;
  /** Capabilities that it has all the same, as setpriv names them. */
  readonly capabilities?: string;
  /** In a user namespace of its own, in which it is root. */
  readonly rules?: boolean;
}

export const owner: Actor = { uid: 4000, gid: 4000, cgroup: "web.service" };
export const stranger: Actor = { uid: 4001, gid: 4001, cgroup: "stranger.service" };

/** The command as that one runs it. */
export async function commandAs(
  { uid, gid, cgroup, capabilities, rules }: Actor,
  command: readonly string[],
): Promise<readonly string[]> {
  const moved =
    cgroup === undefined
      ? []
      : ["sh", "-c", 'echo $$ > "$0" && exec "$@"', join(await makeCgroup(cgroup), "cgroup.procs")];
  const id = uid ?? gid ?? 0;
  const became =
    uid === undefined && gid === undefined
      ? []
      : ["setpriv", `--reuid=${uid ?? 0}`, `--regid=${gid ?? id}`, "--clear-groups"];
  const able =
    capabilities === undefined
      ? []
      : [`--inh-caps=${capabilities}`, `--ambient-caps=${capabilities}`];
  const root = rules === true ? ["unshare", "--user", "--map-root-user"] : [];
  return [...moved, ...became, ...able, ...root, ...command];
}
