/** What `GET /v1/events` of the API sends, one object on a line. */
import { drains, named } from "./change.js";
import { errorBody } from "./common.js";
import { health, turns } from "./health.js";
import { refusal } from "./run.js";
import { either, field, integer, list, nullable, object, oneOf, text, type Of } from "./shape.js";

const time = field(text, "When it was: ISO 8601, UTC.");

/** Each kind of event, by the value of its field `event`. */
export const eventShapes = {
  connected: object({
    event: field(oneOf("connected"), "The first line: from here on, events are sent."),
    time,
    api: field(integer, "The version of the API."),
    version: field(text, "The version of ilm."),
    netns: field(integer, "The inode number of the network namespace."),
    generation: field(
      nullable(integer),
      "The number of the active rules; null when there are none.",
    ),
  }),
  changed: object({
    event: field(oneOf("changed"), "Other rules are active."),
    time,
    generation: field(integer, "Their number."),
    mappings: field(integer, "How many mappings there are."),
    added: field(named, "Mappings that are new."),
    removed: field(named, "Mappings that are gone."),
    changed: field(named, "Mappings that are not as they were."),
    ...drains,
  }),
  switched: object({
    event: field(oneOf("switched"), "`ilm off` or `ilm on`."),
    time,
    to: field(oneOf("off", "on"), "Whether mappings decide now."),
  }),
  unloaded: object({
    event: field(oneOf("unloaded"), "`ilm unload`: no rules are active, and the daemon ends."),
    time,
  }),
  "reload-refused": object({
    event: field(
      oneOf("reload-refused"),
      "The configuration was refused; the active rules stay active.",
    ),
    time,
    error: field(errorBody, "Why."),
  }),
  restored: object({
    event: field(oneOf("restored"), "What another program had removed is back."),
    time,
    what: field(list(text), "Programs, pins and addresses, as `ilm status` names them."),
  }),
  refused: object({
    event: field(
      oneOf("refused"),
      "A bind, or packets for a stranger, were refused, or reported; at most every 10 s for the same.",
    ),
    time,
    message: field(text, "The same in words."),
    refusal: field(refusal, "Who tried what, and why it was refused."),
  }),
  listeners: object({
    event: field(
      oneOf("listeners"),
      "Destinations got a listener, or lost their last one: what came of about a second, or of ten while that goes on.",
    ),
    time,
    ...turns.fields,
  }),
  health: object({
    event: field(
      oneOf("health"),
      "Mappings are left without a listener, all of them or over one family, or a destination is down; or that is over.",
    ),
    time,
    ...health.fields,
  }),
  lost: object({
    event: field(
      oneOf("lost"),
      "This reader was too slow, and did not get some events: ask for the state again.",
    ),
    time,
    count: field(integer, "How many events it did not get."),
  }),
  heartbeat: object({
    event: field(oneOf("heartbeat"), "Nothing: the daemon is there. Every 10 seconds."),
    time,
  }),
  ending: object({
    event: field(oneOf("ending"), "The last line: the daemon ends."),
    time,
  }),
} as const;

export type EventShapes = {
  readonly [Kind in keyof typeof eventShapes]: Of<(typeof eventShapes)[Kind]>;
};
export const anyEvent = either(...Object.values(eventShapes));
