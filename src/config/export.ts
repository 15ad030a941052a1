/**
 * Writes rules as a configuration that means the same: the inverse of reading one. What was derived
 * when it was read (names, ports of services, hand-over of a service) is derived again.
 */
import {
  type Destination,
  type Mapping,
  type Owner,
  type PortRange,
  type Service,
} from "../model/mapping.js";
import type { Mappings } from "../model/mappings.js";
import { allPorts } from "../model/ports.js";
import { type FileHead, settingsOf } from "../model/rules.js";
import { formatTarget } from "./target.js";
import { VERSION } from "./version.js";

/** An entry of a configuration in its written form. */
export type Written = Readonly<Record<string, unknown>>;

export type ExportFormat = "yaml" | "json" | "ndjson";

/** What to write: the head of a file, and lists of mappings, each with what it is. */
export interface Exported {
  readonly head: FileHead;
  readonly parts: readonly { readonly title: string; readonly mappings: Mappings }[];
}

/** The number of mappings that are written at a time. */
const AT_ONCE = 1_000;

/** Writes a configuration piece by piece, so that a million mappings fill no memory. */
export function* writeConfiguration(
  { head, parts }: Exported,
  format: ExportFormat,
): Generator<string> {
  const { services } = head;
  const byName = new Map(services.map((service) => [service.name, service]));
  const byAddress = new Map(
    services.flatMap((service) => service.addresses.map((address) => [address, service] as const)),
  );
  const entryOf = (mapping: Mapping): string =>
    JSON.stringify(writeMapping(mapping, byName, byAddress));
  yield writeHead(head, format);
  if (format === "yaml" && parts.every(({ mappings }) => mappings.length === 0)) {
    yield "mappings: []\n";
    return;
  }
  if (format === "yaml") yield "mappings:\n";
  let isFirst = true;
  for (const { title, mappings } of parts) {
    if (mappings.length === 0) continue;
    if (format === "yaml" && title !== "") yield `  # ${title}\n`;
    for (let at = 0; at < mappings.length; at += AT_ONCE) {
      const entries = mappings.slice(at, at + AT_ONCE).map(entryOf);
      if (format === "json") {
        yield `${isFirst ? "" : ","}\n    ${entries.join(",\n    ")}`;
      } else {
        yield entries.map((entry) => `${format === "yaml" ? "  - " : ""}${entry}\n`).join("");
      }
      isFirst = false;
    }
  }
  if (format === "json") yield `${isFirst ? "" : "\n  "}]\n}\n`;
}

/** Writes everything before the first mapping. */
function writeHead({ services, ...settings }: FileHead, format: ExportFormat): string {
  const { engine, mptcp, ...others } = settingsOf(settings);
  const top = {
    version: VERSION,
    ...(engine !== "auto" && { engine }),
    ...(mptcp !== "on" && { mptcp }),
    ...others,
  };
  const written = services.map((service): [string, Written] => [
    service.name,
    writeService(service),
  ]);
  switch (format) {
    case "ndjson":
      return `${JSON.stringify({ ...top, services: Object.fromEntries(written) })}\n`;
    case "json": {
      const all = { ...top, services: Object.fromEntries(written) };
      const lines = Object.entries(all).map(
        ([key, value]) => `  ${JSON.stringify(key)}: ${JSON.stringify(value)},\n`,
      );
      return `{\n${lines.join("")}  "mappings": [`;
    }
    case "yaml": {
      // JSON on a line is YAML.
      const lines = Object.entries(top).map(([key, value]) => `${key}: ${JSON.stringify(value)}\n`);
      const named = written.map(
        ([name, value]) => `  ${JSON.stringify(name)}: ${JSON.stringify(value)}\n`,
      );
      return `${lines.join("")}services:${named.length === 0 ? " {}" : ""}\n${named.join("")}`;
    }
  }
}

function writeService({
  name: _name,
  origin: _origin,
  addresses,
  owner,
  ...rest
}: Service): Written {
  return { address: addresses, ...rest, ...owner } satisfies {
    readonly [Key in keyof Omit<Service, "name" | "origin" | "addresses" | "owner">]: unknown;
  } & Owner & { readonly address: unknown };
}

/** All keys of a mapping: one that comes later has to be written, too. */
const written = {
  name: true,
  protocol: true,
  ports: true,
  on: true,
  from: true,
  interfaces: true,
  to: true,
  existing: true,
  miss: true,
  listeners: true,
  description: true,
  // It says how much longer, since this boot.
  until: false,
  origin: false,
} as const satisfies Record<keyof Mapping, boolean>;

function writeMapping(
  mapping: Mapping,
  byName: ReadonlyMap<string, Service>,
  byAddress: ReadonlyMap<string, Service>,
): Written {
  const {
    name,
    protocol,
    ports,
    on,
    from,
    interfaces,
    to,
    existing,
    miss,
    listeners,
    description,
  } = mapping satisfies { readonly [Key in keyof typeof written]?: unknown };
  const own = to[0]?.handover;
  const isImplied = to.every(
    ({ address, handover }) => handover === byAddress.get(address)?.handover,
  );
  return {
    // A derived name has a colon, which a given one cannot have.
    ...(!name.includes(":") && { name }),
    ...(protocol !== "tcp" && { protocol }),
    port: oneOrAll(ports.map(writePorts)),
    ...(on.length > 0 && { on: oneOrAll(on) }),
    ...(from !== undefined && { from: oneOrAll(from) }),
    ...(interfaces !== undefined && { interface: oneOrAll(interfaces) }),
    to: to.length === 0 ? "none" : oneOrAll(writeDestinations(to, byName)),
    ...(existing !== "exact" && { existing }),
    ...(miss !== "pass" && to.length > 0 && { miss }),
    ...(!isImplied && own !== undefined && { handover: own }),
    ...(listeners !== undefined && { listeners }),
    ...(description !== undefined && { description }),
  };
}

function oneOrAll<T>(list: readonly T[]): T | readonly T[] {
  const [only] = list;
  return list.length === 1 && only !== undefined ? only : list;
}

function writePorts({ first, last }: PortRange): number | string {
  if (first === allPorts.first && last === allPorts.last) return "*";
  return first === last ? first : `${first}-${last}`;
}

/**
 * Writes destinations that follow each other and are of one service as that service. Those of its
 * addresses that are missing there came before, where they were given by themselves.
 */
function writeDestinations(
  to: readonly Destination[],
  byName: ReadonlyMap<string, Service>,
): (string | Written)[] {
  const targets: (string | Written)[] = [];
  let before: Destination | undefined;
  for (const one of to) {
    const { address, port, service, weight } = one;
    const isSame =
      service !== undefined &&
      before?.service === service &&
      before.port === port &&
      before.weight === weight;
    before = one;
    if (isSame) continue;
    const isKnown = service !== undefined && byName.has(service);
    const target = isKnown
      ? formatTarget({ kind: "service", service, port })
      : formatTarget({ kind: "address", address, port });
    targets.push(weight === undefined ? target : { address: target, weight });
  }
  return targets;
}
