/** What is to be adopted, and what is not. Plain data. */
import type { Address, Family } from "../model/address.js";
import type { Protocol } from "../model/mapping.js";
import type { Found, KnownService } from "./facts.js";

/** Who may listen on a service's addresses. */
export type AdoptedOwner = { readonly unit: string } | { readonly user: string };

/** A port that the daemon takes on every address. */
export interface AdoptedPort {
  readonly protocol: Protocol;
  readonly port: number;
  /** The families of the clients that it serves. */
  readonly families: readonly Family[];
}

/** Another socket of the daemon, which its restart closes for a moment too. */
export interface HeldPort {
  readonly protocol: Protocol;
  readonly port: number;
  /** The address that it listens on; null for every address. */
  readonly address: Address | null;
  readonly families: readonly Family[];
  /** True when the daemon has the kernel choose the port, as far as one can tell. */
  readonly mayChange: boolean;
}

/** How a daemon is restarted. */
export type Restart =
  | { readonly kind: "unit"; readonly unit: string }
  | {
      readonly kind: "sockets";
      readonly sockets: readonly string[];
      readonly services: readonly string[];
    }
  /** A service that gets a socket unit of its name, written by adopting; and the way back. */
  | { readonly kind: "to-socket" | "from-socket"; readonly unit: string; readonly socket: string }
  | { readonly kind: "command"; readonly command: string }
  | { readonly kind: "unknown" };

/** Where the daemon listens at the moment. */
export type Place = "wildcard" | "private" | "nowhere";

export interface AdoptedService {
  readonly name: string;
  readonly owner: AdoptedOwner;
  readonly ports: readonly AdoptedPort[];
  readonly held: readonly HeldPort[];
  readonly restart: Restart;
  readonly isSsh: boolean;
  /** True when it uses MPTCP, which a restart under `mptcp: off` turns into TCP. */
  readonly mptcp: boolean;
  /** True when its sockets have SO_REUSEPORT. */
  readonly reuseport: boolean;
  readonly place: Place;
  /** The command of the process that listens, for messages. */
  readonly command: string;
}

/** Why something is left alone; scripts see the names. */
const leftKinds = [
  "loopback",
  "address",
  "device",
  "client",
  "group",
  "speaks-first",
  "assigned",
  "kernel",
  "container",
  "system",
  "session",
  "user",
  "shared",
  "unpublished",
  "not-asked",
] as const;
export type LeftKind = (typeof leftKinds)[number];

export interface Left {
  readonly found: Found;
  readonly kind: LeftKind;
  readonly reason: string;
}

export interface Plan {
  /** In the order in which they are moved; SSH is last. */
  readonly services: readonly AdoptedService[];
  readonly left: readonly Left[];
}

/** Reports whether the user means this service: by its name, its unit or its user. */
export function isNamed(asked: string, name: string, owner: AdoptedOwner): boolean {
  if (asked === name) return true;
  return "unit" in owner
    ? asked === owner.unit || `${asked}.service` === owner.unit
    : asked === owner.user;
}

/** A text that is equal for equal owners. */
export function ownerText(owner: AdoptedOwner): string {
  return "unit" in owner ? `unit ${owner.unit}` : `user ${owner.user}`;
}

export function ownerOf({ unit, user }: Pick<KnownService, "unit" | "user">): AdoptedOwner {
  return unit === null ? { user: user ?? "" } : { unit };
}
