/**
 * What leads to a change. `found` is no change of ours: rules that were active and in no entry of
 * the history when the next change was made. `file`: the followed file changed. `start`: a daemon
 * started. `ended`: mappings that were added for a time went with its end. `confirm`: a change that
 * waited for its confirmation was kept. `back`: somebody took it back. `unconfirmed`: it went back
 * by itself.
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
  "confirm",
  "back",
  "unconfirmed",
  "reload",
  "file",
  "start",
  "ended",
  "found",
] as const;
export type CauseKind = (typeof causes)[number];
