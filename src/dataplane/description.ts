/**
 * A generation describes itself: its rules lie beside its tables, so that nothing else has to be believed. The head is what most
 * questions need, and short; the file's mappings are parts of gzipped JSON: a million of them are longer than a text may be.
 */
import { createHash } from "node:crypto";
import { gunzipSync, gzipSync } from "node:zlib";
import { essenceOfMapping } from "../compile/diff.js";
import {
  type Engine,
  type MptcpMode,
  type Mapping,
  type Protocol,
  type RuleSet,
  type Service,
  mappingKey,
} from "../model/mapping.js";
import { beginStep, tellShare } from "../progress.js";
import type { InForce } from "./types.js";

export interface Description extends Omit<InForce, "off" | "earlierFormat" | "fileDigest"> {
  /** Number of the registry that it uses. */
  readonly registry: number;
  /** What the places of `interfaces` stand for; [0] is none. */
  readonly interfaces: readonly string[];
  readonly fileDigest: string;
  /** Of all. */
  readonly digest: string;
  /** Of the mappings. */
  readonly protocols: readonly Protocol[];
  /** Some destination of TCP has `handover: ingress`. */
  readonly steersTcp: boolean;
  /** A secret of 32 bits, with which clients draw among weighted destinations: the same until unload, so that they keep theirs. */
  readonly drawSeed: number;
  /** Set when the mappings added at run time are an overlay, so that they can be changed alone. */
  readonly layers: Layers | null;
  /** Number of the program set whose tables it is in, and the side of these. */
  readonly programs: number;
  readonly side: 0 | 1;
  /** True: the next generation fits on the other side, if it is not larger than the tables. */
  readonly twoSided: boolean;
}

/** The tables that the file's mappings have filled; behind their entries there are two sides for overlays. */
export interface Layers {
  readonly protocols: readonly Protocol[];
  readonly mappings: number;
  readonly rules: number;
  readonly destinations: number;
}

interface Head extends Omit<Description, "rules"> {
  readonly source: string | null;
  /** What the file asks for; `engine` is what became of it. */
  readonly wantedEngine: Engine;
  /** From format 6 on. */
  readonly mptcp?: MptcpMode;
  readonly services: readonly Service[];
  readonly runtime: readonly Mapping[];
}

const MAPPINGS_PER_PART = 10_000;
/** The value size of the maps that only the control plane reads. */
export const CHUNK = 4096;

/** Would applying these rules change anything? Not when the digest of those in force is the same. */
export function digestOfFile(source: string | null, file: RuleSet): string {
  const hash = createHash("sha256");
  const { services, mappings } = file;
  const { engine = "auto", mptcp = "on" } = file;
  const head = [
    source,
    engine,
    mptcp,
    services.map(({ name, addresses, handover, originate }) => [
      name,
      addresses,
      handover,
      originate,
    ]),
  ];
  hash.update(JSON.stringify([head, mappings.length]));
  for (let start = 0; start < mappings.length; start += MAPPINGS_PER_PART) {
    const part = mappings.slice(start, start + MAPPINGS_PER_PART);
    hash.update(JSON.stringify(part.map(essenceOfMapping)));
  }
  return hash.digest("hex");
}

export function digestOf(fileDigest: string, runtime: readonly Mapping[]): string {
  const text = JSON.stringify([fileDigest, runtime.map(essenceOfMapping)]);
  return createHash("sha256").update(text).digest("hex");
}

export function packHead({ rules, ...head }: Description): Uint8Array {
  const { engine: wantedEngine = "auto", mptcp = "on", services } = rules.file;
  const { source, runtime } = rules;
  const whole: Head = { ...head, source, wantedEngine, mptcp, services, runtime };
  return packParts([pack(whole)]);
}

export function packMappings(mappings: readonly Mapping[]): Uint8Array {
  beginStep("packing the rules");
  const parts: Uint8Array[] = [];
  for (let start = 0; start < mappings.length; start += MAPPINGS_PER_PART) {
    tellShare(start, mappings.length);
    parts.push(pack(mappings.slice(start, start + MAPPINGS_PER_PART)));
  }
  return packParts(parts);
}

/** Length of the whole, then each part with its length before it: 4 bytes, little-endian. Padded to whole chunks. */
function packParts(parts: readonly Uint8Array[]): Uint8Array {
  const length = parts.reduce((sum, part) => sum + 4 + part.length, 4);
  const bytes = new Uint8Array(Math.ceil(length / CHUNK) * CHUNK);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, length, true);
  let at = 4;
  for (const part of parts) {
    view.setUint32(at, part.length, true);
    bytes.set(part, at + 4);
    at += 4 + part.length;
  }
  return bytes;
}

function pack(value: unknown): Uint8Array {
  return gzipSync(JSON.stringify(value), { level: 1 });
}

/** Of bytes that are no head; whatever else fails is thrown. */
export function isUndecodable(error: unknown): boolean {
  if (error instanceof SyntaxError || error instanceof RangeError) return true;
  return error instanceof Error && "code" in error && String(error.code).startsWith("Z_");
}

/** Written by `packHead` of this version; of an earlier one, what came later is missing. `source`: what `packMappings` wrote; asked for when the file's mappings are. */
export function unpackDescription(headBytes: Uint8Array, source: () => Uint8Array): Description {
  const [first] = unpackParts(headBytes);
  if (first === undefined) throw new RangeError("the description has no head");
  const {
    source: path,
    wantedEngine,
    mptcp = "on",
    services,
    runtime,
    ...head
  } = unpack(first) as Head;
  let mappings: readonly Mapping[] | undefined;
  const file = {
    engine: wantedEngine,
    mptcp,
    services,
    get mappings(): readonly Mapping[] {
      if (mappings === undefined) {
        beginStep("reading what is in force");
        mappings = unpackParts(source()).flatMap((part, index, parts) => {
          tellShare(index, parts.length);
          return unpack(part) as Mapping[];
        });
      }
      return mappings;
    },
  };
  return { ...head, rules: { source: path, file, runtime } };
}

function unpackParts(bytes: Uint8Array): Uint8Array[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = view.getUint32(0, true);
  const parts: Uint8Array[] = [];
  for (let at = 4; at < length;) {
    const size = view.getUint32(at, true);
    parts.push(bytes.subarray(at + 4, at + 4 + size));
    at += 4 + size;
  }
  return parts;
}

function unpack(part: Uint8Array): unknown {
  return JSON.parse(gunzipSync(part).toString("utf8"));
}

/** Sorted, one for each of the mappings: whose is not among them is not their name. */
export function hashNames(mappings: readonly Mapping[]): BigUint64Array {
  return BigUint64Array.from(mappings, (mapping) => nameHash(mappingKey(mapping))).sort();
}

/** FNV-1a over UTF-16 code units, twice, as 64 bits (draft-eastlake-fnv). */
export function nameHash(key: string): bigint {
  let low = 0x811c9dc5;
  let high = 0x1b873593;
  for (let i = 0; i < key.length; i++) {
    const unit = key.charCodeAt(i);
    low = Math.imul(low ^ unit, 0x01000193);
    high = Math.imul(high ^ (unit + i), 0x01000193);
  }
  return (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
}
