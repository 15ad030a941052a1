/** Listeners that come and go, and what that means for mappings: for the log and the events. */
import { ended, neverSince, protocol } from "./common.js";
import {
  boolean,
  either,
  field,
  integer,
  list,
  nullable,
  object,
  oneOf,
  text,
  type Of,
  type Shape,
} from "./shape.js";

const turned = (what: string) =>
  field(
    object({
      count: field(integer, "How many there are."),
      listeners: field(
        list(
          object({
            protocol: field(protocol, "The protocol of the destination."),
            address: field(text, "The address of the destination."),
            port: field(integer, "1 to 65535."),
            user: field(text, "Whose listener it is: the user's name, or the number without one."),
            unit: field(
              nullable(text),
              "The systemd unit that it runs in, where a service of the configuration names it; otherwise null.",
            ),
          }),
        ),
        "The first 20 of them.",
      ),
    }),
    what,
  );

/** What became of destinations within about a second. */
export const turns = object({
  started: turned("Destinations that have a listener now."),
  ended: turned("Destinations that have none any more."),
  restarted: turned("Destinations that had none for a moment."),
});

const mapping = {
  name: field(text, "Its name."),
  protocol: field(oneOf("tcp", "udp"), "Its protocol."),
};

/** How many mappings there are of a kind, and the first of them. */
export const counted = <T>(one: Shape<T>) =>
  object({
    count: field(integer, "How many there are."),
    mappings: field(list(one), "The first 20 of them."),
  });

export const unservedMapping = object({
  ...mapping,
  owner: field(
    nullable(text),
    "Who is to listen, in words: the owner of the service that it leads to; null when it has none.",
  ),
  ended: field(
    nullable(ended),
    "The end of the last listener that it had; null when none was seen.",
  ),
  neverSince,
});

export const drainedMapping = object(mapping);

export const gapMapping = object({
  ...mapping,
  family: field(oneOf(4, 6), "The family over which nobody gets what is dialled."),
  drained: field(boolean, "True when all its destinations of that family are drained."),
  ended: field(
    nullable(ended),
    "The end of the last listener at an address of that family; null when none was seen.",
  ),
  neverSince,
});

export const degradedMapping = object({
  ...mapping,
  destinations: field(integer, "How many destinations it has."),
  down: field(
    list(
      object({
        address: field(text, "Its address."),
        port: field(either(integer, oneOf("same")), "Its port; `same` is the one that is dialled."),
        service: field(nullable(text), "The service by whose name it was given; null without one."),
        ended: field(nullable(ended), "The end of its last listener; null when none was seen."),
        neverSince,
      }),
    ),
    "Those without a listener, which are not drained and have no `*`.",
  ),
});

/** What has changed since it was told last. */
export const health = object({
  unserved: field(counted(unservedMapping), "Mappings that have no listener any more."),
  served: field(counted(object(mapping)), "Mappings that have one again, or for the first time."),
  down: field(integer, "How many mappings have none now."),
  gaps: field(
    counted(gapMapping),
    "Mappings that have no listener any more over one family, of an address of which they have a destination.",
  ),
  degraded: field(
    counted(degradedMapping),
    "Mappings of which other destinations than before are down, while others serve.",
  ),
  whole: field(counted(object(mapping)), "Mappings that had such a fault, and have none any more."),
});

export type TurnsJson = Of<typeof turns>;
export type HealthJson = Of<typeof health>;
export type UnservedJson = Of<typeof unservedMapping>;
export type DrainedMappingJson = Of<typeof drainedMapping>;
export type GapJson = Of<typeof gapMapping>;
export type DegradedJson = Of<typeof degradedMapping>;
