/**
 * Reads compiled tables as the program does: class of the port, exact address, longest prefix by
 * halving, the rest; then the steps.
 */
import { type Search, maskOf, searchByLength } from "../../src/compile/lengths.js";
import type { Compiled, PrefixTable, RuleOrStep } from "../../src/compile/tables.js";
import { type Address, addressBytes, familyOf } from "../../src/model/address.js";
import type { Mapping, Protocol } from "../../src/model/mapping.js";
import { portsContain } from "../../src/model/ports.js";

export interface AskedPacket {
  readonly protocol: Protocol;
  readonly local: Address;
  readonly localPort: number;
  readonly remote: Address;
  readonly interface: string;
}

function sharedBits(a: Uint8Array, b: Uint8Array): number {
  for (let bit = 0; bit < 128; bit += 1) {
    const mask = 0x80 >> (bit % 8);
    if (((a[bit >> 3] ?? 0) & mask) !== ((b[bit >> 3] ?? 0) & mask)) return bit;
  }
  return 128;
}

/** What the search came to, and how many lengths it looked at. */
export interface Searched {
  readonly target: RuleOrStep;
  /** 0: there is no prefix around the address. */
  readonly length: number;
  readonly looks: number;
}

/** Prefixes and markers, searched as the program does (bpf/match.h, find_prefix). */
export class SearchTable {
  readonly #search: Search;
  readonly #entries = new Map<string, { readonly target: RuleOrStep; readonly length: number }>();

  constructor(prefixes: PrefixTable, classes: number) {
    this.#search = searchByLength(prefixes, classes);
    const { markers } = this.#search;
    this.#put(prefixes, prefixes.length);
    this.#put(markers, markers.around);
  }

  #put(table: PrefixTable, lengths: Uint8Array): void {
    for (let i = 0; i < table.count; i += 1) {
      const address = table.address.subarray(i * 16, i * 16 + 16);
      const key = keyOf(table.owner[i] ?? 0, table.ipv6[i] === 1, address, table.length[i] ?? 0);
      if (this.#entries.has(key)) throw new Error(`${key} is given twice`);
      this.#entries.set(key, { target: table.target[i] ?? 0, length: lengths[i] ?? 0 });
    }
  }

  find(owner: number, ipv6: boolean, address: Uint8Array): Searched {
    const { lengths, roots } = this.#search;
    let best = { target: 0, length: 0 };
    let looks = 0;
    for (let node = roots[ipv6 ? 6 : 4][owner] ?? 0; node !== 0; looks += 1) {
      const length = lengths.length[node] ?? 0;
      const mask = maskOf(length);
      const cut = address.map((byte, at) => byte & (mask[at] ?? 0));
      const found = this.#entries.get(keyOf(owner, ipv6, cut, length));
      if (found !== undefined) best = found;
      node = (found === undefined ? lengths.shorter[node] : lengths.longer[node]) ?? 0;
    }
    return { ...best, looks };
  }
}

function keyOf(owner: number, ipv6: boolean, address: Uint8Array, length: number): string {
  return `${owner} ${ipv6 ? 6 : 4} ${Buffer.from(address).toString("hex")}/${length}`;
}

/** What the longest prefix of the owner has; undefined: none holds the address. */
export function longest(
  table: PrefixTable,
  owner: number,
  bytes: Uint8Array,
  ipv6: boolean,
): RuleOrStep | undefined {
  let best: number | undefined;
  for (let i = 0; i < table.count; i += 1) {
    const length = table.length[i] ?? 0;
    const inside =
      table.owner[i] === owner &&
      table.ipv6[i] === (ipv6 ? 1 : 0) &&
      sharedBits(bytes, table.address.subarray(i * 16, i * 16 + 16)) >= length;
    if (inside && (best === undefined || length > (table.length[best] ?? 0))) best = i;
  }
  return best === undefined ? undefined : table.target[best];
}

function longestOf(table: PrefixTable, owner: number, address: Address): RuleOrStep | undefined {
  return longest(table, owner, addressBytes(address), familyOf(address) === 6);
}

/** The rule that a target leads to; 0: none. */
function walk(compiled: Compiled, target: RuleOrStep, packet: AskedPacket): number {
  if (target >= 0) return target;
  const { steps } = compiled;
  for (let number = -target, taken = 0; number !== 0; taken += 1) {
    if (taken > 1000) throw new Error("the chain has no end");
    const group = steps.group[number] ?? 0;
    const wanted = compiled.interfaces[steps.interface[number] ?? 0];
    if (group !== 0) {
      const found = longestOf(compiled.sources, group, packet.remote);
      number = found === undefined ? (steps.next[number] ?? 0) : -found;
    } else if (wanted !== "" && wanted !== packet.interface) {
      number = steps.next[number] ?? 0;
    } else {
      return steps.rule[number] ?? 0;
    }
  }
  return 0;
}

export function readTables(compiled: Compiled, packet: AskedPacket): Mapping | undefined {
  const { protocol, local, localPort } = packet;
  const index = compiled.classes.findIndex(
    (entry) => entry.protocol === protocol && portsContain(entry.ranges, localPort),
  );
  const found = compiled.classes[index];
  if (found === undefined) return undefined;
  const exact = longestOf(compiled.exact, index + 1, local);
  if (exact === undefined && compiled.owned.includes(local)) return undefined;
  const family = familyOf(local);
  const prefixes = new SearchTable(compiled.prefixes, compiled.classes.length);
  const inside = prefixes.find(index + 1, family === 6, addressBytes(local));
  const target = exact ?? (inside.length > 0 ? inside.target : found.fallback[family]);
  const rule = walk(compiled, target, packet);
  return rule === 0 ? undefined : compiled.mappings.at(compiled.rules.mapping[rule] ?? 0);
}
