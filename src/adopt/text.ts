/** The configuration that adopting writes, while a daemon is moved and when it has been. Pure. */
import { isLinkLocal6, type Address, type Family } from "../model/address.js";
import type { Protocol } from "../model/mapping.js";
import type { AdoptedOwner, AdoptedPort, AdoptedService, HeldPort } from "./service.js";

/** The service whose addresses hold what comes while a daemon is restarted. */
export const HOLD = "adopt-hold";
/** Where the holding sockets listen on its addresses: the port of the discard protocol. */
export const HOLD_PORT = 9;

export type HoldAddresses = Readonly<Partial<Record<Family, Address>>>;

/** A service as the file has it. */
export interface WrittenService {
  readonly name: string;
  readonly owner: AdoptedOwner;
  /** Such as `80` and `53/udp`. */
  readonly publish: readonly string[];
  readonly mptcpOff: boolean;
}

/**
 * How far a daemon is on its way: it gets no new connections, and its open ones end; it is about to
 * be restarted; its old sockets are gone.
 */
export type Stage = "draining" | "restarting" | "restarted";

/** A daemon that is being moved. */
export interface Move {
  readonly service: Pick<AdoptedService, "name" | "owner" | "ports" | "held">;
  readonly mptcpOff: boolean;
  readonly way: "adopt" | "undo";
  readonly stage: Stage;
  readonly hold: HoldAddresses;
}

export interface Configuration {
  /** The /48 of the host's own addresses, where it has no machine id to derive one from. */
  readonly ula: string | null;
  readonly services: readonly WrittenService[];
  readonly move: Move | null;
}

/** Writes ports as `publish` has them: `80`, `53/tcp`, `53/udp`. */
export function publishedText(ports: readonly Pick<AdoptedPort, "protocol" | "port">[]): string[] {
  return ports.map(({ protocol, port }) => {
    if (protocol === "udp") return `${port}/udp`;
    const isBoth = ports.some((other) => other.port === port && other.protocol === "udp");
    return isBoth ? `${port}/tcp` : String(port);
  });
}

/** Shows the ports of a service as the file has them, such as `80, 443, 53/udp`. */
export function portsText({ ports }: Pick<AdoptedService, "ports">): string {
  return publishedText(ports).join(", ");
}

/** Returns the text without its head. */
export function configurationText({ ula, services, move }: Configuration): string {
  const entries = services
    .toSorted((a, b) => a.name.localeCompare(b.name))
    .map((service) => [service.name, doneEntry(service)] as const);
  const moving = move === null ? [] : moveEntries(move);
  const all = [...entries, ...moving];
  return [
    ...(move === null ? [] : [`# ${move.service.name} is being moved.`]),
    "version: 1",
    ...(ula === null ? [] : [`ula: ${JSON.stringify(ula)}`]),
    ...(all.length === 0
      ? []
      : ["services:", ...all.map(([name, entry]) => `  ${name}: ${entry}`)]),
    ...(move === null
      ? all.length === 0
        ? ["mappings: []"]
        : []
      : ["mappings:", ...moveMappings(move).map((line) => `  - ${line}`)]),
    "",
  ].join("\n");
}

function ownerEntry(owner: AdoptedOwner): string {
  return "unit" in owner ? `unit: ${scalar(owner.unit)}` : `user: ${scalar(owner.user)}`;
}

function doneEntry({ owner, publish, mptcpOff }: WrittenService): string {
  const [only] = publish;
  return flow([
    ownerEntry(owner),
    "address: auto",
    "wildcard: rewrite",
    ...(mptcpOff ? ["mptcp: off"] : []),
    `publish: ${only !== undefined && publish.length === 1 ? only : `[${publish.join(", ")}]`}`,
  ]);
}

function moveEntries({ service, mptcpOff, way, stage, hold }: Move): (readonly [string, string])[] {
  // Until it is restarted, it is a dual-stack daemon on its own address.
  const isRewritten = way === "adopt" || stage === "draining";
  const addresses = Object.values(hold).map((address) => JSON.stringify(address));
  return [
    [
      service.name,
      flow([
        ownerEntry(service.owner),
        "address: auto",
        // On the way back, the daemon is to get what it asks for, without a word in the log.
        `wildcard: ${isRewritten ? "rewrite" : "allow"}`,
        ...(mptcpOff && isRewritten ? ["mptcp: off"] : []),
      ]),
    ],
    [HOLD, flow([`address: [${addresses.join(", ")}]`, "user: root"])],
  ];
}

/**
 * What leads to the daemon comes first on the way there. On the way back the holding address does,
 * as the old listeners are to get nothing more; the daemon comes after it, for when this command is
 * killed, and with it what listens at the holding address.
 */
function moveMappings({ service, way, stage, hold }: Move): string[] {
  const published = service.ports.map(({ protocol, port, families }) => {
    const held = holdDestinations(hold, families);
    const own = [scalar(service.name)];
    const to = way === "adopt" ? [...own, ...held] : [...held, ...own];
    // Old listeners of TCP are on the wildcard address on the way there. UDP has no connections
    // that could be lost: its old socket takes datagrams for as long as it is there.
    const existing = way === "adopt" && protocol === "tcp" ? "never" : "any";
    return mappingLine({ protocol, port, address: null, to, existing, listeners: null });
  });
  const others = service.held.filter(isHoldable).map(({ protocol, port, address, families }) => {
    const open = address === null ? "any" : "exact";
    const existing = stage !== "restarted" && protocol === "tcp" ? "never" : open;
    const to = holdDestinations(hold, address === null ? families : [isIpv6(address) ? 6 : 4]);
    // Nothing of the service is among the destinations, so its sockets have to be named.
    const listeners = `{ ${ownerEntry(service.owner)} }`;
    return mappingLine({ protocol, port, address, to, existing, listeners });
  });
  return [...published, ...others];
}

/** A link-local address is one of an interface, which a mapping cannot name beside it. */
export function isHoldable({ address }: Pick<HeldPort, "address">): boolean {
  return address === null || !isLinkLocal6(address);
}

function isIpv6(address: Address): boolean {
  return address.includes(":");
}

function holdDestinations(hold: HoldAddresses, families: readonly Family[]): string[] {
  return families.flatMap((family) => {
    const address = hold[family];
    if (address === undefined) return [];
    return JSON.stringify(family === 4 ? `${address}:${HOLD_PORT}` : `[${address}]:${HOLD_PORT}`);
  });
}

interface Line {
  readonly protocol: Protocol;
  readonly port: number;
  /** What is dialled; null for every address. */
  readonly address: Address | null;
  readonly to: readonly string[];
  readonly existing: "exact" | "any" | "never";
  /** Who else may listen there; null for nobody. */
  readonly listeners: string | null;
}

function mappingLine({ protocol, port, address, to, existing, listeners }: Line): string {
  return flow([
    ...(protocol === "udp" ? ["protocol: udp"] : []),
    `port: ${port}`,
    ...(address === null ? [] : [`on: ${JSON.stringify(address)}`]),
    `to: [${to.join(", ")}]`,
    `existing: ${existing}`,
    ...(listeners === null ? [] : [`listeners: ${listeners}`]),
  ]);
}

function flow(parts: readonly string[]): string {
  return `{ ${parts.join(", ")} }`;
}

/** A name as YAML has it, in quotes where it would mean something else. */
function scalar(text: string): string {
  const isPlain = /^[A-Za-z][A-Za-z0-9._@-]*$/.test(text) && !/^(?:true|false|null)$/i.test(text);
  return isPlain ? text : JSON.stringify(text);
}
