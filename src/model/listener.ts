/**
 * What the kernel's socket tables say of one listening TCP socket or bound, unconnected UDP socket.
 */
import type { Address, Family } from "./address.js";
import type { Protocol } from "./mapping.js";

export type ListenerKind = "tcp" | "mptcp" | "udp";

export interface Listener {
  readonly protocol: Protocol;
  readonly kind: ListenerKind;
  /**
   * Of the socket, not of its address: an IPv6 socket may be bound to a v4-mapped address, shown as
   * IPv4.
   */
  readonly family: Family;
  /** 0.0.0.0 or :: for a wildcard listener. */
  readonly address: Address;
  readonly port: number;
  readonly wildcard: boolean;
  /** IPv6 only: the socket takes no IPv4. */
  readonly v6only: boolean;
  readonly reuseport: boolean;
  /** Sockets of its SO_REUSEPORT group, itself among them; 0 for none. */
  readonly groupSize: number;
  /**
   * The group has a program of its own (SO_ATTACH_REUSEPORT_CBPF, _EBPF), which selects the member.
   */
  readonly groupProgram: boolean;
  /** Interface index of SO_BINDTODEVICE, 0 for none. */
  readonly device: number;
  /** The interface's name; empty for none, `?` when it is gone. */
  readonly deviceName: string;
  /** sk_lookup can select it out of a socket map. */
  readonly placed: boolean;
  /** Socket cookie, decimal (64 bit). */
  readonly cookie: string;
  /** Inode of the socket's file; 0 when no file holds it any more. */
  readonly inode: number;
  readonly uid: number;
}

/**
 * How a listener is handed what is dialled: sk_lookup takes it from a socket map, or by the kfunc
 * from the kernel's own tables, or ingress takes it from there. none: no mapping leads to it, or
 * this kernel cannot.
 */
export type Handover = "sockmap" | "kfunc" | "ingress" | "none";

/** The process that holds a socket's file; see findOwners in kernel/procfs.ts when several do. */
export interface Owner {
  readonly pid: number;
  readonly command: string;
  readonly user: string;
  /** cgroup v2 path, e.g. `/system.slice/nginx.service`; empty when unknown. */
  readonly cgroup: string;
}
