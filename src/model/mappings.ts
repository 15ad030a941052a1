/** Lists of mappings, of which there may be a million. */
import type { Prefix } from "./address.js";
import {
  type Destination,
  type Existing,
  type Mapping,
  type Miss,
  type PortRange,
  type Protocol,
  isConditional,
  mappingKey,
} from "./mapping.js";

/**
 * What an array of mappings has of this, for lists that make a mapping when it is asked for: two
 * questions may give two objects. What the methods do is what those of arrays do.
 */
export interface Mappings extends Iterable<Mapping> {
  readonly length: number;
  at(index: number): Mapping | undefined;
  forEach(look: (mapping: Mapping, index: number) => void): void;
  map<Result>(look: (mapping: Mapping, index: number) => Result): Result[];
  flatMap<Result>(look: (mapping: Mapping, index: number) => Result | readonly Result[]): Result[];
  filter(isWanted: (mapping: Mapping, index: number) => boolean): Mapping[];
  find(isWanted: (mapping: Mapping, index: number) => boolean): Mapping | undefined;
  some(isWanted: (mapping: Mapping, index: number) => boolean): boolean;
  slice(start?: number, end?: number): Mapping[];
}

/** All of it by `length` and `at`. */
export abstract class LazyMappings implements Mappings {
  abstract readonly length: number;
  /** Of an index from 0 on. */
  abstract at(index: number): Mapping | undefined;

  // What is asked of a million mappings one after the other, without the rest of each. Of an index
  // that there is.

  nameAt(index: number): string {
    return this.at(index)?.name ?? "";
  }

  protocolAt(index: number): Protocol {
    return this.at(index)?.protocol ?? "tcp";
  }

  existingAt(index: number): Existing {
    return this.at(index)?.existing ?? "exact";
  }

  missAt(index: number): Miss {
    return this.at(index)?.miss ?? "pass";
  }

  portsAt(index: number): readonly PortRange[] {
    return this.at(index)?.ports ?? [];
  }

  onAt(index: number): readonly Prefix[] {
    return this.at(index)?.on ?? [];
  }

  /** Equal lists may be one. */
  toAt(index: number): readonly Destination[] {
    return this.at(index)?.to ?? [];
  }

  isConditionalAt(index: number): boolean {
    const mapping = this.at(index);
    return mapping !== undefined && isConditional(mapping);
  }

  /**
   * Of the mappings with these keys, as mappingKey has them, those that there are: key -> index.
   */
  indexesOf(keys: ReadonlySet<string>): Map<string, number> {
    const found = new Map<string, number>();
    const mayBe = this.named(keys);
    for (let index = 0; keys.size > found.size && index < this.length; index++) {
      if (mayBe !== null && !mayBe(index)) continue;
      const key = mappingKey({ name: this.nameAt(index), protocol: this.protocolAt(index) });
      if (keys.has(key)) found.set(key, index);
    }
    return found;
  }

  /**
   * Says of an index whether its key may be one of these, without the name. Null: only the names
   * tell.
   */
  protected named(keys: ReadonlySet<string>): ((index: number) => boolean) | null {
    return keys.size === 0 ? () => false : null;
  }

  /**
   * The address (host byte order) when `on` is one whole IPv4 address and there are no conditions;
   * else -1, or when nobody looked.
   */
  abstract ipv4HostAt(index: number): number;

  /**
   * True: protocol, ports and destinations are those of the mapping before it. False may only mean
   * that this was not looked at.
   */
  abstract leadsLikeOneBefore(index: number): boolean;

  /**
   * How many mappings, from the first on, have the names and protocols of these. Fewer may only
   * mean that no more was looked at.
   */
  abstract sameNamesAs(other: LazyMappings): number;

  *[Symbol.iterator](): Iterator<Mapping> {
    for (let index = 0; index < this.length; index++) {
      const mapping = this.at(index);
      if (mapping !== undefined) yield mapping;
    }
  }

  forEach(look: (mapping: Mapping, index: number) => void): void {
    const { length } = this;
    for (let index = 0; index < length; index++) {
      const mapping = this.at(index);
      if (mapping !== undefined) look(mapping, index);
    }
  }

  map<Result>(look: (mapping: Mapping, index: number) => Result): Result[] {
    const results: Result[] = [];
    this.forEach((mapping, index) => results.push(look(mapping, index)));
    return results;
  }

