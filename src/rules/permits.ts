/**
 * Whose sockets rules select. A service's addresses are its owner's. On what a mapping covers,
 * sockets of root, of the owners of the services that it leads to, and of whom it names are
 * selected, and nobody else's.
 */
import type { Address } from "../model/address.js";
import type { Destination, Listeners, Owner, Service } from "../model/mapping.js";

/** A set of owners. A socket of any of them is permitted. */
export interface Permit {
  /** True when root's sockets are permitted, whatever their unit. */
  readonly root: boolean;
  /** The owners, in canonical order, without duplicates. */
  readonly owners: readonly Owner[];
}

/** The most owners that a permit has (ILM_OWNERS_MAX in bpf/abi.h). */
export const MAX_OWNERS = 40;

function ownerKey({ unit, user, group }: Owner): string {
  return JSON.stringify([unit ?? null, user ?? null, group ?? null]);
}

/** Returns a key that identifies the permit, for maps. */
export function permitKey({ root, owners }: Permit): string {
  return `${root ? "root " : ""}${owners.map(ownerKey).join(" ")}`;
}

function permitOf(root: boolean, owners: readonly Owner[]): Permit {
  const unique = new Map(owners.map((owner) => [ownerKey(owner), owner]));
  const sorted = [...unique].sort(([a], [b]) => (a < b ? -1 : 1));
  return { root, owners: sorted.map(([, owner]) => owner) };
}

/** Whose addresses are; null is anyone. */
export type Owners = readonly (readonly [Address, Permit | null])[];

/** Returns the owners of all addresses whose service names one. */
export function ownersOf(services: readonly Service[]): Owners {
  return new Permits(services).ofAddresses();
}

/**
 * Returns the owners of addresses by either of two configurations: of an address that both have,
 * the owners of both may listen there.
 */
export function ownersOfEither(services: readonly Service[], others: readonly Service[]): Owners {
  const lists = [services, others].map((list) => ({
    permits: new Permits(list),
    addresses: new Set(list.flatMap(({ addresses }) => addresses)),
  }));
  const all = new Set(lists.flatMap(({ addresses }) => [...addresses]));
  return [...all].map((address) => {
    const given = lists
      .filter(({ addresses }) => addresses.has(address))
      .map(({ permits }) => permits.ofAddress(address));
    if (given.includes(null)) return [address, null] as const;
    const owners = given.flatMap((permit) => permit?.owners ?? []);
    return [address, permitOf(false, owners)] as const;
  });
}

/** The permits that services and mappings give. */
export class Permits {
  readonly #owners: ReadonlyMap<Address, Owner>;

  constructor(services: readonly Service[]) {
    this.#owners = new Map(
      services.flatMap(({ addresses, owner }) =>
        owner === undefined ? [] : addresses.map((address) => [address, owner] as const),
      ),
    );
  }

  /** Returns who may listen on an address; null is anyone, as no service names an owner for it. */
  ofAddress(address: Address): Permit | null {
    const owner = this.#owners.get(address);
    return owner === undefined ? null : permitOf(false, [owner]);
  }

  /** Returns the permits of all addresses whose service names an owner. */
  ofAddresses(): [Address, Permit][] {
    return [...this.#owners].map(([address, owner]) => [address, permitOf(false, [owner])]);
  }

  /** Returns who may listen on what a mapping covers; null is anyone. */
  ofMapping(to: readonly Destination[], listeners: Listeners | undefined): Permit | null {
    if (listeners === "anyone") return null;
    const led = to.flatMap(({ address }) => {
      const owner = address === "*" ? undefined : this.#owners.get(address);
      return owner === undefined ? [] : [owner];
    });
    return permitOf(true, [...led, ...(listeners ?? [])]);
  }
}
