/**
 * Turns what the validator finds into problems in our words: what is wrong where, and what would be
 * right.
 */
import type * as z from "zod";

import type { Prefix } from "../model/address.js";
import { MAX_ID, MAX_WEIGHT } from "../model/mapping.js";
import { formatPorts } from "../model/ports.js";
import { readParts, type ArgumentParts } from "./argument-parts.js";
import { recogniseShape } from "./argument-shape.js";
import { emptyDocument } from "./document.js";
import { parseDestination, parseServiceAddress } from "./destination.js";
import { itemsOf, textOf, yamlList } from "./meant.js";
import { parseAccount, parseUnit } from "./owner.js";
import { refuseProtocol } from "./protocol.js";
import { hintOfMappingKey, hintOfPublished, isPublished } from "./publish-issues.js";
import { mappingKeys, PUBLISH_FORM } from "./publish-meant.js";
import {
  configuration,
  mappingEntry,
  ownerEntry,
  serviceEntry,
  weightedTarget,
  writtenPolicies,
} from "./schema.js";
import { quote, type Path } from "./source.js";
import { nearest } from "./suggest.js";
import { formatTarget } from "./target.js";
import { VERSION } from "./version.js";

type Issue = z.core.$ZodIssue;

export interface Finding {
  readonly path: Path;
  /** Whether the problem is the key at the path, or its value. */
  readonly of: "key" | "value";
  readonly message: string;
  readonly hint: string;
}

/** What may be written, by key. List items go by the key of their list. */
const forms: Readonly<Record<string, string>> = {
  engine: "write engine: auto, kfunc or registry",
  mptcp: "write mptcp: off, or leave it out (on)",
  $schema: "write the schema's location as a text",
  version: `write version: ${VERSION}`,
  services: "write names with their addresses, such as web: { address: 127.0.1.10 }",
  address: 'write an address such as 127.0.1.10 or "fd5e:ed00::10", auto, or a list of them',
  mappings: "write a list of mappings, such as [{ port: 443, to: web }], or [] for none",
  name: "write a name such as blog",
  protocol: "write tcp, udp or [tcp, udp]",
  port: 'write 443, "8000-8099", "*", or a list of those',
  on: 'write a prefix such as 203.0.113.0/24 or "2001:db8::/32", or a list of them',
  to: 'write "127.0.1.10:80", "[fd5e:ed00::10]:80", a service such as web or "web:80", "*:22", or a list of those',
  from: 'write a prefix such as 198.51.100.0/24 or "2001:db8:1::/48", or a list of them',
  interface: "write the name of an interface such as eth0, or a list of them",
  weight: `write a whole number, 0 to ${MAX_WEIGHT}`,
  existing: "write exact, any or never",
  miss: "write pass or reject",
  handover: "write auto, lookup or ingress",
  publish: PUBLISH_FORM,
  originate: "write true, or leave it out",
  unit: "write the name of one systemd unit, such as nginx.service",
  user: "write the name of one user, such as www-data, or a numeric id; leave it out for any",
  group: "write the name of one group, such as adm, or a numeric id; leave it out for any",
  wildcard: "write allow, report, deny or rewrite",
  listeners: "write anyone, { unit: nginx.service }, { user: www-data }, or a list of those",
  description: 'write a line of text, such as "the shop"',
  strangers: "write refuse, report or allow",
  ula: 'write a /48 of fd00::/8, such as "fd5e:ed00:1::/48"',
  anyip: "write prefixes that are routed to this host, such as [203.0.113.0/24]",
  floating: "write addresses that move between hosts, such as [203.0.113.77]",
  default: "write allow, report or deny",
  units: "write units with their policies, such as { nginx.service: allow }",
  users: "write users with their policies, such as { www-data: deny }",
};

const WILDCARD_FORM =
  "write allow, report or deny, or { default: report, units: { nginx.service: allow } }";

const SERVICE_FORM = "write { address: 127.0.1.10 }";
const DESTINATION_FORM = 'write { address: "127.0.1.10:80", weight: 2 }';
const MAPPING_FORM = "write { port: 443, to: web }";
const DOCUMENT_FORM = `write version: ${VERSION}, services and mappings`;

/** Explains all `issues` that the validation of `document` found. */
export function explain(issues: readonly Issue[], document: unknown): Finding[] {
  return issues.flatMap((issue) => explainIssue(issue, [], document));
}

type EntryParts = Pick<ArgumentParts, "protocols" | "ports" | "on" | "from" | "interfaces" | "to">;

