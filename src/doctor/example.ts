/** A made-up client, where a packet needs one and the user named none. */
import { randomInt } from "node:crypto";
import { familyOf, isLoopback4, type Address } from "../model/address.js";

/**
 * Returns an address of the ranges for documentation (RFC 5737, RFC 3849). Only the machine itself
 * reaches loopback addresses.
 */
export function exampleRemote(local: Address): Address {
  if (isLoopback4(local)) return "127.0.0.1" as Address;
  if (local === "::1") return local;
  return (familyOf(local) === 4 ? "198.51.100.7" : "2001:db8:ffff::7") as Address;
}

/**
 * Returns one of the ports that Linux gives to clients by default (net.ipv4.ip_local_port_range).
 */
export function examplePort(): number {
  return randomInt(32_768, 61_000);
}
