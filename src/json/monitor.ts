/** What `ilm monitor --json` prints for each decision, and at its end. */
import { endpoint, protocol } from "./common.js";
import { matchedBy, verdict } from "./explain.js";
import { boolean, field, integer, nullable, object, text, type Of } from "./shape.js";

export const decision = object({
  time: field(text, "When it was made: ISO 8601, UTC."),
  verdict: field(verdict, "As the `decision` of `ilm explain`."),
  protocol: field(protocol, "The protocol of the packet."),
  client: field(endpoint, "Where the packet comes from."),
  dialled: field(endpoint, "What the client dialled."),
  mapping: field(
    nullable(text),
    "The name of the mapping that decided; null when there is none, or its rules are no longer known.",
  ),
  destination: field(nullable(endpoint), "The destination that was selected; null when none was."),
  strangers: field(
    boolean,
    "True when nobody got it because only strangers listen there: sockets that the rules do not permit.",
  ),
  matchedBy: field(matchedBy, "As in `ilm explain`."),
  interface: field(
    integer,
    "The index of the interface that the packet came in on; 0 when there is none.",
  ),
  generation: field(integer, "The number of the rules that decided."),
});

export type MonitorJson = Of<typeof decision>;

const amount = (what: string) => field(integer, what);

export const monitorSummary = object({
  summary: field(
    object({
      decisions: amount("The decisions that were made while it watched."),
      matched: amount("Of these, those that the options ask for."),
      skipped: amount("Of the matched, those that `--sample` left out."),
      dropped: amount(
        "Of the matched, those that came faster than `--rate`, or than the output was read.",
      ),
      shown: amount("The number of lines before this one."),
    }),
    "What became of the decisions, in all.",
  ),
});

export type MonitorSummaryJson = Of<typeof monitorSummary>;
