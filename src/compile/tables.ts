/**
 * What rules compile to: the tables of one generation, as columns, independent of the kernel's
 * layouts.
 */
import { type Address, type Family, familyOf, prefixBits, type Prefix } from "../model/address.js";
import type { HandoverChoice, PortRange, Protocol } from "../model/mapping.js";
import type { LazyMappings } from "../model/mappings.js";
import { bytes, signedWords, words } from "../model/columns.js";
import type { Permit } from "../rules/permits.js";

/** Where sockets are kept: one address and port, or every port of an address (port 0). */
export interface Endpoint {
  readonly protocol: Protocol;
  readonly address: Address;
  /** The port in host byte order. */
  readonly port: number;
  /** Absent when the configuration leaves it out. */
  readonly handover?: HandoverChoice;
  /**
   * The address and port (host byte order) from which its own datagrams leave. Absent when they
   * leave from the endpoint itself.
   */
  readonly origin?: { readonly address: Address; readonly port: number };
  /**
   * Whose sockets are selected there. Null is anyone's, and on a wildcard address those of whom the
   * rule permits.
   */
  readonly permit: Permit | null;
}

/**
 * What a table leads to: above 0, the number of a rule; below 0, that of a step, negated; 0 is
 * neither.
 */
export type RuleOrStep = number;

/** Entries by `owner` (a class, or a group of sources) and prefix. */
export interface PrefixTable {
  readonly count: number;
  readonly owner: Uint32Array;
  /** 1 for an IPv6 prefix. */
  readonly ipv6: Uint8Array;
  /** 16 bytes each, in network byte order, IPv4 as ::ffff:a.b.c.d. */
  readonly address: Uint8Array;
  /** The length in bits of the 16 bytes: an IPv4 prefix /n has 96 + n. */
  readonly length: Uint8Array;
  readonly target: Int32Array;
}

/** One prefix in the form of a table. */
export interface PrefixBits {
  readonly ipv6: boolean;
  /** 16 bytes in network byte order, IPv4 as ::ffff:a.b.c.d. */
  readonly address: Uint8Array;
  readonly length: number;
}

export function bitsAt(table: PrefixTable, index: number): PrefixBits {
  return {
    ipv6: table.ipv6[index] === 1,
    address: table.address.subarray(index * 16, index * 16 + 16),
    length: table.length[index] ?? 0,
  };
}

/** Returns a key that identifies the prefix, for maps. */
export function keyOfBits({ ipv6, address, length }: PrefixBits): string {
  const bytes = Buffer.from(address.buffer, address.byteOffset, address.byteLength);
  return `${ipv6 ? 6 : 4} ${length} ${bytes.toString("latin1")}`;
}

/** The rules; [0] is none. `first` and `count` select destinations for each family's packets. */
export interface RuleTable {
  readonly count: number;
  /** Indexes into the mappings. */
  readonly mapping: Uint32Array;
  readonly first4: Uint32Array;
  readonly first6: Uint32Array;
  readonly count4: Uint8Array;
  readonly count6: Uint8Array;
  /** Indexes into `permits`. */
  readonly permit: Uint32Array;
}

/** How specific the `on` of a step's mapping is: everywhere, one address, or a prefix. */
export type MatchedLevel = "default" | "exact" | "prefix";
export const matchedLevels: readonly MatchedLevel[] = ["default", "exact", "prefix"];

/** The steps; [0] is the end of a chain. */
export interface StepTable {
  readonly count: number;
  readonly rule: Uint32Array;
  /** The step to take when this one's condition is not met, or 0 for none. */
  readonly next: Uint32Array;
  /** If not 0, the entry in `sources` for this group decides where to go. */
  readonly group: Uint32Array;
  /** If not 0, an index into `interfaces`. */
  readonly interface: Uint32Array;
  /** If not 0, the second since boot from which on the step is passed over. */
  readonly until: Uint32Array;
  /** Indexes into `matchedLevels`. */
  readonly matched: Uint8Array;
}

