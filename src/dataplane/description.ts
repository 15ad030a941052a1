/**
 * A generation describes itself: its rules lie beside its tables, so that nothing else has to be
 * trusted. The head is short and answers most questions; the file's mappings are columns, each
 * packed separately.
 */
import { createHash } from "node:crypto";
import { deflateRawSync, gunzipSync, gzipSync, inflateRawSync } from "node:zlib";
import { essenceOfMapping, essenceOfService } from "../rules/diff.js";
import type { Drained } from "../model/drained.js";
import {
  type Engine,
  type Mapping,
  type Protocol,
  type Service,
  type StrangerPolicy,
  mappingKey,
} from "../model/mapping.js";
import {
  type ActiveRules,
  type FileHead,
  type FilePart,
  type RuleSet,
  type Settings,
  settingsOf,
} from "../model/rules.js";
import {
  type ColumnLists,
  MappingColumns,
  MappingColumnsBuilder,
  columnNames,
  columnWidths,
  toColumns,
} from "../model/mapping-columns.js";
import { type Mappings, toLazy } from "../model/mappings.js";
import { areSameSources } from "../model/sources.js";
import type { Removed } from "../compile/overlay.js";
import { beginStep, tellShare } from "../progress.js";
import type { Active } from "./types.js";

/** The parts of the active rules that their generation does not say of itself. */
type Around = "off" | "earlierFormat" | "fileDigest" | "pending" | "wentBackAt";

export interface Description extends Omit<Active, Around> {
  /** The number of the registry that the generation uses. */
  readonly registry: number;
  /** What the numbers of interfaces in the tables stand for; [0] is none. */
  readonly interfaces: readonly string[];
  readonly fileDigest: string;
  /** The digest of all rules: the file's part and the run-time mappings. */
  readonly digest: string;
  /** The protocols that the mappings use. */
  readonly protocols: readonly Protocol[];
  /** True when some TCP destination has `handover: ingress`. */
  readonly steersTcp: boolean;
  /**
   * A secret of 32 bits with which clients draw among weighted destinations. It stays the same
   * until unload, so that clients keep theirs.
   */
  readonly drawSeed: number;
  /** Set when the run-time mappings are an overlay, so that they can be changed alone. */
  readonly layers: Layers | null;
  /** Set when the file differs from what the tables were filled with. */
  readonly overlaid: Overlaid | null;
  /** The number of the program set whose tables hold the generation. `side` says which side. */
  readonly programs: number;
  readonly side: 0 | 1;
  /**
   * True when the next generation fits on the other side, provided it is no larger than the tables.
   */
  readonly twoSided: boolean;
}

/**
 * What the file's mappings have filled of the tables. Behind their entries are two sides for
 * overlays.
 */
export interface Layers {
  readonly protocols: readonly Protocol[];
  readonly mappings: number;
  readonly rules: number;
  readonly destinations: number;
}

/** Settings that came later are absent in earlier formats: `mptcp` before format 6. */
interface Head
  extends Omit<Description, "rules" | "overlaid" | "strangerPolicy">, Omit<Settings, "engine"> {
  /** The path of the file; null when there is none, or several: then `sources` has them. */
  readonly source: string | null;
  readonly sources?: readonly string[];
  /** The engine that the file asks for; `engine` is the one actually used. */
  readonly wantedEngine: Engine;
  /** The number of the file's mappings; absent where an earlier build wrote the head. */
  readonly fileMappings?: number;
  /** What the file's part of the rules is over the tables; absent before format 12. */
  readonly overlaid?: Overlaid | null;
  /** Absent before format 13. */
  readonly strangerPolicy?: StrangerPolicy;
  readonly services: readonly Service[];
  readonly runtime: readonly Mapping[];
  /** Absent when nothing is drained, as before format 14. */
  readonly drained?: readonly Drained[];
}

/** The value size, in bytes, of the maps that only the control plane reads. */
export const CHUNK = 4096;

