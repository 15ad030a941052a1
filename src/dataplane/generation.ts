/** One complete rule set in the kernel: its tables, its program, and its own description. Never changed once in force. */
import { ILM_OWNED_WORDS, countersLayout, lookupConstantsLayout } from "../abi/generated.js";
import { bytesLayout, decodeAll, encode } from "../abi/layout.js";
import type { Base, Overlay } from "../compile/overlay.js";
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
import { type Mapping, allMappings, mappingKey } from "../model/mapping.js";
import { beginStep } from "../progress.js";
import { interfaces } from "../kernel/interfaces.js";
import { objectPath } from "./objects.js";
import { LOOKUP_PROGRAM, type Pins, stagingName } from "../kernel/pins.js";
import { type Registry, registryMaps } from "./registry.js";
import { KernelBase, readPorts } from "./base.js";
import {
  CHUNK,
  type Description,
  hashNames,
  packHead,
  packMappings,
  unpackDescription,
} from "./description.js";
import { putArray, u32 } from "./entries.js";
import { addressHash } from "./hash.js";
import { slotsOf } from "./prefixes.js";
import {
  fillOverlay,
  fillTables,
  noRoom,
  offsets,
  overlayRoom,
  overlaySizes,
  putInterfaces,
  searched,
  tableSizes,
} from "./tables.js";

/** Tables that generations share which differ only in mappings added at run time. */
const sharedMaps = [
  "classes",
  "prefixes",
  "lengths",
  "sources",
  "steps",
  "interfaces",
  "owned",
  "rules",
  "destinations",
  "counters",
  "carried",
  "source",
  "names",
] as const;
type SharedMap = (typeof sharedMaps)[number];
/** What each has for itself. */
const ownMaps = ["ports", "overlay_classes", "overlay_exact", "overlay_prefixes", "head"] as const;
/** Pinned like those: what `ports` is without an overlay. */
const BELOW = "below";
type PinnedMap = SharedMap | (typeof ownMaps)[number] | typeof BELOW;
const pinnedMaps: readonly PinnedMap[] = [...sharedMaps, ...ownMaps, BELOW];

/** Descriptors for mappings that nobody asked for. */
const unread = new FinalizationRegistry<BpfMap>((source) => {
  source.close();
});

/** Adds what each CPU has counted. Both as `countersLayout` has them, which is numbers of 64 bits; most are 0. */
function addCounters(sums: Uint8Array, own: Uint8Array): void {
  const fields = countersLayout.size / 8;
  const totals = new BigUint64Array(sums.buffer, sums.byteOffset, sums.byteLength / 8);
  const counted = new BigUint64Array(own.buffer, own.byteOffset, own.byteLength / 8);
  const halves = new Uint32Array(own.buffer, own.byteOffset, own.byteLength / 4);
  const perMapping = fields * cpus();
  for (let i = 0; i < counted.length; i++) {
    if (halves[2 * i] === 0 && halves[2 * i + 1] === 0) continue;
    const place = Math.floor(i / perMapping) * fields + (i % fields);
    totals[place] = (totals[place] ?? 0n) + (counted[i] ?? 0n);
  }
}

/** Where each mapping was before; -1: nowhere. Most stay where they are. */
function placesBefore(before: readonly Mapping[], after: readonly Mapping[]): Int32Array {
  const places = new Int32Array(after.length);
  let byKey: Map<string, number> | undefined;
  after.forEach((mapping, index) => {
    const same = before[index];
    if (same?.name === mapping.name && same.protocol === mapping.protocol) {
      places[index] = index;
      return;
    }
    byKey ??= new Map(before.map((other, place) => [mappingKey(other), place]));
    places[index] = byKey.get(mappingKey(mapping)) ?? -1;
  });
  return places;
}

/** An overlay, with the places of its endpoints. */
export interface FilledOverlay {
  readonly overlay: Overlay;
  readonly slots: readonly number[];
}

/** What a generation is made of when nothing of an earlier one is used. */
export interface Whole {
  /** The file's mappings; with those added at run time, unless they are an overlay. */
  readonly compiled: Compiled;
  readonly slots: readonly number[];
  readonly overlay: FilledOverlay | null;
}

function mapOf(maps: ReadonlyMap<PinnedMap, BpfMap>, name: PinnedMap): BpfMap {
  const map = maps.get(name);
  if (map === undefined) throw new IlmError("INTERNAL", `the generation has no map ${name}`);
  return map;
}

