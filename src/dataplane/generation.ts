/** One complete rule set in the kernel: its tables, its program, and its own description. Never changed once in force. */
import { mkdirSync, renameSync } from "node:fs";
import { join } from "node:path";
import { ILM_OWNED_WORDS, countersLayout, lookupConstantsLayout } from "../abi/generated.js";
import { decodeAll, encode, encodeAll } from "../abi/layout.js";
import type { Compiled } from "../compile/tables.js";
import { IlmError } from "../errors.js";
import {
  type BpfMap,
  BpfObject,
  type BpfProgram,
  cpus,
  openMap,
  openProgram,
} from "../kernel/bpf.js";
import { addressBytes } from "../model/address.js";
import type { Counters } from "../model/decision.js";
import { mappingKey } from "../model/mapping.js";
import { interfaces } from "../kernel/interfaces.js";
import { type PinPaths, objectPath, removeFolder } from "./paths.js";
import { type Registry, registryMaps } from "./registry.js";
import { CHUNK, type Description, packDescription, unpackDescription } from "./description.js";
import { fillTables, putInterfaces, tableSizes } from "./tables.js";

/** Maps of the generation itself. Those that only the program reads are kept by it and need no pin. */
const pinnedMaps = ["counters", "carried", "interfaces", "source"] as const;
type PinnedMap = (typeof pinnedMaps)[number];

const zeroCounters: Counters = { existing: 0, selected: 0, missed: 0, errors: 0 };

/** Keys 0, 1, 2 ... of an array map. */
function indexes(count: number): Uint8Array {
  const keys = new Uint32Array(count);
  for (let i = 0; i < count; i++) keys[i] = i;
  return new Uint8Array(keys.buffer);
}

/** The hash of bpf/address.h, address_hash with seed 0: both sides must agree on the filter's bit. */
export function addressHash(address: Uint8Array): number {
  const view = new DataView(address.buffer, address.byteOffset, 16);
  let h = 0;
  h = Math.imul(h ^ view.getUint32(0, true), 0x9e3779b1);
  h = Math.imul(h ^ (h >>> 15) ^ view.getUint32(4, true), 0x85ebca77);
  h = Math.imul(h ^ (h >>> 13) ^ view.getUint32(8, true), 0xc2b2ae3d);
  h = Math.imul(h ^ (h >>> 16) ^ view.getUint32(12, true), 0x27d4eb2f);
  return (h ^ (h >>> 15)) >>> 0;
}

function ownedFilter(addresses: readonly Uint8Array[]): Uint8Array {
  const filter = new BigUint64Array(ILM_OWNED_WORDS);
  for (const address of addresses) {
    const bit = addressHash(address) % (ILM_OWNED_WORDS * 64);
    const word = Math.floor(bit / 64);
    filter[word] = (filter[word] ?? 0n) | (1n << BigInt(bit % 64));
  }
  return new Uint8Array(filter.buffer);
}

/** What the program on the interfaces calls, see bpf/maps.h, `ingress`. */
export interface IngressPrograms {
  readonly steer: BpfProgram;
  readonly icmp: BpfProgram;
}

/** The tables that the ingress program reads too (bpf/tables.h). */
const tables = [
  "ports",
  "classes",
  "exact",
  "prefixes",
  "sources",
  "steps",
  "interfaces",
  "owned",
  "rules",
  "destinations",
  "counters",
] as const;

/** The generation's other program, on the same tables. */
function loadIngress(
  lookup: BpfObject,
  registry: Registry,
  constants: Uint8Array,
): IngressPrograms {
  const object = new BpfObject(objectPath("steer"));
  try {
    for (const name of tables) {
      const map = lookup.map(name);
      try {
        object.reuse(name, map);
      } finally {
        map.close();
      }
    }
    for (const name of registryMaps) object.reuse(name, registry.map(name));
    // Not read here, but declared with the others: as small as can be.
    object.setConstants(constants);
    object.load();
    return { steer: object.program("ilm_steer"), icmp: object.program("ilm_icmp") };
  } finally {
    object.close();
  }
}

export class Generation {
  readonly number: number;
  readonly program: BpfProgram;
  /** Null where the kernel has no such hook: then UDP goes through the sockmap, and MPTCP not at all. */
  readonly ingress: IngressPrograms | null;
  readonly #maps: Map<PinnedMap, BpfMap>;
  #description: Description | undefined;

  private constructor(
    number: number,
    program: BpfProgram,
    ingress: IngressPrograms | null,
    maps: Map<PinnedMap, BpfMap>,
  ) {
    this.number = number;
    this.program = program;
    this.ingress = ingress;
    this.#maps = maps;
  }

  /** Undefined when it is not there, or not whole. */
  static open(paths: PinPaths, number: number): Generation | undefined {
    const folder = paths.generation(number);
    const program = openProgram(join(folder, "program"));
    if (program === undefined) return undefined;
    const maps = new Map<PinnedMap, BpfMap>();
    for (const name of pinnedMaps) {
      const map = openMap(join(folder, name));
      if (map === undefined) return undefined;
      maps.set(name, map);
    }
    const steer = openProgram(join(folder, "steer"));
    const icmp = openProgram(join(folder, "icmp"));
    const ingress = steer === undefined || icmp === undefined ? null : { steer, icmp };
    return new Generation(number, program, ingress, maps);
  }