/**
 * Digests the file's part of the rules. Applying a file whose digest equals the active one changes
 * nothing.
 */
export function digestOfFile(sources: readonly string[], file: RuleSet): string {
  const hash = createHash("sha256");
  const { services, mappings } = file;
  const { source, ...several } = formatSources(sources);
  const more = several.sources === undefined ? [] : [several.sources];
  const head = [source, settingsOf(file), services.map(essenceOfService), ...more];
  hash.update(JSON.stringify(head));
  for (const part of toColumns(mappings).meaning()) hash.update(part);
  return hash.digest("hex");
}

/** One path is written as it was before there could be several: digests and heads stay the same. */
function formatSources(sources: readonly string[]): Pick<Head, "source" | "sources"> {
  return sources.length > 1 ? { source: null, sources } : { source: sources[0] ?? null };
}

/**
 * Reports whether both have the identical file part: adding a mapping reuses the file's part of
 * the active rules.
 */
export function hasFileOf({ rules: old }: Pick<Description, "rules">, rules: ActiveRules): boolean {
  return rules.file === old.file && areSameSources(rules.sources, old.sources);
}

export function digestOf(
  fileDigest: string,
  { runtime, drained = [] }: Pick<ActiveRules, "runtime" | "drained">,
): string {
  const whole = [fileDigest, runtime.map(essenceOfMapping)];
  const text = JSON.stringify(drained.length === 0 ? whole : [...whole, drained]);
  return createHash("sha256").update(text).digest("hex");
}

export function packHead({ rules, ...head }: Description): Uint8Array {
  const { sources, file, runtime, drained } = rules;
  const { services } = file.head;
  const { engine: wantedEngine = "auto", ...settings } = settingsOf(file.head);
  const fileMappings = file.count;
  const whole: Head = {
    ...head,
    ...formatSources(sources),
    wantedEngine,
    ...settings,
    services,
    fileMappings,
    runtime,
    ...(drained !== undefined && drained.length > 0 && { drained }),
  };
  return packParts([pack(whole)]);
}

/**
 * Packs the texts and numbers that columns point to, then each column separately, because most
 * questions need only a few of them.
 */
export function packMappings(mappings: Mappings): Uint8Array {
  beginStep("packing the rules");
  const columns = toColumns(mappings);
  const { length, lists } = columns;
  return packParts([
    pack({ length, lists }),
    ...columnNames.map((name, index) => {
      tellShare(index, columnNames.length);
      const bytes = columns.bytesOf(name);
      return deflateRawSync(columnWidths[name] === 4 ? toDifferences(bytes) : bytes, { level: 1 });
    }),
  ]);
}

/**
 * Unpacks what `packMappings` wrote, each column on demand. Formats up to 10 have mappings as
 * objects instead, some in each part.
 */
function unpackMappings(bytes: Uint8Array): MappingColumns {
  const [first, ...parts] = unpackParts(bytes);
  const head = first === undefined ? [] : unpack(first);
  if (Array.isArray(head)) {
    const builder = new MappingColumnsBuilder();
    for (const mapping of head as Mapping[]) builder.push(mapping);
    for (const part of parts) {
      for (const mapping of unpack(part) as Mapping[]) builder.push(mapping);
    }
    return builder.finish();
  }
  const { length, lists } = head as { length: number; lists: ColumnLists };
  return new MappingColumns(length, lists, (name) => {
    const part = parts[columnNames.indexOf(name)];
    if (part === undefined) throw new RangeError(`the mappings have no column ${name}`);
    // Inflate into one buffer when the length is known: zlib would collect pieces of 16 KiB and
    // copy them together in the end.
    const chunkSize = Math.max(INFLATED_LEAST, length * columnWidths[name]);
    const whole = inflateRawSync(part, { chunkSize });
    return columnWidths[name] === 4 ? fromDifferences(whole) : whole;
  });
}

