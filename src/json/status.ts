/** What `ilm status --json` prints. */
import { mptcpModes } from "../model/mapping.js";
import { counters, errorBody, pending, queue, warning } from "./common.js";
import { drainedDestination } from "./drain.js";
import { counted, degradedMapping, drainedMapping, gapMapping, unservedMapping } from "./health.js";
import { boolean, field, integer, list, nullable, object, oneOf, text, type Of } from "./shape.js";

const daemon = object({
  pid: field(integer, "Its process."),
  version: field(text, "Its version of ilm."),
  startedAt: field(text, "When it started: ISO 8601, UTC."),
  following: field(
    nullable(text),
    "The file or folder that it follows, or the first of several; null when there is none.",
  ),
  followed: field(list(text), "All files and folders that it follows, in their order."),
  lastReload: field(
    nullable(
      object({
        time: field(text, "When it was: ISO 8601, UTC."),
        error: field(nullable(errorBody), "Why it failed; null when it succeeded."),
      }),
    ),
    "The last time that the daemon read its file again; null before the first.",
  ),
  reloads: field(
    object({
      done: field(integer, "How many succeeded."),
      failed: field(integer, "How many failed."),
    }),
    "How often the daemon has read its file again since it started.",
  ),
});

const faults = object({
  untracked: field(integer, "Listeners that found a map full, or no memory."),
  unplaced: field(integer, "Listeners that the socket map refused."),
  flows: field(integer, "UDP flows that could not be remembered."),
  unanswered: field(
    integer,
    "Datagrams of a mapped UDP daemon to a client of which nothing is known.",
  ),
  unsteered: field(
    integer,
    "Packets for a listener that only ingress can hand over to, and that it could not hand over.",
  ),
});

export const status = object({
  loaded: field(boolean, "True when there are rules, also when they are switched off."),
  netns: field(integer, "The inode number of the network namespace."),
  off: field(boolean, "True after `ilm off`: the rules decide nothing until `ilm on`."),
  generation: field(
    nullable(integer),
    "The number of the active rules, from 1. A change gets a higher one, not always the next; after one that went back it is that of the rules before. It is null when nothing is loaded.",
  ),
  pending: field(
    nullable(pending),
    "Set while the active rules wait for `ilm confirm`, without which they go back by themselves; otherwise null.",
  ),
  wentBackAt: field(
    nullable(text),
    "When the change after these rules went back, for it was not confirmed: ISO 8601, UTC; otherwise null.",
  ),
  appliedAt: field(
    nullable(text),
    "When the rules were applied: ISO 8601, UTC; null when nothing is loaded.",
  ),
  appliedBy: field(
    nullable(text),
    "The version of ilm that applied the rules; null when nothing is loaded.",
  ),
  earlierFormat: field(
    nullable(integer),
    "The format of the state, when an earlier version of ilm made it; otherwise null.",
  ),
  engine: field(
    nullable(oneOf("kfunc", "registry")),
    "How listeners are found; null when nothing is loaded.",
  ),
  mptcp: field(
    nullable(oneOf(...mptcpModes)),
    "As the configuration has it; null when nothing is loaded.",
  ),
  source: field(
    nullable(text),
    "The path that the rules were read from, or the first of several; null when there is none.",
  ),
  sources: field(list(text), "All paths that the rules were read from, in their order."),
  given: field(
    list(text),
    "The mappings that were given as arguments, beside a file or without one, as `ilm apply` takes them.",
  ),
  copiedAt: field(
    nullable(text),
    "When the configuration was right whose copy the rules come from, because the daemon began with a wrong one: ISO 8601, UTC; otherwise null.",
  ),
  services: field(integer, "How many services the configuration has."),
  mappings: field(
    integer,
    "How many mappings are active, of both protocols; those whose time is over are none.",
  ),
  runtimeMappings: field(integer, "How many of them `ilm add` added."),
  drained: field(
    list(drainedDestination),
    "The destinations that `ilm drain` named, in that order: they get nobody new.",
  ),
  listeners: field(
    nullable(integer),
    "How many sockets listen in the network namespace; null when nothing is loaded.",
  ),
  mappedListeners: field(
    nullable(integer),
    "How many of them a mapping leads to; null when nothing is loaded.",
  ),
  unserved: field(
    nullable(counted(unservedMapping)),
    "The mappings at none of whose destinations anybody listens, apart from drained ones; null when nothing is loaded.",
  ),
  drainedMappings: field(
    nullable(counted(drainedMapping)),
    "The mappings that give nothing new to anyone, as all their destinations are drained or have the weight 0; null when nothing is loaded.",
  ),
  gaps: field(
    nullable(counted(gapMapping)),
    "The families over which a mapping that is served otherwise gives nothing to anyone, although it has a destination with an address of that family; null when nothing is loaded.",
  ),
  degraded: field(
    nullable(counted(degradedMapping)),
    "The mappings of which a destination is down, while another of the same family serves; null when nothing is loaded.",
  ),
  full: field(
    nullable(
      object({
        count: field(integer, "How many there are."),
        mappings: field(
          list(
            object({
              name: field(text, "Its name."),
              protocol: field(oneOf("tcp", "udp"), "Its protocol."),
              address: field(text, "Where the daemon listens."),
              port: field(integer, "1 to 65535."),
              queue: field(queue, "What waits for it."),
            }),
          ),
          "The first 20 of them.",
        ),
      }),
    ),
    "The mappings that lead to a listener with a full queue: its daemon hangs, or is too slow; null when nothing is loaded.",
  ),
  lookups: field(
    nullable(counters),
    "The counters of all mappings together; null when nothing is loaded.",
  ),
  flows: field(
    nullable(
      object({
        live: field(integer, "How many there are."),
        capacity: field(integer, "How many there can be; beyond it, the oldest are evicted."),
      }),
    ),
    "UDP clients whose dialled address is remembered; null when nothing is loaded.",
  ),
  faults: field(
    nullable(faults),
    "What the kernel side could not do since its registry was made; null when nothing is loaded.",
  ),
  daemon: field(nullable(daemon), "The `ilm run` that answers; null when none does."),
  writer: field(
    nullable(
      object({
        pid: field(integer, "Its process."),
        command: field(text, "Its command line; empty when it cannot be read."),
      }),
    ),
    "The process that holds the lock for changes although no daemon answers; null when there is none.",
  ),
  warnings: field(list(warning), "What does not work as a user may expect."),
  notes: field(list(text), "Remarks in words."),
  pinPath: field(text, "The folder of the BPF file system that holds the state."),
});

export type StatusJson = Of<typeof status>;
