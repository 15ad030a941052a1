/**
 * Columns that grow: a million entries as objects would be ten times as large, and end up as bytes
 * anyway.
 */

type Numbers = Uint8Array | Uint16Array | Uint32Array | Int32Array;

class Column<Kind extends Numbers> {
  readonly #create: (length: number) => Kind;
  #values: Kind;
  #length = 0;

  constructor(create: (length: number) => Kind) {
    this.#create = create;
    this.#values = create(64);
  }

  get length(): number {
    return this.#length;
  }

  /** Appends a value and returns its index. */
  push(value: number): number {
    if (this.#length === this.#values.length) this.#reserve(1);
    this.#values[this.#length] = value;
    return this.#length++;
  }

  /**
   * Makes room for this many values in total: growing later copies everything into fresh memory
   * each time.
   */
  reserve(total: number): void {
    this.#reserve(total - this.#length);
  }

  append(values: Uint8Array | Kind): void {
    this.#reserve(values.length);
    this.#values.set(values, this.#length);
    this.#length += values.length;
  }

  at(index: number): number {
    return this.#values[index] ?? 0;
  }

  /**
   * Returns a view of what has been pushed. Values pushed later may or may not be visible through
   * it.
   */
  view(): Kind {
    return this.#values.subarray(0, this.#length) as Kind;
  }

  #reserve(count: number): void {
    if (this.#length + count <= this.#values.length) return;
    const larger = this.#create(Math.max(this.#values.length * 2, this.#length + count));
    larger.set(this.#values);
    this.#values = larger;
  }
}

export const bytes = (): Column<Uint8Array> => new Column((length) => new Uint8Array(length));
export const shorts = (): Column<Uint16Array> => new Column((length) => new Uint16Array(length));
export const words = (): Column<Uint32Array> => new Column((length) => new Uint32Array(length));
export const signedWords = (): Column<Int32Array> => new Column((length) => new Int32Array(length));
