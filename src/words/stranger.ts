/** Whose an address is, and whom a mapping permits, in words. Pure. */
import type { Address } from "../model/address.js";
import type { Listeners, Mapping, Owner } from "../model/mapping.js";
import { formatOwner } from "../model/owner.js";
import { printable } from "./text.js";

interface Owned {
  readonly service: { readonly name: string };
  readonly owner: Owner;
}

/** Finds the service of an address, provided it has an owner. */
type OwnerOf = (address: Address | "*") => Owned | undefined;

/** Describes an owner in words: `service web (unit nginx.service)`. */
export function describeOwned({ service, owner }: Owned): string {
  return `service ${printable(service.name)} (${formatOwner(owner)})`;
}

/**
 * Names whom a mapping permits to listen on what it covers: `root, service web (unit
 * nginx.service), user tester`.
 */
export function describePermitted(
  { to, listeners }: Pick<Mapping, "to"> & { readonly listeners?: Listeners | undefined },
  ownerOf: OwnerOf,
): string {
  if (listeners === "anyone") return listeners;
  const services = to.flatMap(({ address }) => {
    const owned = ownerOf(address);
    return owned === undefined ? [] : [describeOwned(owned)];
  });
  return [...new Set(["root", ...services, ...(listeners ?? []).map(formatOwner)])].join(", ");
}

/** Says why a listener at a destination is a stranger there. `owned` is whose the address is. */
export function whyStranger(owned: Owned | undefined): string {
  return owned === undefined
    ? "no mapping that leads there permits it"
    : `the address belongs to ${describeOwned(owned)}`;
}

/** Returns what to do about a stranger at a destination, as an imperative sentence. */
export function remedyForStranger(owned: Owned | undefined): string {
  return owned === undefined
    ? "Stop it, or name its unit, user or group in `listeners` of a mapping that leads there."
    : `Stop it, or give it an address of its own. If it is ${printable(owned.service.name)}, correct \`unit\`, \`user\` or \`group\` of the service, or start it as they say.`;
}
