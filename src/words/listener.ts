/** Listeners in words. */
import type { Family } from "../model/address.js";
import type { Listener, Owner } from "../model/listener.js";
import { formatPlace } from "../model/endpoint.js";
import { printable } from "./text.js";

/** Describes an owner: `nginx (pid 812)`, or that the process is unknown. */
export function describeOwner(owner: Owner | undefined): string {
  return owner === undefined
    ? "a process unknown"
    : `${printable(owner.command)} (pid ${owner.pid})`;
}

/** Describes a listener: `nginx (pid 812) on 127.0.1.10:443`. */
export function describeListener(listener: Listener, owner: Owner | undefined): string {
  return `${describeOwner(owner)} on ${printable(formatPlace(listener))}`;
}

/**
 * Names what takes away what ingress gives: the kernel's programs cannot tell NAT from a packet
 * socket.
 */
export function describeNat(families: readonly Family[]): string {
  return `NAT of ${families.map((family) => `IPv${family}`).join(" and ")} in this network namespace, or a packet socket for it (keepalived, a DHCP client),`;
}

/**
 * Returns the unit of a cgroup path, or null when there is none: `/system.slice/nginx.service` ->
 * `nginx.service`.
 */
export function unitOf(owner: Owner | undefined): string | null {
  if (owner === undefined) return null;
  const parts = owner.cgroup.split("/");
  return parts.findLast((part) => /\.(?:service|scope|socket)$/.test(part)) ?? null;
}