export interface DestinationTable {
  readonly count: number;
  /** Indexes into the mapping's `to`. */
  readonly share: Uint8Array;
  /** Indexes into `endpoints`. */
  readonly endpoint: Uint32Array;
  readonly address: Uint8Array;
  /** The port in host byte order; 0 is the port that was dialled. */
  readonly port: Uint16Array;
  /** The weight; 0 when the mapping has no weights. */
  readonly weight: Uint16Array;
  /** 1 for a destination that gets nobody new. */
  readonly drained: Uint8Array;
}

export interface CompiledClass {
  readonly protocol: Protocol;
  readonly ranges: readonly PortRange[];
  /** The target for all other addresses. */
  readonly fallback: Readonly<Record<Family, RuleOrStep>>;
  readonly hasExact: boolean;
  readonly hasPrefix: boolean;
  /** True when some of its mappings have conditions. */
  readonly asks: boolean;
}

export interface Compiled {
  readonly mappings: LazyMappings;
  /** Class n of the tables is classes[n - 1]. */
  readonly classes: readonly CompiledClass[];
  /** Whole addresses: every length is 128. */
  readonly exact: PrefixTable;
  readonly prefixes: PrefixTable;
  /** The sources of packets, by group. */
  readonly sources: PrefixTable;
  readonly rules: RuleTable;
  readonly steps: StepTable;
  readonly destinations: DestinationTable;
  readonly endpoints: readonly Endpoint[];
  /** Who keeps what is dialled, or gets it when no destination listens. [0] is null: anyone. */
  readonly permits: readonly (Permit | null)[];
  /** The names of interfaces; [0] is none. */
  readonly interfaces: readonly string[];
  /** The services' own addresses. */
  readonly owned: readonly Address[];
}

export class PrefixColumns {
  readonly #owner = words();
  readonly #ipv6 = bytes();
  readonly #address = bytes();
  readonly #length = bytes();
  readonly #target = signedWords();

  get count(): number {
    return this.#owner.length;
  }

  push(owner: number, prefix: Prefix, target: RuleOrStep): void {
    const { bytes: address, length } = prefixBits(prefix);
    this.pushBits(owner, { ipv6: familyOf(prefix) === 6, address, length }, target);
  }

  pushBits(owner: number, { ipv6, address, length }: PrefixBits, target: RuleOrStep): void {
    this.#owner.push(owner);
    this.#ipv6.push(ipv6 ? 1 : 0);
    this.#address.append(address);
    this.#length.push(length);
    this.#target.push(target);
  }

  table(): PrefixTable {
    return {
      count: this.count,
      owner: this.#owner.view(),
      ipv6: this.#ipv6.view(),
      address: this.#address.view(),
      length: this.#length.view(),
      target: this.#target.view(),
    };
  }
}

export class StepColumns {
  readonly #rule = words();
  readonly #next = words();
  readonly #group = words();
  readonly #interface = words();
  readonly #until = words();
  readonly #matched = bytes();
  /** The maximum number of steps that a packet can take from here. */
  readonly #depth = words();

  constructor() {
    this.push({}, 0);
  }

  get count(): number {
    return this.#rule.length;
  }

  /** Adds a step and returns its number. `depth` is that of what lies behind it. */
  push(
    step: {
      rule?: number;
      next?: number;
      group?: number;
      interface?: number;
      until?: number;
      matched?: MatchedLevel;
    },
    depth: number,
  ): number {
    this.#rule.push(step.rule ?? 0);
    this.#next.push(step.next ?? 0);
    this.#group.push(step.group ?? 0);
    this.#interface.push(step.interface ?? 0);
    this.#until.push(step.until ?? 0);
    this.#matched.push(matchedLevels.indexOf(step.matched ?? "default"));
    return this.#depth.push(depth + 1);
  }

  depth(number: number): number {
    return number === 0 ? 0 : this.#depth.at(number);
  }

  table(): StepTable {
    return {
      count: this.count,
      rule: this.#rule.view(),
      next: this.#next.view(),
      group: this.#group.view(),
      interface: this.#interface.view(),
      until: this.#until.view(),
      matched: this.#matched.view(),
    };
  }
}