/** The tables that later generations may share, filled. No program is loaded. */
function createTables(
  registry: Registry,
  { rules, layers }: Description,
  { compiled, slots }: Whole,
): Map<PinnedMap, BpfMap> {
  const object = new BpfObject(objectPath("lookup"));
  const maps = new Map<PinnedMap, BpfMap>();
  try {
    const source = packMappings(rules.file.mappings);
    const names = layers === null ? new BigUint64Array(0) : hashNames(rules.file.mappings);
    const found = searched(compiled);
    const sizes = {
      ...tableSizes(compiled, found, layers === null ? noRoom : overlayRoom),
      source: source.length / CHUNK,
      names: names.length,
    };
    for (const [name, size] of Object.entries(sizes)) object.resize(name, Math.max(1, size));
    for (const name of registryMaps) object.reuse(name, registry.map(name));
    object.load();
    fillTables(object, compiled, found, slots);
    for (const name of sharedMaps) maps.set(name, object.map(name));
    maps.set(BELOW, object.map("ports"));
    mapOf(maps, "source").updateAll(indexes(source.length / CHUNK), source);
    mapOf(maps, "names").updateAll(indexes(names.length), new Uint8Array(names.buffer));
    return maps;
  } catch (error) {
    for (const map of maps.values()) map.close();
    throw error;
  } finally {
    object.close();
  }
}

