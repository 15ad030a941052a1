/**
 * A text beside a generation's rules, in one value of a map: its length, its SHA-256, and itself as
 * UTF-8.
 */
import { createHash } from "node:crypto";
import { type BpfMap, createArray } from "../../kernel/bpf/map.js";

/** Bytes: digest, some names of files and a few dozens of warnings. What is longer is not kept. */
const ROOM = 16384;
/** Bytes for each mapping of the file: of its lines, some hundreds have a digest together. */
const ROOM_EACH = 0.5;
const DIGEST_AT = 4;
const TEXT_AT = 36;
const key = new Uint8Array(4);

/** For the text of a file with so many mappings. */
export function createTextMap(mappings: number): BpfMap {
  return createArray("text", 8 * Math.ceil((ROOM + mappings * ROOM_EACH) / 8), 1);
}

function digestOf(bytes: Uint8Array): Buffer {
  return createHash("sha256").update(bytes).digest();
}

/** Takes the place of the one before; one that does not fit is as none. */
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
 * Null: there is none, or another process is writing it at this moment (the kernel copies values
 * without a lock).
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
