/** Listeners in words. */
import type { Family } from "../model/address.js";
import type { Holder, Listener } from "../model/listener.js";
import { formatPlace } from "../model/endpoint.js";
import { printable } from "./text.js";

/** PID 1 of a host is systemd, which has sockets for others. */
const MANAGER = 1;

/**
 * Describes a holder: `nginx (pid 812)`, `systemd (pid 1) for web.socket`, `web (pid 813, from
 * web.socket)`, or that the process is unknown.
 */
export function describeHolder(holder: Holder | undefined): string {
  if (holder === undefined) return "a process unknown";
  const { command, pid } = holder;
  const unit = unitOf(holder);
  if (unit?.endsWith(".socket") !== true) return `${printable(command)} (pid ${pid})`;
  return pid === MANAGER
    ? `${printable(command)} (pid ${pid}) for ${printable(unit)}`
    : `${printable(command)} (pid ${pid}, from ${printable(unit)})`;
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
