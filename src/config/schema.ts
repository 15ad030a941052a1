/**
 * The one definition of a configuration document: it validates, turns texts into values, and is the
 * source of the JSON Schema for editors. Checks that need other entries (existing services, taken
 * names) are in build.ts.
 */
import * as z from "zod";

import type { Refusal } from "../model/address.js";
import {
  type Owner,
  type WildcardPolicies,
  MAX_DESCRIPTION_LENGTH,
  MAX_ID,
  MAX_WEIGHT,
  engines,
  handovers,
  mptcpModes,
  strangerPolicies,
  serviceWildcards,
  wildcardPolicies,
} from "../model/mapping.js";
import { MAX_PORT } from "../model/ports.js";
import { parseDestination } from "./destination.js";
import { parseInterface } from "./interface.js";
import { parseAnyip } from "./anyip.js";
import { parseFloating } from "./floating.js";
import { settledPrefixes } from "./prefixes.js";
import { parseOwnAddress, parseUla } from "./own-address.js";
import { ownerOf, parseAccount, parseUnit, policiesOf, type AccountKind } from "./owner.js";
import { parseDescription, parseName, parseServiceName } from "./given-name.js";
import { parsePorts } from "./port.js";
import { parseFrom, parseOn } from "./prefix.js";
import { parsePublished, parseServiceOn, publishedOf, type Published } from "./publish.js";
import { VERSION } from "./version.js";
import { NAME, type Target } from "./target.js";

/**
 * A text that one of our strict parsers turns into a value. Its refusal becomes the problem's
 * words.
 */
function text<Value>(
  parse: (text: string) => { ok: true; value: Value } | Refusal,
  meta: { description: string; pattern: string; examples: readonly string[] },
) {
  return z
    .string()
    .meta({ ...meta, examples: [...meta.examples] })
    .transform((input, context): Value => {
      const result = parse(input);
      if (result.ok) return result.value;
      context.issues.push({
        code: "custom",
        message: result.reason,
        params: { hint: result.hint },
        input,
      });
      return z.NEVER;
    });
}

/**
 * One item, or a list of at least one. `listOf` tells them apart: a transformation here would cost
 * a third of all validation.
 */
function oneOrMore<Item extends z.ZodType>(item: Item) {
  return z.union([item, z.array(item).min(1)]);
}

const serviceAddress = text(parseOwnAddress, {
  description:
    "An address that is the daemon's own; auto for one of each family that the list lacks, from the service's name",
  pattern: "^([0-9a-fA-F:.]+|auto)$",
  examples: ["127.0.1.10", "fd5e:ed00::10", "auto"],
});

const unit = text(parseUnit, {
  description:
    "The systemd unit of the sockets' owner: a service (also without its suffix) or a scope; default: any",
  pattern: "^[a-zA-Z0-9:_.@\\\\-]{1,255}$",
  examples: ["nginx.service", "postgresql@16-main.service"],
});

function account(kind: AccountKind, example: string) {
  const name = text(parseAccount(kind), {
    description: `The name of the ${kind}, or its id`,
    pattern: "^[a-zA-Z0-9_.][a-zA-Z0-9_.-]{0,30}\\$?$",
    examples: [example],
  });
  return z.union([z.int().min(0).max(MAX_ID), name]).meta({
    description: `The ${kind} of the sockets' owner, by name or by numeric id; default: any`,
  });
}

const owner = {
  unit: unit.optional(),
  user: account("user", "www-data").optional(),
  group: account("group", "adm").optional(),
};

/** Somebody who may listen: the keys are those of `listeners`. */
export const ownerEntry = z
  .strictObject(owner)
  .meta({ description: "An owner: a socket has to match all that is given" })
  .transform((entry, context): Owner => {
    // An unknown key has been reported.
    if (context.issues.length > 0) return z.NEVER;
    const found = ownerOf(entry);
    if (found !== null) return found;
    const message = "this names nobody";
    const hint = "write { unit: nginx.service }, { user: www-data } or anyone";
    context.issues.push({ code: "custom", message, params: { hint }, input: entry });
    return z.NEVER;
  });

const wildcardPolicy = z.enum(wildcardPolicies);

