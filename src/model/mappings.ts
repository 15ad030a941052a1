/** Lists of mappings, of which there may be a million. */
import type { Prefix } from "./address.js";
import {
  type Destination,
  type Existing,
  type Listeners,
  type Mapping,
  type Miss,
  type PortRange,
  type Protocol,
  isConditional,
  mappingKey,
} from "./mapping.js";

/**
 * The part of an array's interface that is used on mappings, for lists that create a mapping on
 * demand: two calls may return two objects. The methods behave like those of arrays.
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

/** Implements everything on top of `length` and `at`. */
export abstract class LazyMappings implements Mappings {
  abstract readonly length: number;
  /** Returns the mapping at an index, which must not be negative. */
  abstract at(index: number): Mapping | undefined;

  // Fields that are read from a million mappings one after the other, without the rest of each. The
  // index must exist.

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

  /** Returns the destinations. Equal lists may be the same object. */
  toAt(index: number): readonly Destination[] {
    return this.at(index)?.to ?? [];
  }

  listenersAt(index: number): Listeners | undefined {
    return this.at(index)?.listeners;
  }

  isConditionalAt(index: number): boolean {
    const mapping = this.at(index);
    return mapping !== undefined && isConditional(mapping);
  }

  /**
   * Finds the mappings with these keys, as mappingKey makes them: key -> index. Keys that no
   * mapping has are left out.
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
   * Returns a quick test, without the name, whether the key at an index may be one of these.
   * Returns null when only the names tell.
   */
  protected named(keys: ReadonlySet<string>): ((index: number) => boolean) | null {
    return keys.size === 0 ? () => false : null;
  }

  /**
   * Returns the address, in host byte order, when `on` is one whole IPv4 address and there are no
   * conditions. Returns -1 otherwise, or when that is not known.
   */
  abstract ipv4HostAt(index: number): number;

  /**
   * Reports whether protocol, ports and destinations equal those of the previous mapping. False may
   * also mean that this is not known.
   */
  abstract leadsLikeOneBefore(index: number): boolean;

  /**
   * Returns how many mappings, from the first on, have the same names and protocols as those of
   * `other`. The result may be too low when more is not known.
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

/** A list over existing objects. */
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

/** Returns the mappings as a lazy list: the same object if they already are one. */
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

  /** Returns the part that holds the index, and the index within it. */
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

  override listenersAt(index: number): Listeners | undefined {
    const [part, own] = this.#part(index);
    return part.listenersAt(own);
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

/** Joins two lists without copying them. */
export function joinMappings(first: Mappings, second: Mappings): Mappings {
  if (second.length === 0) return first;
  return first.length === 0 ? second : new Joined(first, second);
}
