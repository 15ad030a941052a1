/**
 * What is kept about a configuration beside the rules it led to, so that the same text need not be
 * parsed, checked and compiled again, and of a large file of lines only the changed ones. Equal
 * digests mean equal rules and equal warnings, except those about addresses that the host lacks,
 * which are checked each time.
 */
import { createHash } from "node:crypto";
import { resolve } from "node:path";
import type { EphemeralPorts } from "../rules/ephemeral.js";
import { BLOCK_DIGEST_BYTES } from "../config/blocks.js";
import type { InputDigest } from "../config/input.js";
import type { Problem } from "../errors.js";
import { findAbsent } from "../kernel/up-addresses.js";
import type { Address } from "../model/address.js";
import type { MappingColumns } from "../model/mapping-columns.js";

export interface KnownText {
  /** The digest of the text, from digestOfText. */
  readonly digest: string;
  /** The digest of the surroundings, from digestOfSurroundings. */
  readonly surroundings: string;
  /** The names of the files at that time, which the warnings use. */
  readonly names: readonly string[];
  readonly warnings: readonly Problem[];
  /**
   * The destinations that have to be addresses of this host, as in HostWarnings, when `warnings`
   * were found.
   */
  readonly destinations: readonly Address[];
  readonly absent: readonly Address[];
  /**
   * The blocks of the files; null unless a large file of lines is among them and nothing is given
   * beside them.
   */
  readonly blocks: KnownBlocks | null;
}

export interface KnownBlocks {
  /** The files, in the order of their names. */
  readonly files: readonly KnownFile[];
  /**
   * The digest from digestOfLines: the active rules may have been read from another text with the
   * same meaning.
   */
  readonly lines: string;
}

export interface KnownFile {
  /** The digest of the file, as in InputDigest. */
  readonly digest: string;
  /** The blocks from packBlocks; null when this is not a large file of lines. */
  readonly blocks: string | null;
}

/**
 * What the meaning of a text depends on, apart from the host's addresses, which matter to the
 * warnings.
 */
export interface Surroundings {
  /** The mappings given beside the files. */
  readonly given: readonly string[];
  /** The build of ilm, from buildDigest. */
  readonly build: string;
  /** The ports that the kernel gives to clients; undefined when unknown. */
  readonly ephemeral: EphemeralPorts | undefined;
  /** Whether lo takes IPv6 addresses. */
  readonly ipv6: boolean;
}

export interface DigestedFile extends InputDigest {
  /** The file's name as given. */
  readonly name: string;
}

/** Returns the SHA-256 of the surroundings in hexadecimal. */
export function digestOfSurroundings(surroundings: Surroundings): string {
  const { given, build, ephemeral, ipv6 } = surroundings;
  const text = JSON.stringify({ build, given, ephemeral, ipv6 });
  return createHash("sha256").update(text).digest("hex");
}

/**
 * Returns the SHA-256 of the text in hexadecimal. `sources` are the paths by which the files
 * are read again.
 */
export function digestOfText(
  surroundings: string,
  sources: readonly string[],
  files: readonly DigestedFile[],
): string {
  const read = files.map(({ name, length, digest }) => [resolve(name), length, digest]);
  const text = JSON.stringify([surroundings, sources, read]);
  return createHash("sha256").update(text).digest("hex");
}

export function formatKnownText(known: KnownText): string {
  return JSON.stringify(known);
}

/**
 * Parses what was kept. Returns null when it has other surroundings, which includes another build,
 * whose format may differ.
 */
export function readKnownText(text: string, surroundings: string): KnownText | null {
  const known = JSON.parse(text) as KnownText;
  return known.surroundings === surroundings ? known : null;
}

/** Returns the warnings of that very text, or null when they may have changed. */
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

/** Some consecutive lines of a file. */
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

/** Digests the lines that mappings are on. */
export function digestOfLines(mappings: MappingColumns): string {
  return createHash("sha512-256").update(mappings.bytesOf("line")).digest("hex");
}
