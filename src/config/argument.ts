/** Mappings on the command line: `[PROTOCOL[+PROTOCOL]:]PORTS[@PREFIXES]=DESTINATIONS`. Needs neither zod nor yaml. */
import { parsePrefix, type Prefix } from "../model/address.js";
import type { Mapping, PortRange, Protocol, Service } from "../model/mapping.js";
import { formatPorts, parsePortItem } from "../model/ports.js";
import { buildMappings, ServiceTable } from "./build.js";
import { Problems } from "./problems.js";
import { quote } from "./source.js";
import { nearest } from "./suggest.js";
import { formatTarget, parseTarget, type Target } from "./target.js";

const FORM = "write [PROTOCOL:]PORTS[@PREFIXES]=DESTINATIONS, such as tcp:8080=127.0.1.10:80";

/**
 * `tcp:8080=127.0.1.10:80`, `8080=web:80` (tcp), `tcp+udp:53=dns`, `tcp:8000-8099@203.0.113.0/24=127.0.1.20:9000,127.0.1.21:9000`.
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
  const on = parts.on === null ? [] : parseList(parts.on, parseOn, error);
  const to = parseList(parts.to, parseTo, error);
  problems.throwIfErrors([file]);

  const mappings = buildMappings(
    { name: undefined, protocols, ports, on, to, existing: undefined, miss: undefined },
    new ServiceTable(services),
    { file, line: 0, column: 0 },
    (severity, _spot, message, hint) => add(severity, message, hint),
  );
  problems.throwIfErrors([file]);
  return mappings;
}

/**
 * The argument that means the mapping, given the same services. Its name, `existing` and `miss` have no place in an
 * argument: for mappings that were given as arguments nothing is lost.
 */
export function formatMappingArgument(mapping: Mapping): string {
  const { protocol, ports, on } = mapping;
  const prefixes = on.length === 0 ? "" : `@${on.join(",")}`;
  return `${protocol}:${formatPorts(ports)}${prefixes}=${targetsOf(mapping).map(formatTarget).join(",")}`;
}

/** Destinations of one service, neighbours with one port, are the service again. */
function targetsOf({ to }: Mapping): Target[] {
  const targets: Target[] = [];
  for (const { address, port, service } of to) {
    if (service === undefined) {
      targets.push({ kind: "address", address, port });
      continue;
    }
    const last = targets.at(-1);
    const same = last?.kind === "service" && last.service === service && last.port === port;
    if (!same) targets.push({ kind: "service", service, port });
  }
  return targets;
}

interface Parts {
  readonly protocols: string;
  readonly ports: string;
  readonly on: string | null;
  readonly to: string;
}

function split(text: string): Parts | null {
  const equals = text.indexOf("=");
  if (equals < 0) return null;
  const left = text.slice(0, equals);
  const at = left.indexOf("@");
  const head = at < 0 ? left : left.slice(0, at);
  const colon = head.indexOf(":");
  return {
    protocols: colon < 0 ? "tcp" : head.slice(0, colon),
    ports: head.slice(colon + 1),
    on: at < 0 ? null : left.slice(at + 1),
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

function parsePortRange(item: string): Parsed<PortRange> {
  const parsed = parsePortItem(item);
  return parsed.ok ? { value: parsed.range } : parsed;
}

function parseOn(item: string): Parsed<Prefix> {
  const parsed = parsePrefix(item);
  return parsed.ok ? { value: parsed.prefix } : parsed;
}

function parseTo(item: string): Parsed<Target> {
  const parsed = parseTarget(item);
  return parsed.ok ? { value: parsed.target } : parsed;
}
