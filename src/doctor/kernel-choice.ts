/** Which socket the kernel itself picks for a packet that no mapping gave to anyone. Pure. */
import type { Packet } from "../model/decision.js";
import type { Listener } from "../model/listener.js";
import { familyOf } from "../model/address.js";

/**
 * Returns the exact listener, or else the wildcard one, as inet_lookup does
 * (net/ipv4/inet_hashtables.c). Returns null when the kernel rejects the packet.
 */
export function kernelChoice(packet: Packet, listeners: readonly Listener[]): Listener | null {
  const takers = listeners.filter(
    (listener) =>
      listener.protocol === packet.protocol &&
      listener.port === packet.localPort &&
      (listener.device === 0 || listener.device === packet.interfaceIndex),
  );
  return (
    takers.find((listener) => !listener.wildcard && listener.address === packet.local) ??
    takers.find((listener) => listener.wildcard && takesFamily(listener, packet)) ??
    null
  );
}

function takesFamily(listener: Listener, packet: Packet): boolean {
  const family = familyOf(packet.local);
  return listener.family === family || (family === 4 && !listener.v6only);
}
