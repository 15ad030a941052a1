/** What `ilm drain` and `ilm undrain` print with `--json`. */
import { protocol, timing } from "./common.js";
import { performed } from "./change.js";
import { field, integer, list, nullable, object, text, type Of } from "./shape.js";

export const drainedDestination = object(
  {
    destination: field(
      text,
      "As `ilm drain` takes it, such as `web`, `udp:web:53`, `127.0.1.10:80`.",
    ),
    protocol: field(nullable(protocol), "The protocol; null for both."),
    address: field(
      nullable(text),
      "The address; `*` for a wildcard listener; null when a service is named.",
    ),
    service: field(nullable(text), "The service; null when an address is named."),
    port: field(nullable(integer), "The port of the daemon; null for every port."),
  },
  "drained destination",
);

export const drainList = list(drainedDestination);

const left = object({
  connections: field(integer, "Open TCP connections; of MPTCP, subflows."),
  flows: field(integer, "UDP clients."),
});

export const drained = object({
  ...performed,
  drained: field(list(drainedDestination), "The destinations that were named."),
  timing: field(timing, "What was done, in its order."),
});

/** What `ilm drain` prints. */
export const drainedUntil = object({
  ...drained.fields,
  left: field(
    nullable(left),
    "What was open there at last, however it came; null without `--until-idle`.",
  ),
});

export type DrainedDestinationJson = Of<typeof drainedDestination>;
export type LeftJson = Of<typeof left>;
export type DrainListJson = Of<typeof drainList>;
export type DrainedJson = Of<typeof drained>;
export type DrainedUntilJson = Of<typeof drainedUntil>;
