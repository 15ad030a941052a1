/**
 * Mappings as columns of numbers: some 35 bytes each, where an object with its lists and texts
 * takes 600. What rarely repeats (one range of ports, one prefix, the name, the place) is in the
 * columns. What mostly repeats (destinations, conditions, longer lists) is stored once, as a list
 * of values that the columns point to.
 */
import {
  type Prefix,
  addressFromBytes,
  familyOf,
  ipv4Number,
  prefixBits,
  prefixLength,
} from "./address.js";
import { bytes, words } from "./columns.js";
import {
  type Destination,
  type Existing,
  type Listeners,
  type Mapping,
  type Miss,
  type PortRange,
  type Protocol,
  isConditional,
} from "./mapping.js";
import { LazyMappings, type Mappings } from "./mappings.js";
import { matchText } from "./match-text.js";

/** What few mappings have: their conditions, `from` and `interfaces`, and what else is rare. */
type Conditions = Pick<Mapping, "from" | "interfaces" | "until" | "listeners" | "description">;

/** The plain values that the columns point to. */
export interface ColumnLists {
  readonly ports: readonly (readonly PortRange[])[];
  readonly prefixes: readonly (readonly Prefix[])[];
  readonly conditions: readonly Conditions[];
  readonly to: readonly (readonly Destination[])[];
  readonly files: readonly string[];
}

/** The columns. Each has one number per mapping, except `wide` and `names`. */
interface Columns {
  /**
   * Bit 0: UDP. Bits 1 and 2: `existing`. Bit 3: `miss` is reject. Bit 4: the name is what
   * matchText returns.
   */
  readonly traits: Uint8Array;
  /**
   * For one range, its first port above its last (16 bits each). Below 65,536, an index into
   * `ports` of the lists.
   */
  readonly ports: Uint32Array;
  /**
   * The kind of `on`. 0: all addresses. Up to 33: one IPv4 prefix, as its length plus 1. Up to 162:
   * one IPv6 prefix, as its length plus 34. 255: a list.
   */
  readonly onKind: Uint8Array;
  /**
   * For IPv4, the address in host byte order; for IPv6, an index into `wide`; otherwise, an index
   * into `prefixes` of the lists.
   */
  readonly on: Uint32Array;
  /** 0 for none; otherwise, an index into `conditions` of the lists plus 1. */
  readonly conditions: Uint32Array;
  readonly to: Uint32Array;
  /** Where the name ends in `names`. It begins where the previous one ends. */
  readonly nameEnd: Uint32Array;
  readonly file: Uint32Array;
  readonly line: Uint32Array;
  readonly column: Uint32Array;
  /** The IPv6 addresses of `on`: 16 bytes each, in network byte order. */
  readonly wide: Uint8Array;
  /** The names, one after the other, in UTF-8. */
  readonly names: Uint8Array;
}
export type ColumnName = keyof Columns;

/** The columns that say where mappings were written, not what they mean. */
const placeColumns: readonly ColumnName[] = ["file", "line", "column"];
const meaningColumns: readonly ColumnName[] = [
  ...(["traits", "ports", "onKind", "on", "conditions", "to", "nameEnd", "wide", "names"] as const),
];
export const columnNames: readonly ColumnName[] = [...meaningColumns, ...placeColumns];
/** The size of one number of each column, in bytes. */
export const columnWidths: Readonly<Record<ColumnName, 1 | 4>> = {
  traits: 1,
  ports: 4,
  onKind: 1,
  on: 4,
  conditions: 4,
  to: 4,
  nameEnd: 4,
  file: 4,
  line: 4,
  column: 4,
  wide: 1,
  names: 1,
};

function ipv4Key(length: number, address: number): number {
  return length * 2 ** 32 + address;
}

const existings: readonly Existing[] = ["exact", "any", "never"];
const UDP = 1;
const REJECT = 8;
const DERIVED = 16;
const ON_ALL = 0;
const ON_IPV4 = 1;
const ON_IPV6 = 34;
const ON_LIST = 255;

