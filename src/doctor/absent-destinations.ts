/** Finds destinations of the active rules that are not addresses of this host. */
import { destinationsToFind } from "../rules/elsewhere.js";
import type { Address } from "../model/address.js";
import { type Rules, allMappings } from "../model/rules.js";
import { findAbsent } from "../kernel/up-addresses.js";

/**
 * Returns the destinations that no daemon could bind now. `present` has the addresses of interfaces
 * that are up.
 */
export async function absentDestinations(
  rules: Rules | null,
  present: ReadonlySet<Address>,
): Promise<ReadonlySet<Address>> {
  if (rules === null) return new Set();
  const wanted = destinationsToFind(allMappings(rules), rules.file);
  return findAbsent(
    wanted.map(({ address }) => address),
    present,
  );
}
