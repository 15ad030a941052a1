/** Lists of mappings, of which there may be a million. */
import type { Mapping, Rules } from "./mapping.js";

/**
 * What an array of mappings has of this, for lists that make a mapping when it is asked for: two questions may give two objects. What
 * the methods do is what those of arrays do.
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

class Joined extends LazyMappings {
  readonly #first: Mappings;
  readonly #second: Mappings;

  constructor(first: Mappings, second: Mappings) {
    super();
    this.#first = first;
    this.#second = second;
  }

  get length(): number {
    return this.#first.length + this.#second.length;
  }

  at(index: number): Mapping | undefined {
    const { length } = this.#first;
    return index < length ? this.#first.at(index) : this.#second.at(index - length);
  }
}

/** Two lists as one, which is not copied. */
export function joinMappings(first: Mappings, second: Mappings): Mappings {
  if (second.length === 0) return first;
  return first.length === 0 ? second : new Joined(first, second);
}

/** All mappings in force, the file's first. */
export function allMappings({ file, runtime }: Pick<Rules, "file" | "runtime">): Mappings {
  return joinMappings(file.mappings, runtime);
}
