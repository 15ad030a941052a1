/** Reads a large file that was changed: only the lines that are not those of the active rules. */
import { changedFields } from "../rules/diff.js";
import { countLines } from "../config/blocks.js";
import type { InputDigest, SeenBlock } from "../config/input.js";
import { readMachineId } from "../config/machine-id.js";
import type { KeptText } from "../dataplane/types.js";
import { findAbsent } from "../kernel/up-addresses.js";
import { type Mapping, mappingKey } from "../model/mapping.js";
import { type FilePart, type RuleSet, inMemory } from "../model/rules.js";
import { type MappingColumns, toColumns } from "../model/mapping-columns.js";
import { type Piece, type Revision, addedBy, isKept, revise } from "../model/revision.js";
import { beginStep } from "../progress.js";
import { warnOfHost } from "./host-warnings.js";
import {
  type Block,
  type DigestedFile,
  type KnownBlocks,
  type KnownFile,
  type KnownText,
  digestOfLines,
  packBlocks,
  unpackBlocks,
} from "./known-text.js";

export interface Revised {
  readonly file: FilePart;
  readonly revision: Revision;
  /** What is now known about the text, except its digest. */
  readonly known: Omit<KnownText, "digest">;
}

/**
 * Works out what the text says from the active text and the difference. Returns null when the whole
 * has to be read, because something is wrong or doubtful, or because this would be no less work.
 * `files` are all files; a single one may have another name than before.
 */
export async function reviseFrom(
  { file: active, fits }: KeptText,
  known: KnownText,
  files: readonly DigestedFile[],
): Promise<Revised | null> {
  const isOnly = files.length === 1;
  // A service whose datagrams leave from elsewhere depends on all mappings that lead to it.
  const isSimple =
    known.warnings.length === 0 &&
    known.names.length === files.length &&
    (isOnly || files.every(({ name }, index) => name === known.names[index])) &&
    active.head.services.every(({ originate }) => originate !== true);
  if (!isSimple || fits === null || known.blocks === null) return null;
  beginStep("comparing with the active text");
  const before = active.read();
  const mappings = toColumns(before.mappings);
  if (digestOfLines(mappings) !== known.blocks.lines) return null;
  const { readPart } = await import("../config/part.js");
  const pieces: Piece[] = [];
  const all: KnownFile[] = [];
  for (const [index, file] of files.entries()) {
    const range = rangeOf(mappings, known.names[index] ?? "");
    const was = known.blocks.files[index];
    if (was === undefined) return null;
    if (was.digest === file.digest) {
      push(pieces, { ...range, lines: 0 });
      all.push(was);
      continue;
    }
    if (was.blocks === null || file.blocks.length === 0) return null;
    const gaps = findGaps(unpackBlocks(was.blocks), file.blocks);
    const read = (bytes: Buffer, firstLine: number): Iterable<Mapping> | null =>
      readPart({ name: file.name, bytes }, firstLine, {
        rules: before,
        isOnly,
        machineId: readMachineId,
      });
    if (gaps === null || !fillGaps(mappings, range, gaps, read, pieces)) return null;
    all.push({ digest: file.digest, blocks: packBlocks(gaps.blocks) });
  }
  const added = addedBy(pieces);
  const host = await warnOfHost(added, before);
  const destinations = [...new Set([...known.destinations, ...host.destinations])];
  const absent = await findAbsent(destinations);
  if (host.warnings.length > 0 || absent.size > 0) return null;
  const [only] = files;
  const revision = { of: active, pieces, name: isOnly ? (only?.name ?? null) : null };
  const revised = revise(revision);
  const file = inMemory(revised);
  if (!fits(file, revision)) return null;
  return {
    file,
    revision,
    known: {
      surroundings: known.surroundings,
      names: files.map(({ name }) => name),
      warnings: [],
      destinations,
      absent: [],
      blocks: { files: all, lines: digestOfLines(toColumns(revised.mappings)) },
    },
  };
}

/** Returns the digests of the known blocks. */
export function blockDigests({ blocks }: KnownText): ReadonlySet<string> {
  const packed = blocks?.files.flatMap((file) => file.blocks ?? []) ?? [];
  return new Set(packed.flatMap((one) => unpackBlocks(one).map(({ digest }) => digest)));
}

/**
 * Returns what to remember about files that were read in full, and all of whose mappings are in
 * `file`. Returns null when none of them is a large file of lines.
 */
export function knownBlocks(
  files: readonly InputDigest[],
  given: readonly string[],
  { mappings }: RuleSet,
): KnownBlocks | null {
  if (given.length > 0 || files.every(({ blocks }) => blocks.length === 0)) return null;
  return {
    files: files.map(({ digest, blocks }) => ({
      digest,
      blocks: blocks.length === 0 ? null : packBlocks(blocks.map(countBlock)),
    })),
    lines: digestOfLines(toColumns(mappings)),
  };
}

function countBlock({ digest, bytes }: SeenBlock): Block {
  return { digest, lines: bytes === null ? 0 : countLines(bytes) };
}

interface Range {
  readonly first: number;
  readonly count: number;
}

