/** Looks at the host: what listens, who has it, and what systemd says of that. */
import { existsSync } from "node:fs";
import type { DataPlane } from "../dataplane/types.js";
import { holdersOf } from "../doctor/holders.js";
import { ephemeralPorts, firstUnprivilegedPort, userName } from "../kernel/procfs.js";
import type { Family } from "../model/address.js";
import type { Holder, Listener } from "../model/listener.js";
import { unitHash } from "../model/unit-hash.js";
import type { Facts, Found, KnownService, UnitState } from "./facts.js";
import { isOwnSocketUnit } from "./socket-unit.js";
import { isBooted, socketUnits, unitStates } from "./systemd.js";

export async function lookAtHost(
  dataPlane: DataPlane,
  known: readonly KnownService[],
): Promise<Facts> {
  const listeners = dataPlane.listeners();
  const holderOf = await holdersOf(listeners);
  const sockets = isBooted() ? await socketUnits() : [];
  const byHash = new Map(sockets.map((name) => [String(unitHash(name)), name]));
  const found = listeners.map((listener) => findOne(listener, holderOf(listener), byHash));
  return {
    found,
    units: await statesOf(found),
    ownSockets: new Set(sockets.filter(isOwnSocketUnit)),
    userName,
    ephemeral: ephemeralPorts() ?? null,
    firstUnprivileged: firstUnprivilegedPort() ?? 0,
    families: ownFamilies(),
    known,
    self: process.pid,
  };
}

export function ownFamilies(): Family[] {
  return existsSync("/proc/self/net/if_inet6") ? [4, 6] : [4];
}

/**
 * A socket counts as the unit in which it was created. Those that systemd creates for an active
 * socket unit count as the service of the same name, whichever service has them.
 */
function findOne(
  listener: Listener,
  holder: Holder | undefined,
  sockets: ReadonlyMap<string, string>,
): Found {
  const { unit: hash } = listener.identity;
  const own = holder === undefined ? null : unitOfCgroup(holder.cgroup);
  const socketUnit = hash === "0" ? null : (sockets.get(hash) ?? null);
  const unit =
    socketUnit?.replace(/\.socket$/, ".service") ??
    (own !== null && String(unitHash(own)) === hash ? own : null);
  return { listener, holder: holder ?? null, unit, socketUnit };
}

/**
 * Returns the first part of a cgroup's path that is no slice, as systemd finds a process's unit;
 * null when there is none. The name of a cgroup may have a `_` in front of the unit's.
 */
export function unitOfCgroup(path: string): string | null {
  const first = path.split("/").find((part) => part !== "" && !part.endsWith(".slice"));
  if (first === undefined || !/\.(?:service|scope|socket)$/.test(first)) return null;
  return first.replace(/^_/, "").replace(/\.socket$/, ".service");
}

async function statesOf(found: readonly Found[]): Promise<ReadonlyMap<string, UnitState>> {
  if (!isBooted()) return new Map();
  const used = found.flatMap(({ unit, socketUnit }) =>
    [unit, socketUnit].filter((one) => one !== null),
  );
  const first = await unitStates([...new Set(used)]);
  const triggered = [...first.values()]
    .flatMap(({ triggers }) => triggers)
    .filter((unit) => !first.has(unit));
  const more = await unitStates([...new Set(triggered)]);
  return new Map([...first, ...more]);
}
