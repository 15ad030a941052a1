/** What adopting works with: what listens on the host, and whose it is. Plain data. */
import type { Family } from "../model/address.js";
import type { Holder, Listener } from "../model/listener.js";
import type { PortRange } from "../model/mapping.js";

/** A listener, and who has it. */
export interface Found {
  readonly listener: Listener;
  /** The process that holds it; null when no process of this PID namespace does. */
  readonly holder: Holder | null;
  /** The unit that its sockets count as, as a service's `unit`; null for none. */
  readonly unit: string | null;
  /** The socket unit that made it; null when the daemon did so itself. */
  readonly socketUnit: string | null;
}

/** What systemd says of a unit. */
export interface UnitState {
  readonly unit: string;
  readonly active: boolean;
  /** The main process; 0 for none. */
  readonly mainPid: number;
  /** What it starts; of a socket unit. */
  readonly triggers: readonly string[];
  /** True for a socket unit that starts an instance for each connection. */
  readonly accepts: boolean;
}

/** A service that the file of an earlier `ilm adopt` has. */
export interface KnownService {
  readonly name: string;
  readonly unit: string | null;
  readonly user: string | null;
  readonly addresses: readonly string[];
  /** The ports it publishes, such as `80` and `53/udp`. */
  readonly publish: readonly string[];
  readonly mptcpOff: boolean;
}

export interface Facts {
  readonly found: readonly Found[];
  /** The units of `found`, socket units included; empty where systemd does not run. */
  readonly units: ReadonlyMap<string, UnitState>;
  /** The socket units that an earlier `ilm adopt` has written. */
  readonly ownSockets: ReadonlySet<string>;
  /** The user's name by id, where the host has one. */
  readonly userName: (uid: number) => string;
  /** The ports that the kernel assigns to clients. */
  readonly ephemeral: { readonly range: PortRange; readonly reserved: readonly PortRange[] } | null;
  /** The first port that takes no privilege to bind. */
  readonly firstUnprivileged: number;
  /** The families that this host has. */
  readonly families: readonly Family[];
  /** What the file has already; empty without a file. */
  readonly known: readonly KnownService[];
  /** The process that asks. */
  readonly self: number;
}