/** Returns the mappings that are written in the file. Mappings of one file are neighbours. */
function rangeOf(mappings: MappingColumns, name: string): Range {
  const number = mappings.lists.files.indexOf(name);
  if (number < 0) return { first: 0, count: 0 };
  const files = mappings.column("file");
  const whole = { first: 0, count: mappings.length };
  const first = firstFrom(files, number, whole);
  return { first, count: firstFrom(files, number + 1, whole) - first };
}

/**
 * Adds the pieces of a file whose mappings are in the range. Returns false when its lines need a
 * closer look. `read` parses lines, numbered from its second argument on.
 */
function fillGaps(
  mappings: MappingColumns,
  range: Range,
  gaps: Gaps,
  read: (bytes: Buffer, firstLine: number) => Iterable<Mapping> | null,
  pieces: Piece[],
): boolean {
  const lineOf = mappings.column("line");
  let next = range.first;
  for (const { first, end, now, bytes } of gaps.list) {
    const from = firstFrom(lineOf, first, range);
    const to = firstFrom(lineOf, end, range);
    push(pieces, { first: next, count: from - next, lines: now - first });
    const part = bytes.length === 0 ? [] : read(bytes, now);
    if (part === null) return false;
    for (const piece of match(mappings, from, to, part)) push(pieces, piece);
    next = to;
  }
  push(pieces, { first: next, count: range.first + range.count - next, lines: gaps.shift });
  return true;
}

/**
 * Lines of the active text that others replace: from `first` on and before `end`, numbered from 1.
 */
interface Gap {
  readonly first: number;
  readonly end: number;
  /** The number of the first of the new lines. */
  readonly now: number;
  readonly bytes: Buffer;
}

interface Gaps {
  readonly list: readonly Gap[];
  /** By how many lines everything after the last gap has moved. */
  readonly shift: number;
  /** The blocks of the new text. */
  readonly blocks: readonly Block[];
}

/** Finds the lines that differ. Returns null when blocks have changed their order. */
function findGaps(before: readonly Block[], after: readonly SeenBlock[]): Gaps | null {
  const places = new Map(before.map(({ digest }, index) => [digest, index]));
  const firstLines = [1];
  for (const { lines } of before) firstLines.push((firstLines.at(-1) ?? 1) + lines);
  const lineOf = (index: number): number => firstLines[index] ?? 1;
  const list: Gap[] = [];
  const blocks: Block[] = [];
  let fresh: Buffer[] = [];
  let next = 0;
  let line = 1;
  let freshLine = 1;
  const close = (until: number): void => {
    if (fresh.length > 0 || until > next) {
      const bytes = Buffer.concat(fresh);
      // The last line need not end in a newline.
      const end = until === before.length ? Infinity : lineOf(until);
      list.push({ first: lineOf(next), end, now: freshLine, bytes });
    }
    fresh = [];
  };
  for (const { digest, bytes } of after) {
    const place = places.get(digest);
    if (place === undefined || place < next) {
      if (bytes === null) return null;
      fresh.push(bytes);
      const lines = countLines(bytes);
      blocks.push({ digest, lines });
      line += lines;
      continue;
    }
    close(place);
    const lines = before[place]?.lines ?? 0;
    blocks.push({ digest, lines });
    line += lines;
    freshLine = line;
    next = place + 1;
  }
  close(before.length);
  return { list, shift: line - lineOf(before.length), blocks };
}

/**
 * Returns the index of the first value in the range that is at least `value`. The values never
 * decrease.
 */
function firstFrom(values: Uint32Array, value: number, { first, count }: Range): number {
  let low = first;
  let high = first + count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((values[middle] ?? 0) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * Matches new mappings with those from `from` on and before `to`, which they replace. Some are
 * equal.
 */
function match(
  before: MappingColumns,
  from: number,
  to: number,
  after: Iterable<Mapping>,
): Piece[] {
  const known = new Map<string, number>();
  for (let index = from; index < to; index++) {
    known.set(
      mappingKey({ name: before.nameAt(index), protocol: before.protocolAt(index) }),
      index,
    );
  }
  return Array.from(after, (mapping): Piece => {
    const first = known.get(mappingKey(mapping)) ?? -1;
    const old = before.at(first);
    const stays =
      old !== undefined &&
      old.origin.column === mapping.origin.column &&
      changedFields(old, mapping).length === 0;
    return stays ? { first, count: 1, lines: mapping.origin.line - old.origin.line } : [mapping];
  });
}

/** Adds a piece, merged with the last one where possible. */
function push(pieces: Piece[], piece: Piece): void {
  const last = pieces.at(-1);
  if (!isKept(piece)) {
    if (last === undefined || isKept(last)) pieces.push([...piece]);
    else pieces.splice(-1, 1, [...last, ...piece]);
    return;
  }
  const { first, count, lines } = piece;
  if (count === 0) return;
  const continues =
    last !== undefined && isKept(last) && last.first + last.count === first && last.lines === lines;
  if (!continues) pieces.push(piece);
  else pieces.splice(-1, 1, { first: last.first, count: last.count + count, lines });
}
