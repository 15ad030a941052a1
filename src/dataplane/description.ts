/**
 * A generation describes itself: its rules lie beside its tables, so that nothing else has to be believed. In parts of gzipped
 * JSON: a million mappings are longer than a text may be, and most questions need only the first part.
 */
import { createHash } from "node:crypto";
import { gunzipSync, gzipSync } from "node:zlib";
import { essenceOfMapping } from "../compile/diff.js";
import type { Engine, Mapping, Rules, Service } from "../model/mapping.js";
import type { InForce } from "./types.js";

export interface Description extends InForce {
  /** Number of the registry that it uses. */
  readonly registry: number;
  /** What the places of `interfaces` stand for; [0] is none. */
  readonly interfaces: readonly string[];
  /** Of what the rules mean: equal for equal rules, wherever they were written. */
  readonly digest: string;
}

/** The first part. The others hold the file's mappings. */
interface Head extends Omit<Description, "rules"> {
  readonly source: string | null;
  /** What the file asks for; `engine` is what became of it. */
  readonly wantedEngine: Engine;
  readonly services: readonly Service[];
  readonly runtime: readonly Mapping[];
}

const MAPPINGS_PER_PART = 10_000;
/** The value size of the map `source` (bpf/tables.h). */
export const CHUNK = 4096;

/** Would applying these rules change anything? Not when the digest of those in force is the same. */
export function digestOf(rules: Rules): string {
  const hash = createHash("sha256");
  const { services, mappings } = rules.file;
  const engine = rules.file.engine ?? "auto";
  const head = [rules.source, engine, services.map(({ name, addresses }) => [name, addresses])];
  hash.update(JSON.stringify([head, mappings.length, rules.runtime.length]));
  for (const list of [mappings, rules.runtime]) {
    for (let start = 0; start < list.length; start += MAPPINGS_PER_PART) {
      const part = list.slice(start, start + MAPPINGS_PER_PART);
      hash.update(JSON.stringify(part.map(essenceOfMapping)));
    }
  }
  return hash.digest("hex");
}

/** Length of the whole, then each part with its length before it: 4 bytes, little-endian. Padded to whole chunks. */
export function packDescription({ rules, ...head }: Description): Uint8Array {
  const { engine: wantedEngine = "auto", services, mappings } = rules.file;
  const { source, runtime } = rules;
  const parts = [pack({ ...head, source, wantedEngine, services, runtime } satisfies Head)];
  for (let start = 0; start < mappings.length; start += MAPPINGS_PER_PART) {
    parts.push(pack(mappings.slice(start, start + MAPPINGS_PER_PART)));
  }
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

/** The file's mappings are unpacked when they are first asked for. Written by `packDescription` of this version only. */
export function unpackDescription(bytes: Uint8Array): Description {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = view.getUint32(0, true);
  const parts: Uint8Array[] = [];
  for (let at = 4; at < length;) {
    const size = view.getUint32(at, true);
    parts.push(bytes.subarray(at + 4, at + 4 + size));
    at += 4 + size;
  }
  const [first, ...rest] = parts;
  if (first === undefined) throw new RangeError("the description has no parts");
  const { source, wantedEngine, services, runtime, ...head } = unpack(first) as Head;
  let mappings: readonly Mapping[] | undefined;
  const file = {
    engine: wantedEngine,
    services,
    get mappings(): readonly Mapping[] {
      mappings ??= rest.flatMap((part) => unpack(part) as Mapping[]);
      return mappings;
    },
  };
  return { ...head, rules: { source, file, runtime } };
}

function unpack(part: Uint8Array): unknown {
  return JSON.parse(gunzipSync(part).toString("utf8"));
}