/** After this many names decoded one by one, all are decoded at once. */
const NAMES_ONE_BY_ONE = 100;

const decoder = new TextDecoder();
const encoder = new TextEncoder();

export class MappingColumns extends LazyMappings {
  readonly length: number;
  readonly lists: ColumnLists;
  readonly #read: (name: ColumnName) => Uint8Array;
  readonly #columns: Partial<Record<ColumnName, Uint8Array | Uint32Array>> = {};
  #namesAsked = 0;
  /** All names as one text; null when that does not work, undefined before the first attempt. */
  #text: string | null | undefined;

  /**
   * `read` returns the bytes of a column (numbers in the machine's byte order). It is called when
   * the column is first used.
   */
  constructor(length: number, lists: ColumnLists, read: (name: ColumnName) => Uint8Array) {
    super();
    this.length = length;
    this.lists = lists;
    this.#read = read;
  }

  column<Name extends ColumnName>(name: Name): Columns[Name] {
    const known = this.#columns[name];
    if (known !== undefined) return known as Columns[Name];
    const read = this.#read(name);
    const width = columnWidths[name];
    // A view of numbers has to begin at a multiple of their size.
    const whole = read.byteOffset % width === 0 ? read : read.slice();
    const count = whole.byteLength / width;
    const made = width === 1 ? whole : new Uint32Array(whole.buffer, whole.byteOffset, count);
    this.#columns[name] = made;
    return made as Columns[Name];
  }

  bytesOf(name: ColumnName): Uint8Array {
    const column = this.column(name);
    return new Uint8Array(column.buffer, column.byteOffset, column.byteLength);
  }

  at(index: number): Mapping | undefined {
    if (index < 0 || index >= this.length) return undefined;
    const conditions = this.#conditionsAt(index);
    return {
      name: this.nameAt(index),
      protocol: this.protocolAt(index),
      ports: this.portsAt(index),
      on: this.onAt(index),
      to: this.toAt(index),
      existing: this.existingAt(index),
      miss: this.missAt(index),
      origin: {
        file: this.lists.files[this.column("file")[index] ?? 0] ?? "",
        line: this.column("line")[index] ?? 0,
        column: this.column("column")[index] ?? 0,
      },
      ...conditions,
    };
  }

  override nameAt(index: number): string {
    const traits = this.column("traits")[index] ?? 0;
    if ((traits & DERIVED) !== 0) {
      return matchText(this.protocolAt(index), this.portsAt(index), this.onAt(index), [], []);
    }
    const ends = this.column("nameEnd");
    const start = index === 0 ? 0 : ends[index - 1];
    const text = this.#allNames();
    if (text !== null) return text.slice(start, ends[index]);
    return decoder.decode(this.column("names").subarray(start, ends[index]));
  }