function explainIssue(issue: Issue, base: Path, document: unknown): Finding[] {
  const path: Path = [...base, ...issue.path.map(toStep)];
  const value = valueAt(document, path);
  switch (issue.code) {
    case "unrecognized_keys":
      return issue.keys.map((key) => explainKey(path, key, value));
    case "invalid_key":
      return issue.issues.flatMap((inner) =>
        explainIssue(inner, path, document).map((finding) => ({ ...finding, of: "key" as const })),
      );
    case "invalid_union": {
      const branch = issue.errors.find((issues) => !isMismatch(issues, value));
      if (branch === undefined) return [wrongType(path, value)];
      return branch.flatMap((inner) => explainIssue(inner, path, document));
    }
    case "invalid_type":
      if (typeof value === "number" && (keyOf(path) === "port" || isPublished(path))) {
        return [{ path, of: "value", message: `${value} is not a port`, hint: form(path) }];
      }
      return [wrongType(path, value)];
    case "invalid_value":
      return [wrongValue(path, value, issue.values.map(String))];
    case "too_small":
    case "too_big":
      if (Array.isArray(value)) {
        return [{ path, of: "value", message: "the list is empty", hint: form(path) }];
      }
      if (keyOf(path) === "weight") {
        const message = `the weight ${String(value)} is not possible`;
        return [{ path, of: "value", message, hint: form(path) }];
      }
      if (isAccountKey(keyOf(path))) {
        const hint = `the id of a ${keyOf(path)} is 0 to ${MAX_ID}`;
        return [{ path, of: "value", message: `the id ${String(value)} does not exist`, hint }];
      }
      return [
        {
          path,
          of: "value",
          message: `the port ${String(value)} does not exist`,
          hint: "a port is 1 to 65535",
        },
      ];
    case "custom":
      return [
        {
          path,
          of: issue.params?.["of"] === "key" ? "key" : "value",
          message: issue.message,
          hint: wholeMapping(path, value, document) ?? String(issue.params?.["hint"] ?? ""),
        },
      ];
    default:
      return [{ path, of: "value", message: issue.message, hint: form(path) }];
  }
}

/**
 * Reports whether a branch of a union failed only because the value has another type than the
 * branch expects.
 */
function isMismatch(issues: readonly Issue[], value: unknown): boolean {
  const [issue] = issues;
  if (issue === undefined || issues.length > 1 || issue.path.length > 0) return false;
  if (issue.code === "invalid_type") {
    return !(
      typeof value === "number" &&
      (issue.expected === "int" || issue.expected === "number")
    );
  }
  if (issue.code === "invalid_value") return typeof value !== "string";
  return issue.code === "invalid_union" && issue.errors.every((inner) => isMismatch(inner, value));
}

function explainKey(parent: Path, key: string, entry: unknown): Finding {
  const path = [...parent, key];
  const kind = kindOf(parent);
  const known = knownKeys(kind);
  const near = nearest(key, known);
  return {
    path,
    of: "key",
    message: `the key ${quote(key)} is not known`,
    hint:
      hintOfKey(kind, key, entry, String(parent.at(-1) ?? "")) ??
      (near === null ? `the keys here are ${known.join(", ")}` : `did you mean ${near}?`),
  };
}

