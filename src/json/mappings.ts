/** What `ilm mappings --json` prints. */
import { counters, ended, neverSince, obstacle, holder, queue } from "./common.js";
import { destination, mapping } from "./mapping.js";
import {
  boolean,
  field,
  integer,
  list,
  nullable,
  number,
  object,
  oneOf,
  text,
  type Of,
} from "./shape.js";

const listener = object({
  address: field(text, "The address that it is bound to; 0.0.0.0 or :: for a wildcard listener."),
  port: field(integer, "1 to 65535."),
  kind: field(oneOf("tcp", "mptcp", "udp"), "The kind of its socket."),
  cookie: field(text, "The cookie of its socket, a decimal number of 64 bits."),
  pid: holder.pid,
  command: holder.command,
  since: field(
    nullable(text),
    "Since when somebody has listened there without a gap, as far as ilm has seen: ISO 8601, UTC; null where no mapping leads.",
  ),
  queue: field(queue, "What waits for the daemon."),
});

const target = object({
  ...destination.fields,
  listening: field(
    boolean,
    "True when a socket listens exactly there that the rules do not refuse.",
  ),
  drained: field(
    boolean,
    "True when it gets nobody new, because its weight is 0 or `ilm drain` names it, for all ports of the mapping.",
  ),
  selected: field(
    nullable(integer),
    "How often the mapping selected it since it has this destination; null while an earlier version of ilm counts.",
  ),
  selectedPerSecond: field(
    nullable(number),
    "How often the mapping selected it in a second, as in `rates`; null where that is null, and with more than 10,000 mappings to sort by rate.",
  ),
  connections: field(
    nullable(integer),
    "Of TCP: how many connections that came by the mapping are open there, as far as its listeners accepted them since ilm knows these; of MPTCP, subflows. It is null for UDP, and where they were not counted (`--connections`, or the mapping is named).",
  ),
  flows: field(
    nullable(integer),
    "Of UDP: how many clients that came by the mapping it has; null for TCP, and where they were not counted.",
  ),
  listener: field(
    nullable(listener),
    "That socket; null when there is none, or the daemon was asked, which does not tell.",
  ),
  ended: field(
    nullable(ended),
    "The end of the last listener there, where none is; null when there is one, or none was seen.",
  ),
  neverSince,
  stranger: field(
    nullable(listener),
    "A socket that listens exactly there where the rules do not permit it, so that it gets nothing; null when there is none, another one listens, or the daemon was asked.",
  ),
  wildcardWouldAnswer: field(
    nullable(listener),
    "A wildcard listener on that port, which is not chosen; null when there is none, or the daemon was asked.",
  ),
});

export const rates = object({
  seconds: field(number, "How far apart the two readings of the counters were."),
  existingPerSecond: field(number, "Lookups that a listener on what was dialled kept."),
  selectedPerSecond: field(number, "Lookups for which a destination was selected."),
  missedPerSecond: field(
    number,
    "Lookups for which no destination listened, or that are refused on purpose.",
  ),
  errorsPerSecond: field(number, "Lookups that failed."),
});

export const mappings = list(
  object({
    ...mapping.fields,
    to: field(list(target), "The destinations, in the order of the configuration."),
    counters: field(
      counters,
      "Its lookups since it was applied first; `selected` is at least the sum of its destinations'.",
    ),
    rates: field(
      nullable(rates),
      "What it counted in a second, on average; null without `--rate`, and where its counters may have begun anew between the two readings.",
    ),
    obstacles: field(
      nullable(list(obstacle)),
      "What keeps packets from the mapping, or may; null when it was not looked for.",
    ),
  }),
);

export type RatesJson = Of<typeof rates>;
export type MappingsJson = Of<typeof mappings>;
