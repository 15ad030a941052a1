/** What `ilm address --json` and `ilm hosts --json` print. */
import { boolean, field, list, object, text, type Of } from "./shape.js";

export const serviceAddresses = list(
  object({
    service: field(text, "The name of the service."),
    addresses: field(list(text), "Its addresses, at least one."),
    defined: field(
      boolean,
      "True when the file, or the active rules, have such a service; false when these are the addresses that `address: auto` would give it.",
    ),
  }),
);

export const hosts = list(
  object({
    address: field(text, "An address of a service."),
    name: field(text, "The name of the service."),
  }),
);

export type AddressJson = Of<typeof serviceAddresses>;
export type HostsJson = Of<typeof hosts>;
