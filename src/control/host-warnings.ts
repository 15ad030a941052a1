/**
 * What rules meet on this host: its own clients, and destinations that are not addresses of this
 * host.
 */
import { destinationsToFind, warnOfElsewhere, warnOfReserved } from "../rules/elsewhere.js";
import { warnOfEphemeralPorts } from "../rules/ephemeral.js";
import type { Problem } from "../errors.js";
import { findAbsent } from "../kernel/up-addresses.js";
import { ephemeralPorts } from "../kernel/procfs.js";
import type { Address } from "../model/address.js";
import type { Service } from "../model/mapping.js";
import type { Mappings } from "../model/mappings.js";

export interface HostWarnings {
  readonly warnings: readonly Problem[];
  /** Destinations that have to be addresses of this host. */
  readonly destinations: readonly Address[];
  /** Those destinations that are not. Each has a warning. */
  readonly absent: readonly Address[];
}

/** Finds the warnings about this host. Needs no privileges. */
export async function warnOfHost(
  mappings: Mappings,
  services: readonly Service[],
): Promise<HostWarnings> {
  const host = ephemeralPorts();
  const elsewhere = destinationsToFind(mappings, services);
  const destinations = elsewhere.map(({ address }) => address);
  const absent = await findAbsent(destinations);
  const warnings = [
    ...warnOfReserved(mappings),
    ...warnOfElsewhere(elsewhere.filter(({ address }) => absent.has(address))),
    ...(host === undefined ? [] : warnOfEphemeralPorts(mappings, host)),
  ];
  return { warnings, destinations, absent: [...absent] };
}