  /** Builds and pins a new one; it decides nothing until the link is updated to it. */
  static create(
    paths: PinPaths,
    registry: Registry,
    compiled: Compiled,
    slots: readonly number[],
    description: Description,
  ): Generation {
    const staging = paths.staging("generation");
    removeFolder(staging);
    mkdirSync(staging, { recursive: true, mode: 0o700 });
    const object = new BpfObject(objectPath("lookup"));
    const source = packDescription(description);
    const sizes = { ...tableSizes(compiled), source: source.length / CHUNK };
    const maps = new Map<PinnedMap, BpfMap>();
    let program: BpfProgram | undefined;
    let ingress: IngressPrograms | null = null;
    const constants = encode(lookupConstantsLayout, {
      ownedFilter: ownedFilter(compiled.owned.map((address) => addressBytes(address))),
      generation: description.generation,
      steerUdp: registry.steers ? 1 : 0,
      netnsCookie: registry.netnsCookie,
      kfunc: description.engine === "kfunc" ? 1 : 0,
    });
    try {
      for (const [name, size] of Object.entries(sizes)) object.resize(name, Math.max(1, size));
      for (const name of registryMaps) object.reuse(name, registry.map(name));
      object.setConstants(constants);
      const entry = description.engine === "kfunc" ? "ilm_lookup_kfunc" : "ilm_lookup";
      object.include(entry);
      object.load();
      fillTables(object, compiled, slots);
      program = object.program(entry);
      for (const name of pinnedMaps) maps.set(name, object.map(name));
      if (registry.steers) {
        ingress = loadIngress(object, registry, constants);
        ingress.steer.pin(join(staging, "steer"));
        ingress.icmp.pin(join(staging, "icmp"));
      }
      const generation = new Generation(description.generation, program, ingress, maps);
      generation.#map("source").updateAll(indexes(source.length / CHUNK), source);
      program.pin(join(staging, "program"));
      for (const [name, map] of maps) map.pin(join(staging, name));
      renameSync(staging, paths.generation(description.generation));
      return generation;
    } catch (error) {
      program?.close();
      ingress?.steer.close();
      ingress?.icmp.close();
      for (const map of maps.values()) map.close();
      removeFolder(staging);
      throw error;
    } finally {
      object.close();
    }
  }

  #map(name: PinnedMap): BpfMap {
    const map = this.#maps.get(name);
    if (map === undefined) throw new IlmError("INTERNAL", `the generation has no map ${name}`);
    return map;
  }

  describe(): Description {
    if (this.#description === undefined) {
      const map = this.#map("source");
      const bytes = map.readArray(map.maxEntries);
      this.#description = unpackDescription(bytes);
    }
    return this.#description;
  }

  /** Gives each interface that a mapping names the index that it has now. The names that there are not. */
  resolveInterfaces(): string[] {
    const { interfaces: names } = this.describe();
    if (names.length <= 1) return [];
    const present = interfaces();
    putInterfaces(this.#map("interfaces"), names, present);
    const known = new Set(present.values());
    return names.slice(1).filter((name) => !known.has(name));
  }

  /** One per mapping: what this generation counted, and what the mapping had before. */
  counters(): Counters[] {
    const count = this.describe().rules.file.mappings.length + this.describe().rules.runtime.length;
    const carried = decodeAll(countersLayout, this.#map("carried").readArray(count));
    const own = decodeAll(countersLayout, this.#map("counters").readArray(count));
    const perCpu = cpus();
    return carried.map((before, index) => {
      const values = [before, ...own.slice(index * perCpu, (index + 1) * perCpu)];
      const sum = (name: keyof Counters): number =>
        values.reduce((total, value) => total + Number(value[name]), 0);
      return {
        existing: sum("existing"),
        selected: sum("selected"),
        missed: sum("missed"),
        errors: sum("errors"),
      };
    });
  }

  /** Mappings that stay go on counting where they were. Before the switch, and again after it for what came meanwhile. */
  carryFrom(previous: Generation, compiled: Compiled): void {
    const before = previous.counters();
    const { rules } = previous.describe();
    const byKey = new Map(
      [...rules.file.mappings, ...rules.runtime].map((mapping, index) => [
        mappingKey(mapping),
        before[index],
      ]),
    );
    const values = compiled.mappings.map((mapping) => {
      const value = byKey.get(mappingKey(mapping)) ?? zeroCounters;
      return {
        existing: BigInt(value.existing),
        selected: BigInt(value.selected),
        missed: BigInt(value.missed),
        errors: BigInt(value.errors),
      };
    });
    this.#map("carried").updateAll(indexes(values.length), encodeAll(countersLayout, values));
  }

  close(): void {
    this.program.close();
    this.ingress?.steer.close();
    this.ingress?.icmp.close();
    for (const map of this.#maps.values()) map.close();
  }
}
