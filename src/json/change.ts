/** What the commands that change something print with `--json`. */
import { pending, problem, protocol, timing, warning } from "./common.js";
import { mapping } from "./mapping.js";
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

export const named = object(
  {
    count: field(integer, "How many there are."),
    names: field(list(text), "Their names, at most the first 100."),
    protocols: field(
      list(protocol),
      "The protocol of each that is named; empty in changes that an earlier version recorded.",
    ),
  },
  "names",
);

const drainedBy = object(
  {
    destination: field(text, "The destination, as `ilm drain` takes it."),
    mappings: field(named, "The mappings that lead there."),
  },
  "drained by a change",
);

/** What a change did beside the mappings, for a change and for its event. */
export const drains = {
  drained: field(list(drainedBy), "Destinations that get nobody new since then."),
  undrained: field(list(drainedBy), "Destinations that get new connections again."),
} as const satisfies Fields;

const by = field(
  oneOf("daemon", "command"),
  "Who made the change: the running `ilm run`, or this command.",
);

const steps = field(timing, "What was done, in its order.");

const warnings = field(list(problem), "What is doubtful about the configuration.");

const difference = field(
  nullable(
    object(
      {
        added: field(named, "Mappings that are new."),
        removed: field(named, "Mappings that are gone."),
        changed: field(named, "Mappings that are not as they were."),
        ...drains,
      },
      "difference",
    ),
  ),
  "What the change did to the mappings; null when nothing was changed.",
);

export const performed = {
  generation: field(
    nullable(integer),
    "The number of the active rules, from 1; null when there are none.",
  ),
  changed: field(boolean, "False: these rules were already active, and nothing was done."),
  difference,
  mappings: field(integer, "How many mappings are active now."),
  incremental: field(boolean, "True when only what differs was written into the tables."),
  addressesAdded: field(
    list(text),
    "What was added to lo: addresses of services, and prefixes of `anyip` as local routes.",
  ),
  addressesRemoved: field(list(text), "What was removed from lo, likewise."),
  interfacesMissing: field(
    list(text),
    "Interfaces that mappings name and that do not exist; these mappings match nothing until they do.",
  ),
  kfuncTrouble: field(
    nullable(text),
    "Why `engine: auto` does without the kernel module although it is loaded; otherwise null.",
  ),
  repaired: field(
    list(text),
    "What another program had detached or removed, and is back: `sk_lookup`, a hook of the root cgroup, `ingress/INTERFACE`, `egress/INTERFACE`, or an address.",
  ),
  off: field(boolean, "True after `ilm off`: the rules decide nothing until `ilm on`."),
  takenOverFormat: field(
    nullable(integer),
    "The format of the state of an earlier version of ilm that was taken over; otherwise null.",
  ),
  lost: field(
    nullable(text),
    "Why the state before could not be read, so that mappings added at run time and counters are lost; otherwise null.",
  ),
  pending: field(
    nullable(pending),
    "Set after `--confirm`: the change goes back by itself unless `ilm confirm` comes; otherwise null.",
  ),
  by,
  follows: field(
    nullable(list(text)),
    "What the daemon follows from now on, when the change made it follow something else; otherwise null.",
  ),
} as const satisfies Fields;

export const applied = object({
  ...performed,
  warnings,
  unreached: field(
    list(warning),
    "Listeners of mappings that are not reached because of NAT, and mappings that lead to drained destinations only.",
  ),
  timing: steps,
});

export const reloaded = object({ ...performed, timing: steps });

export const added = object({
  ...performed,
  added: field(list(mapping), "The mappings that were asked for."),
  warnings,
  timing: steps,
});

export const removed = object({
  ...performed,
  removed: field(list(text), "The names of the mappings that were removed."),
  timing: steps,
});

export const switched = object({
  off: field(boolean, "True after `ilm off`, false after `ilm on`."),
  changed: field(boolean, "False: it was so already."),
  generation: field(nullable(integer), "The number of the active rules; null when there are none."),
  by,
  timing: steps,
});

export const confirmed = object({
  generation: field(integer, "The number of the rules that decide from now on."),
  confirmed: field(boolean, "True: the change was kept. False: it was taken back."),
  difference,
  mappings: performed.mappings,
  by,
  timing: steps,
});

export const unloaded = object({
  unloaded: field(boolean, "False: nothing was loaded."),
  difference,
  by,
  timing: steps,
});

export type AppliedJson = Of<typeof applied>;
export type ReloadedJson = Of<typeof reloaded>;
export type AddedJson = Of<typeof added>;
export type RemovedJson = Of<typeof removed>;
export type SwitchedJson = Of<typeof switched>;
export type ConfirmedJson = Of<typeof confirmed>;
export type UnloadedJson = Of<typeof unloaded>;
