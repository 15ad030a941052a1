/** What `ilm diff --json` prints, and `apply`, `add` and `remove` with `--dry-run`. */
import { handovers, serviceWildcards } from "../model/mapping.js";
import { problem, protocol, timing } from "./common.js";
import { destination, mapping, ownerOfSockets } from "./mapping.js";
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

const service = object(
  {
    name: field(text, "Its name."),
    addresses: field(list(text), "Its addresses, at least one."),
    handover: optional(
      oneOf(...handovers),
      "For all mappings that lead there and have none of their own; absent for `auto`.",
    ),
    originate: optional(
      oneOf(true),
      "True when what the service itself sends leaves from the address that is mapped to it; otherwise absent.",
    ),
    owner: optional(
      ownerOfSockets,
      "Whose sockets may listen on its addresses; absent for anyone's.",
    ),
    mptcp: optional(
      oneOf("off"),
      "`off` when its owner's sockets are never MPTCP sockets; otherwise absent.",
    ),
    wildcard: optional(
      oneOf(...serviceWildcards),
      "What happens when its owner binds to 0.0.0.0 or ::; absent for the policy of the host.",
    ),
    description: optional(text, "What it is, as the configuration says; absent without a word."),
    origin: field(
      object({
        file: field(text, "The file as it was named."),
        line: field(integer, "From 1."),
        column: field(integer, "From 1."),
      }),
      "Where it is written.",
    ),
  },
  "service",
);

const way = object(
  {
    from: field(list(text), "The prefixes that clients come from; empty for any."),
    interface: field(
      list(text),
      "The names of the interfaces that packets come in on; empty for any.",
    ),
    to: field(
      list(destination),
      "The destinations that take the family of the prefix; `service` is always null.",
    ),
    unserved: field(
      nullable(oneOf("missed", "rejected")),
      "What becomes of the connection because no destination takes its family; null when one does, or the mapping refuses on purpose.",
    ),
  },
  "way",
);

const counts = object({
  added: field(integer, "How many mappings are new."),
  removed: field(integer, "How many mappings go."),
  changed: field(integer, "How many mappings change."),
  drained: field(integer, "How many destinations get nobody new any more."),
  undrained: field(integer, "How many destinations get new connections again."),
  settings: field(integer, "How many settings change."),
  servicesAdded: field(integer, "How many services are new."),
  servicesRemoved: field(integer, "How many services go."),
  addressesAdded: field(integer, "How many addresses of services are new."),
  addressesRemoved: field(integer, "How many addresses of services go."),
  moves: field(integer, "Connections that would go elsewhere, as they are listed in `moves`."),
});

export const difference = object({
  same: field(boolean, "True when nothing would change."),
  counts: field(
    counts,
    "How many there are of each kind. `--summary` empties the lists, and `--limit` shortens them.",
  ),
  added: field(list(mapping), "Mappings that are new."),
  removed: field(list(mapping), "Mappings that go."),
  changed: field(
    list(
      object({
        before: field(mapping, "The mapping that is active."),
        after: field(mapping, "The mapping of the same name and protocol that would be."),
        fields: field(
          list(text),
          "What differs: `ports`, `on`, `from`, `interfaces`, `until`, `to`, `existing`, `miss`, `listeners`, `description`.",
        ),
      }),
    ),
    "Mappings that change.",
  ),
  drained: field(
    list(text),
    "Destinations that get nobody new any more, as `ilm drain` takes them.",
  ),
  undrained: field(list(text), "Destinations that get new connections again."),
  settings: field(
    list(
      object({
        name: field(text, "Its path in the configuration, such as `mptcp`."),
        before: field(text, "The active value."),
        after: field(text, "The value that would be."),
      }),
    ),
    "Settings of the network namespace or of a service that change.",
  ),
  servicesAdded: field(list(service), "Services that are new."),
  servicesRemoved: field(list(service), "Services that go."),
  addressesAdded: field(list(text), "Addresses of services that are new."),
  addressesRemoved: field(list(text), "Addresses of services that go."),
  moves: field(
    list(
      object({
        protocol: field(protocol, "The protocol of the connections."),
        port: field(text, "The ports that are dialled: `443`, `8000-8099`."),
        on: field(
          text,
          "The prefix that is dialled; `0.0.0.0/0` and `::/0` for all addresses that no other mapping covers.",
        ),
        before: field(
          list(way),
          "Where these connections go now, in the order in which it is tried; empty when no mapping covers them.",
        ),
        after: field(list(way), "Where they would go."),
      }),
    ),
    "Connections that would go elsewhere.",
  ),
  moreMoves: field(
    boolean,
    "True when the change is too large to follow each connection: there may be more moves.",
  ),
});

export const dryRun = object(
  {
    dryRun: field(oneOf(true), "Always true: nothing was changed."),
    ...difference.fields,
    warnings: field(list(problem), "What is doubtful about the configuration."),
    timing: field(timing, "What was done, in its order."),
  },
  "dry run",
);

export type DiffCounts = Of<typeof counts>;
export type DiffJson = Of<typeof difference>;
export type DryRunJson = Of<typeof dryRun>;
