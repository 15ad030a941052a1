/** Decodes what the kernel side tells of destinations that have their first listener, or none. */
import { turnLayout } from "../../abi/generated.js";
import { decode } from "../../abi/layout.js";
import { addressFromBytes } from "../../model/address.js";
import type { Turn } from "../../model/listener.js";

const IPPROTO_UDP = 17;

/** Decodes a record of the ring buffer `turns`. */
export function decodeTurn(bytes: Uint8Array): Turn {
  const { protocol, address, port, unit, uid, gid, listens } = decode(turnLayout, bytes);
  return {
    protocol: protocol === IPPROTO_UDP ? "udp" : "tcp",
    address: addressFromBytes(address),
    port,
    identity: { uid, gid, unit: unit.toString() },
    listens: listens === 1,
  };
}
