/** A large file that was changed: only the lines are read that are not those of the rules in force. */
import { changedFields } from "../compile/diff.js";
import { countLines } from "../config/blocks.js";
import type { InputDigest, SeenBlock } from "../config/input.js";
import type { KeptText } from "../dataplane/types.js";
import { findAbsent } from "../kernel/host-addresses.js";
import { type Mapping, type RuleSet, mappingKey } from "../model/mapping.js";
import { type MappingColumns, toColumns } from "../model/mapping-columns.js";
import { type Piece, type Revision, addedBy, isKept, revise } from "../model/revision.js";
import { beginStep } from "../progress.js";
import { warnOfHost } from "./host-warnings.js";
import {
  type Block,
  type KnownBlocks,
  type KnownText,
  digestOfLines,
  packBlocks,
  unpackBlocks,
} from "./known-text.js";

export interface Revised {
  readonly file: RuleSet;
  readonly revision: Revision;
  /** What is known of the text from now on, but for its digest. */
  readonly known: Omit<KnownText, "digest">;
}

/**
 * What the text says, from the text in force and what differs. Null: the whole has to be read, as that finds what is wrong, or doubtful,
 * or as this would be no less work. `name`: of the file, which may
 * be another one.
 */
export async function reviseFrom(
  { file: before, fits }: KeptText,
  known: KnownText,
  name: string,
  { blocks }: InputDigest,
): Promise<Revised | null> {
  // A service whose datagrams leave from elsewhere depends on all mappings that lead to it.
  const isSimple =
    known.blocks !== null &&
    known.warnings.length === 0 &&
    known.names.length === 1 &&
    before.services.every(({ originate }) => originate !== true);
  if (!isSimple || fits === null || known.blocks === null || blocks.length === 0) return null;
  beginStep("comparing with the text in force");
  const mappings = toColumns(before.mappings);
  if (digestOfLines(mappings) !== known.blocks.lines) return null;
  const gaps = findGaps(unpackBlocks(known.blocks.packed), blocks);
  if (gaps === null) return null;
  const { readPart } = await import("../config/part.js");
  const pieces: Piece[] = [];
  const lineOf = mappings.column("line");
  let next = 0;
  for (const { first, end, now, bytes } of gaps.list) {
    const from = firstFrom(lineOf, first);
    const to = firstFrom(lineOf, end);
    push(pieces, { first: next, count: from - next, lines: now - first });
    const part = bytes.length === 0 ? null : readPart({ name, bytes }, now, before);
    if (bytes.length > 0 && part === null) return null;
    for (const piece of match(mappings, from, to, part ?? [])) push(pieces, piece);
    next = to;
  }
  push(pieces, { first: next, count: mappings.length - next, lines: gaps.shift });
  const added = addedBy(pieces);
  const host = await warnOfHost(added, before.services);
  const destinations = [...new Set([...known.destinations, ...host.destinations])];
  const absent = await findAbsent(destinations);
  if (host.warnings.length > 0 || absent.size > 0) return null;
  const revision = { of: before, pieces, name };
  const revised = revise(mappings, revision);
  const file = { ...before, mappings: revised };
  if (!fits(file, revision)) return null;
  return {
    file,
    revision,
    known: {
      surroundings: known.surroundings,
      names: [name],
      warnings: [],
      destinations,
      absent: [],
      blocks: { packed: packBlocks(gaps.blocks), lines: digestOfLines(revised) },
    },
  };
}

/** The digests of the blocks that are known. */
export function blockDigests({ blocks }: KnownText): ReadonlySet<string> {
  return new Set(blocks === null ? [] : unpackBlocks(blocks.packed).map(({ digest }) => digest));
}

/** What is to be known of a text that was read whole, all of whose mappings are in `file`. Null: it is not such a file. */
export function knownBlocks(
  files: readonly InputDigest[],
  given: readonly string[],
  { mappings }: RuleSet,
): KnownBlocks | null {
  const [only] = files;
  if (files.length !== 1 || only === undefined || only.blocks.length === 0) return null;
  if (given.length > 0) return null;
  const blocks = only.blocks.map(({ digest, bytes }) => ({
    digest,
    lines: bytes === null ? 0 : countLines(bytes),
  }));
  return { packed: packBlocks(blocks), lines: digestOfLines(toColumns(mappings)) };
}

/** Lines of the text in force, from `first` on and before `end` (numbers from 1 on), in the place of which others are. */
interface Gap {
  readonly first: number;
  readonly end: number;
  /** The number of the first of the new ones. */
  readonly now: number;
  readonly bytes: Buffer;
}

interface Gaps {
  readonly list: readonly Gap[];
  /** By how many lines what follows the last has moved. */
  readonly shift: number;
  /** Of the new text. */
  readonly blocks: readonly Block[];
}

/** Null: blocks are in another order. */
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
      // The last line need not end.
      const end = until === before.length ? Infinity : lineOf(until);
      list.push({ first: lineOf(next), end, now: freshLine, bytes });
    }
    fresh = [];
  };
  for (const { digest, bytes } of after) {
    const place = bytes === null ? places.get(digest) : undefined;
    if (place === undefined || place < next) {
      if (bytes === null) return null;
      fresh.push(bytes);
      blocks.push({ digest, lines: countLines(bytes) });
      line += countLines(bytes);
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

/** The index of the first that is `line` or further down. */
function firstFrom(lines: Uint32Array, line: number): number {
  let low = 0;
  let high = lines.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((lines[middle] ?? 0) < line) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Mappings in the place of those from `from` on and before `to`; some are the same. */
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

/** As one with the last where that is possible. */
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