/** Policies by the name of a unit or a user; the names are checked with all of it. */
const policiesByName = z.record(z.string(), wildcardPolicy);

export const writtenPolicies = z.strictObject({
  default: wildcardPolicy.optional().meta({ description: "For all others (default: report)" }),
  units: policiesByName
    .optional()
    .meta({ description: "By systemd unit", examples: [{ "nginx.service": "allow" }] }),
  users: policiesByName
    .optional()
    .meta({ description: "By user, by name or by numeric id", examples: [{ "www-data": "deny" }] }),
});

const policies = z
  .union([wildcardPolicy, writtenPolicies])
  .transform((written, context): WildcardPolicies => {
    // An unknown key has been reported.
    if (context.issues.length > 0) return z.NEVER;
    const found = policiesOf(written, (path, message, hint) => {
      const params = { hint, of: path.length > 0 ? "key" : "value" };
      context.issues.push({ code: "custom", path: [...path], message, params, input: written });
    });
    return found ?? z.NEVER;
  });

const ula = text(parseUla, {
  description:
    "The /48 of fd00::/8 that automatic IPv6 addresses are out of; default: one from /etc/machine-id",
  pattern: "^[fF][dD][0-9a-fA-F:]+/48$",
  examples: ["fd5e:ed00:1::/48"],
});

const anyip = text(parseAnyip, {
  description: "A prefix that is routed to this host",
  pattern: "^[0-9a-fA-F:.]+(/[0-9]{1,3})?$",
  examples: ["203.0.113.0/24", "2001:db8:5::/48"],
});

const floating = text(parseFloating, {
  description: "An address that this host has at times, or a prefix of such",
  pattern: "^[0-9a-fA-F:.]+(/[0-9]{1,3})?$",
  examples: ["203.0.113.77", "2001:db8::77"],
});

const portText = text(
  (input) => {
    const parsed = parsePorts(input);
    return parsed.ok ? { ok: true, value: parsed.range } : parsed;
  },
  {
    description: 'A port, a range, or "*" for every port',
    pattern: "^([0-9]{1,5}(-[0-9]{1,5})?|\\*)$",
    examples: ["8000-8099", "*"],
  },
);

const portNumber = z.int().min(1).max(MAX_PORT);

const PUBLISHED_PATTERN = "^([0-9]{1,5}(-[0-9]{1,5})?|\\*)(/(tcp|udp))?$";

const publishedText = text(parsePublished, {
  description: 'A port, a range, or "*" for every port; /udp behind it for UDP',
  pattern: PUBLISHED_PATTERN,
  examples: ["53/udp", "8000-8099"],
});

/** A key remains a text, as keys do. */
const dialledKey = text(
  (input) => {
    const parsed = parsePublished(input);
    return parsed.ok ? { ok: true, value: input } : parsed;
  },
  {
    description: "What clients dial, as in a list",
    pattern: PUBLISHED_PATTERN,
    examples: ["80", "53/udp"],
  },
);

const publishedItem = z.union([portNumber, publishedText]);

const publish = z
  .union([
    oneOrMore(publishedItem),
    z
      .record(dialledKey, portNumber)
      .meta({ minProperties: 1 })
      .transform((byDialled) => ({ byDialled })),
  ])
  .transform((written, context): readonly Published[] => {
    // A wrong port has been reported.
    if (context.issues.length > 0) return z.NEVER;
    const published = publishedOf(written);
    if (published.length > 0) return published;
    const [message, hint] = [
      "this publishes nothing",
      "write the ports that clients dial, or remove it",
    ];
    context.issues.push({ code: "custom", message, params: { hint }, input: written });
    return z.NEVER;
  });

const serviceOn = text(parseServiceOn, {
  description: "Local addresses dialled",
  pattern: "^[0-9a-fA-F:.]+(/[0-9]{1,3})?$",
  examples: ["203.0.113.7", "2001:db8::/32"],
});

const prefix = text(
  (input) => {
    const parsed = parseOn(input);
    return parsed.ok ? { ok: true, value: parsed.prefix } : parsed;
  },
  {
    description: "Local addresses dialled",
    pattern: "^[0-9a-fA-F:.]+(/[0-9]{1,3})?$",
    examples: ["203.0.113.0/24", "2001:db8::/32"],
  },
);

