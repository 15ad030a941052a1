/**
 * The programs that decide, with the tables they read (bpf/tables.h). They are loaded once: a
 * change writes the side of the tables that nothing reads, and then the one word that says which
 * side is active. A new set is created when the tables become too small, and when a constant of the
 * programs changes.
 */
import { ILM_HANDED, ILM_HANDED_EACH, lookupConstantsLayout } from "../../abi/generated.js";
import { decode, encode } from "../../abi/layout.js";
import { IlmError } from "../../errors.js";
import { BpfObject } from "../../kernel/bpf/object.js";
import { type BpfProgram, constantsOf, openProgram } from "../../kernel/bpf/program.js";
import { type BpfMap, cpus, openMap } from "../../kernel/bpf/map.js";
import type { Folder } from "../../kernel/folder.js";
import { rootCgroupId } from "../../kernel/mounts.js";
import { cpuNumbers, isRealTime } from "../../kernel/procfs.js";
import { LOOKUP_PROGRAM, type Pins, folderName, stagingName } from "../../kernel/pins.js";
import { beginStep } from "../../progress.js";
import { CopiedCounters, copiesFor } from "./counters.js";
import { CopiedShares, SHARE_BYTES } from "./shares.js";
import type { Description } from "../description.js";
import { type BackTo, attachHeader, openHeader, writeHeader } from "../header.js";
import { objectPath } from "../objects.js";
import { WrittenPorts } from "./ports.js";
import {
  type BindPrograms,
  type IngressPrograms,
  type Registry,
  countingPlace,
  registryMaps,
} from "./registry.js";
import {
  type ActiveSide,
  type Side,
  activate,
  endWait,
  generationOn,
  leaveBack,
  readActive,
  switchOff,
  wentBackAt,
} from "./sides.js";
import { type MapSizes, overlayTables, resized } from "./tables.js";
import type { ActiveEngine } from "../types.js";

/** The tables that both programs read (bpf/tables.h). */
const tableMaps = ["sides", "ports", "shares", ...resized, ...overlayTables] as const;
export type TableName = (typeof tableMaps)[number];

const bindNames = ["bind4", "bind6"] as const satisfies (keyof BindPrograms)[];
const ingressNames = ["steer", "icmp", "count"] as const satisfies (keyof IngressPrograms)[];

/** Returns the names of what a set pins in its folder. `steers` is the registry's. */
export function programPins(steers: boolean): readonly string[] {
  const called = [...bindNames, ...(steers ? ingressNames : [])];
  return [LOOKUP_PROGRAM, ...called, ...tableMaps];
}

/** Returns the table's name in the object, where a variable's map is named after its section. */
function objectName(name: TableName): string {
  return name === "sides" ? ".data.sides" : name;
}

export interface ProgramOptions {
  readonly engine: ActiveEngine;
  readonly drawSeed: number;
  readonly sizes: MapSizes;
  /** How many destinations of a mapping are told apart, besides the first. */
  readonly shares: number;
  /** The limit, in bytes, for all copies of the counters together. */
  readonly counterBytes: number | undefined;
}

export class Programs {
  readonly number: number;
  readonly lookup: BpfProgram;
  /**
   * The programs at ingress; null where the kernel lacks the hook. UDP then goes through the
   * sockmap, and MPTCP is not handled.
   */
  readonly ingress: IngressPrograms | null;
  readonly #binds: BindPrograms;
  readonly #maps: ReadonlyMap<TableName, BpfMap>;
  readonly writtenPorts = new WrittenPorts();
  #counters: CopiedCounters | undefined;
  #shares: CopiedShares | undefined;
  /**
   * The header of `lookup`; undefined until needed, as finding it means searching all the maps that
   * the program reads.
   */
  #header: BpfMap | undefined;

  private constructor(
    number: number,
    lookup: BpfProgram,
    ingress: IngressPrograms | null,
    binds: BindPrograms,
    maps: ReadonlyMap<TableName, BpfMap>,
    header?: BpfMap,
  ) {
    this.#binds = binds;
    this.#header = header;
    this.number = number;
    this.lookup = lookup;
    this.ingress = ingress;
    this.#maps = maps;
  }

