/**
 * Collects what `status` and `doctor` check before they warn: the rules, the listeners, and the
 * host.
 */
import type { DaemonStatus } from "../api/api.js";
import { judgeOf } from "../dataplane/judge.js";
import type { DataPlane, Active } from "../dataplane/types.js";
import { linkedNetworks, upAddresses } from "../kernel/up-addresses.js";
import { ephemeralPorts } from "../kernel/procfs.js";
import type { Prefix } from "../model/address.js";
import type { Listener } from "../model/listener.js";
import { emptyRules, readRules } from "../model/rules.js";
import { absentDestinations } from "./absent-destinations.js";
import type { Circumstances } from "./warnings.js";

/**
 * Collects the circumstances. `listeners` are those of this network namespace; `daemon` is null
 * when none answers.
 */
export async function circumstancesOf(
  dataPlane: DataPlane,
  active: Active | null,
  listeners: readonly Listener[],
  daemon: DaemonStatus | null,
): Promise<Circumstances> {
  const rules = active && readRules(active.rules);
  const present = upAddresses();
  return {
    rules,
    listeners,
    judge: judgeOf(dataPlane, rules ?? emptyRules),
    upAddresses: present,
    routesMissing: missingRoutes(dataPlane, rules?.file.anyip ?? []),
    networks: linkedNetworks(),
    absentDestinations: await absentDestinations(rules, present),
    ephemeral: ephemeralPorts() ?? null,
    daemon,
    engine: active?.engine ?? null,
    steers: dataPlane.steers(),
    vrfs: dataPlane.vrfs(),
    endedNamespaces: dataPlane.endedNamespaces(),
    flows: dataPlane.flowCount(),
    faults: dataPlane.faults(),
    uncoveredInterfaces: dataPlane.uncoveredInterfaces(),
    earlier:
      active === null || active.earlierFormat === null
        ? null
        : { format: active.earlierFormat, version: active.version },
    off: active?.off === true,
    detached: dataPlane.detached(),
    overtaken: dataPlane.overtaken(),
    kfuncTrouble: active?.kfuncTrouble ?? null,
  };
}

/** Returns those of the prefixes that have no local route. */
function missingRoutes(dataPlane: DataPlane, anyip: readonly Prefix[]): Prefix[] {
  if (anyip.length === 0) return [];
  const missing = new Set<string>(dataPlane.missing());
  return anyip.filter((prefix) => missing.has(prefix));
}
