/**
 * What decides, regardless of which mapping it belongs to: nearly all of a million mappings are
 * alike in that. They share one entry of `rules` (bpf/abi.h, ilm_rule), which stays in the CPU's
 * cache however many they are.
 */
import {
  ExistingCode,
  ILM_CHOICE_DRAINED,
  ILM_CHOICE_WEIGHTED,
  type Rule,
} from "../../abi/generated.js";
import type { Compiled } from "../../compile/tables.js";
import { IlmError } from "../../errors.js";
import { type Existing, isWeighted } from "../../model/mapping.js";
import { countPorts } from "../../model/ports.js";
import { words } from "../../model/columns.js";

export interface Shapes {
  /** The number of shapes, including [0], which is none. */
  readonly count: number;
  /** The shape of each compiled rule. */
  readonly of: Uint32Array;
  /**
   * Returns the shape as an entry of `rules`. `firstDestination` is where the compiled destinations
   * begin; `permits` are the numbers of the compiled permits.
   */
  at(shape: number, firstDestination: number, permits: readonly number[]): Rule;
}

const existingCodes: Readonly<Record<Existing, number>> = {
  exact: ExistingCode.EXACT,
  any: ExistingCode.ANY,
  never: ExistingCode.NEVER,
};

const known = new WeakMap<Compiled, Shapes>();

/**
 * Returns the shapes of compiled rules. They are found only once, although the plan needs them, and
 * so does sizing and filling the tables.
 */
export function shapesOf(compiled: Compiled): Shapes {
  const found = known.get(compiled) ?? findShapes(compiled);
  known.set(compiled, found);
  return found;
}

function findShapes({ rules, mappings, destinations: { drained } }: Compiled): Shapes {
  const shapes = new ShapeTable();
  const anyDrained = drained.includes(1);
  const isDrained = (first: number, count: number): boolean =>
    drained.subarray(first, first + count).includes(1);
  const of = new Uint32Array(rules.count);
  // The rules of one mapping, up to 256, are neighbours, and mostly so are those of mappings that
  // are alike.
  let looked = -1;
  let ports = 0;
  let leading = 0;
  let traits = 0;
  for (let i = 1; i < rules.count; i++) {
    const index = rules.mapping[i] ?? 0;
    if (index !== looked) {
      if (index >= mappings.length) throw new IlmError("INTERNAL", `rule ${i} has no mapping`);
      if (index !== looked + 1 || !mappings.leadsLikeOneBefore(index)) {
        ports = countPorts(mappings.portsAt(index));
        const to = mappings.toAt(index);
        const wildcard = to.some(({ address }) => address === "*") ? WILDCARD : 0;
        leading = wildcard + (isWeighted({ to }) ? WEIGHTED : 0);
      }
      looked = index;
      const reject = mappings.missAt(index) === "reject" ? REJECT : 0;
      traits = existingCodes[mappings.existingAt(index)] + reject + leading;
    }
    const [count4, count6] = [rules.count4[i] ?? 0, rules.count6[i] ?? 0];
    const [first4, first6] = [rules.first4[i] ?? 0, rules.first6[i] ?? 0];
    let rest = (count4 << 8) + (count6 << 16) + traits;
    if (anyDrained && (isDrained(first4, count4) || isDrained(first6, count6))) rest += DRAINED;
    of[i] = shapes.put(first4, first6, ports, rest, rules.permit[i] ?? 0);
  }
  return {
    count: shapes.count,
    of,
    at: (shape, first, permits) => shapes.at(shape, first, permits),
  };
}

/** The lowest byte of the last word; `count4` and `count6` follow. */
const EXISTING = 0x1f;
const WILDCARD = 0x20;
const REJECT = 0x40;
const WEIGHTED = 0x80;
const DRAINED = 0x100_0000;
const WORDS = 5;

const PLACES_AT_FIRST = 1024;

/**
 * Stores equal shapes once. It compares numbers, as keys of text would take a second for a million
 * different shapes.
 */