  /** Opens a pinned program set. Returns undefined when it is missing or incomplete. */
  static open(pins: Pins, number: number): Programs | undefined {
    const folder = pins.folder("programs", number);
    if (folder === undefined) return undefined;
    const maps = new Map<TableName, BpfMap>();
    let lookup: BpfProgram | undefined;
    let binds: BindPrograms | null = null;
    let opened: Programs | undefined;
    try {
      lookup = openProgram(folder, LOOKUP_PROGRAM);
      binds = openBinds(folder);
      if (lookup === undefined || binds === null) return undefined;
      for (const name of tableMaps) {
        const map = openMap(folder, name);
        if (map === undefined) return undefined;
        maps.set(name, map);
      }
      const ingress = openIngress(folder);
      opened = new Programs(number, lookup, ingress, binds, maps);
      return opened;
    } finally {
      folder.close();
      if (opened === undefined) closeAll(lookup, null, binds, maps);
    }
  }

  /**
   * Loads and pins a new set with empty tables. It decides nothing until the link is updated to it.
   */
  static create(
    pins: Pins,
    number: number,
    registry: Registry,
    { engine, drawSeed, sizes, shares, counterBytes }: ProgramOptions,
  ): Programs {
    const staging = pins.stage("programs");
    const [name, entry] =
      engine === "kfunc"
        ? (["lookup-kfunc", "ilm_lookup_kfunc"] as const)
        : (["lookup", "ilm_lookup"] as const);
    const { copies, shared } = copiesFor(
      sizes.counters,
      cpuNumbers(),
      counterBytes,
      shares * SHARE_BYTES,
    );
    const constants = encode(lookupConstantsLayout, {
      netnsCookie: registry.netnsCookie,
      rootCgroup: rootCgroupId(),
      steerUdp: registry.steers ? 1 : 0,
      kfunc: engine === "kfunc" ? 1 : 0,
      drawSeed,
      handedEach: handedEach(),
      counting: countingPlace(number),
      counterSlots: sizes.counters,
      counterMask: copies - 1,
      // Where softirqs run in threads, one may preempt another.
      counterShared: shared || isRealTime() ? 1 : 0,
    });
    const maps = new Map<TableName, BpfMap>();
    const object = new BpfObject(objectPath(name));
    let lookup: BpfProgram | undefined;
    let ingress: IngressPrograms | null = null;
    let binds: BindPrograms | null = null;
    let header: BpfMap | undefined;
    try {
      for (const [table, size] of Object.entries(sizes)) object.resize(table, size);
      object.resize("counters", copies * sizes.counters);
      object.resize("shares", shares * copies * sizes.counters);
      for (const map of registryMaps) object.reuse(map, registry.map(map));
      object.setConstants(constants);
      object.include(entry);
      for (const name of bindNames) object.include(`ilm_${name}_rules`);
      beginStep("loading the programs");
      object.load();
      for (const table of tableMaps) maps.set(table, object.map(objectName(table)));
      lookup = object.program(entry);
      binds = {
        bind4: object.program("ilm_bind4_rules"),
        bind6: object.program("ilm_bind6_rules"),
      };
      header = attachHeader(lookup);
      if (registry.steers) ingress = loadIngress(maps, registry, constants);
      lookup.pin(staging, LOOKUP_PROGRAM);
      for (const program of bindNames) binds[program].pin(staging, program);
      if (ingress !== null) {
        for (const program of ingressNames) ingress[program].pin(staging, program);
      }
      for (const [table, map] of maps) map.pin(staging, table);
      pins.publish("programs", number);
      return new Programs(number, lookup, ingress, binds, maps, header);
    } catch (error) {
      closeAll(lookup, ingress, binds, maps);
      header?.close();
      pins.base.remove(stagingName("programs"));
      throw error;
    } finally {
      staging.close();
      object.close();
    }
  }

  map(name: TableName): BpfMap {
    const map = this.#maps.get(name);
    if (map === undefined) throw new IlmError("INTERNAL", `the programs have no map ${name}`);
    return map;
  }

  /** The counters in all copies. The programs themselves say how many copies there are. */
  get counters(): CopiedCounters {
    this.#counters ??= new CopiedCounters(this.map("counters"), copiesOf(this.lookup.id));
    return this.#counters;
  }