  /**
   * Returns all names as one text, whose parts cost next to nothing, once so many names are
   * requested that it pays. Returns null before that, and when they are not all ASCII, where each
   * byte is one code unit.
   */
  #allNames(): string | null {
    if (this.#text !== undefined) return this.#text;
    if (this.#namesAsked++ < NAMES_ONE_BY_ONE) return null;
    const names = this.column("names");
    const text = decoder.decode(names);
    this.#text = text.length === names.length ? text : null;
    return this.#text;
  }

  sameNamesAs(other: LazyMappings): number {
    if (!(other instanceof MappingColumns)) return 0;
    const [traits, others] = [this.column("traits"), other.column("traits")];
    const [ends, otherEnds] = [this.column("nameEnd"), other.column("nameEnd")];
    const most = Math.min(this.length, other.length);
    let same = 0;
    // A derived name depends on other columns.
    while (
      same < most &&
      ends[same] === otherEnds[same] &&
      ((traits[same] ?? 0) & DERIVED) === 0 &&
      (((traits[same] ?? 0) ^ (others[same] ?? 0)) & (UDP | DERIVED)) === 0
    ) {
      same++;
    }
    const [names, otherNames] = [this.column("names"), other.column("names")];
    const bytesOfSame = same === 0 ? 0 : (ends[same - 1] ?? 0);
    if (Buffer.compare(names.subarray(0, bytesOfSame), otherNames.subarray(0, bytesOfSame)) === 0) {
      return same;
    }
    let differs = 0;
    while (names[differs] === otherNames[differs]) differs++;
    // Find the first whose name ends behind that byte.
    let [low, high] = [0, same];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((ends[middle] ?? 0) > differs) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  /** Tests the length and the last byte of a name, or for derived names, the ports in them. */
  protected override named(keys: ReadonlySet<string>): (index: number) => boolean {
    const endings = new Set<number>();
    const ports = new Set<number>();
    let anyPorts = false;
    for (const key of keys) {
      const name = key.slice(key.indexOf(" ") + 1);
      const bytes = encoder.encode(name);
      endings.add(bytes.length * 256 + (bytes.at(-1) ?? 0));
      const range = /^[a-z]+:(\d+)(?:-(\d+))?(?:@|$)/.exec(name);
      if (range !== null) ports.add(Number(range[1]) * 65_536 + Number(range[2] ?? range[1]));
      else anyPorts ||= name.includes(":");
    }
    const [traits, range] = [this.column("traits"), this.column("ports")];
    const [ends, names] = [this.column("nameEnd"), this.column("names")];
    return (index) => {
      if (((traits[index] ?? 0) & DERIVED) !== 0) return anyPorts || ports.has(range[index] ?? 0);
      const [start, end] = [index === 0 ? 0 : (ends[index - 1] ?? 0), ends[index] ?? 0];
      return endings.has((end - start) * 256 + (end > start ? (names[end - 1] ?? 0) : 0));
    };
  }

  override existingAt(index: number): Existing {
    return existings[((this.column("traits")[index] ?? 0) >> 1) & 3] ?? "exact";
  }

  override missAt(index: number): Miss {
    return ((this.column("traits")[index] ?? 0) & REJECT) === 0 ? "pass" : "reject";
  }

  override protocolAt(index: number): Protocol {
    return ((this.column("traits")[index] ?? 0) & UDP) === 0 ? "tcp" : "udp";
  }

  ipv4HostAt(index: number): number {
    const isHost = this.column("onKind")[index] === ON_IPV4 + 32 && !this.isConditionalAt(index);
    return isHost ? (this.column("on")[index] ?? -1) : -1;
  }

  leadsLikeOneBefore(index: number): boolean {
    const [traits, ports, to] = [this.column("traits"), this.column("ports"), this.column("to")];
    return (
      index > 0 &&
      to[index] === to[index - 1] &&
      ports[index] === ports[index - 1] &&
      (((traits[index] ?? 0) ^ (traits[index - 1] ?? 0)) & UDP) === 0
    );
  }

  override isConditionalAt(index: number): boolean {
    const number = this.column("conditions")[index] ?? 0;
    return number !== 0 && isConditional(this.lists.conditions[number - 1] ?? {});
  }

  override listenersAt(index: number): Listeners | undefined {
    const number = this.column("conditions")[index] ?? 0;
    return number === 0 ? undefined : this.lists.conditions[number - 1]?.listeners;
  }

  override portsAt(index: number): readonly PortRange[] {
    const ports = this.column("ports")[index] ?? 0;
    if (ports < 65_536) return this.lists.ports[ports] ?? [];
    return [{ first: ports >>> 16, last: ports & 0xffff }];
  }

  override onAt(index: number): readonly Prefix[] {
    const kind = this.column("onKind")[index] ?? 0;
    if (kind === ON_ALL) return [];
    const value = this.column("on")[index] ?? 0;
    if (kind === ON_LIST) return this.lists.prefixes[value] ?? [];
    if (kind >= ON_IPV6) {
      return [`${addressFromBytes(this.column("wide"), value * 16)}/${kind - ON_IPV6}` as Prefix];
    }
    const octets = `${value >>> 24}.${(value >>> 16) & 255}.${(value >>> 8) & 255}.${value & 255}`;
    return [`${octets}/${kind - ON_IPV4}` as Prefix];
  }

  /**
   * Yields the indexes of mappings for exactly one of these prefixes. A mapping for all addresses
   * is for 0.0.0.0/0 and ::/0.
   */
  *indexesOn(prefixes: readonly Prefix[]): Generator<number> {
    const texts = new Set(prefixes);
    const numbers = new Set<number>();
    for (const prefix of prefixes) {
      if (familyOf(prefix) === 4) numbers.add(ipv4Key(prefixLength(prefix), ipv4Number(prefix)));
    }
    const hasSix = prefixes.some((prefix) => familyOf(prefix) === 6);
    const hasAll = prefixes.some((prefix) => prefixLength(prefix) === 0);
    const inLists = this.lists.prefixes.map((list) => list.some((prefix) => texts.has(prefix)));
    const [kinds, on] = [this.column("onKind"), this.column("on")];
    for (let index = 0; index < this.length; index++) {
      const [kind = ON_ALL, value = 0] = [kinds[index], on[index]];
      let isThere = false;
      if (kind === ON_ALL) isThere = hasAll;
      else if (kind < ON_IPV6) isThere = numbers.has(ipv4Key(kind - ON_IPV4, value));
      else if (kind === ON_LIST) isThere = inLists[value] === true;
      else if (hasSix) isThere = this.onAt(index).some((prefix) => texts.has(prefix));
      if (isThere) yield index;
    }
  }

  override toAt(index: number): readonly Destination[] {
    return this.lists.to[this.column("to")[index] ?? 0] ?? [];
  }

  #conditionsAt(index: number): Conditions {
    const conditions = this.column("conditions")[index] ?? 0;
    return this.lists.conditions[conditions - 1] ?? {};
  }

  /**
   * Returns a function that reports whether a mapping of ours and one of `other` mean the same,
   * apart from their names.
   */
  comparer(other: MappingColumns): (index: number, place: number) => boolean {
    const [mine, theirs] = [this.lists, other.lists];
    const ports = numbersIn(mine.ports, theirs.ports);
    const prefixes = numbersIn(mine.prefixes, theirs.prefixes);
    const conditions = numbersIn(mine.conditions, theirs.conditions);
    const to = numbersIn(mine.to, theirs.to);
    const column = <Name extends ColumnName>(name: Name): [Columns[Name], Columns[Name]] => [
      this.column(name),
      other.column(name),
    ];
    const [traits, kinds, on] = [column("traits"), column("onKind"), column("on")];
    const [portsOf, asked, led] = [column("ports"), column("conditions"), column("to")];
    const wide = column("wide");
    const isSameOn = (kind: number, one: number, another: number): boolean => {
      if (kind < ON_IPV6) return one === another;
      if (kind === ON_LIST) return prefixes[one] === another;
      const [a, b] = [one * 16, another * 16];
      return Buffer.compare(wide[0].subarray(a, a + 16), wide[1].subarray(b, b + 16)) === 0;
    };
    return (index, place) => {
      const kind = kinds[0][index] ?? 0;
      const [range = 0, condition = 0] = [portsOf[0][index], asked[0][index]];
      return (
        (((traits[0][index] ?? 0) ^ (traits[1][place] ?? 0)) & ~DERIVED) === 0 &&
        to[led[0][index] ?? 0] === led[1][place] &&
        (range < 65_536 ? ports[range] : range) === portsOf[1][place] &&
        kind === kinds[1][place] &&
        isSameOn(kind, on[0][index] ?? 0, on[1][place] ?? 0) &&
        (condition === 0
          ? asked[1][place] === 0
          : conditions[condition - 1] === (asked[1][place] ?? 0) - 1 && asked[1][place] !== 0)
      );
    };
  }

  /**
   * Yields what the mappings mean, in parts, which are equal for equal mappings in the same order,
   * wherever they were written.
   */
  *meaning(): Generator<string | Uint8Array> {
    const { files: _, ...lists } = this.lists;
    yield JSON.stringify([this.length, lists]);
    for (const name of meaningColumns) yield this.bytesOf(name);
  }
}

/**
 * Maps each value to its number among the others, or to -1 when it is absent. Both are plain values
 * with their keys in the same order.
 */
function numbersIn<Value>(values: readonly Value[], others: readonly Value[]): Int32Array {
  const numbers = new Map(others.map((value, number) => [JSON.stringify(value), number]));
  return Int32Array.from(values, (value) => numbers.get(JSON.stringify(value)) ?? -1);
}

/** Values stored once, by a key that identifies each. */
class Once<Value> {
  readonly values: Value[] = [];
  readonly #indexes = new Map<string, number>();

