/**
 * A text beside a generation's rules, in one value of a map: its length, its SHA-256, and the text
 * in UTF-8.
 */
import { createHash } from "node:crypto";
import { type BpfMap, createArray } from "../../kernel/bpf/map.js";

/**
 * The room, in bytes, for a digest, some file names and a few dozen warnings. Longer text is not
 * kept.
 */
const ROOM = 16384;
/** Extra bytes for each mapping of the file: one digest covers some hundred of its lines. */
const ROOM_EACH = 0.5;
const DIGEST_AT = 4;
const TEXT_AT = 36;
const key = new Uint8Array(4);

/** Creates the map for the text of a file with this many mappings. */
export function createTextMap(mappings: number): BpfMap {
  return createArray("text", 8 * Math.ceil((ROOM + mappings * ROOM_EACH) / 8), 1);
}

function digestOf(bytes: Uint8Array): Buffer {
  return createHash("sha256").update(bytes).digest();
}

/** Replaces the previous text. Text that does not fit leaves none. */
export function writeText(map: BpfMap, text: string): void {
  const value = Buffer.alloc(map.valueSize);
  const bytes = Buffer.from(text);
  if (TEXT_AT + bytes.length <= value.length) {
    value.writeUInt32LE(bytes.length);
    digestOf(bytes).copy(value, DIGEST_AT);
    bytes.copy(value, TEXT_AT);
  }
  map.update(key, value);
}

/**
 * Returns the text, or null when there is none or another process is writing it at this moment (the
 * kernel copies values without a lock).
 */
export function readText(map: BpfMap): string | null {
  const read = map.lookup(key);
  if (read === undefined) return null;
  const value = Buffer.from(read.buffer, read.byteOffset, read.byteLength);
  const length = value.readUInt32LE();
  if (length === 0 || TEXT_AT + length > value.length) return null;
  const bytes = value.subarray(TEXT_AT, TEXT_AT + length);
  const digest = value.subarray(DIGEST_AT, TEXT_AT);
  return digestOf(bytes).equals(digest) ? bytes.toString("utf8") : null;
}