/** What other programs call our keys. */
const otherKeys: readonly (readonly [kind: Kind, key: RegExp, hint: string])[] = [
  [
    "mapping",
    /^(?:dest|destinations?|targets?|backends?|upstreams?|servers?|service|forward|redirect)$/,
    "write to, with the destination",
  ],
  [
    "mapping",
    /^(?:src|sources?|saddr|clients?|remote|allow)$/,
    "write from, with the addresses of the clients",
  ],
  ["mapping", /^(?:if|iif|iface|iifname|dev|devices?|interfaces|nic)$/, "write interface"],
  [
    "mapping",
    /^(?:listen|bind|address|addresses|ip|ips|host|hosts|local|dst|daddr|vip)$/,
    "write on, with the local addresses that clients dial",
  ],
  [
    "mapping",
    /^(?:dport|dports|listen_?port|sport|publish)$/,
    "write port, with the ports that clients dial",
  ],
  [
    "mapping",
    /^weight$/,
    'give the destination a weight: to: [{ address: "127.0.1.10:80", weight: 3 }, ...]',
  ],
  [
    "service",
    /^(?:ports?|listen|expose)$/,
    "write publish, with the ports that clients dial, as in publish: 443 or publish: { 443: 8443 }",
  ],
  [
    "service",
    /^(?:ips?|addr|addrs|hosts?|bind|addresses)$/,
    "write address, with the address that the daemon listens on",
  ],
  [
    "service",
    /^protocols?$/,
    "write the protocol after the port that is published, as in publish: 53/udp",
  ],
  [
    "destination",
    /^(?:port|ports)$/,
    'write the port after the address, such as address: "127.0.1.10:80"',
  ],
  ["document", /^(?:rules?|forwards?|redirects?|ports|listen|bindings)$/, "write mappings"],
  [
    "mapping",
    /^(?:unit|user|group|owners?|listener|listens|allowed)$/,
    "write listeners, such as listeners: { unit: nginx.service }, for who may listen on the dialled address; whose a service is, its own entry says",
  ],
  [
    "document",
    /^(?:ula_?prefix|prefix|ipv6_?prefix|unique_?local)$/,
    "write ula, with a /48 of fd00::/8",
  ],
  [
    "document",
    /^(?:any_?ips?|local_?routes?|routes?|routed|prefixes|networks?|subnets?)$/i,
    "write anyip, with the prefixes that are routed to this host",
  ],
  [
    "document",
    /^(?:vips?|vrrp|virtual(?:_?ip(?:_?address(?:es)?)?s?)?|float(?:ing_?ips?)?|failover(?:_?ips?)?|shared)$/i,
    "write floating, with the addresses that move between hosts",
  ],
  ["document", /^(?:daemons?|servers?|backends?|upstreams?)$/, "write services"],
];

/** What other programs call the keys that say whose sockets are meant. */
const ownerKeys: readonly (readonly [key: RegExp, hint: string])[] = [
  [
    /^(?:owners?|owned_?by|run_?as|account|process|cgroup|pid)$/,
    "write unit, user or group, with the systemd unit or the account that the daemon runs as",
  ],
  [
    /^(?:uid|euid|user_?id|user_?name|users|login)$/,
    "write user, with the name of the user or the numeric id",
  ],
  [
    /^(?:gid|egid|group_?id|group_?name|groups)$/,
    "write group, with the name of the group or the numeric id",
  ],
  [
    /^(?:systemd|systemd_?unit|unit_?name|units|service|service_?name)$/,
    "write unit, with the name of the systemd unit, such as nginx.service",
  ],
];

/** `name` is where the entry is in its group or list: of a service, its name. */
function hintOfKey(kind: Kind, key: string, entry: unknown, name: string): string | null {
  if (kind === "mapping" && /^[0-9]/.test(key)) {
    const port = valueAt(entry, ["port"]);
    if (typeof port === "number" || typeof port === "string") {
      return `put several ports into brackets: port: [${port}, ${key}]`;
    }
    const meant = entryOf(`${key}=${textOf(valueAt(entry, [key]))}`);
    if (meant !== null) return meant;
  }
  const other = otherKeys.find(([of, pattern]) => of === kind && pattern.test(key));
  if (other !== undefined) return other[2];
  if (kind !== "service" && kind !== "owner") return null;
  if (kind === "service" && mappingKeys.includes(key)) {
    return hintOfMappingKey(key, entry as object, name);
  }
  return ownerKeys.find(([pattern]) => pattern.test(key))?.[1] ?? null;
}

type Kind = "document" | "service" | "mapping" | "destination" | "owner" | "policies";

function kindOf(path: Path): Kind {
  if (path.length === 0) return "document";
  if (path[0] === "services") return "service";
  if (path[0] === "wildcard") return "policies";
  if (path.length === 2) return "mapping";
  return path[2] === "listeners" ? "owner" : "destination";
}

function isAccountKey(key: string): boolean {
  return key === "user" || key === "group";
}

function knownKeys(kind: Kind): string[] {
  if (kind === "destination") return Object.keys(weightedTarget.in.shape);
  if (kind === "owner") return Object.keys(ownerEntry.in.shape);
  if (kind === "policies") return Object.keys(writtenPolicies.shape);
  if (kind === "service") return Object.keys(serviceEntry.shape);
  if (kind === "mapping") return Object.keys(mappingEntry.shape);
  return Object.keys(configuration.shape).filter((key) => key !== "$schema");
}

