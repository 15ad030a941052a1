/** Compiled rules as the base of an overlay. */
import type { Protocol } from "../model/mapping.js";
import { countPorts } from "../model/ports.js";
import type { Base, BaseClass } from "./overlay.js";
import { type Compiled, type PrefixBits, type PrefixTable, bitsAt, keyOfBits } from "./tables.js";

export function compiledBase(compiled: Compiled): Base {
  const { classes, mappings, rules } = compiled;
  const ports: Record<Protocol, Uint32Array> = {
    tcp: new Uint32Array(65536),
    udp: new Uint32Array(65536),
  };
  classes.forEach(({ protocol, ranges }, index) => {
    for (const { first, last } of ranges) ports[protocol].fill(index + 1, first, last + 1);
  });
  const exact = new TableIndex(compiled.exact);
  const prefixes = new TableIndex(compiled.prefixes);
  return {
    classAt: (protocol, port): BaseClass | undefined => {
      const number = ports[protocol][port] ?? 0;
      const found = classes[number - 1];
      if (found === undefined) return undefined;
      const { hasExact, hasPrefix, asks } = found;
      return { number, hasExact, hasPrefix, asks };
    },
    at: (owner, place) => (place.length === 128 ? exact : prefixes).find(owner, place),
    fallback: (owner, family) => classes[owner - 1]?.fallback[family] ?? 0,
    ports: (rule) => countPorts(mappings.at(rules.mapping[rule] ?? 0)?.ports ?? []),
    mapping: (rule) => rules.mapping[rule] ?? 0,
  };
}

/**
 * An index of a table, built on first use and for one owner at a time: most tables are never asked.
 */
class TableIndex {
  readonly #table: PrefixTable;
  readonly #byOwner = new Map<number, Map<string, number>>();

  constructor(table: PrefixTable) {
    this.#table = table;
  }

  find(owner: number, prefix: PrefixBits): number {
    let index = this.#byOwner.get(owner);
    if (index === undefined) {
      index = new Map();
      const { count, owner: owners, target } = this.#table;
      for (let i = 0; i < count; i++) {
        if (owners[i] === owner) index.set(keyOfBits(bitsAt(this.#table, i)), target[i] ?? 0);
      }
      this.#byOwner.set(owner, index);
    }
    return index.get(keyOfBits(prefix)) ?? 0;
  }
}
