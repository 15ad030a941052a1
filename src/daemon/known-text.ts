/**
 * What is kept of a configuration beside the rules that it led to, so that the same text again need not be read: not parsed, not
 * checked, not compiled. Equal digests mean equal rules and equal warnings, but for those of addresses that the host has not, which
 * are looked at each time.
 */
import { createHash } from "node:crypto";
import { resolve } from "node:path";
import type { EphemeralPorts } from "../compile/ephemeral.js";
import type { ReadResult } from "../config/read.js";
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

/** All that rules and their warnings depend on, but for the host's addresses. */
export interface TextToDigest {
  readonly source: string | null;
  readonly read: ReadResult;
  /** Mappings given beside the files. */
  readonly given: readonly string[];
  /** Of ilm, as buildDigest has it. */
  readonly build: string | null;
  /** Ports that the kernel gives to clients; undefined: not known. */
  readonly ephemeral: EphemeralPorts | undefined;
}

/** SHA-256 in hexadecimal. Null: not all of the files could be read, or the build is not known. */
export function digestOfText({
  source,
  read: { files, problems },
  given,
  build,
  ephemeral,
}: TextToDigest): string | null {
  if (build === null || problems.length > 0) return null;
  const named = files.map(({ name, bytes }) => [resolve(name), bytes.length]);
  const hash = createHash("sha256");
  hash.update(`${JSON.stringify({ build, source, given, ephemeral, named })}\n`);
  for (const { bytes } of files) hash.update(bytes);
  return hash.digest("hex");
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
