/** Random numbers that can be had again: each suite prints its seed when it fails. */

export interface Random {
  readonly seed: number;
  /** 0 to 1, 1 excluded. */
  readonly next: () => number;
  /** `first` to `last`, both included. */
  readonly integer: (first: number, last: number) => number;
  readonly pick: <Item>(items: readonly Item[]) => Item;
  /** True once in `n` times. */
  readonly oneIn: (n: number) => boolean;
}

/** Mulberry32, seeded by ILM_SEED or the clock. */
export function random(
  seed: number = Number(process.env["ILM_SEED"] ?? Date.now() % 2 ** 32),
): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const integer = (first: number, last: number): number =>
    first + Math.floor(next() * (last - first + 1));
  return {
    seed,
    next,
    integer,
    pick: (items) => {
      const item = items[integer(0, items.length - 1)];
      if (item === undefined) {
        throw new Error("nothing to pick from");
      }
      return item;
    },
    oneIn: (n) => integer(1, n) === 1,
  };
}
