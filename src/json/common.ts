/** Shapes that the output of several commands has. */
import { errorCatalogue, type ErrorCode } from "../errors.js";
import {
  boolean,
  field,
  integer,
  list,
  nullable,
  number,
  object,
  oneOf,
  optional,
  text,
  type Fields,
  type Of,
} from "./shape.js";

export const protocol = oneOf("tcp", "udp");

/** An address with a port. */
export const endpoint = object({
  address: field(text, "An IPv4 or IPv6 address, in canonical form."),
  port: field(integer, "1 to 65535."),
});

/** Fields of the process behind a socket. Each is null when the process is unknown. */
export const holder = {
  pid: field(
    nullable(integer),
    "The process that holds the socket; null when it is gone, or in another PID namespace.",
  ),
  command: field(nullable(text), "The name of that process; null when it is unknown."),
  user: field(nullable(text), "The user that it runs as; null when it is unknown."),
  unit: field(
    nullable(text),
    "The systemd unit that the socket was created in, such as `nginx.service`, or `nginx.socket` when systemd created it for a socket unit; that of the process when the unit has stopped; null when it is unknown or there is none.",
  ),
} as const satisfies Fields;

export const problem = object(
  {
    severity: field(oneOf("error", "warning"), "A warning does not keep rules from being applied."),
    file: field(
      text,
      "The file as it was named; `<argument>` for a mapping on the command line, `<stdin>`, or `<runtime>` for a mapping added at run time.",
    ),
    line: field(integer, "From 1; 0 when the problem is with the file as a whole."),
    column: field(
      integer,
      "From 1, in UTF-16 code units; 0 when the problem is with the file as a whole.",
    ),
    path: field(
      text,
      "The place within the document, such as `mappings[2].on[0]`; empty for the document itself.",
    ),
    message: field(text, "What is wrong."),
    hint: field(text, "What would be right; empty when there is nothing to say."),
  },
  "problem",
);

export const errorCode = oneOf(...(Object.keys(errorCatalogue) as ErrorCode[]));

export const errorBody = object(
  {
    code: field(errorCode, "Which kind of error it is: see docs/troubleshooting.md."),
    message: field(text, "What is wrong, and where."),
    remedy: field(nullable(text), "What to do about it; null when there is nothing to say."),
    problems: field(
      list(problem),
      "With CONFIGURATION, all problems of the configuration; otherwise empty.",
    ),
  },
  "error",
);

/** What every command prints when it fails. */
export const failure = object({ error: field(errorBody, "Why the command failed.") });

export const warning = object(
  {
    kind: field(
      oneOf(
        "wildcard-would-answer",
        "stranger-listens",
        "strangers-reported",
        "address-missing",
        "ephemeral-ports",
        "destination-elsewhere",
        "reload-failed",
        "daemon",
        "mptcp",
        "mptcp-beside-nat",
        "ended-namespaces",
        "interface-uncovered",
        "interface-overtaken",
        "detached",
        "off",
        "earlier-version",
        "flows-full",
        "engine",
        "vrf",
        "unreached",
        "unregistered",
        "drained",
        "service-gone",
        "anyip-on-link",
        "anyip-missing",
        "untracked",
        "unplaced",
        "flows",
        "unanswered",
        "unsteered",
      ),
      "What it is about, for scripts.",
    ),
    message: field(text, "What does not work as a user may expect."),
    remedy: field(text, "What to do about it."),
    about: optional(
      list(text),
      "The names of the first 100 mappings, or of the service, that it is about; absent for other warnings.",
    ),
  },
  "warning",
);

export const pending = object(
  {
    until: field(text, "When it goes back: ISO 8601, UTC."),
    backTo: field(integer, "The number of the generation that decides again from then on."),
  },
  "pending",
);

export const obstacle = object(
  {
    kind: field(
      oneOf(
        "link",
        "address",
        "away",
        "route",
        "source",
        "back",
        "neighbour",
        "firewall",
        "unread",
        "nat",
        "conntrack",
        "program",
        "interface",
        "detached",
        "off",
      ),
      "What is in the way. `link`: nothing comes in on that interface. `address`: the host has it and does not use it. `away`: it is not here now, and is at times (`floating`). `source`: what comes from there is refused. `back`: answers do not leave. `neighbour`: neighbours do not find the address. `unread`: rules of netfilter of which it is not known what they do. `interface`: it is without the programs of ilm.",
    ),
    sure: field(
      boolean,
      "True: it is in the way of these packets. False: it may be, or is in the way of some of them.",
    ),
    message: field(text, "What is in the way, and where."),
    remedy: field(text, "What to do about it."),
  },
  "obstacle",
);

export const counters = object(
  {
    existing: field(integer, "Lookups that a socket on the dialled address kept."),
    selected: field(integer, "Lookups that got a destination of a mapping."),
    missed: field(integer, "Lookups for which no destination listened."),
    errors: field(integer, "Lookups that an internal error ended. For the client they are misses."),
  },
  "counters",
);

export const queue = object(
  {
    waiting: field(
      integer,
      "Of TCP, connections that the daemon has not accepted; of UDP, bytes of memory of datagrams that it has not received.",
    ),
    limit: field(
      integer,
      "How much may wait: as the daemon said to `listen()`, or of UDP its SO_RCVBUF.",
    ),
    drops: field(
      integer,
      "What the kernel refused since the socket was made: mostly because nothing more could wait.",
    ),
  },
  "queue",
);

export const ended = object(
  {
    at: field(text, "When: ISO 8601, UTC."),
    user: field(text, "Whose it was: the name of the user, or the number where it has no name."),
    unit: field(
      nullable(text),
      "The systemd unit that it ran in, where a service of the configuration names it; otherwise null.",
    ),
  },
  "ended",
);

export type EndedJson = Of<typeof ended>;

/** A field of what has no listener. */
export const neverSince = field(
  nullable(text),
  "Since when ilm has watched without ever seeing a listener: ISO 8601, UTC; null when there is or was one, or it is not known.",
);

export const timing = list(
  object(
    {
      step: field(text, "What was done; with `run: ` in front, what the daemon did."),
      milliseconds: field(number, "How long it took."),
    },
    "step",
  ),
);

export type FailureJson = Of<typeof failure>;
