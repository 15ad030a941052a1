/**
 * Mappings on the command line: `[PROTOCOL[+PROTOCOL]:]PORTS[@PREFIXES][@from:PREFIXES][@interface:NAMES]=DESTINATIONS`, where a
 * destination may end in `@weight:N`. No character of it means anything to a shell. Needs neither zod nor yaml.
 */
import { parsePrefix, type Prefix } from "../model/address.js";
import {
  MAX_WEIGHT,
  type Mapping,
  type PortRange,
  type Protocol,
  type Service,
} from "../model/mapping.js";
import { formatPorts, parsePortItem } from "../model/ports.js";
import { buildMappings, ServiceTable } from "./build.js";
import { Problems } from "./problems.js";
import { quote } from "./source.js";
import { nearest } from "./suggest.js";
import { formatTarget, parseInterface, parseTarget, type Target } from "./target.js";

const FORM = "write [PROTOCOL:]PORTS[@PREFIXES]=DESTINATIONS, such as tcp:8080=127.0.1.10:80";
const CONDITIONS = "the parts are PREFIXES, from:PREFIXES and interface:NAMES, each once";

/**
 * `tcp:8080=127.0.1.10:80`, `8080=web:80` (tcp), `tcp+udp:53=dns`, `tcp:8000-8099@203.0.113.0/24=127.0.1.20:9000,127.0.1.21:9000`,
 * `22@from:198.51.100.0/24@interface:eth0=ssh`, `80=127.0.1.20@weight:3,127.0.1.21@weight:1`.
 * One mapping per protocol. Throws CONFIGURATION with every problem; `file` is what its messages and the origin name.
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
  const error = (message: string, hint: string): void => add("error", message, hint);

  const parts = split(text);
  if (parts === null) {
    error(text === "" ? "the mapping is empty" : `${quote(text)} is not a mapping`, FORM);
    problems.throwIfErrors([file]);
    return [];
  }
  const protocols = parseProtocols(parts.protocols, error);
  const ports = parseList(parts.ports, parsePortRange, error);
  const conditions = parseConditions(parts.conditions, error);
  const to = parseList(parts.to, parseTo, error);
  problems.throwIfErrors([file]);

  const unsaid = { name: undefined, existing: undefined, miss: undefined, handover: undefined };
  const mappings = buildMappings(
    { protocols, ports, ...conditions, to, ...unsaid },
    new ServiceTable(services),
    { file, line: 0, column: 0 },
    (severity, _spot, message, hint) => add(severity, message, hint),
  );
  problems.throwIfErrors([file]);
  return mappings;
}

/**
 * The argument that means the mapping, given the same services. Its name, `existing`, `miss` and `handover` have no place in an
 * argument: for mappings that were given as arguments nothing is lost.
 */
export function formatMappingArgument(mapping: Mapping): string {
  const { protocol, ports, on, from, interfaces } = mapping;
  const left = [
    `${protocol}:${formatPorts(ports)}`,
    ...(on.length === 0 ? [] : [on.join(",")]),
    ...(from === undefined ? [] : [`from:${from.join(",")}`]),
    ...(interfaces === undefined ? [] : [`interface:${interfaces.join(",")}`]),
  ].join("@");
  const right = targetsOf(mapping).map(
    (target) =>
      `${formatTarget(target)}${target.weight === undefined ? "" : `@weight:${target.weight}`}`,
  );
  return `${left}=${right.join(",")}`;
}

/** Destinations of one service, neighbours with one port, are the service again. */
function targetsOf({ to }: Mapping): Target[] {
  const targets: Target[] = [];
  for (const { address, port, service, weight: given } of to) {
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

interface Parts {
  readonly protocols: string;
  readonly ports: string;
  readonly conditions: readonly string[];
  readonly to: string;
}

function split(text: string): Parts | null {
  const equals = text.indexOf("=");
  if (equals < 0) return null;
  const left = text.slice(0, equals);
  const [head = "", ...conditions] = left.split("@");
  const colon = head.indexOf(":");
  return {
    protocols: colon < 0 ? "tcp" : head.slice(0, colon),
    ports: head.slice(colon + 1),
    conditions,
    to: text.slice(equals + 1),
  };
}

type AddError = (message: string, hint: string) => void;
type Parsed<Value> = { readonly value: Value } | { readonly reason: string; readonly hint: string };

function parseProtocols(text: string, error: AddError): Protocol[] {
  const protocols: Protocol[] = [];
  for (const word of text.split("+")) {
    if (word === "tcp" || word === "udp") {
      protocols.push(word);
      continue;
    }
    const near = nearest(word, ["tcp", "udp"]);
    error(
      `${quote(word)} is not a protocol`,
      near === null ? "write tcp, udp or tcp+udp" : `did you mean ${near}?`,
    );
  }
  return protocols;
}

function parseList<Value>(
  text: string,
  parse: (item: string) => Parsed<Value>,
  error: AddError,
): Value[] {
  return text.split(",").flatMap((item) => {
    const parsed = parse(item);
    if ("value" in parsed) return [parsed.value];
    error(parsed.reason, parsed.hint);
    return [];
  });
}

function parseConditions(
  parts: readonly string[],
  error: AddError,
): { on: readonly Prefix[]; from: readonly Prefix[]; interfaces: readonly string[] } {
  const found = { on: [] as Prefix[], from: [] as Prefix[], interfaces: [] as string[] };
  const seen = new Set<string>();
  for (const part of parts) {
    const kind = /^(?:from|interface)(?=:)/.exec(part)?.[0] ?? "on";
    const list = kind === "on" ? part : part.slice(kind.length + 1);
    if (seen.has(kind)) error(`${quote(part)} comes after another part of its kind`, CONDITIONS);
    seen.add(kind);
    if (kind === "interface") found.interfaces.push(...parseList(list, parseName, error));
    else found[kind === "from" ? "from" : "on"].push(...parseList(list, parseOn, error));
  }
  return found;
}

function parseName(item: string): Parsed<string> {
  const parsed = parseInterface(item);
  return parsed.ok ? { value: parsed.name } : parsed;
}

function parsePortRange(item: string): Parsed<PortRange> {
  const parsed = parsePortItem(item);
  return parsed.ok ? { value: parsed.range } : parsed;
}

function parseOn(item: string): Parsed<Prefix> {
  const parsed = parsePrefix(item);
  return parsed.ok ? { value: parsed.prefix } : parsed;
}

function parseTo(item: string): Parsed<Target> {
  const at = item.indexOf("@");
  const parsed = parseTarget(at < 0 ? item : item.slice(0, at));
  if (!parsed.ok) return parsed;
  if (at < 0) return { value: parsed.target };
  const written = /^weight:([1-9][0-9]{0,3})$/.exec(item.slice(at + 1))?.[1];
  const weight = Number(written);
  if (written !== undefined && weight <= MAX_WEIGHT) return { value: { ...parsed.target, weight } };
  return {
    reason: `${quote(item.slice(at))} is not a weight`,
    hint: `write @weight: and a whole number, 1 to ${MAX_WEIGHT}`,
  };
}