/** Keys 0, 1, 2 ... of an array map. */
function indexes(count: number): Uint8Array {
  const keys = new Uint32Array(count);
  for (let i = 0; i < count; i++) keys[i] = i;
  return new Uint8Array(keys.buffer);
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

/** What only the control plane reads. */
const descriptive = new Set<string>(["carried", "source", "names", "head"]);
/** The tables that the ingress program reads too (bpf/tables.h). */
const tables = [...sharedMaps, ...ownMaps].filter((name) => !descriptive.has(name));

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
  /** See placesBefore; of the generation that this one took the place of. */
  #cameFrom: Int32Array | undefined;

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
  static open(pins: Pins, number: number): Generation | undefined {
    const folder = pins.folder("generation", number);
    if (folder === undefined) return undefined;
    try {
      const program = openProgram(folder, LOOKUP_PROGRAM);
      if (program === undefined) return undefined;
      const maps = new Map<PinnedMap, BpfMap>();
      for (const name of pinnedMaps) {
        const map = openMap(folder, name);
        if (map === undefined) return undefined;
        maps.set(name, map);
      }
      const steer = openProgram(folder, "steer");
      const icmp = openProgram(folder, "icmp");
      const ingress = steer === undefined || icmp === undefined ? null : { steer, icmp };
      return new Generation(number, program, ingress, maps);
    } finally {
      folder.close();
    }
  }

  /** Builds and pins a new one, with all its tables; it decides nothing until the link is updated to it. */
  static create(
    pins: Pins,
    registry: Registry,
    description: Description,
    whole: Whole,
  ): Generation {
    const shared = createTables(registry, description, whole);
    try {
      const generation = Generation.#build(pins, registry, description, shared, whole.overlay);
      generation.#description = description;
      return generation;
    } finally {
      for (const map of shared.values()) map.close();
    }
  }

  /** Likewise, on the tables of `below`. */
  static createOver(
    below: Generation,
    pins: Pins,
    registry: Registry,
    description: Description,
    overlay: FilledOverlay | null,
  ): Generation {
    const generation = Generation.#build(pins, registry, description, below.#maps, overlay);
    generation.#description = description;
    return generation;
  }

  static #build(
    pins: Pins,
    registry: Registry,
    description: Description,
    shared: ReadonlyMap<PinnedMap, BpfMap>,
    overlay: FilledOverlay | null,
  ): Generation {
    const staging = pins.stage("generation");
    const [name, entry] =
      description.engine === "kfunc"
        ? (["lookup-kfunc", "ilm_lookup_kfunc"] as const)
        : (["lookup", "ilm_lookup"] as const);
    const object = new BpfObject(objectPath(name));
    const head = packHead(description);
    const sizes = { ...overlaySizes(overlay?.overlay ?? null), head: head.length / CHUNK };
    const maps = new Map<PinnedMap, BpfMap>();
    let program: BpfProgram | undefined;
    let ingress: IngressPrograms | null = null;
    const addresses = description.rules.file.services.flatMap((service) => service.addresses);
    const constants = encode(lookupConstantsLayout, {
      ownedFilter: ownedFilter(addresses.map((address) => addressBytes(address))),
      generation: description.generation,
      steerUdp: registry.steers ? 1 : 0,
      netnsCookie: registry.netnsCookie,
      kfunc: description.engine === "kfunc" ? 1 : 0,
      prefixSlots: slotsOf(mapOf(shared, "prefixes")),
      drawSeed: description.drawSeed,
    });
    const below = mapOf(shared, BELOW);
    try {
      for (const [name, size] of Object.entries(sizes)) object.resize(name, Math.max(1, size));
      for (const name of registryMaps) object.reuse(name, registry.map(name));
      for (const name of sharedMaps) object.reuse(name, mapOf(shared, name));
      if (overlay === null) object.reuse("ports", below);
      object.setConstants(constants);
      object.include(entry);
      beginStep("loading the programs");
      object.load();
      if (overlay !== null && description.layers !== null) {
        const { layers } = description;
        fillOverlay(object, overlay.overlay, overlay.slots, layers, readPorts(below));
        // Whoever had this room before has counted there.
        const counters = mapOf(shared, "counters");
        for (let i = 0; i < overlay.overlay.compiled.mappings.length; i++) {
          const key = encode(u32, offsets(layers).mappings + i);
          counters.update(key, new Uint8Array(counters.valueSize));
        }
      }
      program = object.program(entry);
      for (const name of [...sharedMaps, ...ownMaps]) maps.set(name, object.map(name));
      maps.set(BELOW, below.duplicate());
      if (registry.steers) {
        ingress = loadIngress(object, registry, constants);
        ingress.steer.pin(staging, "steer");
        ingress.icmp.pin(staging, "icmp");
      }
      const generation = new Generation(description.generation, program, ingress, maps);
      generation.#map("head").updateAll(indexes(head.length / CHUNK), head);
      program.pin(staging, LOOKUP_PROGRAM);
      for (const [name, map] of maps) map.pin(staging, name);
      pins.publish("generation", description.generation);
      return generation;
    } catch (error) {
      program?.close();
      ingress?.steer.close();
      ingress?.icmp.close();
      for (const map of maps.values()) map.close();
      pins.base.remove(stagingName("generation"));
      throw error;
    } finally {
      staging.close();
      object.close();
    }
  }

  #map(name: PinnedMap): BpfMap {
    return mapOf(this.#maps, name);
  }

  /** The file's mappings are read when they are asked for, also when this is closed by then. */
  describe(): Description {
    if (this.#description === undefined) {
      const head = this.#map("head");
      const source = this.#map("source").duplicate();
      this.#description = unpackDescription(head.readArray(head.maxEntries), () => {
        try {
          return source.readArray(source.maxEntries);
        } finally {
          source.close();
        }
      });
      unread.register(this.#description.rules.file, source);
    }
    return this.#description;
  }

  /** The tables as an overlay needs to know them. Null: overlays cannot lie on them. */
  base(): Base | null {
    const { layers } = this.describe();
    return layers === null ? null : new KernelBase((name) => this.#map(name), layers);
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
    const { rules } = this.describe();
    const { runtime } = rules;
    const file = allMappings(rules).length - runtime.length;
    return decodeAll(countersLayout, this.#sums(file, runtime.length)).map((sum) => ({
      existing: Number(sum.existing),
      selected: Number(sum.selected),
      missed: Number(sum.missed),
      errors: Number(sum.errors),
    }));
  }

  /** Of the first of the file's mappings, and of the first that were added at run time: as `countersLayout` has them. */
  #sums(file: number, runtime: number): Uint8Array {
    return Buffer.concat(
      this.#places(file, runtime).map(({ first, count }) => {
        const sums = this.#map("carried").readArray(count, first);
        addCounters(sums, this.#map("counters").readArray(count, first));
        return sums;
      }),
    );
  }

  #places(file: number, runtime: number): { readonly first: number; readonly count: number }[] {
    const { layers } = this.describe();
    if (layers === null) return [{ first: 0, count: file + runtime }];
    return [
      { first: 0, count: file },
      { first: offsets(layers).mappings, count: runtime },
    ];
  }

  /**
   * Mappings that stay go on counting where they were. Before the switch, and again after it for what came meanwhile.
   * `shared`: both have the same tables, where the file's mappings need nothing.
   */
  carryFrom(previous: Generation, shared: boolean): void {
    const mappingsOf = ({ rules }: Description): readonly Mapping[] =>
      shared ? rules.runtime : allMappings(rules);
    const before = mappingsOf(previous.describe());
    const after = mappingsOf(this.describe());
    const fileOf = (mappings: readonly Mapping[], { rules }: Description): number =>
      mappings.length - rules.runtime.length;
    const sums = previous.#sums(
      fileOf(before, previous.describe()),
      previous.describe().rules.runtime.length,
    );
    this.#cameFrom ??= placesBefore(before, after);
    const cameFrom = this.#cameFrom;
    const { size } = countersLayout;
    const nothing = new Uint8Array(size);
    const valueAt = (index: number): Uint8Array => {
      const place = cameFrom[index] ?? -1;
      return place < 0 ? nothing : sums.subarray(place * size, (place + 1) * size);
    };
    let done = 0;
    const file = fileOf(after, this.describe());
    for (const { first, count } of this.#places(file, after.length - file)) {
      const start = done;
      putArray(this.#map("carried"), count, bytesLayout(size), (i) => valueAt(start + i), first);
      done += count;
    }
  }

  close(): void {
    this.program.close();
    this.ingress?.steer.close();
    this.ingress?.icmp.close();
    for (const map of this.#maps.values()) map.close();
  }
}
