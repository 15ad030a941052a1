/** What `ilm explain --json` prints for rules of a file, and for each line of a list. */
import { endpoint, errorBody, protocol } from "./common.js";
import { matchedBy, verdict } from "./explain.js";
import { boolean, field, integer, list, nullable, object, oneOf, text, type Of } from "./shape.js";

export const answer = object({
  line: field(nullable(integer), "The line of the list; null without a list."),
  packet: field(
    object({
      protocol: field(protocol, "As it was asked for."),
      local: field(text, "The address dialled."),
      localPort: field(integer, "The port dialled."),
      remote: field(text, "The address of the client."),
      remotePort: field(integer, "The port of the client."),
      interface: field(
        nullable(text),
        "The name of the interface that the packet comes in on; null when it is unknown.",
      ),
    }),
    "The packet that was asked about.",
  ),
  mapping: field(
    nullable(text),
    "The name of the mapping that decides; null when no mapping covers the packet.",
  ),
  matchedBy: field(matchedBy, "How the mapping was found, as in `ilm explain` without a file."),
  listeners: field(
    oneOf("unknown", "assumed", "asked"),
    "How it is known who listens. `unknown`: it is not. `assumed`: `--listening` says so. `asked`: the loaded program looked.",
  ),
  verdict: field(
    nullable(verdict),
    "What ilm decides, as the `decision` without a file; null when that depends on who listens, which is unknown.",
  ),
  destination: field(
    nullable(endpoint),
    "The destination that gets the packet; null when none does, or when several may.",
  ),
  candidates: field(
    list(
      object({
        address: field(text, "An IPv4 or IPv6 address; `*` for a wildcard listener."),
        port: field(integer, "1 to 65535."),
        service: field(
          nullable(text),
          "The service that the address was named by; null when the mapping names the address itself.",
        ),
        weight: field(
          nullable(integer),
          "The share of the clients; null when the destinations are tried in this order.",
        ),
        mayGet: field(boolean, "True when the packet may go there, as far as is known."),
      }),
    ),
    "The destinations that packets of this family can go to: in the order in which they are tried, or, with weights, in that of the mapping.",
  ),
  unserved: field(
    nullable(oneOf("missed", "rejected")),
    "What becomes of the packet when no destination listens; null without a mapping.",
  ),
  expected: field(nullable(text), "What was expected; null for nothing."),
  asExpected: field(
    nullable(boolean),
    "True when the answer is as expected; null when nothing was expected.",
  ),
  steps: field(list(text), "The whole of it in words; one sentence for a line of a list."),
});

/** For a line of a list that is no question. */
export const refusedLine = object({
  line: field(integer, "The line of the list."),
  error: field(errorBody, "Why it cannot be answered."),
});

export type AnswerJson = Of<typeof answer>;
export type RefusedLineJson = Of<typeof refusedLine>;
