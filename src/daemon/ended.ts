/** Since when there is no listener, and whose the last one was, as commands and the API tell it. */
import type { EndedJson } from "../json/common.js";
import { userName } from "../kernel/procfs.js";
import type { Identity } from "../model/listener.js";
import type { Service } from "../model/mapping.js";
import { type Absence, Endings } from "../rules/endings.js";
import type { DataPlane } from "../dataplane/types.js";
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

/** What commands and the API tell of what has no listener. */
export interface AbsenceJson {
  readonly ended: EndedJson | null;
  readonly neverSince: string | null;
}

export const presentJson: AbsenceJson = { ended: null, neverSince: null };

/**
 * Returns a function that describes what is known. The kernel's programs know a unit by a number,
 * so its name is known where a service has it.
 */
export function describesAbsence(services: readonly Service[]): (absence: Absence) => AbsenceJson {
  const unitOf = namesUnits(services);
  return ({ ended, neverSince }) => ({
    ended: ended && {
      at: new Date(ended.endedAt).toISOString(),
      user: userName(ended.identity.uid),
      unit: unitOf(ended.identity),
    },
    neverSince: neverSince === null ? null : new Date(neverSince).toISOString(),
  });
}

/** Reads what is known of destinations without a listener. */
export function readEndings(dataPlane: Pick<DataPlane, "endings" | "unheard">): Endings {
  return new Endings(dataPlane.endings(), dataPlane.unheard);
}