  /** Adds the value unless it is there, and returns its index. */
  put(key: string, value: Value, canonical: (value: Value) => Value = (same) => same): number {
    const known = this.#indexes.get(key);
    if (known !== undefined) return known;
    this.#indexes.set(key, this.values.length);
    return this.values.push(copyOf(canonical(value))) - 1;
  }
}

/**
 * Copies a plain value. A text that is part of another keeps that in memory, which may be the whole
 * file.
 */
function copyOf<Value>(value: Value): Value {
  return JSON.parse(JSON.stringify(value)) as Value;
}

/** The number here of each value in other lists, by its number there. */
type Renumbered = Record<keyof ColumnLists, number[]>;

/**
 * A run of mappings of other columns, now written `lines` further down (further up if negative).
 */
export interface Kept {
  readonly first: number;
  readonly count: number;
  readonly lines: number;
}

export class MappingColumnsBuilder {
  readonly #traits = bytes();
  readonly #ports = words();
  readonly #onKind = bytes();
  readonly #on = words();
  readonly #conditions = words();
  readonly #to = words();
  readonly #nameEnd = words();
  readonly #file = words();
  readonly #line = words();
  readonly #column = words();
  readonly #wide = bytes();
  readonly #names = bytes();
  readonly #lists = {
    ports: new Once<readonly PortRange[]>(),
    prefixes: new Once<readonly Prefix[]>(),
    conditions: new Once<Conditions>(),
    to: new Once<readonly Destination[]>(),
    files: new Once<string>(),
  };

