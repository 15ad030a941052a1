/**
 * Splits text into blocks of whole lines. The lines themselves determine where a block ends, so a
 * change moves only the ends near it (content-defined chunking, as in rsync --fuzzy, FastCDC and
 * casync). Behind it, the blocks are the same as before.
 */
import { createHash } from "node:crypto";

const NEWLINE = 0x0a;
/** The minimum size in bytes. No line before that can end a block. */
const AT_LEAST = 8 * 1024;
/** One line in this many ends a block. It must be a power of two. */
const ONE_IN = 128;
/** SHA-512/256, cut to 128 bits: the text may be crafted, too. */
const DIGEST = "sha512-256";
export const BLOCK_DIGEST_BYTES = 16;

/** Hashes a line without its newline by FNV-1a, and mixes the high bits into the low ones. */
function endsBlock(bytes: Uint8Array, start: number, end: number): boolean {
  let hash = 0x811c9dc5;
  for (let i = start; i < end; i++) hash = Math.imul(hash ^ (bytes[i] ?? 0), 0x01000193);
  hash ^= hash >>> 15;
  return ((hash ^ (hash >>> 7)) & (ONE_IN - 1)) === 0;
}

/**
 * Returns the end of the block that begins at `start`, or -1 if it may go on behind `bytes`.
 * `isLast` says that nothing follows.
 */
function endOfBlock(bytes: Buffer, start: number, isLast: boolean): number {
  // Start with the line that reaches the minimum size, wherever that is within the line.
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

/** Returns the digest of a block in hexadecimal. */
export function digestOfBlock(bytes: Uint8Array): string {
  return createHash(DIGEST)
    .update(bytes)
    .digest("hex")
    .slice(0, 2 * BLOCK_DIGEST_BYTES);
}

/**
 * Yields the complete blocks in `bytes`, as views; with `isLast`, everything. The caller passes the
 * remainder again, with what follows.
 */
export function* blocksOf(bytes: Buffer, isLast: boolean): Generator<Buffer> {
  for (let start = 0; start < bytes.length;) {
    const end = endOfBlock(bytes, start, isLast);
    if (end < 0) return;
    yield bytes.subarray(start, end);
    start = end;
  }
}
