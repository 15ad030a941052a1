/**
 * Listeners on one address, as /proc/net shows them to any user (tcp_seq_show and udp_seq_show in
 * the kernel).
 */
import { readFileSync } from "node:fs";
import { endianness } from "node:os";
import { addressFromBytes, type Address } from "../model/address.js";
import type { Protocol } from "../model/mapping.js";
import { unless } from "./folder.js";

export interface BoundSocket {
  readonly protocol: Protocol;
  readonly address: Address;
  readonly port: number;
}

/**
 * TCP_LISTEN and TCP_CLOSE, the states of a listener and of an unconnected UDP socket
 * (include/net/tcp_states.h).
 */
const states: Readonly<Record<Protocol, string>> = { tcp: "0A", udp: "07" };

/** Returns the sockets of this network namespace, except those on the wildcard address. */
export function boundSockets(): BoundSocket[] {
  return (["tcp", "udp"] as const).flatMap((protocol) =>
    ["", "6"].flatMap((family) => {
      const path = `/proc/self/net/${protocol}${family}`;
      // Without IPv6, its files do not exist.
      return boundIn(unless(["ENOENT"], () => readFileSync(path, "utf8")) ?? "", protocol);
    }),
  );
}

/** Parses the text of one such file. */
export function boundIn(text: string, protocol: Protocol): BoundSocket[] {
  return text.split("\n").flatMap((line) => {
    const found = /^\s*[0-9]+: ([0-9A-F]+):([0-9A-F]{4}) \S+ ([0-9A-F]{2}) /.exec(line);
    if (found === null || found[3] !== states[protocol]) return [];
    const [, address = "", port = ""] = found;
    if (/^0+$/.test(address)) return [];
    return [{ protocol, address: readAddress(address), port: Number.parseInt(port, 16) }];
  });
}

/** Parses words of 32 bits in the machine's byte order. */
function readAddress(text: string): Address {
  const bytes = new Uint8Array(16);
  const offset = text.length === 8 ? 12 : 0;
  if (offset === 12) bytes.fill(0xff, 10, 12);
  for (let at = 0; at < text.length / 2; at++) {
    const place = endianness() === "LE" ? (at & ~3) + (3 - (at & 3)) : at;
    bytes[offset + place] = Number.parseInt(text.slice(at * 2, at * 2 + 2), 16);
  }
  return addressFromBytes(bytes);
}
