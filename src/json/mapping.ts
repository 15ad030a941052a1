/** The shape of a mapping, which several commands print. */
import { handovers } from "../model/mapping.js";
import { protocol } from "./common.js";
import {
  boolean,
  either,
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

export const destination = object(
  {
    address: field(text, "An IPv4 or IPv6 address; `*` for a wildcard listener."),
    port: field(
      either(integer, oneOf("same")),
      'The port of the daemon; `"same"` for the port that was dialled.',
    ),
    service: field(
      nullable(text),
      "The service that the address was named by; null when the mapping names the address itself.",
    ),
    weight: field(
      nullable(integer),
      "The share of the clients, 0 to 1000, where 0 gets nobody new; null when the destinations are tried in their order.",
    ),
    handover: field(
      oneOf(...handovers),
      "As the mapping or its service has it; `auto` when neither has it.",
    ),
    dualStack: field(
      boolean,
      "True for an IPv4 address that IPv6 packets go to as well, because wildcard binds of its service are rewritten.",
    ),
  },
  "destination",
);

const account = either(text, integer);

export const ownerOfSockets = object(
  {
    unit: optional(text, "The systemd unit, with its suffix; absent for any."),
    user: optional(account, "The user, by name or by id; absent for any."),
    group: optional(account, "The group, by name or by id; absent for any."),
  },
  "owner",
);

export const mapping = object(
  {
    name: field(text, "As the configuration has it, or derived, such as `tcp:443`."),
    protocol: field(protocol, "A mapping of both protocols is two mappings with one name."),
    port: field(
      text,
      "The ports that are dialled, as in a configuration: `443`, `80,443`, `8000-8099`, `*`.",
    ),
    on: field(list(text), "The prefixes that are dialled; empty for any."),
    from: field(list(text), "The prefixes that clients come from; empty for any."),
    interface: field(
      list(text),
      "The names of the interfaces that packets come in on; empty for any.",
    ),
    to: field(
      list(destination),
      "The destinations, in the order of the configuration; none when connections are refused on purpose (`to: none`).",
    ),
    existing: field(
      oneOf("exact", "any", "never"),
      "Which listener on the dialled port keeps its connections.",
    ),
    miss: field(oneOf("pass", "reject"), "What happens to a packet when no destination listens."),
    listeners: field(
      either(oneOf("anyone"), list(ownerOfSockets)),
      "Who may listen on the dialled address, besides root and the owners of the services that it leads to; empty for nobody else.",
    ),
    description: field(
      nullable(text),
      "What it is for, as the configuration says; null without a word.",
    ),
    runtime: field(boolean, "True when `ilm add` added it."),
    until: field(
      nullable(text),
      "When it ends, as `ilm add --for` said: ISO 8601, UTC; null when it does not.",
    ),
    origin: field(
      text,
      "`FILE:LINE` of the configuration; `<argument>`, `<stdin>` or `<runtime>` for other mappings.",
    ),
  },
  "mapping",
);

export type DestinationJson = Of<typeof destination>;
export type MappingJson = Of<typeof mapping>;