const INFLATED_LEAST = 1024;

/**
 * Turns numbers into differences. Lines and addresses grow by the same step again and again, so
 * their differences compress best.
 */
function toDifferences(bytes: Uint8Array): Uint8Array {
  const values = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
  const differences = new Uint32Array(values.length);
  let before = 0;
  for (let i = 0; i < values.length; i++) {
    const value = values[i] ?? 0;
    differences[i] = value - before;
    before = value;
  }
  return new Uint8Array(differences.buffer);
}

/** Undoes `toDifferences` in place. zlib may return memory that is not aligned to whole numbers. */
function fromDifferences(bytes: Uint8Array): Uint8Array {
  const whole = bytes.byteOffset % 4 === 0 ? bytes : new Uint8Array(bytes);
  const values = new Uint32Array(whole.buffer, whole.byteOffset, whole.byteLength / 4);
  let value = 0;
  for (let i = 0; i < values.length; i++) {
    value = (value + (values[i] ?? 0)) >>> 0;
    values[i] = value;
  }
  return whole;
}

/**
 * Joins the total length, then each part preceded by its length, each length 4 bytes,
 * little-endian. Pads to whole chunks.
 */
function packParts(parts: readonly Uint8Array[]): Uint8Array {
  const length = parts.reduce((sum, part) => sum + 4 + part.length, 4);
  const bytes = new Uint8Array(Math.ceil(length / CHUNK) * CHUNK);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, length, true);
  let at = 4;
  for (const part of parts) {
    view.setUint32(at, part.length, true);
    bytes.set(part, at + 4);
    at += 4 + part.length;
  }
  return bytes;
}

/**
 * Up to this many bytes, compression saves nothing, as the map holds whole chunks, and setting it
 * up would take longer than everything else.
 */
const NOT_COMPRESSED = CHUNK - 64;

function pack(value: unknown): Uint8Array {
  const text = Buffer.from(JSON.stringify(value));
  return text.length <= NOT_COMPRESSED ? storedGzip(text) : gzipSync(text, { level: 1 });
}

/** Writes gzip with one stored block (RFC 1952, RFC 1951 section 3.2.4): up to 65,535 bytes. */
function storedGzip(bytes: Uint8Array): Uint8Array {
  const head = 15;
  const packed = new Uint8Array(head + bytes.length + 8);
  packed.set([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff, 1]);
  packed.set(bytes, head);
  const view = new DataView(packed.buffer);
  view.setUint16(11, bytes.length, true);
  view.setUint16(13, ~bytes.length, true);
  view.setUint32(head + bytes.length, crc32(bytes), true);
  view.setUint32(head + bytes.length + 4, bytes.length, true);
  return packed;
}

/** The CRC of each byte value. */
let checksums: Uint32Array | undefined;

function makeChecksums(): Uint32Array {
  return Uint32Array.from({ length: 256 }, (_, byte) => {
    let value = byte;
    for (let bit = 0; bit < 8; bit++) value = (value >>> 1) ^ (value & 1 ? 0xedb88320 : 0);
    return value;
  });
}

/**
 * The CRC-32 of gzip (RFC 1952, section 8). The one in node:zlib needs a newer Node than our
 * minimum.
 */
function crc32(bytes: Uint8Array): number {
  const known = (checksums ??= makeChecksums());
  let value = 0xffffffff;
  for (const byte of bytes) value = (value >>> 8) ^ (known[(value ^ byte) & 0xff] ?? 0);
  return ~value >>> 0;
}

/**
 * Reports whether the error means that the bytes are not a head. Callers rethrow any other error.
 */
export function isUndecodable(error: unknown): boolean {
  if (error instanceof SyntaxError || error instanceof RangeError) return true;
  return error instanceof Error && "code" in error && String(error.code).startsWith("Z_");
}