  /** For lists that were appended, their numbers of values mapped to ours. */
  readonly #renumbered = new WeakMap<ColumnLists, Renumbered>();
  #lastTo: readonly Destination[] | undefined;
  #lastToIndex = 0;

  get length(): number {
    return this.#traits.length;
  }

  /** Makes room for this many mappings. There may be more. */
  reserve(total: number): void {
    for (const column of [this.#traits, this.#onKind]) column.reserve(total);
    for (const column of [this.#ports, this.#on, this.#conditions, this.#to]) column.reserve(total);
    for (const column of [this.#nameEnd, this.#file, this.#line, this.#column]) {
      column.reserve(total);
    }
  }

  /** Appends a mapping. `isDerived` says that config/name.ts has derived the name. */
  push(mapping: Mapping, isDerived = false): void {
    const { name, protocol, ports, on, from, interfaces, to, existing, miss, origin } = mapping;
    const { until, listeners, description } = mapping;
    // Given names have no colon, and shortened derived ones have a tilde, which no port or prefix
    // has. With conditions, the text is long and rarely matches.
    const isMatchText = isDerived
      ? !name.includes("~")
      : name.includes(":") && name === matchText(protocol, ports, on, [], []);
    const asMatch = !isConditional(mapping) && isMatchText;
    this.#traits.push(
      (protocol === "udp" ? UDP : 0) |
        (existings.indexOf(existing) << 1) |
        (miss === "reject" ? REJECT : 0) |
        (asMatch ? DERIVED : 0),
    );
    this.#pushPorts(ports);
    this.#pushOn(on);
    const hasNone = !isConditional(mapping) && listeners === undefined && description === undefined;
    const conditions = {
      ...(from && { from }),
      ...(interfaces && { interfaces }),
      ...(until !== undefined && { until }),
      ...(listeners && { listeners }),
      ...(description !== undefined && { description }),
    };
    this.#conditions.push(hasNone ? 0 : this.#putConditions(conditions));
    this.#to.push(this.#toIndex(to));
    if (!asMatch) this.#names.append(encoder.encode(name));
    this.#nameEnd.push(this.#names.length);
    this.#file.push(this.#putFile(origin.file));
    this.#line.push(origin.line);
    this.#column.push(origin.column);
  }

  /**
   * Appends a run of other columns, as if each mapping had been pushed. `file` is where they are
   * now written, or null if that has not changed.
   */
  append(from: MappingColumns, { first, count, lines }: Kept, file: string | null): void {
    const end = first + count;
    const { lists } = from;
    let renumbered = this.#renumbered.get(lists);
    if (renumbered === undefined) {
      renumbered = { ports: [], prefixes: [], conditions: [], to: [], files: [] };
      this.#renumbered.set(lists, renumbered);
    }
    const { ports: portsOf, prefixes, conditions, to, files } = renumbered;
    this.#traits.append(from.column("traits").subarray(first, end));
    this.#onKind.append(from.column("onKind").subarray(first, end));
    this.#column.append(from.column("column").subarray(first, end));
    const ports = from.column("ports");
    for (let i = first; i < end; i++) {
      const value = ports[i] ?? 0;
      this.#ports.push(
        value >= 65_536 ? value : (portsOf[value] ??= this.#putPorts(lists.ports[value] ?? [])),
      );
    }
    const [kinds, on] = [from.column("onKind"), from.column("on")];
    for (let i = first; i < end; i++) {
      const [kind = ON_ALL, value = 0] = [kinds[i], on[i]];
      if (kind < ON_IPV6) {
        this.#on.push(value);
      } else if (kind === ON_LIST) {
        this.#on.push((prefixes[value] ??= this.#putPrefixes(lists.prefixes[value] ?? [])));
      } else {
        this.#on.push(this.#wide.length / 16);
        this.#wide.append(from.column("wide").subarray(value * 16, value * 16 + 16));
      }
    }
    const wanted = from.column("conditions");
    for (let i = first; i < end; i++) {
      const value = wanted[i] ?? 0;
      this.#conditions.push(
        value === 0
          ? 0
          : (conditions[value] ??= this.#putConditions(lists.conditions[value - 1] ?? {})),
      );
    }
    const led = from.column("to");
    for (let i = first; i < end; i++) {
      const value = led[i] ?? 0;
      this.#to.push((to[value] ??= this.#toIndex(lists.to[value] ?? [])));
    }
    const written = from.column("file");
    for (let i = first; i < end; i++) {
      const value = written[i] ?? 0;
      this.#file.push((files[value] ??= this.#putFile(file ?? lists.files[value] ?? "")));
    }
    const line = from.column("line");
    for (let i = first; i < end; i++) this.#line.push((line[i] ?? 0) + lines);
    const ends = from.column("nameEnd");
    const start = first === 0 ? 0 : (ends[first - 1] ?? 0);
    const shift = this.#names.length - start;
    for (let i = first; i < end; i++) this.#nameEnd.push((ends[i] ?? 0) + shift);
    if (end > first) this.#names.append(from.column("names").subarray(start, ends[end - 1]));
  }

  #putConditions(conditions: Conditions): number {
    return this.#lists.conditions.put(JSON.stringify(conditions), conditions) + 1;
  }

  #putPorts(ports: readonly PortRange[]): number {
    const key = ports.map(({ first, last }) => `${first}-${last}`).join();
    return this.#lists.ports.put(key, ports);
  }

  #putPrefixes(on: readonly Prefix[]): number {
    return this.#lists.prefixes.put(on.join(), on);
  }

  #putFile(name: string): number {
    return this.#lists.files.put(name, name);
  }

