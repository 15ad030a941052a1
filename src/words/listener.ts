/** Listeners in words. */
import type { Family } from "../model/address.js";
import type { Listener, Owner } from "../model/listener.js";
import { formatPlace } from "../model/endpoint.js";
import { printable } from "./text.js";

/** `nginx (pid 812)`, or who else it may be. */
export function describeOwner(owner: Owner | undefined): string {
  return owner === undefined
    ? "a process unknown"
    : `${printable(owner.command)} (pid ${owner.pid})`;
}

/** `nginx (pid 812) on 127.0.1.10:443`. */
export function describeListener(listener: Listener, owner: Owner | undefined): string {
  return `${describeOwner(owner)} on ${printable(formatPlace(listener))}`;
}

/** Who takes away what ingress gives: the kernel's programs do not tell the two apart. */
export function describeNat(families: readonly Family[]): string {
  return `NAT of ${families.map((family) => `IPv${family}`).join(" and ")} in this network namespace, or a packet socket for it (keepalived, a DHCP client),`;
}

/**
 * The unit of a cgroup path: `/system.slice/nginx.service` -> `nginx.service`; null when there is
 * none.
 */
export function unitOf(owner: Owner | undefined): string | null {
  if (owner === undefined) return null;
  const parts = owner.cgroup.split("/");
  return parts.findLast((part) => /\.(?:service|scope|socket)$/.test(part)) ?? null;
}
