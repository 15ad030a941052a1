/**
 * What leads to a change. `found` is no change of ours: rules that were active and in no entry of
 * the history when the next change was made. `file`: the followed file changed. `start`: a daemon
 * started.
 */
export const causes = [
  "apply",
  "add",
  "remove",
  "drain",
  "undrain",
  "off",
  "on",
  "unload",
  "rollback",
  "reload",
  "file",
  "start",
  "found",
] as const;
export type CauseKind = (typeof causes)[number];
