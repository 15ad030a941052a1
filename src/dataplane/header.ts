/**
 * Who wrote the state and what it holds, for every version of ilm: JSON in a map that is bound to
 * the `sk_lookup` program, so that whoever finds the link finds it, also when the pins are gone.
 * Its fields are only added to; `bpftool map dump name ilm_header` shows it.
 */
import { ILM_ABI_VERSION } from "../abi/generated.js";
import { IlmError } from "../errors.js";
import { type BpfProgram, bindMap, mapOfProgram } from "../kernel/bpf/program.js";
import { type BpfMap, createArray } from "../kernel/bpf/map.js";
import { printable } from "../printable.js";
import { version } from "../version.js";
import type { Description } from "./description.js";

export interface Header {
  /** Version of ilm. */
  readonly ilm: string;
  /** ILM_ABI_VERSION: of the maps and what they mean. */
  readonly format: number;
  /** What it holds, as of the last change. */
  readonly generation: number;
  /** ISO 8601, UTC. */
  readonly appliedAt: string;
  /** All, with those that were added at run time. */
  readonly mappings: number;
  readonly runtimeMappings: number;
  /** Addresses of services. */
  readonly addresses: number;
}

const NAME = "ilm_header";
/** Of the whole text in bytes; behind it there are zeros. */
const SIZE = 4096;
const zeroKey = new Uint8Array(4);

/** An empty one, which lives as long as the program; to be closed. */
export function attachHeader(program: BpfProgram): BpfMap {
  const map = createArray(NAME, SIZE, 1);
  try {
    bindMap(program, map);
  } catch (error) {
    map.close();
    throw error;
  }
  return map;
}

/** To be closed. Undefined: the program has none, as those of formats up to 8. */
export function openHeader(programId: number): BpfMap | undefined {
  return mapOfProgram(programId, NAME);
}

/** `mappings`: how many the description has, which it would have to unpack to tell. */
export function writeHeader(map: BpfMap, description: Description, mappings: number): void {
  const { generation, appliedAt, rules } = description;
  const header: Header = {
    ilm: version,
    format: ILM_ABI_VERSION,
    generation,
    appliedAt,
    mappings,
    runtimeMappings: rules.runtime.length,
    addresses: rules.file.services.reduce((sum, { addresses }) => sum + addresses.length, 0),
  };
  const value = new Uint8Array(SIZE);
  value.set(new TextEncoder().encode(JSON.stringify(header)));
  map.update(zeroKey, value);
}

/** Undefined: the program has none, as those of formats up to 8, or it is not written yet. */
export function readHeader(programId: number): Header | undefined {
  const map = openHeader(programId);
  try {
    const value = map?.lookup(zeroKey);
    const end = value?.indexOf(0) ?? 0;
    if (value === undefined || end <= 0) return undefined;
    const text = new TextDecoder().decode(value.subarray(0, end));
    try {
      return JSON.parse(text) as Header;
    } catch (cause) {
      throw new IlmError("INCOMPATIBLE", "the header of the rules in force is not JSON", { cause });
    }
  } finally {
    map?.close();
  }
}

/**
 * "ilm 0.4.0 (state format 12): 40 mappings, 3 of them added at run time, 5 addresses of services,
 * since ..."
 */
export function describeHeader(header: Partial<Header>): string {
  const { ilm, format, mappings, runtimeMappings, addresses, appliedAt } = header;
  return printable(
    `ilm ${ilm ?? "?"} (state format ${format ?? "?"}): ${mappings ?? "?"} mappings, ${runtimeMappings ?? "?"} of them added at run time, ${addresses ?? "?"} addresses of services, in force since ${appliedAt ?? "?"}`,
  );
}
