/** Listeners in words. */
import type { Family } from "../model/address.js";
import type { Holder, Listener } from "../model/listener.js";
import { formatPlace } from "../model/endpoint.js";
import { printable } from "./text.js";

/** Describes a holder: `nginx (pid 812)`, or that the process is unknown. */
export function describeHolder(holder: Holder | undefined): string {
  return holder === undefined
    ? "a process unknown"
    : `${printable(holder.command)} (pid ${holder.pid})`;
}

/** Describes a listener: `nginx (pid 812) on 127.0.1.10:443`. */
export function describeListener(listener: Listener, holder: Holder | undefined): string {
  return `${describeHolder(holder)} on ${printable(formatPlace(listener))}`;
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
export function unitOf(holder: Holder | undefined): string | null {
  if (holder === undefined) return null;
  const parts = holder.cgroup.split("/");
  return parts.findLast((part) => /\.(?:service|scope|socket)$/.test(part)) ?? null;
}
