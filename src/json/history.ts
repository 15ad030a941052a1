/** What `ilm history` and `ilm rollback` print with `--json`. */
import { causes } from "../model/causes.js";
import { drains, named, performed } from "./change.js";
import { timing } from "./common.js";
import { difference } from "./diff.js";
import {
  boolean,
  field,
  integer,
  list,
  nullable,
  object,
  oneOf,
  text,
  type Fields,
  type Of,
} from "./shape.js";

const author = object(
  {
    pid: field(integer, "The process."),
    uid: field(integer, "Its user."),
    user: field(text, "The name of that user, or the number when it has none."),
    login: field(
      nullable(text),
      "The user who logged in, before sudo or su; null when it came from no login.",
    ),
    unit: field(nullable(text), "The systemd service that it ran in; null for none."),
    command: field(text, "Its command line; empty when it could not be read."),
  },
  "author",
);

const change = {
  number: field(integer, "Its number, from 1, for `ilm rollback`."),
  time: field(
    text,
    "When it was made: ISO 8601, UTC. For `unconfirmed`: when the time of the change was over.",
  ),
  cause: field(
    oneOf(...causes),
    "What led to it. `file`: the followed file changed. `start`: a daemon started. `reload`: a user asked the daemon to read its file. `ended`: the time of mappings that `ilm add --for` had added was over, and the daemon removed them. `confirm`: a change that was made with --confirm was kept. `back`: somebody took it back. `unconfirmed`: it went back by itself. `found`: rules that were active, and in no entry, when the next change was made.",
  ),
  author: field(
    author,
    "Who made it: the process that ran the command, also when the daemon made the change for it. For `unconfirmed`, `ended` and `found`: who recorded it.",
  ),
  sources: field(list(text), "The paths that the rules after it were read from."),
  copiedAt: field(
    nullable(text),
    "When the configuration was right whose copy they come from, because the daemon began with a wrong one: ISO 8601, UTC; otherwise null.",
  ),
  generation: field(
    nullable(integer),
    "The number of the rules after it; null when nothing was active.",
  ),
  before: field(
    nullable(integer),
    "The change after which the rules were those before this one; null when there were none.",
  ),
  to: field(
    nullable(integer),
    "For a rollback, `back` and `unconfirmed`, the change whose rules are active again; otherwise null.",
  ),
  difference: field(
    nullable(
      object(
        {
          added: field(named, "Mappings that were new."),
          removed: field(named, "Mappings that went."),
          changed: field(named, "Mappings that became different."),
          ...drains,
        },
        "difference",
      ),
    ),
    "What it did to the mappings; null when it changed none.",
  ),
  until: field(
    nullable(text),
    "For a change that has to be confirmed, when it goes back otherwise: ISO 8601, UTC; null for all others.",
  ),
  mappings: field(integer, "How many mappings were active after it."),
  drained: field(list(text), "What was drained after it, as `ilm drain` takes it."),
  off: field(boolean, "True when they were switched off (`ilm off`)."),
  active: field(boolean, "True for the rules that are active now; at most one is."),
  kept: field(
    boolean,
    "True when `ilm rollback` can return to it: its rules are kept, and something was active.",
  ),
} as const satisfies Fields;

const changeShape = object(change, "change");

export const history = object({
  changes: field(list(changeShape), "The changes, the latest first."),
  more: field(integer, "How many earlier ones are not shown."),
  unrecorded: field(
    boolean,
    "True when what is active is in no entry: its writer was killed, or is another version of ilm.",
  ),
  wentBack: field(
    nullable(
      object({
        change: field(integer, "The change that went back."),
        at: field(text, "When it did: ISO 8601, UTC."),
      }),
    ),
    "Set when the last change went back by itself and no entry tells that yet; otherwise null.",
  ),
});

export const historyEntry = object({
  change: field(changeShape, "The change."),
  rules: field(
    nullable(difference),
    "What it changed, mapping by mapping; null when the rules before or after it are not kept.",
  ),
});

export const rolledBack = object({
  ...performed,
  to: field(
    nullable(integer),
    "The change whose rules are active again; null when there were no rules before.",
  ),
  timing: field(timing, "What was done, in its order."),
});

export type HistoryJson = Of<typeof history>;
export type HistoryEntryJson = Of<typeof historyEntry>;
export type ChangeJson = Of<typeof changeShape>;
export type RolledBackJson = Of<typeof rolledBack>;
