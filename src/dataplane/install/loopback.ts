/**
 * What lo has for the rules: services' addresses, added when no interface has them, and local
 * routes to the prefixes of `anyip`. Both are removed when the rules need them no more; what others
 * added is left alone.
 */
import {
  type HostAddress,
  addToLoopback,
  hostAddresses,
  removeFromLoopback,
} from "../../kernel/addresses.js";
import {
  type LocalRoute,
  addLocalRoute,
  localRoutes,
  removeLocalRoute,
} from "../../kernel/anyip.js";
import { loopbackTakesIpv6 } from "../../kernel/procfs.js";
import { type Address, type Prefix, familyOf } from "../../model/address.js";
import type { ActiveRules } from "../../model/rules.js";

/** A service's address, or a prefix with its length. */
export type Held = Address | Prefix;

/** What the network namespace has now. */
export interface Host {
  readonly addresses: readonly HostAddress[];
  readonly routes: readonly LocalRoute[];
}

export function lookAtHost(): Host {
  return { addresses: hostAddresses(), routes: localRoutes() };
}

export function heldBy({ file: { head } }: ActiveRules): Held[] {
  return [...head.services.flatMap(({ addresses }) => addresses), ...(head.anyip ?? [])];
}

/**
 * Adds to lo what the host lacks, and returns it. This includes addresses of 127.0.0.0/8, although
 * it all works as it is: some daemons (BIND) serve only addresses that an interface has.
 */
export function addMissing(held: readonly Held[], host?: Host): Held[] {
  return missingFrom(held, host).filter((one) =>
    isPrefix(one) ? addLocalRoute(one) : addToLoopback(one),
  );
}

/** Returns what the host lacks and lo can have. */
export function missingFrom(held: readonly Held[], host?: Host): Held[] {
  if (held.length === 0) return [];
  const { addresses, routes } = host ?? {
    addresses: hostAddresses(),
    routes: held.some(isPrefix) ? localRoutes() : [],
  };
  const there = new Set<Held>([
    ...addresses.map(({ address }) => address),
    ...routes.map(({ prefix }) => prefix),
  ]);
  const missing = held.filter((one) => !there.has(one));
  const takesAll = !missing.some(isIpv6) || loopbackTakesIpv6();
  return takesAll ? missing : missing.filter((one) => !isIpv6(one));
}

/** Returns what we put on lo, and the rules need no more. */
export function unusedOn({ addresses, routes }: Host, held: readonly Held[]): Held[] {
  const wanted = new Set<Held>(held);
  const ours: readonly Held[] = [
    ...addresses.flatMap((one) => (one.ours ? one.address : [])),
    ...routes.flatMap((one) => (one.ours ? one.prefix : [])),
  ];
  return ours.filter((one) => !wanted.has(one));
}

/** Removes it. Returns false when it is already gone. */
export function release(one: Held): boolean {
  return isPrefix(one) ? removeLocalRoute(one) : removeFromLoopback(one);
}

function isPrefix(one: Held): one is Prefix {
  return one.includes("/");
}

function isIpv6(one: Held): boolean {
  return familyOf(one) === 6;
}
