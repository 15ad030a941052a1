/** Listeners as the rules see them. Pure: from a snapshot of the kernel's tables and the rules in force. */
import { candidates } from "../model/candidates.js";
import { type Address, type Family, familyOf } from "../model/address.js";
import type { Handover, Listener } from "../model/listener.js";
import { type Mapping, type Rules } from "../model/mapping.js";
import { allMappings } from "../model/mappings.js";
import { portsContain } from "../model/ports.js";

export interface ListenerView {
  readonly listener: Listener;
  /** Names of the mappings that lead to it. */
  readonly mappings: readonly string[];
}

export interface DestinationState {
  /** Index into the mapping's `to`. */
  readonly destination: number;
  readonly address: Address | "*";
  readonly port: number | "same";
  /** Somebody listens exactly there (for `same`: on one of the mapping's ports). */
  readonly listening: boolean;
  /** The sockets that do. */
  readonly listeners: readonly Listener[];
  /** Nobody listens exactly there, but this wildcard listener would answer: it is not chosen. */
  readonly wildcardWouldAnswer: Listener | null;
}

export interface AuditFinding {
  readonly listener: Listener;
  readonly kind: "wildcard" | "foreign-address";
  /** Whose address it is, for `foreign-address`. */
  readonly service?: string;
  readonly message: string;
  readonly remedy: string;
}

/** Ports that a destination stands for, as a test. */
function takesPort(mapping: Mapping, port: number | "same", listening: number): boolean {
  return port === "same" ? portsContain(mapping.ports, listening) : port === listening;
}

/** Listeners by protocol and address: rule sets and socket tables may both be large. */
class Index {
  readonly #byAddress = new Map<string, Listener[]>();

  constructor(listeners: readonly Listener[]) {
    for (const listener of listeners) {
      const key = `${listener.protocol} ${listener.address}`;
      const known = this.#byAddress.get(key);
      if (known === undefined) this.#byAddress.set(key, [listener]);
      else known.push(listener);
    }
  }

  at(protocol: string, address: Address): readonly Listener[] {
    return this.#byAddress.get(`${protocol} ${address}`) ?? [];
  }
}

const wildcards: readonly Address[] = ["0.0.0.0" as Address, "::" as Address];

function addressesOf(address: Address | "*"): readonly Address[] {
  return address === "*" ? wildcards : [address];
}

function stateOf(mapping: Mapping, index: number, listeners: Index): DestinationState | undefined {
  const destination = mapping.to[index];
  if (destination === undefined) return undefined;
  const { address, port } = destination;
  const takes = (listener: Listener): boolean => takesPort(mapping, port, listener.port);
  const found = addressesOf(address).flatMap((place) =>
    listeners.at(mapping.protocol, place).filter(takes),
  );
  const wildcard =
    address === "*" || found.length > 0
      ? undefined
      : wildcards
          .flatMap((place) => listeners.at(mapping.protocol, place))
          .find((listener) => takes(listener) && wildcardTakes(listener, familyOf(address)));
  return {
    destination: index,
    address,
    port,
    listening: found.length > 0,
    listeners: found,
    wildcardWouldAnswer: wildcard ?? null,
  };
}

/** Would a connection of this family to the wildcard listener's port reach it? */
function wildcardTakes(listener: Listener, family: Family): boolean {
  return listener.family === 6 ? family === 6 || !listener.v6only : family === 4;
}

/** Each destination of a mapping with whoever listens there, in the order of `to`. */
export function destinationStates(
  mapping: Mapping,
  listeners: readonly Listener[],
): DestinationState[] {
  return statesWith(mapping, new Index(listeners));
}

function statesWith(mapping: Mapping, listeners: Index): DestinationState[] {
  return mapping.to
    .map((_, index) => stateOf(mapping, index, listeners))
    .filter((state) => state !== undefined);
}

/** The states of every mapping's destinations, in the order of `allMappings(rules)`. */
export function allDestinationStates(
  rules: Rules,
  listeners: readonly Listener[],
): DestinationState[][] {
  const index = new Index(listeners);
  return allMappings(rules).map((mapping) => statesWith(mapping, index));
}

/** Every listener with the mappings that lead to it. */
export function joinListeners(rules: Rules, listeners: readonly Listener[]): ListenerView[] {
  const names = new Map<Listener, string[]>();
  const index = new Index(listeners);
  for (const mapping of allMappings(rules)) {
    for (const state of statesWith(mapping, index)) {
      for (const listener of state.listeners) {
        // A destination that no packet's family can use leads nowhere.
        const usable = ([4, 6] as const).some((family) =>
          candidates(mapping, family).some(({ destination }) => destination === state.destination),
        );
        if (!usable) continue;
        const known = names.get(listener);
        if (known === undefined) names.set(listener, [mapping.name]);
        else if (!known.includes(mapping.name)) known.push(mapping.name);
      }
    }
  }
  return listeners.map((listener) => ({ listener, mappings: names.get(listener) ?? [] }));
}

/** What there is to hand over with. */
export interface Means {
  /** The engine in force is the kfunc. */
  readonly kfunc: boolean;
  /** Ingress is to be had (tcx, Linux 6.6); otherwise UDP goes through the socket map. */
  readonly steers: boolean;
  /** The families of which there is NAT: ingress hands over nothing then. */
  readonly nat: readonly Family[];
  /** Interface indexes of VRFs. Ingress sees the interface below, and finds nobody who is bound to the VRF. */
  readonly vrfs: ReadonlySet<number>;
}

/** Of packets. A socket on a v4-mapped address is an IPv4 listener, and `::` takes both unless it is v6only. */
function familiesTaken({ address, v6only }: Listener): readonly Family[] {
  return address === "::" && !v6only ? [4, 6] : [familyOf(address)];
}

export function handoverOf(
  { listener, mappings }: ListenerView,
  { kfunc, steers, vrfs, nat }: Means,
): Handover {
  if (mappings.length === 0) return "none";
  if (kfunc) return "kfunc";
  if (listener.placed) return "sockmap";
  if (!steers || vrfs.has(listener.device)) return "none";
  return familiesTaken(listener).some((family) => nat.includes(family)) ? "none" : "ingress";
}

/**
 * Who listens on a wildcard, and who listens on a service's address without being what a mapping leads to. Whether it is
 * the right daemon only the guard can say (who may bind it is not configured yet).
 */
export function auditListeners(rules: Rules, listeners: readonly Listener[]): AuditFinding[] {
  const owners = new Map<Address, string>();
  for (const service of rules.file.services) {
    for (const address of service.addresses) owners.set(address, service.name);
  }
  const findings: AuditFinding[] = [];
  for (const { listener, mappings } of joinListeners(rules, listeners)) {
    const place = `${listener.protocol} ${listener.address}, port ${listener.port}`;
    const service = owners.get(listener.address);
    if (listener.wildcard) {
      findings.push({
        listener,
        kind: "wildcard",
        message: `listens on every address of the host (${place})${
          mappings.length > 0 ? ", as the destination of a mapping" : ""
        }`,
        remedy: "Let it listen on an address of its own, and map its port there",
      });
    } else if (service !== undefined && mappings.length === 0) {
      findings.push({
        listener,
        kind: "foreign-address",
        service,
        message: `listens on an address of service ${service}, where no mapping leads (${place})`,
        remedy: `If it is ${service}, map the port; if not, give it an address of its own`,
      });
    }
  }
  return findings;
}