const target = text(
  (input) => {
    const parsed = parseDestination(input);
    return parsed.ok ? { ok: true, value: parsed.target satisfies Target } : parsed;
  },
  {
    description:
      "An address or a service, with a port or without one (the port that was dialled); * is the wildcard listener, and none refuses connections",
    pattern: "^\\S+$",
    examples: ["web", "ssh:22", "127.0.1.10:80", "[fd5e:ed00::10]:80", "*:22", "none"],
  },
);

const source = text(
  (input) => {
    const parsed = parseFrom(input);
    return parsed.ok ? { ok: true, value: parsed.prefix } : parsed;
  },
  {
    description: "Remote addresses that connections come from",
    pattern: "^[0-9a-fA-F:.]+(/[0-9]{1,3})?$",
    examples: ["198.51.100.0/24", "2001:db8:1::/48"],
  },
);

const interfaceName = text(
  (input) => {
    const parsed = parseInterface(input);
    return parsed.ok ? { ok: true, value: parsed.name } : parsed;
  },
  {
    description: "Name of an interface that connections come in on",
    pattern: "^[^\\s/:,@=*?\\[\\]]{0,14}[^\\s/:,@=*?\\[\\]+]$",
    examples: ["eth0"],
  },
);

/** The keys are those of a destination with a weight. */
export const weightedTarget = z
  .strictObject({
    address: target,
    weight: z.int().min(0).max(MAX_WEIGHT).meta({
      description:
        "Share of the clients, against the weights of the other destinations; 0: no new clients",
    }),
  })
  .meta({ description: "A destination with its share of the clients" })
  .transform(({ address, weight }): Target => ({ ...address, weight }));

const NAME_PATTERN = NAME.source;

const serviceName = text(parseServiceName, {
  description: "Name of a service",
  pattern: NAME_PATTERN,
  examples: ["web"],
});

const mappingName = text((input) => parseName("name", input), {
  description: "Name in listings and counters; default: what it matches, such as tcp:443",
  pattern: NAME_PATTERN,
  examples: ["blog"],
});

const description = text(parseDescription, {
  description: "What it is for, in a line; shown, and without effect",
  pattern: `^[^\\r\\n]{1,${MAX_DESCRIPTION_LENGTH}}$`,
  examples: ["the shop"],
}).optional();

const handover = z.enum(handovers).optional().meta({
  description:
    "Who hands over: sk_lookup, out of a socket map (lookup), or the program at ingress, which leaves the daemon's sockets out of maps (ingress); default: what is right on this host (auto)",
});

export const serviceEntry = z
  .strictObject({
    address: oneOrMore(serviceAddress).meta({
      description: "The address, or addresses, that only this daemon listens on",
    }),
    publish: publish.optional().meta({
      description:
        "The ports dialled that lead to the service, each a mapping: 443, 53/udp, a list of those, or { 80: 8080 } with the service's port; default: nothing",
    }),
    on: oneOrMore(serviceOn).optional().meta({
      description: "The local addresses dialled, for all that it publishes; default: all",
    }),
    handover,
    originate: z.literal(true).optional().meta({
      description:
        "true: the daemon's own datagrams (UDP) leave from the one address and port that lead to it; default: they leave as without ilm",
    }),
    ...owner,
    mptcp: z.literal("off").optional().meta({
      description:
        "off: the daemon's own sockets are never MPTCP sockets; it needs unit, user or group; default: as for the host",
    }),
    wildcard: z.enum(serviceWildcards).optional().meta({
      description:
        "What happens when the daemon binds to 0.0.0.0 or ::, instead of its own addresses: nothing (allow), it is reported (report) or refused (deny), or it gets the service's own address (rewrite); it needs unit, user or group; default: as for the host",
    }),
    description,
  })
  .meta({ description: "A daemon with addresses of its own" });

