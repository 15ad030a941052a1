/**
 * What decides, apart from whose it is: of a million mappings nearly all are alike in it. Such
 * share one entry of `rules` (bpf/abi.h, ilm_rule), which stays in the CPU's cache however many
 * they are.
 */
import { ExistingCode, type Rule } from "../../abi/generated.js";
import type { Compiled } from "../../compile/tables.js";
import { IlmError } from "../../errors.js";
import { type Existing, isWeighted } from "../../model/mapping.js";
import { countPorts } from "../../model/ports.js";
import { words } from "../../model/columns.js";

export interface Shapes {
  /** With [0], which is none. */
  readonly count: number;
  /** By compiled rule: its shape. */
  readonly of: Uint32Array;
  /** `firstDestination`: where the compiled destinations begin. */
  at(shape: number, firstDestination: number): Rule;
}

const existingCodes: Readonly<Record<Existing, number>> = {
  exact: ExistingCode.EXACT,
  any: ExistingCode.ANY,
  never: ExistingCode.NEVER,
};

const known = new WeakMap<Compiled, Shapes>();

/**
 * Found once for the same rules: the plan asks, then whoever makes room, and whoever fills the
 * tables.
 */
export function shapesOf(compiled: Compiled): Shapes {
  const found = known.get(compiled) ?? findShapes(compiled);
  known.set(compiled, found);
  return found;
}

function findShapes({ rules, mappings }: Compiled): Shapes {
  const shapes = new ShapeTable();
  const of = new Uint32Array(rules.count);
  // Rules of one mapping, of which there may be 256, are neighbours; and mostly those of mappings
  // that are alike.
  let looked = -1;
  let ports = 0;
  let weighted = 0;
  let traits = 0;
  for (let i = 1; i < rules.count; i++) {
    const index = rules.mapping[i] ?? 0;
    if (index !== looked) {
      if (index >= mappings.length) throw new IlmError("INTERNAL", `rule ${i} has no mapping`);
      if (index !== looked + 1 || !mappings.leadsLikeOneBefore(index)) {
        ports = countPorts(mappings.portsAt(index));
        weighted = isWeighted({ to: mappings.toAt(index) }) ? WEIGHTED : 0;
      }
      looked = index;
      const reject = mappings.missAt(index) === "reject" ? REJECT : 0;
      traits = existingCodes[mappings.existingAt(index)] + reject + weighted;
    }
    const counts = ((rules.count4[i] ?? 0) << 8) | ((rules.count6[i] ?? 0) << 16);
    of[i] = shapes.put(rules.first4[i] ?? 0, rules.first6[i] ?? 0, ports, counts + traits);
  }
  return { count: shapes.count, of, at: (shape, first) => shapes.at(shape, first) };
}

/** Of the last word, the lowest byte; then come `count4` and `count6`. */
const EXISTING = 0x3f;
const REJECT = 0x40;
const WEIGHTED = 0x80;
const WORDS = 4;
const PLACES_AT_FIRST = 1024;

/** Equal shapes once. Numbers alone, as texts for a million that all differ would take a second. */
class ShapeTable {
  /** Four of each: `first4`, `first6`, `ports`, and all else. */
  readonly #words = words();
  /** Numbers of shapes, by open addressing; 0: free. */
  #places = new Uint32Array(PLACES_AT_FIRST);
  #last = 0;

  constructor() {
    for (let word = 0; word < WORDS; word++) this.#words.push(0);
  }

  get count(): number {
    return this.#words.length / WORDS;
  }

  /** The number of the shape. */
  put(first4: number, first6: number, ports: number, rest: number): number {
    if (!this.#has(this.#last, first4, first6, ports, rest)) {
      this.#last = this.#find(first4, first6, ports, rest);
    }
    return this.#last;
  }

  #has(shape: number, first4: number, first6: number, ports: number, rest: number): boolean {
    const at = shape * WORDS;
    return (
      shape !== 0 &&
      this.#words.at(at) === first4 &&
      this.#words.at(at + 1) === first6 &&
      this.#words.at(at + 2) === ports &&
      this.#words.at(at + 3) === rest
    );
  }

  #find(first4: number, first6: number, ports: number, rest: number): number {
    if (this.count * 2 >= this.#places.length) this.#grow();
    const mask = this.#places.length - 1;
    for (let place = hashOf(first4, first6, ports, rest) & mask; ; place = (place + 1) & mask) {
      const shape = this.#places[place] ?? 0;
      if (this.#has(shape, first4, first6, ports, rest)) return shape;
      if (shape !== 0) continue;
      const made = this.count;
      this.#places[place] = made;
      for (const word of [first4, first6, ports, rest]) this.#words.push(word);
      return made;
    }
  }

  #grow(): void {
    const places = new Uint32Array(this.#places.length * 2);
    const mask = places.length - 1;
    const word = (shape: number, which: number): number => this.#words.at(shape * WORDS + which);
    for (let shape = 1; shape < this.count; shape++) {
      let place = hashOf(word(shape, 0), word(shape, 1), word(shape, 2), word(shape, 3)) & mask;
      while (places[place] !== 0) place = (place + 1) & mask;
      places[place] = shape;
    }
    this.#places = places;
  }

  at(shape: number, firstDestination: number): Rule {
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
      weighted: (rest & WEIGHTED) === 0 ? 0 : 1,
    };
  }
}

/** The low bits choose the place, so the high ones are folded in. */
function hashOf(first4: number, first6: number, ports: number, rest: number): number {
  let hash = Math.imul(first4, 0x9e3779b1);
  hash = Math.imul(hash ^ (hash >>> 15) ^ first6, 0x85ebca77);
  hash = Math.imul(hash ^ (hash >>> 13) ^ ports, 0xc2b2ae3d);
  hash = Math.imul(hash ^ (hash >>> 16) ^ rest, 0x27d4eb2f);
  return hash ^ (hash >>> 15);
}
