/** A client that nobody named, where a packet needs one. */
import { randomInt } from "node:crypto";
import { familyOf, isLoopback4, type Address } from "../model/address.js";

/**
 * An address of the ranges for documentation (RFC 5737, RFC 3849). To loopback addresses only the
 * machine itself comes.
 */
export function exampleRemote(local: Address): Address {
  if (isLoopback4(local)) return "127.0.0.1" as Address;
  if (local === "::1") return local;
  return (familyOf(local) === 4 ? "198.51.100.7" : "2001:db8:ffff::7") as Address;
}

/** Of those that Linux gives to clients by default (net.ipv4.ip_local_port_range). */
export function examplePort(): number {
  return randomInt(32_768, 61_000);
}
