/** A file's mappings expressed by what they were before: most of a large file does not change. */
import type { Mapping, Service } from "./mapping.js";
import { type FileHead, type FilePart, type RuleSet, settingsOf } from "./rules.js";
import {
  type Kept,
  type MappingColumns,
  MappingColumnsBuilder,
  toColumns,
} from "./mapping-columns.js";

/** One part of the file, in its order: a run that stays, or mappings that are new or changed. */
export type Piece = Kept | readonly Mapping[];

export interface Revision {
  /** The previous file's part: the very object. */
  readonly of: FilePart;
  readonly pieces: readonly Piece[];
  /** The file in which all mappings are now written; null when they are where they were. */
  readonly name: string | null;
}

export function isKept(piece: Piece): piece is Kept {
  return "first" in piece;
}

/** Returns what the revision leads to: the same as reading the file would. */
export function revise({ of, pieces, name }: Revision): RuleSet {
  const before = of.read();
  const mappings = reviseMappings(toColumns(before.mappings), { pieces, name });
  if (name === null) return { ...before, mappings };
  return { ...before, services: before.services.map((one) => inFile(one, name)), mappings };
}

/** Reports whether everything except the mappings is equal, in whatever file. */
export function isSameBeside(one: FileHead, other: FileHead): boolean {
  const text = (head: FileHead): string =>
    JSON.stringify([settingsOf(head), head.services.map((service) => inFile(service, ""))]);
  return text(one) === text(other);
}

/** Returns the service as written in a file of that name. */
function inFile(service: Service, name: string): Service {
  return { ...service, origin: { ...service.origin, file: name } };
}

export function reviseMappings(
  before: MappingColumns,
  { pieces, name }: Pick<Revision, "pieces" | "name">,
): MappingColumns {
  const builder = new MappingColumnsBuilder();
  builder.reserve(before.length);
  for (const piece of pieces) {
    if (isKept(piece)) builder.append(before, piece, name);
    else for (const mapping of piece) builder.push(mapping);
  }
  return builder.finish();
}

/** Returns the indexes of the previous mappings that do not stay, in order. */
export function removedBy(pieces: readonly Piece[], length: number): number[] {
  const kept = pieces.filter(isKept).toSorted((a, b) => a.first - b.first);
  const removed: number[] = [];
  let next = 0;
  for (const { first, count } of [...kept, { first: length, count: 0 }]) {
    for (; next < first; next++) removed.push(next);
    next = first + count;
  }
  return removed;
}

export function addedBy(pieces: readonly Piece[]): Mapping[] {
  return pieces.flatMap((piece) => (isKept(piece) ? [] : piece));
}

/**
 * Reports whether the pieces keep only mappings that exist, of the `length` previous ones, and none
 * twice.
 */
export function areSound(pieces: readonly Piece[], length: number): boolean {
  const kept = pieces.filter(isKept).toSorted((a, b) => a.first - b.first);
  return kept.every(({ first, count }, index) => {
    const next = kept[index + 1]?.first ?? length;
    return first + count <= next;
  });
}
