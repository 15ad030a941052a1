/**
 * Listeners as the rules see them. Pure: works on a snapshot of the kernel's tables and the active
 * rules.
 */
import { candidates } from "./candidates.js";
import { type Address, type Family, type Prefix, familyOf } from "../model/address.js";
import { type Handover, type Listener, isFull } from "../model/listener.js";
import { words } from "../model/columns.js";
import { type Destination, type Listeners, type Mapping } from "../model/mapping.js";
import { type Rules, allMappings } from "../model/rules.js";
import { type LazyMappings, type Mappings, toLazy } from "../model/mappings.js";
import { formatPorts, portsContain } from "../model/ports.js";

export interface ListenerView {
  readonly listener: Listener;
  /** True when some mapping leads to the listener. */
  readonly isMapped: boolean;
  /** The names of the mappings that lead to the listener, worked out on first use. */
  readonly mappings: readonly string[];
}

/** The parts of a mapping that its permit depends on. */
export type Permitting = Pick<Mapping, "to"> & { readonly listeners?: Listeners | undefined };

/**
 * Reports whether the rules let the listener be selected where it listens at a destination of the
 * mapping with this address.
 */
export type Selects = (
  listener: Listener,
  destination: Address | "*",
  mapping: Permitting,
) => boolean;

export interface DestinationState {
  /** The index into the mapping's `to`. */
  readonly destination: number;
  readonly address: Address | "*";
  readonly port: number | "same";
  /**
   * True when a socket that can be selected listens exactly there (for `same`, on one of the
   * mapping's ports).
   */
  readonly listening: boolean;
  /** The sockets that listen exactly there and can be selected. */
  readonly listeners: readonly Listener[];
  /** The sockets that listen exactly there, where the rules do not permit them. */
  readonly strangers: readonly Listener[];
  /**
   * A wildcard listener that takes this address and port while nothing listens exactly there. It is
   * not chosen. Null when there is none.
   */
  readonly wildcardWouldAnswer: Listener | null;
}

/** The parts of a mapping that its destinations' states depend on. */
type Lead = Pick<Mapping, "protocol" | "ports"> & Permitting;

/** Reports whether a destination with this port stands for the port `listening`. */
function takesPort(mapping: Lead, port: number | "same", listening: number): boolean {
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

function stateOf(
  mapping: Lead,
  index: number,
  listeners: Index,
  selects: Selects,
): DestinationState | undefined {
  const destination = mapping.to[index];
  if (destination === undefined) return undefined;
  const { address, port } = destination;
  const takes = (listener: Listener): boolean => takesPort(mapping, port, listener.port);
  const there = addressesOf(address).flatMap((place) =>
    listeners.at(mapping.protocol, place).filter(takes),
  );
  const strangers = there.filter((listener) => !selects(listener, address, mapping));
  const found =
    strangers.length === 0 ? there : there.filter((listener) => !strangers.includes(listener));
  const wildcard =
    address === "*" || there.length > 0
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
    strangers,
    wildcardWouldAnswer: wildcard ?? null,
  };
}

/** Reports whether a connection of this family would reach the wildcard listener. */
function wildcardTakes(listener: Listener, family: Family): boolean {
  return listener.family === 6 ? family === 6 || !listener.v6only : family === 4;
}

/** Returns each destination of a mapping with whoever listens there, in the order of `to`. */
export function destinationStates(
  mapping: Lead,
  listeners: readonly Listener[],
  selects: Selects,
): DestinationState[] {
  return statesWith(mapping, new Index(listeners), selects);
}

function statesWith(mapping: Lead, listeners: Index, selects: Selects): DestinationState[] {
  return mapping.to
    .map((_, index) => stateOf(mapping, index, listeners, selects))
    .filter((state) => state !== undefined);
}

/**
 * Mappings that lead to the same destinations: there may be a million mappings, and few different
 * leads.
 */
interface Led {
  readonly states: readonly DestinationState[];
  /** The states that packets of some family can reach. */
  readonly usable: readonly DestinationState[];
  /** True when what is selected there depends on the mapping's `listeners`. */
  readonly hasOwnPermit: boolean;
  /** The indexes of the mappings. */
  readonly indexes: ReturnType<typeof words>;
}

