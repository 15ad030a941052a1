/** What `ilm flows --json` prints. */
import { endpoint } from "./common.js";
import { field, integer, list, nullable, object, text, type Of } from "./shape.js";

export const flows = list(
  object({
    client: field(endpoint, "Where the client sends from."),
    dialled: field(endpoint, "What the client dialled; replies leave from there."),
    daemon: field(
      endpoint,
      "What the daemon is bound to; address 0.0.0.0 or :: for a wildcard listener.",
    ),
    mapping: field(
      nullable(text),
      "The mapping that brought the client there; null when it is no longer active.",
    ),
    idle_s: field(integer, "Seconds since the last datagram of either end."),
  }),
);

export type FlowsJson = Of<typeof flows>;
