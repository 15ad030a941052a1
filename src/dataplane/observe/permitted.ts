/** Judges listeners as the programs do (bpf/permit.h, permits_identity). */
import type { Listener } from "../../model/listener.js";
import type { Owner } from "../../model/mapping.js";
import { type ActiveRules, allMappings, readRules } from "../../model/rules.js";
import { unitHash } from "../../model/unit-hash.js";
import type { Permit } from "../../rules/permits.js";
import { type Accounts, findAccounts } from "../install/permits.js";
import type { State } from "../install/state.js";

const ROOT = 0;

/** Root counts as each user and group. Units are exact. */
function isOwnedBy({ identity }: Listener, owner: Owner, accounts: Accounts): boolean {
  const { unit, user, group } = owner;
  if (unit !== undefined && unitHash(unit).toString() !== identity.unit) return false;
  if (identity.uid === ROOT) return true;
  return (
    (user === undefined || accounts("user", user) === identity.uid) &&
    (group === undefined || accounts("group", group) === identity.gid)
  );
}

function accountsOf(active: ActiveRules): Accounts {
  const rules = readRules(active);
  return findAccounts(active.file.head, allMappings(rules), rules.source);
}

export function permitsOf(state: State): (listener: Listener, permit: Permit | null) => boolean {
  const loaded = state.own();
  if (loaded === undefined) return () => true;
  let accounts: Accounts | undefined;
  return (listener, permit) => {
    if (permit === null || (permit.root && listener.identity.uid === ROOT)) return true;
    accounts ??= accountsOf(loaded.description.rules);
    const known = accounts;
    return permit.owners.some((owner) => isOwnedBy(listener, owner, known));
  };
}
