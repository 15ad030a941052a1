/** Judges listeners as the programs do (bpf/permit.h, permits_identity). */
import { type AccountKind, findAccount } from "../../kernel/accounts.js";
import type { Listener } from "../../model/listener.js";
import type { Owner } from "../../model/mapping.js";
import { unitHash } from "../../model/unit-hash.js";
import type { Permit } from "../../rules/permits.js";
import type { State } from "../install/state.js";

const ROOT = 0;

/** Returns the id of an account, or undefined when this host no longer has it. */
type Ids = (kind: AccountKind, account: string | number) => number | undefined;

/** Asks the host for each account once, when it is first needed. */
function idsOfHost(): Ids {
  const known = new Map<string, number | undefined>();
  return (kind, account) => {
    if (typeof account === "number") return account;
    const key = `${kind} ${account}`;
    if (!known.has(key)) known.set(key, findAccount(kind, account));
    return known.get(key);
  };
}

/** Root counts as each user and group. Units are exact. */
function isOwnedBy({ identity }: Listener, owner: Owner, ids: Ids): boolean {
  const { unit, user, group } = owner;
  if (unit !== undefined && unitHash(unit).toString() !== identity.unit) return false;
  if (identity.uid === ROOT) return true;
  return (
    (user === undefined || ids("user", user) === identity.uid) &&
    (group === undefined || ids("group", group) === identity.gid)
  );
}

export function permitsOf(state: State): (listener: Listener, permit: Permit | null) => boolean {
  if (state.own() === undefined) return () => true;
  const ids = idsOfHost();
  return (listener, permit) => {
    if (permit === null || (permit.root && listener.identity.uid === ROOT)) return true;
    return permit.owners.some((owner) => isOwnedBy(listener, owner, ids));
  };
}
