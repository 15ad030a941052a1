/**
 * Text in blocks of whole lines. Where they end is said by the lines themselves, so that a change
 * moves the ends near it and no others (content-defined chunking, as in rsync --fuzzy, FastCDC and
 * casync): after it the blocks are those of before.
 */
import { createHash } from "node:crypto";

const NEWLINE = 0x0a;
/** Bytes; no line of a block is looked at before. */
const AT_LEAST = 8 * 1024;
/** One line in so many ends a block. A power of two. */
const ONE_IN = 128;
/** SHA-512/256, cut to 128 bits: text that is no accident may be there too. */
const DIGEST = "sha512-256";
export const BLOCK_DIGEST_BYTES = 16;

/** FNV-1a of a line, its newline not counted, with the bits below mixed by those above. */
function endsBlock(bytes: Uint8Array, start: number, end: number): boolean {
  let hash = 0x811c9dc5;
  for (let i = start; i < end; i++) hash = Math.imul(hash ^ (bytes[i] ?? 0), 0x01000193);
  hash ^= hash >>> 15;
  return ((hash ^ (hash >>> 7)) & (ONE_IN - 1)) === 0;
}

/**
 * The end of the block that begins at `start`; -1: it may go on behind `bytes`. `isLast`: nothing
 * comes behind them.
 */
function endOfBlock(bytes: Buffer, start: number, isLast: boolean): number {
  // From the line on in which the least size is reached, wherever that is in it.
  let lineStart = bytes.lastIndexOf(NEWLINE, start + AT_LEAST) + 1;
  if (start + AT_LEAST >= bytes.length) return isLast ? bytes.length : -1;
  if (lineStart <= start) lineStart = start;
  for (;;) {
    const newline = bytes.indexOf(NEWLINE, lineStart);
    if (newline < 0) return isLast ? bytes.length : -1;
    if (endsBlock(bytes, lineStart, newline)) return newline + 1;
    lineStart = newline + 1;
  }
}

export function countLines(bytes: Buffer): number {
  let count = 0;
  for (let at = bytes.indexOf(NEWLINE); at >= 0; at = bytes.indexOf(NEWLINE, at + 1)) count++;
  return count;
}

/** Hexadecimal. */
export function digestOfBlock(bytes: Uint8Array): string {
  return createHash(DIGEST)
    .update(bytes)
    .digest("hex")
    .slice(0, 2 * BLOCK_DIGEST_BYTES);
}

/**
 * The blocks that `bytes` has whole, as views; with `isLast` all of it. What is left, the caller
 * gives again with what comes.
 */
export function* blocksOf(bytes: Buffer, isLast: boolean): Generator<Buffer> {
  for (let start = 0; start < bytes.length;) {
    const end = endOfBlock(bytes, start, isLast);
    if (end < 0) return;
    yield bytes.subarray(start, end);
    start = end;
  }
}