  flatMap<Result>(look: (mapping: Mapping, index: number) => Result | readonly Result[]): Result[] {
    const results: Result[] = [];
    this.forEach((mapping, index) => {
      const found = look(mapping, index);
      if (isList(found)) results.push(...found);
      else results.push(found);
    });
    return results;
  }

  filter(isWanted: (mapping: Mapping, index: number) => boolean): Mapping[] {
    const wanted: Mapping[] = [];
    this.forEach((mapping, index) => {
      if (isWanted(mapping, index)) wanted.push(mapping);
    });
    return wanted;
  }

  find(isWanted: (mapping: Mapping, index: number) => boolean): Mapping | undefined {
    const { length } = this;
    for (let index = 0; index < length; index++) {
      const mapping = this.at(index);
      if (mapping !== undefined && isWanted(mapping, index)) return mapping;
    }
    return undefined;
  }

  some(isWanted: (mapping: Mapping, index: number) => boolean): boolean {
    return this.find(isWanted) !== undefined;
  }

  slice(start = 0, end = this.length): Mapping[] {
    const part: Mapping[] = [];
    for (let index = start; index < Math.min(end, this.length); index++) {
      const mapping = this.at(index);
      if (mapping !== undefined) part.push(mapping);
    }
    return part;
  }

  toJSON(): Mapping[] {
    return this.slice();
  }
}

function isList<Item>(value: Item | readonly Item[]): value is readonly Item[] {
  return Array.isArray(value);
}

/** Objects that are there. */
class Listed extends LazyMappings {
  readonly #list: Mappings;

  constructor(list: Mappings) {
    super();
    this.#list = list;
  }

  get length(): number {
    return this.#list.length;
  }

  at(index: number): Mapping | undefined {
    return this.#list.at(index);
  }

  leadsLikeOneBefore(): boolean {
    return false;
  }

  ipv4HostAt(): number {
    return -1;
  }

  sameNamesAs(): number {
    return 0;
  }
}

/** The very list when it is one already. */
export function toLazy(mappings: Mappings): LazyMappings {
  return mappings instanceof LazyMappings ? mappings : new Listed(mappings);
}

class Joined extends LazyMappings {
  readonly #first: LazyMappings;
  readonly #second: LazyMappings;

  constructor(first: Mappings, second: Mappings) {
    super();
    this.#first = toLazy(first);
    this.#second = toLazy(second);
  }

  /** Whose it is, and its index there. */
  #part(index: number): [LazyMappings, number] {
    const { length } = this.#first;
    return index < length ? [this.#first, index] : [this.#second, index - length];
  }

  get length(): number {
    return this.#first.length + this.#second.length;
  }

  at(index: number): Mapping | undefined {
    const [part, own] = this.#part(index);
    return part.at(own);
  }

  override nameAt(index: number): string {
    const [part, own] = this.#part(index);
    return part.nameAt(own);
  }

  sameNamesAs(other: LazyMappings): number {
    return this.#first.sameNamesAs(other instanceof Joined ? other.#first : other);
  }

  ipv4HostAt(index: number): number {
    const [part, own] = this.#part(index);
    return part.ipv4HostAt(own);
  }

  leadsLikeOneBefore(index: number): boolean {
    const [part, own] = this.#part(index);
    return own > 0 && part.leadsLikeOneBefore(own);
  }

  override protocolAt(index: number): Protocol {
    const [part, own] = this.#part(index);
    return part.protocolAt(own);
  }

  override existingAt(index: number): Existing {
    const [part, own] = this.#part(index);
    return part.existingAt(own);
  }

  override missAt(index: number): Miss {
    const [part, own] = this.#part(index);
    return part.missAt(own);
  }

  override portsAt(index: number): readonly PortRange[] {
    const [part, own] = this.#part(index);
    return part.portsAt(own);
  }

  override onAt(index: number): readonly Prefix[] {
    const [part, own] = this.#part(index);
    return part.onAt(own);
  }

  override toAt(index: number): readonly Destination[] {
    const [part, own] = this.#part(index);
    return part.toAt(own);
  }

  override isConditionalAt(index: number): boolean {
    const [part, own] = this.#part(index);
    return part.isConditionalAt(own);
  }
}

/** Two lists as one, which is not copied. */
export function joinMappings(first: Mappings, second: Mappings): Mappings {
  if (second.length === 0) return first;
  return first.length === 0 ? second : new Joined(first, second);
}