function wrongType(path: Path, value: unknown): Finding {
  const hint = form(path, value);
  if (value === undefined) {
    return { path: path.slice(0, -1), of: "value", message: `${keyOf(path)} is missing`, hint };
  }
  if (value === null) {
    if (path.length === 0) return { path, of: "value", ...emptyDocument };
    const meant = isPublished(path) ? hintOfPublished(path, value) : null;
    return { path, of: "value", message: "this is empty", hint: meant ?? hint };
  }
  const meant = hintOfType(path, value);
  if (meant !== null) {
    return { path, of: "value", message: `this is ${describe(value)}`, hint: meant };
  }
  const quoted = isMistakenMapping(value)
    ? `${hint}; put IPv6 addresses between double quotes`
    : hint;
  return { path, of: "value", message: `this is ${describe(value)}`, hint: quoted };
}

/** Returns the user's own value in its right place, if that can be told. */
function hintOfType(path: Path, value: unknown): string | null {
  const key = keyOf(path);
  if (isPublished(path)) return hintOfPublished(path, value);
  if (path[0] === "mappings" && key === "to" && typeof value === "number") {
    const parsed = parseDestination(String(value));
    return parsed.ok ? null : parsed.hint;
  }
  if (path.length === 2 && path[0] === "services") {
    const items: readonly unknown[] =
      typeof value === "string" ? (itemsOf(value) ?? [value]) : listIn(value);
    const texts = items.filter((item) => typeof item === "string");
    const sound =
      texts.length === items.length && texts.every((item) => parseServiceAddress(item).ok);
    return sound && texts.length > 0 ? `write { address: ${yamlList(texts)} }` : null;
  }
  if (key === "listeners") return listenerMeant(value);
  if (path.length === 1 && key === "mappings" && isGroup(value)) return listOfEntries(value);
  return path.length === 2 && path[0] === "mappings" && typeof value === "string"
    ? entryOf(value)
    : null;
}

