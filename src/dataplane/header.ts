/**
 * Who wrote the state and what it holds, for every version of ilm: JSON in a map bound to the
 * `sk_lookup` program, so that whoever finds the link finds it, even when the pins are gone. Fields
 * may only be added; `bpftool map dump name ilm_header` shows it.
 */
import { ILM_ABI_VERSION } from "../abi/generated.js";
import { IlmError } from "../errors.js";
import { type BpfProgram, bindMap, mapOfProgram } from "../kernel/bpf/program.js";
import { type BpfMap, createArray } from "../kernel/bpf/map.js";
import { printable } from "../printable.js";
import { version } from "../version.js";
import type { Description } from "./description.js";

export interface Header {
  /** The version of ilm that wrote the state. */
  readonly ilm: string;
  /** ILM_ABI_VERSION: the format of the maps and their meaning. */
  readonly format: number;
  /** The generation, as of the last change. */
  readonly generation: number;
  /** When the rules were applied: ISO 8601, UTC. */
  readonly appliedAt: string;
  /** The number of mappings, run-time ones included. */
  readonly mappings: number;
  readonly runtimeMappings: number;
  /** The number of services' addresses. */
  readonly addresses: number;
  /** What decides again after a time, if this generation is not confirmed; absent otherwise. */
  readonly backTo?: BackTo;
}

/** The generation that decides again. */
export interface BackTo {
  readonly generation: number;
  /** From when on: ISO 8601, UTC. */
  readonly from: string;
}

const NAME = "ilm_header";
/** The size of the whole text in bytes; zeros pad it. */
const SIZE = 4096;
const zeroKey = new Uint8Array(4);

/** Attaches an empty header that lives as long as the program. The caller closes the map. */
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

/**
 * Opens the program's header. The caller closes it. Returns undefined when the program has none, as
 * in formats up to 8.
 */
export function openHeader(programId: number): BpfMap | undefined {
  return mapOfProgram(programId, NAME);
}

/**
 * Writes the header. `mappings` is the number of all of them.
 */
export function writeHeader(
  map: BpfMap,
  description: Description,
  mappings: number,
  backTo: BackTo | null,
): void {
  const { generation, appliedAt, rules } = description;
  const header: Header = {
    ilm: version,
    format: ILM_ABI_VERSION,
    generation,
    appliedAt,
    mappings,
    runtimeMappings: rules.runtime.length,
    addresses: rules.file.head.services.reduce((sum, { addresses }) => sum + addresses.length, 0),
    ...(backTo !== null && { backTo }),
  };
  const value = new Uint8Array(SIZE);
  value.set(new TextEncoder().encode(JSON.stringify(header)));
  map.update(zeroKey, value);
}

/**
 * Returns the header, or undefined when the program has none, as in formats up to 8, or it is not
 * written yet.
 */
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
      throw new IlmError("INCOMPATIBLE", "the header of the active rules is not JSON", { cause });
    }
  } finally {
    map?.close();
  }
}

/**
 * Describes a header in words: "ilm 0.4.0 (state format 12): 40 mappings, 3 of them added at run
 * time, 5 addresses of services, active since ..."
 */
export function describeHeader(header: Partial<Header>): string {
  const { ilm, format, mappings, runtimeMappings, addresses, appliedAt, backTo } = header;
  const back =
    backTo === undefined
      ? ""
      : `, and generation ${backTo.generation} again from ${backTo.from} on unless confirmed`;
  return printable(
    `ilm ${ilm ?? "?"} (state format ${format ?? "?"}): ${mappings ?? "?"} mappings, ${runtimeMappings ?? "?"} of them added at run time, ${addresses ?? "?"} addresses of services, active since ${appliedAt ?? "?"}${back}`,
  );
}
