/**
 * NAT rules in the terms that both of its languages share: conditions, what becomes of the packet,
 * and the text for the user.
 */
import type { Address } from "../../model/address.js";
import type { Region } from "./space.js";

export type Condition =
  /** A condition with the same meaning wherever the rule is. */
  | { readonly kind: "region"; readonly region: Region }
  | {
      readonly kind: "interface";
      readonly direction: "in" | "out";
      readonly names: readonly string[];
      readonly negated: boolean;
    }
  /** A condition on conntrack states, by their names in nft. */
  | { readonly kind: "state"; readonly states: readonly string[]; readonly negated: boolean }
  /**
   * A condition that mappings cannot express, in the words of the rule. Only packets of the region
   * can meet it.
   */
  | { readonly kind: "unknown"; readonly what: string; readonly region: Region };

export type Action =
  | { readonly kind: "continue" | "accept" | "drop" | "return" }
  | { readonly kind: "jump" | "goto"; readonly chain: string }
  /** A redirection to the host itself. A null `address` is that of the interface. */
  | {
      readonly kind: "redirect";
      readonly address: Address | null;
      readonly port: number | "same";
    }
  /**
   * A change of the destination, or a possible one, that mappings cannot express. `why` explains
   * it.
   */
  | {
      readonly kind: "unsayable";
      readonly why: string;
      /** The addresses that it may lead to, first and last; absent means any. */
      readonly to?: readonly (readonly [Address, Address])[];
    };

/** A rule, or one of several branches of a rule with a map. Their conditions do not overlap. */
export interface Branch {
  readonly conditions: readonly Condition[];
  readonly action: Action;
}

export interface Rule {
  /** The place of the rule, such as `ip nat prerouting handle 4`. */
  readonly place: string;
  /** The rule as its program prints it. */
  readonly text: string;
  /** The command that removes it. */
  readonly remove: string;
  readonly branches: readonly Branch[];
  /** What is lost with the rule besides the redirection, such as a mark; null when nothing is. */
  readonly also: string | null;
  /**
   * How the rule changes the packet for later ones, so that nothing certain can be said about it;
   * null when it does not.
   */
  readonly alters: string | null;
  /** True when it exempts the packet from conntrack, and so from NAT. */
  readonly untracks: boolean;
}

export interface Base {
  readonly hook: string;
  readonly type: string;
  readonly priority: number;
  readonly policy: "accept" | "drop";
  /**
   * At ingress, the interfaces whose packets it sees (`eth*`: all that begin so), or null if they
   * are unknown; elsewhere absent, for all.
   */
  readonly devices?: readonly string[] | null;
}

/** The families of nftables whose rules are followed. */
export const followedFamilies = ["ip", "ip6", "inet", "netdev"] as const;
type Family = (typeof followedFamilies)[number];

export interface Chain {
  readonly family: Family;
  readonly table: string;
  readonly name: string;
  /** The hook that calls the chain; null when packets come by jumps only. */
  readonly base: Base | null;
  readonly rules: readonly Rule[];
}

export function chainKey({
  family,
  table,
  name,
}: Pick<Chain, "family" | "table" | "name">): string {
  return `${family} ${table} ${name}`;
}
