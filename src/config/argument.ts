/**
 * Mappings on the command line:
 * `[PROTOCOL[+PROTOCOL]:]PORTS[@PREFIXES][@from:PREFIXES][@interface:NAMES]=DESTINATIONS`, where a
 * destination may end in `@weight:N`. None of its characters is special to a shell. Needs neither
 * zod nor yaml.
 */
import type { Destination, Mapping, Service } from "../model/mapping.js";
import { formatPorts } from "../model/ports.js";
import { readParts, type ArgumentParts } from "./argument-parts.js";
import { recogniseShape } from "./argument-shape.js";
import { buildMappings, ServiceTable } from "./build.js";
import { Problems } from "./problems.js";
import { quote } from "./source.js";
import { formatTarget, type Target } from "./target.js";

const FORM = "write [PROTOCOL:]PORTS[@PREFIXES]=DESTINATIONS, such as tcp:8080=127.0.1.10:80";

/**
 * Parses a mapping argument, such as `tcp:8080=127.0.1.10:80`, `8080=web:80` (tcp),
 * `tcp+udp:53=dns`, `tcp:8000-8099@203.0.113.0/24=127.0.1.20:9000,127.0.1.21:9000`,
 * `22@from:198.51.100.0/24@interface:eth0=ssh` or `80=127.0.1.20@weight:3,127.0.1.21@weight:1`.
 * Returns one mapping per protocol. Throws CONFIGURATION with every problem; messages and the
 * origin give `file` as the place.
 */
export function parseMappingArgument(
  text: string,
  services: readonly Service[],
  file = "<argument>",
): Mapping[] {
  const problems = new Problems();
  const add = (severity: "error" | "warning", message: string, hint: string): void => {
    problems.add({ severity, file, line: 0, column: 0, path: text, message, hint });
  };
  const parts = readArgument(text, (reason, hint) => add("error", reason, hint));
  problems.throwIfErrors([file]);
  if (parts === null) return [];
  const { protocols, ports, on, from, interfaces, to } = parts;

  const mappings = buildMappings(
    { protocols, ports, on, from, interfaces, to, ...unsaid },
    new ServiceTable(services),
    { file, line: 0, column: 0 },
    (severity, _spot, message, hint) => add(severity, message, hint),
  );
  problems.throwIfErrors([file]);
  return mappings;
}

/** What an argument has no place for. */
const unsaid = {
  name: undefined,
  existing: undefined,
  miss: undefined,
  handover: undefined,
  listeners: undefined,
  description: undefined,
} as const;

type AddError = (message: string, hint: string) => void;

/** Reads the argument as a mapping. Returns null when an error was reported. */
function readArgument(text: string, error: AddError): ArgumentParts | null {
  const strict = readParts(text);
  if (strict?.errors.length === 0) return strict;
  const shape = recogniseShape(text);
  const parts = shape === null ? strict : readParts(shape.text);
  if (parts === null) {
    const { reason, hint } = notArgument(text);
    error(reason, hint);
    return null;
  }
  const remedy = remedyOf(parts, shape?.note);
  if (shape !== null) {
    error(shape.reason, remedy ?? FORM);
    if (remedy !== null) return null;
  }
  for (const { reason, hint } of parts.errors) error(reason, remedy ?? hint);
  return null;
}

/** Returns the argument as it was meant, or null when that is unknown or would be wrong too. */
function remedyOf({ meant, errors, notes }: ArgumentParts, note?: string): string | null {
  if (meant === null || recogniseShape(meant) !== null) return null;
  if (errors.length > 0 && readParts(meant)?.errors.length !== 0) return null;
  const first = [note ?? "", ...notes].find((one) => one !== "");
  // Quote it where a shell would read something else.
  const quoted = /[*?[\]]/.test(meant) ? `'${meant}'` : meant;
  return `write ${quoted}${first === undefined ? "" : `, ${first}`}`;
}

/** Refuses a text without "=" that resembles no known form of a mapping. */
function notArgument(text: string): { reason: string; hint: string } {
  if (text === "") return { reason: "the mapping is empty", hint: FORM };
  const shown = quote(text);
  if (/^(?:[/~]|\.{1,2}\/)|\.(?:ya?ml|nd?json|json)$/i.test(text)) {
    return {
      reason: `${shown} is a file and not a mapping`,
      // Not with a command: whoever only checks it is not led to what activates it.
      hint: `write -f ${text}`,
    };
  }
  if (/^\s*(?:\{|- )/.test(text)) {
    return {
      reason: `${shown} is what a file has, and not an argument`,
      hint: `put it into a file and give that with -f, or ${FORM}`,
    };
  }
  return { reason: `${shown} is not a mapping`, hint: FORM };
}

/**
 * Formats the argument that means the mapping, given the same services. An argument has no place
 * for the name, `existing`, `miss`, `handover`, `listeners` and `description`, but a mapping that
 * was given as an argument has none of these.
 */
export function formatMappingArgument(
  mapping: Omit<
    Mapping,
    "name" | "existing" | "miss" | "listeners" | "description" | "until" | "origin"
  >,
): string {
  const { protocol, ports, on, from, interfaces, to, ...more } = mapping;
  // A new key of mappings needs a place in arguments, or is left out above.
  more satisfies Record<string, never>;
  const left = [
    `${protocol}:${formatPorts(ports)}`,
    ...(on.length === 0 ? [] : [on.join(",")]),
    ...(from === undefined ? [] : [`from:${from.join(",")}`]),
    ...(interfaces === undefined ? [] : [`interface:${interfaces.join(",")}`]),
  ].join("@");
  const right = (to.length === 0 ? [nobody] : targetsOf(to)).map(
    (target) =>
      `${formatTarget(target)}${target.weight === undefined ? "" : `@weight:${target.weight}`}`,
  );
  return `${left}=${right.join(",")}`;
}

const nobody: Target = { kind: "none", port: "same" };

/** Turns neighbouring destinations of one service, with one port, back into the service. */
function targetsOf(to: readonly Omit<Destination, "handover" | "dualStack">[]): Target[] {
  const targets: Target[] = [];
  for (const { address, port, service, weight: given, ...more } of to) {
    more satisfies Record<string, never>;
    const weight = given === undefined ? undefined : { weight: given };
    if (service === undefined) {
      targets.push({ kind: "address", address, port, ...weight });
      continue;
    }
    const last = targets.at(-1);
    const same =
      last?.kind === "service" &&
      last.service === service &&
      last.port === port &&
      last.weight === given;
    if (!same) targets.push({ kind: "service", service, port, ...weight });
  }
  return targets;
}
