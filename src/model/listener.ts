/**
 * What the kernel's socket tables say about one listening TCP socket, or bound and unconnected UDP
 * socket.
 */
import type { Address, Family } from "./address.js";
import type { Protocol } from "./mapping.js";

export type ListenerKind = "tcp" | "mptcp" | "udp";

export interface Listener {
  readonly protocol: Protocol;
  readonly kind: ListenerKind;
  /**
   * The family of the socket, not of its address: an IPv6 socket may be bound to a v4-mapped
   * address, which is shown as IPv4.
   */
  readonly family: Family;
  /** The address that the socket is bound to; 0.0.0.0 or :: for a wildcard listener. */
  readonly address: Address;
  readonly port: number;
  readonly wildcard: boolean;
  /** True when an IPv6 socket takes no IPv4. */
  readonly v6only: boolean;
  readonly reuseport: boolean;
  /** The number of sockets in its SO_REUSEPORT group, including itself; 0 without a group. */
  readonly groupSize: number;
  /**
   * True when the group has a program of its own (SO_ATTACH_REUSEPORT_CBPF, _EBPF), which selects
   * the member.
   */
  readonly groupProgram: boolean;
  /** The interface index of SO_BINDTODEVICE, or 0 for none. */
  readonly device: number;
  /** The interface's name; empty for none, `?` when the interface is gone. */
  readonly deviceName: string;
  /** True when sk_lookup can select it from a socket map. */
  readonly placed: boolean;
  /**
   * Since when somebody has listened there, in milliseconds since the epoch; null when nobody
   * knows, as no mapping leads there.
   */
  readonly since: number | null;
  readonly queue: Queue;
  /** The socket cookie, in decimal (64 bits). */
  readonly cookie: string;
  /** The inode of the socket's file; 0 when no file holds it any more. */
  readonly inode: number;
  /** The id of the cgroup in which it was created, in decimal (64 bits). */
  readonly cgroup: string;
  readonly identity: Identity;
}

/** What waits for a daemon: connections to be accepted, or bytes of datagrams to be received. */
export interface Queue {
  readonly waiting: number;
  /** The maximum: `listen()` sets it for TCP, SO_RCVBUF for UDP. */
  readonly limit: number;
  /** How much found no room since the socket was made, or was refused for another reason. */
  readonly drops: number;
}

/** The queue of a listener that is only thought of. */
export const noQueue: Queue = { waiting: 0, limit: 0, drops: 0 };

/** A destination has its first listener, or no longer has one. */
export interface Turn {
  readonly protocol: Protocol;
  readonly address: Address;
  readonly port: number;
  /** Whose the listener is, or was. */
  readonly identity: Identity;
  readonly listens: boolean;
}

/**
 * Reports whether a daemon lets so much wait that the next finds no room: it hangs, or is too slow.
 */
export function isFull({ protocol, queue }: Pick<Listener, "protocol" | "queue">): boolean {
  // One more than the limit waits (include/net/sock.h, sk_acceptq_is_full).
  return protocol === "tcp" ? queue.waiting > queue.limit : queue.waiting * 8 > queue.limit * 7;
}

/** The end of the last listener that a destination had. */
export interface Ending {
  readonly protocol: Protocol;
  readonly address: Address;
  readonly port: number;
  /** Milliseconds since the epoch. */
  readonly endedAt: number;
  readonly identity: Identity;
}

/** Who created a socket, by which it is judged (bpf/abi.h, ilm_identity). */
export interface Identity {
  readonly uid: number;
  readonly gid: number;
  /** The hash of its systemd unit (unitHash), in decimal (64 bits); 0 for none. */
  readonly unit: string;
}

/**
 * How a listener is handed what is dialled. `sockmap`: sk_lookup takes it from a socket map.
 * `kfunc`: sk_lookup takes it from the kernel's own tables, through the kfunc. `ingress`: the
 * program at ingress takes it from there. `none`: no mapping leads to it, or this kernel cannot.
 */
export type Handover = "sockmap" | "kfunc" | "ingress" | "none";

/**
 * The process that holds a socket's file. When several do, findHolders in kernel/procfs.ts picks
 * one.
 */
export interface Holder {
  readonly pid: number;
  readonly command: string;
  readonly user: string;
  /**
   * The path of a cgroup (v2), such as `/system.slice/nginx.service`; empty when unknown. Of the
   * holder of a socket, the cgroup in which the socket was created, by which it is judged, as long
   * as there is such a cgroup; otherwise the process's.
   */
  readonly cgroup: string;
  /**
   * True when it has CAP_NET_BIND_SERVICE without being root, in the user namespace that we are in.
   */
  readonly canBindLowPorts: boolean;
}
