/** Run-time mappings whose service the configuration has no longer. Pure. */
import { type Mapping, type Service, hasEnded } from "../model/mapping.js";

/** A mapping that leads to what was a service's address. */
export interface Orphan {
  readonly mapping: string;
  readonly service: string;
}

/** The parts of rules that matter, which are there without reading the file's mappings. */
interface Parts {
  readonly runtime: readonly Mapping[];
  readonly services: readonly Service[];
  /** Seconds since the host was booted: what has ended is no mapping. */
  readonly now: number;
}

/**
 * Returns the run-time mappings that were given a service by its name, of which the configuration
 * no longer has that name or that address: they go on leading there, although the address may go.
 */
export function orphansOf({ runtime, services, now }: Parts): readonly Orphan[] {
  const addresses = new Map(services.map(({ name, addresses }) => [name, new Set(addresses)]));
  const found = new Map<string, Orphan>();
  for (const { name, to } of runtime.filter((one) => !hasEnded(one, now))) {
    for (const { service, address } of to) {
      if (service === undefined || address === "*") continue;
      if (addresses.get(service)?.has(address) === true) continue;
      found.set(`${name} ${service}`, { mapping: name, service });
    }
  }
  return [...found.values()];
}