export const mappingEntry = z
  .strictObject({
    name: mappingName.optional(),
    protocol: oneOrMore(z.enum(["tcp", "udp"]))
      .optional()
      .meta({ description: "tcp (default), udp, or both" }),
    port: oneOrMore(z.union([portNumber, portText])).meta({
      description:
        'The ports dialled: a number, "8000-8099", "*" for every port, or a list of those',
    }),
    on: oneOrMore(prefix)
      .optional()
      .meta({ description: "The local addresses dialled; default: all" }),
    from: oneOrMore(source)
      .optional()
      .meta({ description: "The remote addresses that connections come from; default: all" }),
    interface: oneOrMore(interfaceName)
      .optional()
      .meta({ description: "The interfaces that connections come in on; default: all" }),
    to: oneOrMore(z.union([target, weightedTarget])).meta({
      description:
        "Where the connection goes; of a list, the first that has a listener, or with weights the one that the client falls to",
    }),
    existing: z.enum(["exact", "any", "never"]).optional().meta({
      description:
        "Which listener on the dialled port keeps its connections: one on exactly the dialled address (default), also a wildcard one, or none",
    }),
    miss: z.enum(["pass", "reject"]).optional().meta({
      description:
        "When no destination listens: go on as if there were no mapping (default), or refuse",
    }),
    handover,
    listeners: z
      .union([z.literal("anyone"), ownerEntry, z.array(ownerEntry).min(1)])
      .optional()
      .meta({
        description:
          "Who may listen on the dialled address itself, besides root and the owners of the services that the mapping leads to: an owner, a list of them, or anyone; default: nobody else",
      }),
    description,
  })
  .meta({ description: "Ports dialled, and where their connections go" });

export const configuration = z
  .strictObject({
    $schema: z.string().optional().meta({ description: "Where this schema is, for editors" }),
    version: z.literal(VERSION).meta({ description: "Version of the format" }),
    engine: z.enum(engines).optional().meta({
      description:
        "How listeners are found: through the kernel module ilm_lookup (kfunc), by registration (registry), or the first of these that there is (auto, the default)",
    }),
    mptcp: z.enum(mptcpModes).optional().meta({
      description:
        "off: programs that ask for an MPTCP socket in this network namespace are refused it, as by a kernel without MPTCP, and fall back to TCP when they start next (default: on)",
    }),
    strangers: z.enum(strangerPolicies).optional().meta({
      description:
        "What happens when somebody without the right to listens on a mapped port: it gets nothing, and the call fails (refuse), it is reported (report), or nothing (allow); default: refuse, or report where an earlier version of ilm was running",
    }),
    wildcard: policies.optional().meta({
      description:
        "What happens to sockets that bind to 0.0.0.0 or ::: nothing (allow), they are reported (report, the default), or refused (deny); for all, or by who binds",
    }),
    ula: ula.optional(),
    anyip: oneOrMore(anyip).transform(settledPrefixes).optional().meta({
      description:
        "Prefixes all of whose addresses are this host's (AnyIP): ilm adds a local route for each, and removes it when it is gone from here",
    }),
    floating: oneOrMore(floating).transform(settledPrefixes).optional().meta({
      description:
        "Addresses that this host has at times, as others have them (VRRP): that they are not here is no fault",
    }),
    services: z.record(serviceName, serviceEntry).optional().meta({
      description: "Daemons, each with addresses that are its own and are never mapped away",
    }),
    mappings: z.array(mappingEntry).optional().meta({
      description: "From what is dialled to the listener that gets it",
    }),
  })
  .meta({
    title: "ilm configuration",
    description: "Which listening socket gets a new connection",
    anyOf: ["mappings", "services", "anyip"].map((key) => ({ required: [key] })),
  });

export type Configuration = z.output<typeof configuration>;
export type ServiceEntry = z.output<typeof serviceEntry>;
export type MappingEntry = z.output<typeof mappingEntry>;
export { serviceName };

export type JsonSchema = z.core.JSONSchema.BaseSchema;

/** Returns what schema/ilm.schema.json has to be, as a value. */
export function configurationJsonSchema(): JsonSchema {
  return z.toJSONSchema(configuration, { io: "input", target: "draft-7" });
}

/** Returns the exact text of schema/ilm.schema.json. */
export function configurationJsonSchemaText(): string {
  return `${JSON.stringify(configurationJsonSchema(), null, 2)}\n`;
}
