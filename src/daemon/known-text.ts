/**
 * What is kept of a configuration beside the rules that it led to, so that the same text again need not be read: not parsed, not
 * checked, not compiled. Equal digests mean equal rules and equal warnings, but for those of addresses that the host has not, which
 * are looked at each time.
 */
import { createHash } from "node:crypto";
import { resolve } from "node:path";
import type { EphemeralPorts } from "../compile/ephemeral.js";
import type { InputDigest } from "../config/input.js";
import type { Problem } from "../errors.js";
import { findAbsent } from "../kernel/host-addresses.js";
import type { Address } from "../model/address.js";
import type { HostWarnings } from "./host-warnings.js";

export interface KnownText {
  /** As digestOfText gives it. */
  readonly digest: string;
  /** The files as they were named then, and as warnings name them. */
  readonly names: readonly string[];
  readonly warnings: readonly Problem[];
  /** As in HostWarnings, when `warnings` were found. */
  readonly destinations: readonly Address[];
  readonly absent: readonly Address[];
}

export interface DigestedFile extends InputDigest {
  /** As given. */
  readonly name: string;
}

/** What rules and their warnings depend on beside the files, but for the host's addresses. */
export interface Surroundings {
  /** Mappings given beside the files. */
  readonly given: readonly string[];
  /** Of ilm, as buildDigest has it. */
  readonly build: string;
  /** Ports that the kernel gives to clients; undefined: not known. */
  readonly ephemeral: EphemeralPorts | undefined;
}

/** SHA-256 in hexadecimal. `source`: the path by which the files are read again. */
export function digestOfText(
  { given, build, ephemeral }: Surroundings,
  source: string | null,
  files: readonly DigestedFile[],
): string {
  const named = files.map(({ name, length, digest }) => [resolve(name), length, digest]);
  const text = JSON.stringify({ build, source, given, ephemeral, named });
  return createHash("sha256").update(text).digest("hex");
}

export function formatKnownText(
  digest: string,
  names: readonly string[],
  { warnings, destinations, absent }: HostWarnings,
): string {
  const known: KnownText = { digest, names, warnings, destinations, absent };
  return JSON.stringify(known);
}

/** The warnings of text with that digest. Null: it is not known to be what was read, or they may be others now. */
export async function warningsOfKnown(
  text: string,
  digest: string,
  names: readonly string[],
): Promise<readonly Problem[] | null> {
  // What another build has written has another digest, and perhaps another shape.
  const known = JSON.parse(text) as KnownText;
  if (known.digest !== digest) return null;
  const named = known.names.every((name, index) => name === names[index]);
  if (!named && known.warnings.length > 0) return null;
  const absent = await findAbsent(known.destinations);
  const same =
    absent.size === known.absent.length && known.absent.every((address) => absent.has(address));
  return same ? known.warnings : null;
}
