/**
 * Daemons whose own configuration is to be changed: what to write, for those that are to be adopted
 * and for those that listen on addresses of the host's. Pure.
 */
import { isLoopback4 } from "../model/address.js";
import { linesFor, type Lines, type OwnAddresses } from "./daemons.js";
import {
  isNamed,
  nameFor,
  ownerParts,
  ownerText,
  type AdoptedOwner,
  type Plan,
} from "./service.js";

export interface ByHand {
  readonly name: string;
  readonly owner: AdoptedOwner;
  readonly addresses: OwnAddresses;
  /** Null when nothing is known of this daemon's configuration. */
  readonly lines: Lines | null;
  /** True when `ilm adopt` moves it; false when it has to be restarted by hand. */
  readonly isAdopted: boolean;
}

export function byHand(
  { services, left }: Plan,
  names: readonly string[],
  addressesOf: (name: string) => OwnAddresses,
): ByHand[] {
  const found = services.map(({ name, owner, command, ports }): ByHand => {
    const { unit } = ownerParts(owner);
    const addresses = addressesOf(name);
    const lines = linesFor({ command, unit }, addresses, ports);
    return { name, owner, addresses, lines, isAdopted: true };
  });
  // Daemons such as BIND bind each address of the host.
  const others = new Map<string, ByHand>();
  for (const { found: one, kind } of left) {
    const { listener, holder, unit } = one;
    if (kind !== "address" || unit === null || holder === null) continue;
    const owner = { unit };
    const name = nameFor(owner);
    if (others.has(unit) || found.some((known) => ownerText(known.owner) === ownerText(owner))) {
      continue;
    }
    if (names.length > 0 && !names.some((asked) => isNamed(asked, name, owner))) continue;
    const addresses = addressesOf(name);
    const ports = left.flatMap(({ found: { unit: of, listener: at } }) =>
      of === unit && !isLoopback4(at.address) && at.protocol === listener.protocol ? [at] : [],
    );
    const lines = linesFor({ command: holder.command, unit }, addresses, ports);
    if (lines !== null) others.set(unit, { name, owner, addresses, lines, isAdopted: false });
  }
  return [...found, ...others.values()];
}
