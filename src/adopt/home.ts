/** Whether a daemon listens where it is to be. Pure. */
import type { Address, Family } from "../model/address.js";
import type { Listener } from "../model/listener.js";
import type { AdoptedPort } from "./service.js";

export interface Homes {
  /** The service's own addresses; null: every address. */
  readonly addresses: readonly Address[] | null;
  /** The cookies of sockets that do not count, as they are to go. */
  readonly old: ReadonlySet<string>;
}

/** Returns the ports that are not served there yet, for some family that was served before. */
export function missingPorts(
  ports: readonly AdoptedPort[],
  listeners: readonly Listener[],
  homes: Homes,
): AdoptedPort[] {
  return ports.filter(({ protocol, port, families }) => {
    const there = listeners.filter(
      (one) => one.protocol === protocol && one.port === port && !homes.old.has(one.cookie),
    );
    return !families.every((family) => there.some((one) => serves(one, family, homes.addresses)));
  });
}

/** Returns the ports of which a new socket is on the wildcard address. */
export function astrayPorts(
  ports: readonly AdoptedPort[],
  listeners: readonly Listener[],
  old: ReadonlySet<string>,
): AdoptedPort[] {
  return ports.filter(({ protocol, port }) =>
    listeners.some(
      (one) =>
        one.protocol === protocol && one.port === port && one.wildcard && !old.has(one.cookie),
    ),
  );
}

function serves(listener: Listener, family: Family, addresses: Homes["addresses"]): boolean {
  const { address, v6only } = listener;
  if (addresses === null) {
    if (!listener.wildcard) return false;
    if (address === "0.0.0.0") return family === 4;
    return family === 6 || !v6only;
  }
  if (!addresses.includes(address)) return false;
  if (address.includes(":")) return family === 6;
  // A dual-stack socket is bound to the IPv4 address of its service.
  return family === 4 || (listener.family === 6 && !v6only);
}