function leadsToWildcard(to: readonly Destination[]): boolean {
  return to.some(({ address }) => address === "*");
}

/** Mappings joined with the listeners they lead to. */
export class JoinedListeners {
  readonly #mappings: LazyMappings;
  readonly #listeners: readonly Listener[];
  readonly #selects: Selects;
  readonly #led: Led[] = [];
  /** The index into `#led` of each mapping. */
  readonly #ledOf: Uint32Array;

  constructor(mappings: Mappings, listeners: readonly Listener[], selects: Selects) {
    this.#mappings = toLazy(mappings);
    this.#listeners = listeners;
    this.#selects = selects;
    this.#ledOf = new Uint32Array(this.#mappings.length);
    const index = new Index(listeners);
    const byTo = new Map<readonly Destination[], Map<string, number>>();
    for (let i = 0; i < this.#ledOf.length; i++) {
      const before = this.#ledOf[i - 1] ?? 0;
      const isLike =
        i > 0 && this.#mappings.leadsLikeOneBefore(i) && !this.#led[before]?.hasOwnPermit;
      const number = isLike ? before : this.#numberOf(i, byTo, index);
      this.#ledOf[i] = number;
      this.#led[number]?.indexes.push(i);
    }
  }

  #numberOf(
    index: number,
    byTo: Map<readonly Destination[], Map<string, number>>,
    listeners: Index,
  ): number {
    const to = this.#mappings.toAt(index);
    const [protocol, ports] = [this.#mappings.protocolAt(index), this.#mappings.portsAt(index)];
    let known = byTo.get(to);
    if (known === undefined) byTo.set(to, (known = new Map<string, number>()));
    const follows = to.some(({ port }) => port === "same");
    const listenersOf = leadsToWildcard(to) ? this.#mappings.listenersAt(index) : undefined;
    const permitted = listenersOf === undefined ? "" : ` ${JSON.stringify(listenersOf)}`;
    const key = (follows ? `${protocol} ${formatPorts(ports)}` : protocol) + permitted;
    let number = known.get(key);
    if (number === undefined) {
      number = this.#led.length;
      known.set(key, number);
      const lead = { protocol, ports, to, listeners: listenersOf };
      const states = statesWith(lead, listeners, this.#selects);
      // A destination that no packet's family can use leads nowhere.
      const used = new Set(
        ([4, 6] as const).flatMap((family) =>
          candidates({ to }, family).map(({ destination }) => destination),
        ),
      );
      const usable = states.filter(({ destination }) => used.has(destination));
      const hasOwnPermit = leadsToWildcard(to);
      this.#led.push({ states, usable, hasOwnPermit, indexes: words() });
    }
    return number;
  }

  /** Returns the states of the destinations of the mapping with this index. */
  statesAt(index: number): readonly DestinationState[] {
    return this.#led[this.#ledOf[index] ?? 0]?.states ?? [];
  }

  /**
   * Returns how many of the mappings that are wanted lead to a listener whose queue is full, and
   * the first `limit` of them with it.
   */
  full(
    limit: number,
    isWanted: (index: number) => boolean,
  ): {
    readonly count: number;
    readonly first: readonly { readonly index: number; readonly listener: Listener }[];
  } {
    let count = 0;
    const first: { readonly index: number; readonly listener: Listener }[] = [];
    for (const { usable, indexes } of this.#led) {
      const listener = usable.flatMap((state) => state.listeners).find(isFull);
      if (listener === undefined) continue;
      const wanted = indexes.view().filter(isWanted);
      count += wanted.length;
      for (const index of wanted.subarray(0, limit)) first.push({ index, listener });
    }
    return { count, first: first.toSorted((a, b) => a.index - b.index).slice(0, limit) };
  }

  /**
   * Yields each different list of states. `names` works out the names of the mappings that have it,
   * and `on` what they are for.
   */
  *states(): Generator<{
    states: readonly DestinationState[];
    names: () => string[];
    on: () => (readonly Prefix[])[];
  }> {
    for (const { states, indexes } of this.#led) {
      yield {
        states,
        names: () => this.#namesOf([indexes.view()]),
        on: () => Array.from(indexes.view(), (index) => this.#mappings.onAt(index)),
      };
    }
  }

  #namesOf(lists: readonly Uint32Array[]): string[] {
    const indexes = lists.length === 1 ? lists[0] : joined(lists);
    return [...new Set(Array.from(indexes ?? [], (index) => this.#mappings.nameAt(index)))];
  }

  /**
   * Returns the listeners at destinations where the rules do not permit them, each with the name of
   * a mapping that leads there.
   */
  strangers(): ReadonlyMap<Listener, string> {
    const found = new Map<Listener, string>();
    for (const { states, indexes } of this.#led) {
      for (const { strangers } of states) {
        for (const listener of strangers) {
          if (!found.has(listener)) found.set(listener, this.#mappings.nameAt(indexes.at(0)));
        }
      }
    }
    return found;
  }

  /** Returns every listener with the mappings that lead to it. */
  views(): ListenerView[] {
    const leading = new Map<Listener, Uint32Array[]>();
    for (const { usable, indexes } of this.#led) {
      for (const listener of new Set(usable.flatMap((state) => state.listeners))) {
        const known = leading.get(listener);
        if (known === undefined) leading.set(listener, [indexes.view()]);
        else known.push(indexes.view());
      }
    }
    const namesOf = (lists: readonly Uint32Array[]): string[] => this.#namesOf(lists);
    return this.#listeners.map((listener) => {
      const lists = leading.get(listener) ?? [];
      let names: readonly string[] | undefined;
      return {
        listener,
        isMapped: lists.length > 0,
        get mappings() {
          names ??= namesOf(lists);
          return names;
        },
      };
    });
  }
}

/** Joins lists of indexes in the order of the rules. */
function joined(lists: readonly Uint32Array[]): Uint32Array {
  const all = new Uint32Array(lists.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const list of lists) {
    all.set(list, at);
    at += list.length;
  }
  return all.sort();
}

/** Returns every listener with the mappings that lead to it. */
export function joinListeners(
  rules: Rules,
  listeners: readonly Listener[],
  selects: Selects,
): ListenerView[] {
  // Do not walk what may be a million mappings for no listener.
  if (listeners.length === 0) return [];
  return new JoinedListeners(allMappings(rules), listeners, selects).views();
}

/** Compares listeners for lists: by protocol, port and address. */
export function compareListeners(left: Listener, right: Listener): number {
  return (
    left.protocol.localeCompare(right.protocol) ||
    left.port - right.port ||
    left.address.localeCompare(right.address)
  );
}

/** The means of handing over that are available. */
export interface Means {
  /** True when the active engine is the kfunc. */
  readonly kfunc: boolean;
  /** True when ingress is available (tcx, Linux 6.6); otherwise UDP goes through the socket map. */
  readonly steers: boolean;
  /** The families for which there is NAT, so that ingress hands over nothing. */
  readonly nat: readonly Family[];
  /**
   * The interface indexes of VRFs. Ingress sees the interface below and finds no socket that is
   * bound to the VRF.
   */
  readonly vrfs: ReadonlySet<number>;
}

/**
 * Returns the families of the packets that a listener takes. A socket on a v4-mapped address is an
 * IPv4 listener, and `::` takes both unless it is v6only.
 */
export function familiesTaken({ address, v6only }: Listener): readonly Family[] {
  return address === "::" && !v6only ? [4, 6] : [familyOf(address)];
}

export function handoverOf(
  { listener, isMapped }: Pick<ListenerView, "listener" | "isMapped">,
  { kfunc, steers, vrfs, nat }: Means,
): Handover {
  if (!isMapped) return "none";
  if (kfunc) return "kfunc";
  if (listener.placed) return "sockmap";
  if (!steers || vrfs.has(listener.device)) return "none";
  return familiesTaken(listener).some((family) => nat.includes(family)) ? "none" : "ingress";
}