/**
 * Unpacks what `packHead` of this version wrote, or an earlier one, which lacks later fields.
 * `source` returns what `packMappings` wrote; it is called at most once.
 */
export function unpackDescription(headBytes: Uint8Array, source: () => Uint8Array): Description {
  const [first] = unpackParts(headBytes);
  if (first === undefined) throw new RangeError("the description has no head");
  const {
    source: path,
    sources = path === null ? [] : [path],
    wantedEngine,
    mptcp,
    strangers,
    wildcard,
    ula,
    anyip,
    floating,
    overlaid = null,
    // What an earlier version selected goes on being selected.
    strangerPolicy = "report",
    services,
    fileMappings,
    runtime,
    drained = [],
    ...head
  } = unpack(first) as Head;
  const count =
    fileMappings ?? (overlaid === null ? head.layers?.mappings : countRuns(overlaid.runs));
  const settings = settingsOf({
    engine: wantedEngine,
    mptcp,
    strangers,
    wildcard,
    ula,
    anyip,
    floating,
  });
  const file = unreadFile({ ...settings, services }, count, source);
  return { ...head, overlaid, strangerPolicy, rules: { sources, file, runtime, drained } };
}

/**
 * Makes a file's part whose mappings `source` reads when they are asked for; or at once, when their
 * number is not known.
 */
export function unreadFile(
  head: FileHead,
  count: number | undefined,
  source: () => Uint8Array,
): FilePart {
  let whole: RuleSet | undefined;
  const read = (): RuleSet => {
    if (whole !== undefined) return whole;
    beginStep("reading the active rules");
    whole = { ...head, mappings: unpackMappings(source()) };
    return whole;
  };
  return { head, count: count ?? read().mappings.length, read };
}

export function countRuns(runs: readonly PlaceRun[]): number {
  return runs.reduce((sum, [, count]) => sum + count, 0);
}

function unpackParts(bytes: Uint8Array): Uint8Array[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = view.getUint32(0, true);
  const parts: Uint8Array[] = [];
  for (let at = 4; at < length;) {
    const size = view.getUint32(at, true);
    parts.push(bytes.subarray(at + 4, at + 4 + size));
    at += 4 + size;
  }
  return parts;
}

function unpack(part: Uint8Array): unknown {
  return JSON.parse(gunzipSync(part).toString("utf8"));
}

/** Returns one hash per mapping, sorted. A name whose hash is absent is unused. */
export function hashNames(mappings: Mappings): BigUint64Array {
  const lists = toLazy(mappings);
  const halves = new Uint32Array(2 * lists.length);
  for (let i = 0; i < lists.length; i++) {
    putHash(halves, i, mappingKey({ name: lists.nameAt(i), protocol: lists.protocolAt(i) }));
  }
  return new BigUint64Array(halves.buffer).sort();
}

/**
 * Computes FNV-1a over UTF-16 code units, twice, as 64 bits (draft-eastlake-fnv): two halves, the
 * lower one first.
 */
function putHash(halves: Uint32Array, index: number, key: string): void {
  let low = 0x811c9dc5;
  let high = 0x1b873593;
  for (let i = 0; i < key.length; i++) {
    const unit = key.charCodeAt(i);
    low = Math.imul(low ^ unit, 0x01000193);
    high = Math.imul(high ^ (unit + i), 0x01000193);
  }
  halves[2 * index] = low;
  halves[2 * index + 1] = high;
}

export function nameHash(key: string): bigint {
  const halves = new Uint32Array(2);
  putHash(halves, 0, key);
  return new BigUint64Array(halves.buffer)[0] ?? 0n;
}

/** How a file differs from what the tables hold. */
export interface Overlaid {
  /** The file's mappings in their order, as runs of `count` mappings from `place` on. */
  readonly runs: readonly PlaceRun[];
  /** Mappings of the tables that the file no longer has, or has changed. */
  readonly removed: readonly Removed[];
}

export type PlaceRun = readonly [place: number, count: number];
