/**
 * What rules meet on this host: its own clients, and destinations that are not addresses of this
 * host.
 */
import { destinationsToFind, warnOfElsewhere, warnOfReserved } from "../rules/elsewhere.js";
import { warnOfEphemeralPorts } from "../rules/ephemeral.js";
import type { Problem } from "../errors.js";
import { findAbsent } from "../kernel/up-addresses.js";
import { ephemeralPorts, loopbackTakesIpv6 } from "../kernel/procfs.js";
import { type Address, familyOf } from "../model/address.js";
import type { Service } from "../model/mapping.js";
import type { Mappings } from "../model/mappings.js";
import type { FileHead } from "../model/rules.js";

export interface HostWarnings {
  readonly warnings: readonly Problem[];
  /** Destinations that have to be addresses of this host. */
  readonly destinations: readonly Address[];
  /** Those destinations that are not. Each has a warning. */
  readonly absent: readonly Address[];
}

/** Warns of services' addresses that lo cannot have: all goes on without them. */
function warnOfIpv6(services: readonly Service[]): Problem[] {
  return services.flatMap(({ name, addresses, origin }) => {
    const first = addresses.find((address) => familyOf(address) === 6);
    if (first === undefined) return [];
    return {
      severity: "warning",
      ...origin,
      path: `services.${name}`,
      message: `IPv6 is disabled on lo, so ${first} is not added: no daemon can listen on it, and nothing is dialled over IPv6 for this service`,
      hint: "enable it (sysctl -w net.ipv6.conf.lo.disable_ipv6=0) and apply again, or remove the address",
    };
  });
}

/** Finds the warnings about this host. Needs no privileges. */
export async function warnOfHost(
  mappings: Mappings,
  head: Pick<FileHead, "services" | "floating">,
): Promise<HostWarnings> {
  const host = ephemeralPorts();
  const elsewhere = destinationsToFind(mappings, head);
  const destinations = elsewhere.map(({ address }) => address);
  const absent = await findAbsent(destinations);
  const warnings = [
    ...(loopbackTakesIpv6() ? [] : warnOfIpv6(head.services)),
    ...warnOfReserved(mappings),
    ...warnOfElsewhere(elsewhere.filter(({ address }) => absent.has(address))),
    ...(host === undefined ? [] : warnOfEphemeralPorts(mappings, host)),
  ];
  return { warnings, destinations, absent: [...absent] };
}
