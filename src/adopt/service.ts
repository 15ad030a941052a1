/** What is to be adopted, and what is not. Plain data. */
import type { Address, Family } from "../model/address.js";
import type { LeftKind, Place } from "../model/adopt.js";
import type { Protocol } from "../model/mapping.js";
import type { Facts, Found, KnownService } from "./facts.js";

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

/** Reports whether what listens is the owner's. */
export function isOf(
  { unit, listener }: Found,
  owner: AdoptedOwner,
  { userName }: Pick<Facts, "userName">,
): boolean {
  return "unit" in owner ? unit === owner.unit : userName(listener.identity.uid) === owner.user;
}

/** A text that is equal for equal owners. */
export function ownerText(owner: AdoptedOwner): string {
  return "unit" in owner ? `unit ${owner.unit}` : `user ${owner.user}`;
}

export function ownerOf({ unit, user }: Pick<KnownService, "unit" | "user">): AdoptedOwner {
  return unit === null ? { user: user ?? "" } : { unit };
}

/** Returns the unit or the user, as a configuration has them. */
export function ownerParts(owner: AdoptedOwner): Pick<KnownService, "unit" | "user"> {
  return "unit" in owner ? { unit: owner.unit, user: null } : { unit: null, user: owner.user };
}

/** Returns a name for the service: `postgresql@15-main.service` is postgresql-15-main. */
export function nameFor(owner: AdoptedOwner): string {
  const text = "unit" in owner ? owner.unit.replace(/\.service$/, "") : owner.user;
  const stem =
    text
      .toLowerCase()
      .replace(/[^a-z0-9._-]+/g, "-")
      .replace(/^[^a-z0-9]+/, "")
      .slice(0, 60) || "service";
  // Digits and dots alone read like an address.
  return /^[0-9.]+$/.test(stem) ? `service-${stem}` : stem;
}
