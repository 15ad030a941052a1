/** Which policy applies to a socket that binds to 0.0.0.0 or ::, as the guard finds it. Pure. */
import type { Listener } from "../model/listener.js";
import type { Owner, ServiceWildcard, WildcardPolicy } from "../model/mapping.js";
import type { FileHead } from "../model/rules.js";
import type { IsPermitted } from "./judge.js";

/** What happens to wildcard binds that nothing is said about. */
export const DEFAULT_WILDCARD: WildcardPolicy = "report";

/** A policy, and what of the configuration says so. */
export interface AppliedPolicy {
  readonly policy: ServiceWildcard;
  readonly by: "service" | "unit" | "user" | "default";
  /** The name of the service, unit or user; null for the default. */
  readonly name: string | null;
}

type Kind = keyof Owner;

interface Entry extends AppliedPolicy {
  readonly kind: Kind;
  readonly value: string | number;
}

/** A unit says more than a user, and a user more than a group. */
const kinds: readonly Kind[] = ["unit", "user", "group"];

function entriesOf({ services, wildcard = {} }: FileHead): Entry[] {
  return [
    ...services.flatMap(({ name, owner, wildcard: policy }): Entry[] => {
      const kind = kinds.find((one) => owner?.[one] !== undefined);
      const value = kind && owner?.[kind];
      if (policy === undefined || kind === undefined || value === undefined) return [];
      return [{ kind, value, policy, by: "service", name }];
    }),
    ...Object.entries(wildcard.units ?? {}).map(([name, policy]): Entry => ({
      kind: "unit",
      value: name,
      policy,
      by: "unit",
      name,
    })),
    ...Object.entries(wildcard.users ?? {}).map(([name, policy]): Entry => ({
      kind: "user",
      value: /^\d+$/.test(name) ? Number(name) : name,
      policy,
      by: "user",
      name,
    })),
  ];
}

/** Unlike as an owner, root does not count as each user and group here. */
function isOf(listener: Listener, { kind, value }: Entry, isPermitted: IsPermitted): boolean {
  const { uid, gid } = listener.identity;
  if (kind !== "unit" && uid === 0) {
    const id = kind === "user" ? uid : gid;
    return value === id || (value === "root" && id === 0);
  }
  return isPermitted(listener, { root: false, owners: [{ [kind]: value }] });
}

/** Returns the policy for who created the listener, whatever the listener is bound to. */
export function wildcardPolicyOf(
  listener: Listener,
  head: FileHead,
  isPermitted: IsPermitted,
): AppliedPolicy {
  const entries = entriesOf(head);
  for (const wanted of kinds) {
    const found = entries.find(
      (entry) => entry.kind === wanted && isOf(listener, entry, isPermitted),
    );
    if (found !== undefined) {
      return { policy: found.policy, by: found.by, name: found.name };
    }
  }
  return { policy: head.wildcard?.default ?? DEFAULT_WILDCARD, by: "default", name: null };
}