function listIn(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** Recognises `{ 80: web }` instead of the list. */
function listOfEntries(value: unknown): string | null {
  const entries = Object.entries(value as Record<string, unknown>);
  const meant = entries.slice(0, 3).map(([key, to]) => entryOf(`${key}=${textOf(to)}`));
  if (meant.length === 0 || meant.includes(null)) return null;
  const shown = meant.map((entry) => entry?.replace(/^write /, ""));
  return `write a list: [${shown.join(", ")}${entries.length > 3 ? ", ..." : ""}]`;
}

/**
 * Recognises a whole mapping in port: `8080:80`, `8080:80/tcp`, `8080->80`. The destination may
 * lack the port.
 */
function wholeMapping(path: Path, value: unknown, document: unknown): string | null {
  if (path[0] !== "mappings" || keyOf(path) !== "port" || typeof value !== "string") return null;
  if (!/->|=|^(?:.*:)?[0-9]+:[0-9]+(?:\/[a-z]+)?$/i.test(value)) return null;
  const meant = entryOf(value, valueAt(document, [...path.slice(0, 2), "to"]));
  const [, first = "", last = ""] = /^([0-9]+):([0-9]+)$/.exec(value) ?? [];
  if (meant === null || first === "" || Number(first) >= Number(last)) return meant;
  return `write ${first}-${last} for the range; or, for one port that leads to another, ${meant.replace(/^write /, "")}`;
}

/**
 * Turns an argument written where an entry belongs, such as `udp:53=dns`, into that entry. Returns
 * null when it is no argument. `to` is where the entry already leads.
 */
function entryOf(written: string, to?: unknown): string | null {
  const shape = recogniseShape(written);
  const text = shape?.text ?? written;
  const parts = readParts(text);
  if (parts === null || parts.meant === null) return null;
  const meant = parts.errors.length === 0 ? parts : readParts(parts.meant);
  if (meant === null || meant.errors.length > 0) return null;
  const own = typeof to === "string" ? parseDestination(to) : null;
  const [only] = meant.to;
  const note = [shape?.note ?? "", ...parts.notes].find((one) => one !== "");
  const target = own?.ok === true && own.target.kind !== "none" ? own.target : undefined;
  if (target !== undefined && only !== undefined && meant.to.length === 1 && note !== undefined) {
    const port = yamlList(meant.ports.map((range) => formatPorts([range])));
    return `write port: ${port} and to: ${yamlList([formatTarget({ ...target, port: only.port })])}`;
  }
  const entry = formatEntry(meant);
  return entry === null || note === undefined ? entry : `${entry}, ${note}`;
}

/** Formats an entry on one line. Returns null when it needs more. */
function formatEntry({ protocols, ports, on, from, interfaces, to }: EntryParts): string | null {
  const alone = (prefix: Prefix): string =>
    prefix.replace(prefix.includes(":") ? /\/128$/ : /\/32$/, "");
  const oneOf = (items: readonly string[]): string => yamlList(items);
  const keys = [
    ...(protocols.includes("udp") ? [`protocol: ${oneOf(protocols)}`] : []),
    `port: ${oneOf(ports.map((range) => formatPorts([range])))}`,
    ...(on.length > 0 ? [`on: ${oneOf(on.map(alone))}`] : []),
    ...(from.length > 0 ? [`from: ${oneOf(from.map(alone))}`] : []),
    ...(interfaces.length > 0 ? [`interface: ${oneOf(interfaces)}`] : []),
    `to: ${oneOf(to.map(formatTarget))}`,
  ];
  return to.some(({ weight }) => weight !== undefined) ? null : `write { ${keys.join(", ")} }`;
}

/**
 * Reports whether the value may be an unquoted IPv6 address: `fd5e:ed00:: ` without quotes reads as
 * a key.
 */
function isMistakenMapping(value: unknown): boolean {
  return (
    typeof value === "object" &&
    value !== null &&
    !Array.isArray(value) &&
    Object.keys(value).some((key) => key.includes(":"))
  );
}

function wrongValue(path: Path, value: unknown, allowed: readonly string[]): Finding {
  if (value === undefined || value === null) return wrongType(path, value);
  if (typeof value === "object") return wrongType(path, value);
  if (path.length === 1 && path[0] === "version") {
    return {
      path,
      of: "value",
      message: `version ${describeShort(value)} is not known to this ilm`,
      hint: form(path),
    };
  }
  if (keyOf(path) === "protocol" && typeof value === "string") {
    const { reason, hint } = refuseProtocol(value);
    return { path, of: "value", message: reason, hint };
  }
  if (path[0] === "wildcard" && value === "rewrite") {
    return {
      path,
      of: "value",
      message: "rewrite gives sockets the address of a service, and this is about no service",
      hint: "write wildcard: rewrite in the service whose sockets they are; here, allow, report or deny",
    };
  }
  const listener = keyOf(path) === "listeners" ? listenerMeant(value) : null;
  if (listener !== null) {
    return { path, of: "value", message: `this is ${describe(value)}`, hint: listener };
  }
  const near = typeof value === "string" ? nearest(value, allowed) : null;
  return {
    path,
    of: "value",
    message: `${keyOf(path)} cannot be ${describeShort(value)}`,
    hint: near === null ? form(path) : `did you mean ${near}?`,
  };
}

/** Recognises a unit or a user alone in `listeners`. */
function listenerMeant(value: unknown): string | null {
  if (typeof value !== "string" || nearest(value, ["anyone"]) !== null) return null;
  const [unit, user] = [parseUnit(value), parseAccount("user")(value)];
  if (!unit.ok || /^(?:anybody|everyone|all)$/.test(value)) return "write anyone";
  const owners = [
    `{ unit: ${unit.value} }`,
    ...(user.ok && !value.includes(".") ? [`{ user: ${value} }`] : []),
  ];
  return `write ${owners.join(" or ")}`;
}

/** Returns the last key of the path, even for an item of its list. */
function keyOf(path: Path): string {
  return path.findLast((step) => typeof step === "string") ?? "";
}

function form(path: Path, value?: unknown): string {
  if (path.length === 0) return DOCUMENT_FORM;
  if (path.length === 2 && path[0] === "services") return SERVICE_FORM;
  if (path.length === 2 && path[0] === "mappings") return MAPPING_FORM;
  const key = keyOf(path);
  if (isPublished(path)) return PUBLISH_FORM;
  if (path[0] === "mappings" && key === "address") return forms["to"] ?? "";
  if (key === "to" && isGroup(value)) return DESTINATION_FORM;
  if (path[0] === "wildcard" && path.length === 1) return WILDCARD_FORM;
  if (path[0] === "wildcard" && path.length === 3) return forms["default"] ?? "";
  return forms[key] ?? "";
}

function isGroup(value: unknown): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function describe(value: unknown): string {
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object" && value !== null) return "a group of keys";
  if (typeof value === "string") return `the text ${quote(value)}`;
  return typeof value === "number" ? `the number ${value}` : `the value ${String(value)}`;
}

function describeShort(value: unknown): string {
  return typeof value === "string" ? quote(value) : String(value);
}

function toStep(step: PropertyKey): string | number {
  return typeof step === "number" ? step : String(step);
}

function valueAt(document: unknown, path: Path): unknown {
  let value: unknown = document;
  for (const step of path) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, step)) {
      return undefined;
    }
    value = (value as Record<string | number, unknown>)[step];
  }
  return value;
}
