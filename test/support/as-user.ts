/** Commands as another user, with groups and capabilities of the test's choice (setpriv(1)). */

/** Users and groups that no account of the machine has. */
export const STRANGER = 47_110;
export const READERS = 47_120;
export const WRITERS = 47_121;

/** The command as a user without any right of root's. */
export function asUser(
  uid: number,
  command: readonly string[],
  { gid = uid, groups = [] }: { readonly gid?: number; readonly groups?: readonly number[] } = {},
): readonly string[] {
  const others = groups.length === 0 ? ["--clear-groups"] : ["--groups", groups.join(",")];
  return ["setpriv", "--reuid", `${uid}`, "--regid", `${gid}`, ...others, ...command];
}

/** The command with at most these capabilities, as root or, when they are ambient, as a user. */
export function withCapabilities(
  names: readonly string[],
  command: readonly string[],
  uid = 0,
): readonly string[] {
  const set = ["-all", ...names.map((name) => `+${name}`)].join(",");
  const as = uid === 0 ? [] : ["--reuid", `${uid}`, "--regid", `${uid}`, "--clear-groups"];
  const inherited =
    uid === 0 ? ["--inh-caps=-all"] : [`--inh-caps=${set}`, `--ambient-caps=${set}`];
  return ["setpriv", ...as, ...inherited, `--bounding-set=${set}`, ...command];
}
