/** What `ilm run --json` writes for each entry of its log. */
import { errorCode, problem, protocol } from "./common.js";
import { health, turns } from "./health.js";
import { refusalReasons } from "../model/refusal.js";
import {
  boolean,
  field,
  integer,
  list,
  nullable,
  object,
  oneOf,
  optional,
  text,
  type Of,
} from "./shape.js";

export const refusal = object({
  reason: field(
    oneOf(...refusalReasons),
    "Why. `address`: a bind to a service's address. `mapped`: a bind to a dialled address on a mapped port. `wildcard`: a bind to every address. `reported`: the same, which was allowed. `lookup`: packets for a stranger.",
  ),
  protocol: field(protocol, "The protocol of the socket, or of the packet."),
  address: field(text, "The address that was bound to, or dialled."),
  port: field(integer, "The port that was bound to, or dialled."),
  uid: field(nullable(integer), "The id of the user that made the socket; null for packets."),
  gid: field(nullable(integer), "The id of the group that made the socket; null for packets."),
  user: field(nullable(text), "The name of that user, or the id where it has none; else null."),
  pid: field(nullable(integer), "The process that tried; null for packets."),
  command: field(nullable(text), "The name of that process as it was then; null for packets."),
  unit: field(nullable(text), "The systemd unit of that process; null when it is gone."),
  service: field(nullable(text), "The service whose address it is; null when there is none."),
  mapping: field(
    nullable(text),
    "The mapping that decides there; null when there is none, or too many to look through.",
  ),
});

export const entry = object({
  time: field(text, "When it was: ISO 8601, UTC."),
  level: field(oneOf("error", "warning", "info"), "How bad it is."),
  message: field(text, "What happened."),
  generation: optional(integer, "For applied rules: their number."),
  changed: optional(boolean, "For applied rules: false when they were already active."),
  code: optional(errorCode, "For errors: which kind it is; see docs/troubleshooting.md."),
  refusal: optional(refusal, "For what was refused or reported: who tried what, and why."),
  listeners: optional(turns, "For destinations that got a listener or lost their last one: which."),
  health: optional(
    health,
    "For mappings that are left without a listener, wholly or in part, or with one again: which.",
  ),
  problems: optional(list(problem), "For a configuration that is refused: all its problems."),
});

export type LogJson = Of<typeof entry>;