  /** What destinations got, in all copies. */
  get shares(): CopiedShares {
    this.#shares ??= new CopiedShares(
      this.map("shares"),
      copiesOf(this.lookup.id),
      this.counters.maxEntries,
    );
    return this.#shares;
  }

  /** Returns the number of entries of a table; for `counters`, of each copy. */
  places(name: TableName): number {
    return name === "counters" ? this.counters.maxEntries : this.map(name).maxEntries;
  }

  /** Which side is active if these programs are, and whether it decides. */
  get active(): ActiveSide {
    return readActive(this.map("sides"));
  }

  /**
   * Switches everything that reads the tables, at once: until `until_s`, by CLOCK_BOOTTIME, or for
   * good.
   */
  activate(now: Pick<ActiveSide, "side" | "off">, until_s: number | null = null): void {
    activate(this.map("sides"), now, until_s);
  }

  switchOff(off: boolean): void {
    switchOff(this.map("sides"), off);
  }

  /** Has the other side decide from now on, although a change still waits for its confirmation. */
  endWait(): void {
    endWait(this.map("sides"));
  }

  /** Notes that a change has gone back, whose time is over. */
  leaveBack(): void {
    leaveBack(this.map("sides"));
  }

  /** Returns when the last pending change went back, by CLOCK_BOOTTIME in seconds, or null. */
  get wentBackAt(): number | null {
    return wentBackAt(this.map("sides"));
  }

  /** Returns the number of the generation on a side, or 0 if there is none. */
  generationOn(side: Side): number {
    return generationOn(this.map("sides"), side);
  }

  /** Makes the programs on the interfaces call this set from now on. */
  setIngress(registry: Registry): void {
    if (this.ingress !== null) registry.setIngress(this.ingress, this.number);
  }

  /** Makes the registry's programs call this set from now on. */
  setCalled(registry: Registry): void {
    this.setIngress(registry);
    registry.setBindRules(this.#binds);
  }

  /** Closes and unpins a set that nothing refers to yet. */
  discard(pins: Pins): void {
    this.close();
    pins.base.remove(folderName("programs", this.number));
  }

  /** Writes the header beside the program. The caller counts the `mappings`. */
  writeHeader(description: Description, mappings: number, backTo: BackTo | null): void {
    this.#header ??= openHeader(this.lookup.id);
    if (this.#header !== undefined) writeHeader(this.#header, description, mappings, backTo);
  }

  close(): void {
    this.#header?.close();
    closeAll(this.lookup, this.ingress, this.#binds, this.#maps);
  }
}

/** The size of the constants in format 12, with which the copies begin; later ones only add. */
const FIRST_CONSTANTS = 32;

/**
 * Returns how many copies of the counters a program has, of format 12 or later. `programId` is that
 * of `lookup`. Throws INTERNAL when the program is another one's.
 */
export function copiesOf(programId: number): number {
  const constants = constantsOf(programId);
  if (constants === undefined || constants.length < FIRST_CONSTANTS) {
    throw new IlmError(
      "INTERNAL",
      "the programs do not say how many copies of the counters there are",
    );
  }
  const whole = new Uint8Array(lookupConstantsLayout.size);
  whole.set(constants.subarray(0, whole.length));
  return decode(lookupConstantsLayout, whole).counterMask + 1;
}

/**
 * Returns how many packets per CPU can be on their way from ingress to their sockets and still be
 * told apart: a power of two.
 */
function handedEach(): number {
  const share = ILM_HANDED / 2 ** Math.ceil(Math.log2(cpus()));
  return Math.max(1, Math.min(ILM_HANDED_EACH, share));
}

/** Opens the programs that the bind hooks call. Returns null when they are not both there. */
function openBinds(folder: Folder): BindPrograms | null {
  const [bind4, bind6] = bindNames.map((name) => openProgram(folder, name));
  if (bind4 !== undefined && bind6 !== undefined) return { bind4, bind6 };
  for (const program of [bind4, bind6]) program?.close();
  return null;
}

/** Opens the programs at ingress. Returns null when they are not all there. */
function openIngress(folder: Folder): IngressPrograms | null {
  const [steer, icmp, count] = ingressNames.map((name) => openProgram(folder, name));
  if (steer !== undefined && icmp !== undefined && count !== undefined) {
    return { steer, icmp, count };
  }
  for (const program of [steer, icmp, count]) program?.close();
  return null;
}

/** Loads the programs at ingress, on the same tables. */
function loadIngress(
  maps: ReadonlyMap<TableName, BpfMap>,
  registry: Registry,
  constants: Uint8Array,
): IngressPrograms {
  const object = new BpfObject(objectPath("steer"));
  try {
    for (const [name, map] of maps) object.reuse(objectName(name), map);
    for (const name of registryMaps) object.reuse(name, registry.map(name));
    object.setConstants(constants);
    object.load();
    return {
      steer: object.program("ilm_steer"),
      icmp: object.program("ilm_icmp"),
      count: object.program("ilm_count"),
    };
  } finally {
    object.close();
  }
}

function closeAll(
  lookup: BpfProgram | undefined,
  ingress: IngressPrograms | null,
  binds: BindPrograms | null,
  maps: ReadonlyMap<TableName, BpfMap>,
): void {
  lookup?.close();
  if (binds !== null) for (const name of bindNames) binds[name].close();
  if (ingress !== null) for (const name of ingressNames) ingress[name].close();
  for (const map of maps.values()) map.close();
}
