/** What rules say about processes, as the programs know it: by unit, user and group. */
import {
  ILM_MPTCP_OFF,
  ILM_WILDCARD_ALLOW,
  ILM_WILDCARD_DENY,
  ILM_WILDCARD_MASK,
  ILM_WILDCARD_REPORT,
  ILM_WILDCARD_REWRITE,
  PolicyCode,
  policyKeyLayout,
  rewriteLayout,
} from "../../abi/generated.js";
import { encode } from "../../abi/layout.js";
import { addressBytes, familyOf } from "../../model/address.js";
import type { Owner, Service, ServiceWildcard } from "../../model/mapping.js";
import { isIdText } from "../../model/owner.js";
import type { RuleSet } from "../../model/rules.js";
import { unitHash } from "../../model/unit-hash.js";
import { DEFAULT_WILDCARD } from "../../rules/wildcard.js";
import type { Accounts } from "./permits.js";

const wildcardCodes: Readonly<Record<ServiceWildcard, number>> = {
  allow: ILM_WILDCARD_ALLOW,
  report: ILM_WILDCARD_REPORT,
  deny: ILM_WILDCARD_DENY,
  rewrite: ILM_WILDCARD_REWRITE,
};

function keyOf(kind: number, value: bigint | number): Uint8Array {
  return encode(policyKeyLayout, { kind, value: BigInt(value) });
}

/** Returns the key by which an owner's processes are known. A unit says more than a user. */
function keyOfOwner({ unit, user, group }: Owner, accounts: Accounts): Uint8Array {
  if (unit !== undefined) return keyOf(PolicyCode.UNIT, unitHash(unit));
  if (user !== undefined) return keyOf(PolicyCode.USER, accounts("user", user));
  return keyOf(PolicyCode.GROUP, accounts("group", group ?? 0));
}

function saidOf({ wildcard, mptcp }: Service): number {
  return (
    (wildcard === undefined ? 0 : wildcardCodes[wildcard]) + (mptcp === "off" ? ILM_MPTCP_OFF : 0)
  );
}

/**
 * Joins what is said about the same processes: a service says more than the document does about its
 * unit or user, and each says nothing about what it leaves out.
 */
function joined(entries: readonly [Uint8Array, number][]): [Uint8Array, number][] {
  const byKey = new Map<string, [Uint8Array, number]>();
  for (const [key, said] of entries) {
    const text = Buffer.from(key).toString("hex");
    const [, before = 0] = byKey.get(text) ?? [];
    const wildcard = said & ILM_WILDCARD_MASK || before & ILM_WILDCARD_MASK;
    byKey.set(text, [key, wildcard + ((said | before) & ILM_MPTCP_OFF)]);
  }
  return [...byKey.values()];
}

/** Returns the contents of `policies`. Wildcard binds that nothing is said about are reported. */
export function policyEntries(
  { services, mptcp, wildcard = {} }: Pick<RuleSet, "services" | "mptcp" | "wildcard">,
  accounts: Accounts,
): [Uint8Array, number][] {
  const all =
    wildcardCodes[wildcard.default ?? DEFAULT_WILDCARD] + (mptcp === "off" ? ILM_MPTCP_OFF : 0);
  return joined([
    [keyOf(PolicyCode.ALL, 0), all],
    ...Object.entries(wildcard.units ?? {}).map(([unit, policy]): [Uint8Array, number] => [
      keyOf(PolicyCode.UNIT, unitHash(unit)),
      wildcardCodes[policy],
    ]),
    ...Object.entries(wildcard.users ?? {}).map(([user, policy]): [Uint8Array, number] => [
      keyOf(PolicyCode.USER, accounts("user", isIdText(user) ? Number(user) : user)),
      wildcardCodes[policy],
    ]),
    ...services.flatMap((service): [Uint8Array, number][] =>
      service.owner === undefined || saidOf(service) === 0
        ? []
        : [[keyOfOwner(service.owner, accounts), saidOf(service)]],
    ),
  ]);
}

/** Returns the contents of `rewrites`: which addresses wildcard binds of services get instead. */
export function rewriteEntries(
  { services }: Pick<RuleSet, "services">,
  accounts: Accounts,
): [Uint8Array, Uint8Array][] {
  return services.flatMap(({ owner, wildcard, addresses }): [Uint8Array, Uint8Array][] => {
    if (owner === undefined || wildcard !== "rewrite") return [];
    const [ip4, ip6] = [4, 6].map((family) => addresses.find((one) => familyOf(one) === family));
    // The configuration has been checked for both.
    if (ip4 === undefined || ip6 === undefined) return [];
    const value = encode(rewriteLayout, { ip4: addressBytes(ip4), ip6: addressBytes(ip6) });
    return [[keyOfOwner(owner, accounts), value]];
  });
}
