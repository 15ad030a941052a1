/**
 * Rules of NAT as both of its languages say them: conditions, what becomes of the packet, and the
 * text for the user.
 */
import type { Address } from "../../model/address.js";
import type { Region } from "./space.js";

export type Condition =
  /** The same wherever the rule stands. */
  | { readonly kind: "region"; readonly region: Region }
  | {
      readonly kind: "interface";
      readonly direction: "in" | "out";
      readonly names: readonly string[];
      readonly negated: boolean;
    }
  /** States of conntrack, as nft names them. */
  | { readonly kind: "state"; readonly states: readonly string[]; readonly negated: boolean }
  /** What a mapping cannot ask for, in words of the rule; of packets of the region alone. */
  | { readonly kind: "unknown"; readonly what: string; readonly region: Region };

export type Action =
  | { readonly kind: "continue" | "accept" | "drop" | "return" }
  | { readonly kind: "jump" | "goto"; readonly chain: string }
  /** To the host itself; `address` null: the one that the interface has. */
  | {
      readonly kind: "redirect";
      readonly address: Address | null;
      readonly port: number | "same";
    }
  /** It changes the destination, or may, in a way that no mapping has: why. */
  | {
      readonly kind: "unsayable";
      readonly why: string;
      /** The addresses that it may lead to, first and last; absent: any. */
      readonly to?: readonly (readonly [Address, Address])[];
    };

/** Of a rule with a map, one of several; their conditions do not overlap. */
export interface Branch {
  readonly conditions: readonly Condition[];
  readonly action: Action;
}

export interface Rule {
  /** `ip nat prerouting handle 4`. */
  readonly place: string;
  /** As its program prints it. */
  readonly text: string;
  /** The command that removes it. */
  readonly remove: string;
  readonly branches: readonly Branch[];
  /** What is lost with the rule beside the redirection, such as a mark; null: nothing. */
  readonly also: string | null;
  /**
   * How the packet is changed before the next rule, so that nothing sure can be said of it; null:
   * it is not.
   */
  readonly alters: string | null;
  /** Takes the packet from conntrack, and so from NAT. */
  readonly untracks: boolean;
}

export interface Base {
  readonly hook: string;
  readonly type: string;
  readonly priority: number;
  readonly policy: "accept" | "drop";
}

export interface Chain {
  readonly family: "ip" | "ip6" | "inet";
  readonly table: string;
  readonly name: string;
  /** Null: packets come by jumps only. */
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
