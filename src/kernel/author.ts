/** Says who a process is: its user, whose login it came from, its unit and command. */
import { readFileSync } from "node:fs";
import { unless } from "./folder.js";
import { commandOf } from "./lock-holder.js";
import { userName } from "./procfs.js";

/** Who made a change. */
export interface Author {
  readonly pid: number;
  /** The effective user, and its name or else the number. */
  readonly uid: number;
  readonly user: string;
  /** The user who logged in, before sudo or su; null when the process comes from no login. */
  readonly login: string | null;
  /** The systemd service that it runs in; null when it runs in none. */
  readonly unit: string | null;
  /** The command line; empty when it cannot be read. */
  readonly command: string;
}

/** What proc(5) has in loginuid for a process that comes from no login. */
const NO_LOGIN = 0xffffffff;

/** Describes a process. What cannot be read any more is left out. */
export function authorOf(pid: number): Author {
  const read = (name: string): string =>
    unless(["ENOENT", "ESRCH", "EACCES", "EPERM"], () =>
      readFileSync(`/proc/${pid}/${name}`, "utf8"),
    ) ?? "";
  const uid = Number(/^Uid:\s+\d+\s+(\d+)/m.exec(read("status"))?.[1] ?? 0);
  const login = Number.parseInt(read("loginuid"), 10);
  return {
    pid,
    uid,
    user: userName(uid),
    login: Number.isNaN(login) || login === NO_LOGIN ? null : userName(login),
    unit: serviceOf(read("cgroup")),
    command: commandOf(pid),
  };
}

/** Returns the innermost service of a cgroup's path. A session's scope is none. */
function serviceOf(cgroup: string): string | null {
  const path = /^0::(.*)$/m.exec(cgroup)?.[1] ?? "";
  return path.split("/").findLast((part) => part.endsWith(".service")) ?? null;
}
