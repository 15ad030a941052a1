/** The words in which `ilm adopt` tells scripts what it found and did. */

/** Where a daemon listens at the moment. */
export const adoptPlaces = ["wildcard", "private", "nowhere"] as const;
export type Place = (typeof adoptPlaces)[number];

/** Why something is left alone. */
export const leftKinds = [
  "loopback",
  "address",
  "device",
  "client",
  "group",
  "speaks-first",
  "assigned",
  "kernel",
  "container",
  "system",
  "session",
  "user",
  "shared",
  "unpublished",
  "not-asked",
] as const;
export type LeftKind = (typeof leftKinds)[number];

/** How it went with a service. */
export const adoptOutcomes = [
  "moved",
  "already",
  "not running",
  "not restarted",
  "taken back",
  "withdrawn",
  "failed",
  "not begun",
] as const;
export type Outcome = (typeof adoptOutcomes)[number];
