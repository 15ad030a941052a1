/** Finds users and groups by name, as the host's name service knows them (nsswitch.conf(5)). */
import { spawnSync } from "node:child_process";
import { IlmError } from "../errors.js";

export type AccountKind = "user" | "group";

const databases: Readonly<Record<AccountKind, string>> = { user: "passwd", group: "group" };

/** getent(1): one or more of the keys are not in the database. */
const NOT_FOUND = 2;

/**
 * Returns the numeric id of a user or a group, or undefined when the host has none of that name.
 * Throws INTERNAL when the name service cannot be asked.
 */
export function findAccount(kind: AccountKind, name: string): number | undefined {
  const { status, stdout, error, stderr } = spawnSync("getent", [databases[kind], name], {
    encoding: "utf8",
  });
  if (status === NOT_FOUND) return undefined;
  const [found, , id] = (stdout ?? "").split(":");
  if (status === 0 && found === name && /^\d+$/.test(id ?? "")) return Number(id);
  throw new IlmError("INTERNAL", `the ${kind} ${name} cannot be looked up`, {
    remedy: `\`getent ${databases[kind]} ${name}\` shows what the name service answers`,
    cause: error ?? new Error(stderr),
  });
}
