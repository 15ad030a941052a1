/**
 * Services' addresses on lo: added when no interface has them, and removed when no service has
 * them.
 */
import { type HostAddress, addToLoopback, hostAddresses } from "../../kernel/addresses.js";
import { loopbackTakesIpv6 } from "../../kernel/procfs.js";
import { type Address, familyOf } from "../../model/address.js";
import type { ActiveRules } from "../../model/rules.js";

/**
 * Adds those services' addresses to lo that no interface has, and returns them. This includes
 * 127.0.0.0/8, although it all works as it is: some daemons (BIND) serve only addresses that an
 * interface has.
 */
export function addMissing(
  addresses: readonly Address[],
  present?: readonly HostAddress[],
): Address[] {
  return missingAddresses(addresses, present).filter((address) => addToLoopback(address));
}

/** Returns those of the addresses that lo lacks and can have. */
export function missingAddresses(
  addresses: readonly Address[],
  present: readonly HostAddress[] = addresses.length === 0 ? [] : hostAddresses(),
): Address[] {
  const known = new Set(present.map((entry) => entry.address));
  const missing = addresses.filter((address) => !known.has(address));
  const takesAll = !missing.some(isIpv6) || loopbackTakesIpv6();
  return takesAll ? missing : missing.filter((address) => !isIpv6(address));
}

function isIpv6(address: Address): boolean {
  return familyOf(address) === 6;
}

export function addressesOf({ file }: ActiveRules): Address[] {
  return file.head.services.flatMap((service) => service.addresses);
}

/** Returns the addresses that we put on lo and that no service has any more. */
export function unusedAddresses(
  addresses: readonly Address[],
  present: readonly HostAddress[],
): Address[] {
  const wanted = new Set(addresses);
  return present
    .filter((entry) => entry.ours && !wanted.has(entry.address))
    .map((entry) => entry.address);
}
