/**
 * What is kept of a configuration beside the rules that it led to, so that the same text again need
 * not be read: not parsed, not checked, not compiled; and of a large file of lines only those that
 * are others. Equal digests mean equal rules and equal warnings, but for those of addresses that
 * the host has not, which are looked at each time.
 */
import { createHash } from "node:crypto";
import { resolve } from "node:path";
import type { EphemeralPorts } from "../rules/ephemeral.js";
import { BLOCK_DIGEST_BYTES } from "../config/blocks.js";
import type { InputDigest } from "../config/input.js";
import type { Problem } from "../errors.js";
import { findAbsent } from "../kernel/host-addresses.js";
import type { Address } from "../model/address.js";
import type { MappingColumns } from "../model/mapping-columns.js";

export interface KnownText {
  /** As digestOfText gives it. */
  readonly digest: string;
  /** As digestOfSurroundings gives it. */
  readonly surroundings: string;
  /** The files as they were named then, and as warnings name them. */
  readonly names: readonly string[];
  readonly warnings: readonly Problem[];
  /** As in HostWarnings, when `warnings` were found. */
  readonly destinations: readonly Address[];
  readonly absent: readonly Address[];
  /**
   * Where a large file of lines is among the files, and nothing is given beside them; else null.
   */
  readonly blocks: KnownBlocks | null;
}

export interface KnownBlocks {
  /** In the order of their names. */
  readonly files: readonly KnownFile[];
  /**
   * As digestOfLines gives it: what is in force may have been read from another text, which means
   * the same.
   */
  readonly lines: string;
}

export interface KnownFile {
  /** As in InputDigest. */
  readonly digest: string;
  /** As packBlocks gives them; null: it is not a large file of lines. */
  readonly blocks: string | null;
}

/** What text means depends on this too, and its warnings on the host's addresses. */
export interface Surroundings {
  /** Mappings given beside the files. */
  readonly given: readonly string[];
  /** Of ilm, as buildDigest has it. */
  readonly build: string;
  /** Ports that the kernel gives to clients; undefined: not known. */
  readonly ephemeral: EphemeralPorts | undefined;
}

export interface DigestedFile extends InputDigest {
  /** As given. */
  readonly name: string;
}

/** SHA-256 in hexadecimal. */
export function digestOfSurroundings({ given, build, ephemeral }: Surroundings): string {
  const text = JSON.stringify({ build, given, ephemeral });
  return createHash("sha256").update(text).digest("hex");
}

/** SHA-256 in hexadecimal. `source`: the path by which the files are read again. */
export function digestOfText(
  surroundings: string,
  source: string | null,
  files: readonly DigestedFile[],
): string {
  const read = files.map(({ name, length, digest }) => [resolve(name), length, digest]);
  const text = JSON.stringify([surroundings, source, read]);
  return createHash("sha256").update(text).digest("hex");
}

export function formatKnownText(known: KnownText): string {
  return JSON.stringify(known);
}

/**
 * Null: it is of other surroundings, and if another build has written it, perhaps in another shape.
 */
export function readKnownText(text: string, surroundings: string): KnownText | null {
  const known = JSON.parse(text) as KnownText;
  return known.surroundings === surroundings ? known : null;
}

/** The warnings of that very text. Null: they may be others now. */
export async function warningsOfKnown(
  known: KnownText,
  names: readonly string[],
): Promise<readonly Problem[] | null> {
  const named = known.names.every((name, index) => name === names[index]);
  if (!named && known.warnings.length > 0) return null;
  const absent = await findAbsent(known.destinations);
  const same =
    absent.size === known.absent.length && known.absent.every((address) => absent.has(address));
  return same ? known.warnings : null;
}

/** Some lines of a file. */
export interface Block {
  readonly digest: string;
  readonly lines: number;
}

const DIGEST_DIGITS = 2 * BLOCK_DIGEST_BYTES;
const BLOCK_BYTES = BLOCK_DIGEST_BYTES + 4;

export function packBlocks(blocks: readonly Block[]): string {
  const bytes = Buffer.alloc(blocks.length * BLOCK_BYTES);
  for (const [index, { digest, lines }] of blocks.entries()) {
    bytes.write(digest, index * BLOCK_BYTES, "hex");
    bytes.writeUInt32LE(lines, index * BLOCK_BYTES + BLOCK_DIGEST_BYTES);
  }
  return bytes.toString("base64");
}

export function unpackBlocks(packed: string): Block[] {
  const bytes = Buffer.from(packed, "base64");
  const hex = bytes.toString("hex");
  const blocks: Block[] = [];
  for (let at = 0; at < bytes.length; at += BLOCK_BYTES) {
    const digest = hex.slice(2 * at, 2 * at + DIGEST_DIGITS);
    blocks.push({ digest, lines: bytes.readUInt32LE(at + BLOCK_DIGEST_BYTES) });
  }
  return blocks;
}

/** Of the lines that mappings are on. */
export function digestOfLines(mappings: MappingColumns): string {
  return createHash("sha512-256").update(mappings.bytesOf("line")).digest("hex");
}
