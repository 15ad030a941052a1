/** What rules meet on this host: its own clients, and destinations that are not here. */
import { destinationsToFind, warnOfElsewhere, warnOfReserved } from "../compile/elsewhere.js";
import { warnOfEphemeralPorts } from "../compile/ephemeral.js";
import type { Problem } from "../errors.js";
import { findAbsent } from "../kernel/host-addresses.js";
import { ephemeralPorts } from "../kernel/procfs.js";
import type { Mapping, Service } from "../model/mapping.js";

/** Warnings; no privilege is needed to find them. */
export async function warnOfHost(
  mappings: readonly Mapping[],
  services: readonly Service[],
): Promise<Problem[]> {
  const host = ephemeralPorts();
  const destinations = destinationsToFind(mappings, services);
  const absent = await findAbsent(destinations.map(({ address }) => address));
  return [
    ...warnOfReserved(mappings),
    ...warnOfElsewhere(destinations.filter(({ address }) => absent.has(address))),
    ...(host === undefined ? [] : warnOfEphemeralPorts(mappings, host)),
  ];
}