class ShapeTable {
  /** Five words per shape: `first4`, `first6`, `ports`, everything else, and `permit`. */
  readonly #words = words();
  /** Numbers of shapes, by open addressing; 0 is free. */
  #places = new Uint32Array(PLACES_AT_FIRST);
  #last = 0;

  constructor() {
    for (let word = 0; word < WORDS; word++) this.#words.push(0);
  }

  get count(): number {
    return this.#words.length / WORDS;
  }

  /**
   * Returns the number of the shape, adding it if it is new. Its words are not put into an array,
   * of which a million rules would make a million.
   */
  put(first4: number, first6: number, ports: number, rest: number, permit: number): number {
    if (!this.#has(this.#last, first4, first6, ports, rest, permit)) {
      this.#last = this.#find(first4, first6, ports, rest, permit);
    }
    return this.#last;
  }

  #has(
    shape: number,
    first4: number,
    first6: number,
    ports: number,
    rest: number,
    permit: number,
  ): boolean {
    const at = shape * WORDS;
    return (
      shape !== 0 &&
      this.#words.at(at) === first4 &&
      this.#words.at(at + 1) === first6 &&
      this.#words.at(at + 2) === ports &&
      this.#words.at(at + 3) === rest &&
      this.#words.at(at + 4) === permit
    );
  }

  #find(first4: number, first6: number, ports: number, rest: number, permit: number): number {
    if (this.count * 2 >= this.#places.length) this.#grow();
    const mask = this.#places.length - 1;
    const hash = hashOf(first4, first6, ports, rest, permit);
    for (let place = hash & mask; ; place = (place + 1) & mask) {
      const shape = this.#places[place] ?? 0;
      if (this.#has(shape, first4, first6, ports, rest, permit)) return shape;
      if (shape !== 0) continue;
      const made = this.count;
      this.#places[place] = made;
      for (const word of [first4, first6, ports, rest, permit]) this.#words.push(word);
      return made;
    }
  }

  #grow(): void {
    const places = new Uint32Array(this.#places.length * 2);
    const mask = places.length - 1;
    const word = (shape: number, which: number): number => this.#words.at(shape * WORDS + which);
    for (let shape = 1; shape < this.count; shape++) {
      const [first4, first6, ports] = [word(shape, 0), word(shape, 1), word(shape, 2)];
      let place = hashOf(first4, first6, ports, word(shape, 3), word(shape, 4)) & mask;
      while (places[place] !== 0) place = (place + 1) & mask;
      places[place] = shape;
    }
    this.#places = places;
  }

  at(shape: number, firstDestination: number, permits: readonly number[]): Rule {
    const at = shape * WORDS;
    const rest = this.#words.at(at + 3);
    return {
      first4: firstDestination + this.#words.at(at),
      first6: firstDestination + this.#words.at(at + 1),
      ports: this.#words.at(at + 2),
      count4: (rest >>> 8) & 0xff,
      count6: (rest >>> 16) & 0xff,
      existing: rest & EXISTING,
      reject: (rest & REJECT) === 0 ? 0 : 1,
      choice:
        ((rest & WEIGHTED) === 0 ? 0 : ILM_CHOICE_WEIGHTED) |
        ((rest & DRAINED) === 0 ? 0 : ILM_CHOICE_DRAINED),
      wildcard: (rest & WILDCARD) === 0 ? 0 : 1,
      permit: permits[this.#words.at(at + 4)] ?? 0,
    };
  }
}

/** Hashes a shape. The low bits choose the place, so the high ones are folded in. */
function hashOf(
  first4: number,
  first6: number,
  ports: number,
  rest: number,
  permit: number,
): number {
  let hash = Math.imul(first4, 0x9e3779b1);
  hash = Math.imul(hash ^ (hash >>> 15) ^ first6, 0x85ebca77);
  hash = Math.imul(hash ^ (hash >>> 13) ^ ports, 0xc2b2ae3d);
  hash = Math.imul(hash ^ (hash >>> 16) ^ rest, 0x27d4eb2f);
  hash = Math.imul(hash ^ (hash >>> 15) ^ permit, 0x165667b1);
  return hash ^ (hash >>> 15);
}
