/** What `ilm adopt --json` prints. */
import { adoptOutcomes, adoptPlaces, leftKinds } from "../model/adopt.js";
import { holder, protocol } from "./common.js";
import { boolean, field, integer, list, nullable, object, oneOf, text, type Of } from "./shape.js";

const left = list(
  object(
    {
      protocol: field(protocol, "MPTCP is `tcp` here."),
      address: field(text, "The address that it listens on; 0.0.0.0 or :: for every address."),
      port: field(integer, "1 to 65535."),
      ...holder,
      kind: field(oneOf(...leftKinds), "Why, for scripts."),
      reason: field(text, "Why, in words."),
    },
    "left",
  ),
);

const owner = {
  unit: field(nullable(text), "Its systemd unit; null when its user says whose it is."),
  user: field(nullable(text), "Its user; null when its unit says whose it is."),
} as const;

const service = {
  name: field(text, "The name of the service in the configuration."),
  ...owner,
  publish: field(list(text), "The ports that lead to it, such as `80` and `53/udp`."),
  restart: field(list(text), "The commands that restart it; none when that is not known."),
} as const;

export const adoptPlan = object({
  file: field(text, "Where the configuration would be written."),
  configuration: field(text, "The configuration that would be written in the end."),
  services: field(
    list(
      object({
        ...service,
        place: field(
          oneOf(...adoptPlaces),
          "Where it listens now: on every address, on its own addresses, or nowhere.",
        ),
      }),
    ),
    "The services, in the order in which they would be moved.",
  ),
  steps: field(list(text), "What would be done, in its order."),
  left: field(left, "What would be left alone."),
});

export const adopted = object({
  file: field(text, "The file of the configuration."),
  services: field(
    list(
      object({
        ...service,
        outcome: field(oneOf(...adoptOutcomes), "How it went."),
        message: field(nullable(text), "What else there is to say; null for nothing."),
        cut: field(integer, "How many established connections its restart ended."),
      }),
    ),
    "The services, in the order in which they were moved.",
  ),
  spareSsh: field(
    nullable(
      object({
        port: field(integer, "The port of the second sshd."),
        endWith: field(text, "The command that ends it."),
      }),
    ),
    "The second sshd, when it was left running; otherwise null.",
  ),
  unloaded: field(boolean, "True when nothing is adopted any more: rules and file are gone."),
  left: field(left, "What was left alone."),
});

export const adoptLines = list(
  object({
    name: field(text, "The name of the service."),
    ...owner,
    addresses: field(list(text), "Its own addresses."),
    file: field(nullable(text), "The file to change; null when nothing is known of this daemon."),
    lines: field(list(text), "What to write into it."),
    instead: field(nullable(text), "What the lines replace; null when nothing is known."),
    check: field(nullable(text), "The command that checks the file; null when there is none."),
    restart: field(list(text), "The commands that restart it then; none when they are not known."),
    note: field(nullable(text), "What to know; null for nothing."),
  }),
);

export type AdoptLinesJson = Of<typeof adoptLines>;
export type AdoptPlanJson = Of<typeof adoptPlan>;
export type AdoptedJson = Of<typeof adopted>;
