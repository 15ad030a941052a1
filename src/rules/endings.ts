/** Since when mappings have no listener. Pure. */
import type { Ending } from "../model/listener.js";
import type { Address } from "../model/address.js";
import type { Destination, Mapping, Protocol } from "../model/mapping.js";
import { onlyPort, portsContain } from "../model/ports.js";

/** Where sockets of a destination listen. */
export interface Place {
  readonly protocol: Protocol;
  readonly address: Address;
  /** 0 stands for every port. */
  readonly port: number;
}

/**
 * Returns for each place since when it has been watched, in milliseconds since the epoch, provided
 * that nobody has listened there since; null where somebody has, or nothing is known.
 */
export type Unheard = (places: readonly Place[]) => readonly (number | null)[];

/** What is known of a destination, or a mapping, that has no listener; of one that has, nothing. */
export interface Absence {
  /** The end of the last one. */
  readonly ended: Ending | null;
  /** Since when nobody has ever been seen there, in milliseconds since the epoch. */
  readonly neverSince: number | null;
}

/** The parts of a mapping that lead somewhere. */
type Lead = Pick<Mapping, "protocol" | "ports" | "to">;

const wildcards: readonly Address[] = ["0.0.0.0" as Address, "::" as Address];

/** The ends of listeners, by protocol and address, and where there was none yet. */
export class Endings {
  readonly #byAddress = new Map<string, Ending[]>();
  readonly #unheard: Unheard;
  /** What was asked already, by place. */
  readonly #known = new Map<string, number | null>();

  constructor(endings: readonly Ending[], unheard: Unheard) {
    this.#unheard = unheard;
    for (const ending of endings) {
      const key = `${ending.protocol} ${ending.address}`;
      const known = this.#byAddress.get(key);
      if (known === undefined) this.#byAddress.set(key, [ending]);
      else known.push(ending);
    }
  }

  /** Asks about the destinations of many mappings at once: one by one it takes far longer. */
  prepare(mappings: Iterable<Lead>): void {
    const places: Place[] = [];
    for (const mapping of mappings) {
      for (const destination of mapping.to) places.push(...placesOf(mapping, destination));
    }
    this.#ask(places);
  }

  #ask(places: readonly Place[]): void {
    const asked = new Map(places.map((place) => [keyOf(place), place]));
    for (const key of asked.keys()) if (this.#known.has(key)) asked.delete(key);
    if (asked.size === 0) return;
    const found = this.#unheard([...asked.values()]);
    [...asked.keys()].forEach((key, i) => this.#known.set(key, found[i] ?? null));
  }

  /** Returns what is known of a destination, an index into `to`, at which nobody listens. */
  at(mapping: Lead, index: number): Absence {
    const ended = this.#endAt(mapping, index);
    return { ended, neverSince: ended === null ? this.#neverAt(mapping, index) : null };
  }

  /** Returns what is known of a mapping without a listener. */
  of(mapping: Lead): Absence {
    const ended = latest(mapping.to.flatMap((_, index) => this.#endAt(mapping, index) ?? []));
    if (ended !== null) return { ended, neverSince: null };
    const never = mapping.to.map((_, index) => this.#neverAt(mapping, index));
    const known = never.filter((since) => since !== null);
    // One that came later was no destination before.
    const isKnown = known.length > 0 && known.length === never.length;
    return { ended, neverSince: isKnown ? Math.min(...known) : null };
  }

  #endAt({ protocol, ports, to }: Lead, index: number): Ending | null {
    const destination = to[index];
    if (destination === undefined) return null;
    const { address, port } = destination;
    const found = addressesOf(address)
      .flatMap((place) => this.#byAddress.get(`${protocol} ${place}`) ?? [])
      .filter((one) => (port === "same" ? portsContain(ports, one.port) : port === one.port));
    return latest(found);
  }

  #neverAt(mapping: Lead, index: number): number | null {
    const destination = mapping.to[index];
    if (destination === undefined) return null;
    const places = placesOf(mapping, destination);
    this.#ask(places);
    const never = places.map((place) => this.#known.get(keyOf(place)) ?? null);
    const known = never.filter((since) => since !== null);
    return known.length === places.length ? Math.max(...known) : null;
  }
}

function addressesOf(address: Address | "*"): readonly Address[] {
  return address === "*" ? wildcards : [address];
}

function placesOf({ protocol, ports }: Lead, { address, port }: Destination): Place[] {
  const listening = port === "same" ? (onlyPort(ports) ?? 0) : port;
  return addressesOf(address).map((one) => ({ protocol, address: one, port: listening }));
}

function keyOf({ protocol, address, port }: Place): string {
  return `${protocol} ${address} ${port}`;
}

function latest(endings: readonly Ending[]): Ending | null {
  return endings.toSorted((a, b) => b.endedAt - a.endedAt)[0] ?? null;
}