  /** Returns the index of the list. The same object as last time is not looked up again. */
  #toIndex(to: readonly Destination[]): number {
    if (to !== this.#lastTo) {
      this.#lastTo = to;
      this.#lastToIndex = this.#lists.to.put(keyOf(to), to, canonical);
    }
    return this.#lastToIndex;
  }

  #pushPorts(ports: readonly PortRange[]): void {
    const [range] = ports;
    if (range !== undefined && ports.length === 1) {
      this.#ports.push(range.first * 65_536 + range.last);
      return;
    }
    this.#ports.push(this.#putPorts(ports));
  }

  #pushOn(on: readonly Prefix[]): void {
    const [only] = on;
    if (only === undefined) {
      this.#onKind.push(ON_ALL);
      this.#on.push(0);
    } else if (on.length > 1) {
      this.#onKind.push(ON_LIST);
      this.#on.push(this.#putPrefixes(on));
    } else {
      const length = prefixLength(only);
      if (familyOf(only) === 4) {
        this.#onKind.push(ON_IPV4 + length);
        this.#on.push(ipv4Number(only));
      } else {
        this.#onKind.push(ON_IPV6 + length);
        this.#on.push(this.#wide.length / 16);
        this.#wide.append(prefixBits(only).bytes);
      }
    }
  }

  /** Returns a mapping that was pushed. */
  at(index: number): Mapping {
    const mapping = this.finish().at(index);
    if (mapping === undefined) throw new RangeError(`there is no mapping ${index}`);
    return mapping;
  }

  /** Returns what has been pushed so far. */
  finish(): MappingColumns {
    const columns: Columns = {
      traits: this.#traits.view(),
      ports: this.#ports.view(),
      onKind: this.#onKind.view(),
      on: this.#on.view(),
      conditions: this.#conditions.view(),
      to: this.#to.view(),
      nameEnd: this.#nameEnd.view(),
      file: this.#file.view(),
      line: this.#line.view(),
      column: this.#column.view(),
      wide: this.#wide.view(),
      names: this.#names.view(),
    };
    const { ports, prefixes, conditions, to, files } = this.#lists;
    const lists: ColumnLists = {
      ports: ports.values,
      prefixes: prefixes.values,
      conditions: conditions.values,
      to: to.values,
      files: files.values,
    };
    return new MappingColumns(this.length, lists, (name) => {
      const { buffer, byteOffset, byteLength } = columns[name];
      return new Uint8Array(buffer, byteOffset, byteLength);
    });
  }
}

/** Returns a key that identifies the list, whatever the order of its objects' keys. */
function keyOf(to: readonly Destination[]): string {
  let key = "";
  for (const { address, port, service, weight, handover, dualStack } of to) {
    key += `${address} ${port} ${weight ?? ""} ${handover ?? ""}`;
    if (dualStack === true) key += " dual";
    // A name from elsewhere may contain anything.
    if (service !== undefined) key += ` ${JSON.stringify(service)}`;
    key += "\n";
  }
  return key;
}

/** Orders the keys, as the digest covers the lists' JSON. */
function canonical(to: readonly Destination[]): Destination[] {
  return to.map(({ address, port, service, weight, handover, dualStack }) => ({
    address,
    port,
    ...(service !== undefined && { service }),
    ...(weight !== undefined && { weight }),
    ...(handover !== undefined && { handover }),
    ...(dualStack === true && { dualStack }),
  }));
}

/** Returns the mappings as columns: the same object if they already are. */
export function toColumns(mappings: Mappings): MappingColumns {
  if (mappings instanceof MappingColumns) return mappings;
  const builder = new MappingColumnsBuilder();
  mappings.forEach((mapping) => builder.push(mapping));
  return builder.finish();
}
