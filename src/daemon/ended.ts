/** Whose a listener was that ended, as commands and the API tell it. */
import type { EndedJson } from "../json/common.js";
import { userName } from "../kernel/procfs.js";
import type { Ending, Identity } from "../model/listener.js";
import type { Service } from "../model/mapping.js";
import { unitHash } from "../model/unit-hash.js";

/** Returns a function that names the unit of an identity, where a service has it. */
export function namesUnits(services: readonly Service[]): (identity: Identity) => string | null {
  const units = new Map(
    services.flatMap(({ owner }) => {
      const unit = owner?.unit;
      return unit === undefined ? [] : [[unitHash(unit).toString(), unit] as const];
    }),
  );
  return ({ unit }) => units.get(unit) ?? null;
}

/**
 * Returns a function that describes an end. The kernel's programs know a unit by a number, so its
 * name is known where a service has it.
 */
export function describesEnds(
  services: readonly Service[],
): (ending: Ending | null) => EndedJson | null {
  const unitOf = namesUnits(services);
  return (ending) =>
    ending && {
      at: new Date(ending.endedAt).toISOString(),
      user: userName(ending.identity.uid),
      unit: unitOf(ending.identity),
    };
}
