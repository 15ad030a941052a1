/**
 * The one definition of a configuration document: it validates, turns texts into values, and is the
 * source of the JSON Schema for editors. Checks that need other entries (existing services, taken
 * names) are in build.ts.
 */
import * as z from "zod";

import type { Refusal } from "../model/address.js";
import { MAX_WEIGHT, engines, mptcpModes, handovers } from "../model/mapping.js";
import { MAX_PORT } from "../model/ports.js";
import { parseDestination, parseServiceAddress } from "./destination.js";
import { parseInterface } from "./interface.js";
import { parsePorts } from "./port.js";
import { parseFrom, parseOn } from "./prefix.js";
import { quote } from "./source.js";
import { VERSION } from "./version.js";
import { looksLikeAddress, MAX_NAME_LENGTH, NAME, type Target } from "./target.js";

/**
 * Keys reserved for features to come. Until they are enforced, they would promise what does not
 * happen.
 */
export const notYet: Readonly<Record<"service" | "mapping", readonly string[]>> = {
  service: ["user", "wildcard"],
  mapping: [],
};

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

const serviceAddress = text(
  (input) => {
    const parsed = parseServiceAddress(input);
    return parsed.ok ? { ok: true, value: parsed.address } : parsed;
  },
  {
    description: "An address that is the daemon's own",
    pattern: "^[0-9a-fA-F:.]+$",
    examples: ["127.0.1.10", "fd5e:ed00::10"],
  },
);

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
      "An address or a service, with a port or without one (the port that was dialled); * is the wildcard listener",
    pattern: "^\\S+$",
    examples: ["web", "ssh:22", "127.0.1.10:80", "[fd5e:ed00::10]:80", "*:22"],
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
    weight: z.int().min(1).max(MAX_WEIGHT).meta({
      description: "Share of the clients, against the weights of the other destinations",
    }),
  })
  .meta({ description: "A destination with its share of the clients" })
  .transform(({ address, weight }): Target => ({ ...address, weight }));

/** Checks the form of a name, and suggests a correct one. */
function parseName(what: string, input: string): { ok: true; value: string } | Refusal {
  if (input.length > MAX_NAME_LENGTH) {
    return {
      ok: false,
      reason: `the ${what} ${quote(input)} has ${input.length} characters`,
      hint: `a name has at most ${MAX_NAME_LENGTH}`,
    };
  }
  if (NAME.test(input)) return { ok: true, value: input };
  const repaired = input
    .toLowerCase()
    .replace(/[^a-z0-9._-]+/g, "-")
    .replace(/^[^a-z0-9]+/, "");
  const rule = 'names have a-z, 0-9, ".", "_" and "-", and begin with a letter or digit';
  return {
    ok: false,
    reason: input === "" ? `the ${what} is empty` : `the ${what} ${quote(input)} is not a name`,
    hint: NAME.test(repaired) ? `${rule}: write ${quote(repaired)}` : rule,
  };
}

const NAME_PATTERN = NAME.source;

const serviceName = text(
  (input) => {
    const parsed = parseName("service name", input);
    if (!parsed.ok || !looksLikeAddress(input)) return parsed;
    return {
      ok: false,
      reason: `the service name ${quote(input)} reads like an address`,
      hint: "give it a name with a letter",
    };
  },
  { description: "Name of a service", pattern: NAME_PATTERN, examples: ["web"] },
);

const mappingName = text((input) => parseName("name", input), {
  description: "Name in listings and counters; default: what it matches, such as tcp:443",
  pattern: NAME_PATTERN,
  examples: ["blog"],
});

const handover = z.enum(handovers).optional().meta({
  description:
    "Who hands over: sk_lookup, out of a socket map (lookup), or the program at ingress, which leaves the daemon's sockets out of maps (ingress); default: what is right on this host (auto)",
});

export const serviceEntry = z
  .strictObject({
    address: oneOrMore(serviceAddress).meta({
      description: "The address, or addresses, that only this daemon listens on",
    }),
    handover,
    originate: z.literal(true).optional().meta({
      description:
        "The daemon's own datagrams (UDP) leave from the one address and port that lead to it",
    }),
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
    anyOf: [{ required: ["mappings"] }, { required: ["services"] }],
  });

export type Configuration = z.output<typeof configuration>;
export type ServiceEntry = z.output<typeof serviceEntry>;
export type MappingEntry = z.output<typeof mappingEntry>;
export { serviceName };

/** Returns what schema/ilm.schema.json has to be, as a value. */
export function configurationJsonSchema(): unknown {
  return z.toJSONSchema(configuration, { io: "input", target: "draft-7" });
}

/** Returns the exact text of schema/ilm.schema.json. */
export function configurationJsonSchemaText(): string {
  return `${JSON.stringify(configurationJsonSchema(), null, 2)}\n`;
}
