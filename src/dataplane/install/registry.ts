/**
 * The kernel side's knowledge of listeners: maps that outlive generations, and the programs that
 * maintain them. They are loaded once and pinned. A registry that is too small or another version's
 * is replaced by a complete new one beside it.
 */
import { Errno } from "../../kernel/errno.js";
import {
  type Endpoint as AbiEndpoint,
  type Listener,
  type Meta,
  type Slot,
  ILM_ABI_VERSION,
  ILM_COUNTING,
  ILM_INGRESS_ICMP,
  ILM_INGRESS_STEER,
  ILM_HOOKS_IPV4,
  ILM_HOOKS_IPV6,
  ILM_NAT_IPV4,
  ILM_NAT_IPV6,
  ILM_OUTPUT_IPV4,
  ILM_OUTPUT_IPV6,
  ILM_PORT_KEYS,
  ILM_PORT_WORDS,
  ILM_SLOT_NONE,
  ILM_VRF_CLOSED_TCP,
  ILM_VRF_CLOSED_UDP,
  HandoverCode,
  askedKeyLayout,
  endingLayout,
  endpointLayout,
  flowKeyLayout,
  flowLayout,
  faultsLayout,
  listenerLayout,
  memberLayout,
  metaLayout,
  placeLayout,
  presenceLayout,
  registryConstantsLayout,
  slotLayout,
} from "../../abi/generated.js";
import { bytesLayout, decode, decodeAll, encode } from "../../abi/layout.js";
import type { Endpoint } from "../../compile/compile.js";
import type { Owners } from "../../rules/permits.js";
import { IlmError } from "../../errors.js";
import { BpfObject } from "../../kernel/bpf/object.js";
import {
  type BpfProgram,
  constantsOf,
  openProgram,
  programName,
} from "../../kernel/bpf/program.js";
import { runIterator } from "../../kernel/bpf/iterator.js";
import {
  AttachType,
  type BpfLink,
  KnownLinks,
  allLinks,
  attach,
  openLink,
  removeLink,
} from "../../kernel/bpf/link.js";
import { type BpfMap, openMap } from "../../kernel/bpf/map.js";
import type { Folder } from "../../kernel/folder.js";
import { errnoOf } from "../../kernel/ffi.js";
import { close } from "../../kernel/libc.js";
import { openCgroup2, rootCgroupId } from "../../kernel/mounts.js";
import { vrfIndexes } from "../../kernel/interfaces.js";
import { firstUnprivilegedPort, sysctl } from "../../kernel/procfs.js";
import { type Address, type Family, addressBytes, addressFromBytes } from "../../model/address.js";
import type { Protocol } from "../../model/mapping.js";
import { type Mappings, toLazy } from "../../model/mappings.js";
import { beginStep } from "../../progress.js";
import { putEntries, u32, u64 } from "./batches.js";
import type { PermitNumbers } from "./permits.js";
import { objectPath } from "../objects.js";
import { type Pins, folderName, stagingName } from "../../kernel/pins.js";
import type { Faults } from "../types.js";

/** Every map of bpf/maps.h, pinned under its own name and shared with each generation. */
export const registryMaps = [
  "meta",
  "presence",
  "endings",
  "turns",
  "filter",
  "slots",
  "permits",
  "owners",
  "unprivileged",
  "policies",
  "rewrites",
  "rewritten",
  "refusals",
  "refused",
  "bind4_rules",
  "bind6_rules",
  "primary",
  "members",
  "tracked",
  "accepted",
  "binds",
  "flows",
  "mapped_ports",
  "asked",
  "any_asked",
  "watch",
  "readers",
  "seats",
  "reader_rings",
  "reader_counts",
  "reader_pace",
  "question",
  "explained",
  "ingress",
  "counted_by",
  "handed",
  "handed_reports",
  "steering",
  "tokens",
  "tunnels",
  "steered_tcp",
  "on_device",
  "irregular",
  "vrfs",
  "vrf_count",
  "faults",
] as const;
export type RegistryMap = (typeof registryMaps)[number];

/** Tables of programs that other programs call; the first one is emptied first. */
const programTables = [
  "ingress",
  "counted_by",
  "bind4_rules",
  "bind6_rules",
] as const satisfies readonly RegistryMap[];

const listings = ["list_tcp", "list_udp"] as const;
/**
 * Programs kept for later: iterators, the probe for NAT, and what is attached only while needed.
 */
const pinnedPrograms = [
  "scan_tcp",
  "scan_udp",
  "list_tcp",
  "list_udp",
  "list_accepted",
  "ingress",
  "egress",
  "deliver",
  "sock_create",
  "bind4",
  "bind6",
  "getsockname4",
  "getsockname6",
  "netfilter",
  "sock_release",
  "sockops",
  "post_bind4",
  "post_bind6",
  "connect4",
  "connect6",
  "sendmsg4",
  "sendmsg6",
] as const;
type PinnedProgram = (typeof pinnedPrograms)[number];

function pinOf(program: PinnedProgram): string {
  return `program_${program}`;
}

/** The names of what a registry pins in its folder, besides the links (`missingHooks`). */
export const registryPins: readonly string[] = [...registryMaps, ...pinnedPrograms.map(pinOf)];

/**
 * What is attached to the root cgroup, in the order of attachment: whatever counts down comes
 * before whatever counts up.
 */
const hooks = {
  sock_release: AttachType.cgroupInetSockRelease,
  sockops: AttachType.cgroupSockOps,
  post_bind4: AttachType.cgroupInetPostBind4,
  post_bind6: AttachType.cgroupInetPostBind6,
  connect4: AttachType.cgroupInet4Connect,
  connect6: AttachType.cgroupInet6Connect,
  sendmsg4: AttachType.cgroupUdp4Sendmsg,
  sendmsg6: AttachType.cgroupUdp6Sendmsg,
} as const satisfies Partial<Record<PinnedProgram, AttachType>>;
type Hook = keyof typeof hooks;
const hookNames = Object.keys(hooks) as Hook[];

const protocolNumbers: Record<Protocol, number> = { tcp: 6, udp: 17 };
const DEFAULT_SLOTS = 65536;
const zeroKey = new Uint8Array(4);
/** What is attached to the root cgroup while the rules need it. */
const optionalTypes = {
  /** Records UDP flows and counts what ingress has handed over. */
  deliver: AttachType.cgroupInetIngress,
  /** Prevents the creation of MPTCP sockets (`mptcp: off`). */
  sock_create: AttachType.cgroupInetSockCreate,
  /** Tell who binds to another's address. */
  bind4: AttachType.cgroupInet4Bind,
  bind6: AttachType.cgroupInet6Bind,
  /** Answer what was asked for where a bind was rewritten. */
  getsockname4: AttachType.cgroupInet4Getsockname,
  getsockname6: AttachType.cgroupInet6Getsockname,
} as const satisfies Partial<Record<PinnedProgram, AttachType>>;
export type OptionalHook = keyof typeof optionalTypes;
export const optionalHooks = Object.keys(optionalTypes) as OptionalHook[];
/** The most endpoints to look up one by one. For more, all places are read at once. */
const FEW = 1000;

/** The programs of a set that the bind hooks call. */
export interface BindPrograms {
  readonly bind4: BpfProgram;
  readonly bind6: BpfProgram;
}

/** The programs of a set that are loaded where there is ingress. */
export interface IngressPrograms {
  readonly steer: BpfProgram;
  readonly icmp: BpfProgram;
  readonly count: BpfProgram;
}

/**
 * Returns where `deliver` finds what counts for a program set. The next set has a different place.
 */
export function countingPlace(set: number): number {
  return set % ILM_COUNTING;
}

export function endpointKey(endpoint: Endpoint): Uint8Array {
  return encode(endpointLayout, {
    address: addressBytes(endpoint.address),
    port: endpoint.port,
    protocol: protocolNumbers[endpoint.protocol],
  });
}

const handoverNumbers = {
  auto: HandoverCode.AUTO,
  lookup: HandoverCode.LOOKUP,
  ingress: HandoverCode.INGRESS,
} as const;

/** The settings of a place when the rules give none. */
const unsaid = {
  handover: HandoverCode.AUTO,
  origin: new Uint8Array(16),
  originPort: 0,
} as const satisfies Partial<Slot>;
const noSlot: Slot = {
  index: ILM_SLOT_NONE,
  serial: 0,
  wanted: 0,
  heard: 0,
  permit: 0,
  sinceNs: 0n,
  ...unsaid,
};

/** Returns what the rules say about a place, except for whom they permit there. */
function saidOf({ handover, origin }: Endpoint): Partial<Slot> {
  return {
    ...(handover !== undefined && { handover: handoverNumbers[handover] }),
    ...(origin !== undefined && {
      origin: addressBytes(origin.address),
      originPort: origin.port,
    }),
  };
}

function word(value: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(value).buffer);
}

/** Writes the entries, and then removes all others. */
function replaceAll(map: BpfMap, entries: readonly (readonly [Uint8Array, Uint8Array])[]): void {
  const wanted = new Set(entries.map(([key]) => keyText(key)));
  for (const [key, value] of entries) map.update(key, value);
  for (const [key] of map.snapshot()) if (!wanted.has(keyText(key))) map.delete(key);
}

/** Sets the bit of each port that a mapping covers. */
function coverPorts(bytes: Uint8Array, mappings: Mappings): void {
  const lists = toLazy(mappings);
  for (let index = 0; index < lists.length; index++) {
    const start = lists.protocolAt(index) === "udp" ? ILM_PORT_KEYS / 2 : 0;
    for (const { first, last } of lists.portsAt(index)) {
      for (let at = start + first; at <= start + last; at++) {
        bytes[at >> 3] = (bytes[at >> 3] ?? 0) | (1 << (at & 7));
      }
    }
  }
}

function keyText(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString("latin1");
}

function everyPort(key: AbiEndpoint): string {
  return keyText(encode(endpointLayout, { ...key, port: 0 }));
}

/**
 * The maps that a new registry takes over unchanged, by the sizes of key and value, which no
 * version has changed: what UDP clients dialled and whom clients on the host itself asked, so that
 * late answers leave from the right address; and when listeners ended.
 */
const shapes = {
  flows: [flowKeyLayout.size, flowLayout.size],
  asked: [askedKeyLayout.size, 8],
  any_asked: [4, 4],
  tunnels: [4, 4],
  endings: [endpointLayout.size, endingLayout.size],
} as const satisfies Partial<Record<RegistryMap, readonly [number, number]>>;
type InheritedMap = keyof typeof shapes;
const inheritedMaps = Object.keys(shapes) as InheritedMap[];

/**
 * Returns a map of the previous registry, if it has the shape that this version expects. The caller
 * closes it.
 */
export type Heritage = (name: InheritedMap) => BpfMap | undefined;

/**
 * How often the kernel's tables are read for a listener that is counted and was not seen: the
 * iterators may miss one that moves meanwhile.
 */
const LOOKS = 3;

export class Registry {
  readonly #maps: Map<RegistryMap, BpfMap>;
  readonly #programs: Map<PinnedProgram, BpfProgram>;
  readonly links = new KnownLinks();
  /**
   * The contents of `mapped_ports`, once read. A writer that removes ports activates other rules
   * first, and then this registry is reopened; one killed before that may have added some.
   */
  #mapped: Uint8Array | undefined;
  readonly number: number;
  /**
   * True when UDP and MPTCP are handed over at ingress. Otherwise UDP goes through the sockmap, and
   * MPTCP is not handled.
   */
  readonly steers: boolean;

  private constructor(
    number: number,
    steers: boolean,
    maps: Map<RegistryMap, BpfMap>,
    programs: Map<PinnedProgram, BpfProgram>,
  ) {
    this.number = number;
    this.steers = steers;
    this.#maps = maps;
    this.#programs = programs;
  }

  /**
   * Opens a pinned registry. Returns undefined when there is none, or it is another version's or
   * namespace's.
   */
  static open(pins: Pins, number: number, netnsCookie: bigint): Registry | undefined {
    const folder = pins.folder("registry", number);
    if (folder === undefined) return undefined;
    const maps = new Map<RegistryMap, BpfMap>();
    const programs = new Map<PinnedProgram, BpfProgram>();
    let opened: Registry | undefined;
    try {
      const meta = metaIn(folder, netnsCookie);
      if (meta?.abiVersion !== ILM_ABI_VERSION) return undefined;
      for (const name of registryMaps) {
        const map = openMap(folder, name);
        if (map === undefined) return undefined;
        maps.set(name, map);
      }
      for (const name of pinnedPrograms) {
        const program = openProgram(folder, pinOf(name));
        if (program === undefined) return undefined;
        programs.set(name, program);
      }
      opened = new Registry(number, meta.steerUdp === 1, maps, programs);
      return opened;
    } finally {
      folder.close();
      if (opened === undefined) {
        for (const handle of [...maps.values(), ...programs.values()]) handle.close();
      }
    }
  }

  /**
   * Loads, attaches and pins a new registry, whose `steers` never changes. Once attached, it knows
   * every new listener; `reserve` finds the others.
   */
  static create(
    pins: Pins,
    number: number,
    netnsCookie: bigint,
    slotsNeeded: number,
    steers: boolean,
    heritage: Heritage,
  ): Registry {
    const steerUdp = steers ? 1 : 0;
    const constants = encode(registryConstantsLayout, {
      netnsCookie,
      rootCgroup: rootCgroupId(),
      steerUdp,
    });
    const maps = new Map<RegistryMap, BpfMap>();
    const programs = new Map<PinnedProgram, BpfProgram>();
    const inherited: BpfMap[] = [];
    const staging = pins.stage("registry");
    const object = new BpfObject(objectPath("registry"));
    try {
      const slots = Math.max(DEFAULT_SLOTS, slotsNeeded * 2);
      object.resize("slots", slots);
      object.resize("primary", slots);
      object.setConstants(constants);
      for (const name of inheritedMaps) {
        const map = heritage(name);
        if (map === undefined) continue;
        inherited.push(map);
        object.reuse(name, map);
      }
      beginStep("loading the programs");
      object.load();
      for (const name of registryMaps) maps.set(name, object.map(name));
      for (const name of pinnedPrograms) programs.set(name, object.program(`ilm_${name}`));
      const created = new Registry(number, steers, maps, programs);
      created.#writeMeta({ netnsCookie, abiVersion: ILM_ABI_VERSION, nextSerial: 1, steerUdp });
      for (const [name, map] of maps) map.pin(staging, name);
      for (const [name, program] of programs) program.pin(staging, pinOf(name));
      created.#attachHooks(hookNames, staging);
      pins.publish("registry", number);
      return created;
    } catch (error) {
      for (const handle of [...maps.values(), ...programs.values()]) handle.close();
      pins.base.remove(stagingName("registry"));
      throw error;
    } finally {
      for (const map of inherited) map.close();
      staging.close();
      object.close();
    }
  }

  map(name: RegistryMap): BpfMap {
    const map = this.#maps.get(name);
    if (map === undefined) throw new IlmError("INTERNAL", `the registry has no map ${name}`);
    return map;
  }

  program(name: PinnedProgram): BpfProgram {
    const program = this.#programs.get(name);
    if (program === undefined) throw new IlmError("INTERNAL", `the registry has no ${name}`);
    return program;
  }

  get netnsCookie(): bigint {
    return this.#meta().netnsCookie;
  }

  #meta(): Meta {
    return readMeta(this.map("meta"));
  }

  #writeMeta(meta: Meta): void {
    this.map("meta").update(zeroKey, encode(metaLayout, meta));
  }

  /**
   * Installs the programs of a set that the programs on the interfaces call, and first the one that
   * counts what they hand over. What another set handed over goes on being counted.
   */
  setIngress({ steer, icmp, count }: IngressPrograms, set: number): void {
    this.map("counted_by").update(word(countingPlace(set)), word(count.fd));
    this.map("ingress").update(word(ILM_INGRESS_STEER), word(steer.fd));
    this.map("ingress").update(word(ILM_INGRESS_ICMP), word(icmp.fd));
  }

  /** Installs the programs of a set that the bind hooks call. */
  setBindRules({ bind4, bind6 }: BindPrograms): void {
    this.map("bind4_rules").update(zeroKey, word(bind4.fd));
    this.map("bind6_rules").update(zeroKey, word(bind6.fd));
  }

  /** Writes what is said about processes, and removes what was said before. */
  setPolicies(policies: readonly (readonly [Uint8Array, number])[]): void {
    replaceAll(
      this.map("policies"),
      policies.map(([key, policy]) => [key, word(policy)] as const),
    );
  }

  /** Writes the addresses that wildcard binds get instead, and removes those from before. */
  setRewrites(rewrites: readonly (readonly [Uint8Array, Uint8Array])[]): void {
    replaceAll(this.map("rewrites"), rewrites);
  }

  /**
   * Stops counting for other sets. The caller makes sure that nothing they handed over is still on
   * its way.
   */
  countOnlyFor(set: number): void {
    this.map("counted_by").delete(word(countingPlace(set + 1)));
  }

  /** Empties the tables of programs. The caller makes sure that nothing calls them any more. */
  clearPrograms(): void {
    for (const name of programTables) empty(this.map(name));
  }

  /**
   * Ends the decisions at ingress, on all interfaces at once. Call it before detaching the hooks:
   * without those, answers to what ingress still hands over leave from the wrong address.
   */
  clearIngress(): void {
    empty(this.map("ingress"));
  }

  /**
   * Removes the pins of a registry of any version. The tables of programs are emptied here: the
   * kernel takes so long to do so that whoever lists maps meanwhile makes it lose count of a map's
   * holders (kernel/bpf/arraymap.c, prog_array_map_clear), and the map would stay for good.
   */
  static remove(pins: Pins, number: number): void {
    const folder = pins.folder("registry", number);
    const tables = programTables.map((name) => folder && openMap(folder, name));
    const [ingress] = tables;
    try {
      // As clearIngress() does.
      if (ingress !== undefined) empty(ingress);
      if (folder !== undefined) {
        for (const hook of [...hookNames, ...optionalHooks]) detachHook(folder, hook);
      }
      pins.base.remove(folderName("registry", number));
      for (const table of tables) if (table !== undefined) empty(table);
    } finally {
      folder?.close();
      for (const table of tables) table?.close();
    }
  }

  /** Attaches the hook unless it is attached, or detaches it. `folder` is the registry's. */
  setHook(folder: Folder, hook: OptionalHook, wanted: boolean): void {
    if (wanted && !isAttached(folder, hook)) this.#attach(folder, { [hook]: optionalTypes[hook] });
    else if (!wanted) detachHook(folder, hook);
  }

  /**
   * Returns the hooks that should be attached and are not, because another program detached them or
   * removed their pins. `folder` is the registry's.
   */
  missingHooks(folder: Folder, optional: readonly OptionalHook[]): (Hook | OptionalHook)[] {
    const names = folder.names();
    return [...hookNames, ...optional].filter(
      (hook) => this.links.info(folder, names, linkName(hook))?.isAttached !== true,
    );
  }

  /**
   * Attaches those `missing` hooks that always have to be attached. Listeners that came and went
   * meanwhile were missed: call sweep() afterwards.
   */
  repairHooks(folder: Folder, missing: readonly (Hook | OptionalHook)[]): void {
    this.#attachHooks(
      hookNames.filter((hook) => missing.includes(hook)),
      folder,
    );
  }

  #attachHooks(names: readonly Hook[], folder: Folder): void {
    this.#attach(folder, Object.fromEntries(names.map((name) => [name, hooks[name]])));
  }

  #attach(folder: Folder, types: Partial<Record<Hook | OptionalHook, AttachType>>): void {
    const cgroup = openCgroup2();
    const target = cgroup.openSelf();
    try {
      for (const [name, type] of Object.entries(types) as [Hook | OptionalHook, AttachType][]) {
        const link = attachBeside(`ilm_${name}`, this.program(name), target, type);
        try {
          folder.remove(linkName(name));
          link.pin(folder, linkName(name));
        } finally {
          link.close();
        }
      }
    } finally {
      close(target);
      cgroup.close();
    }
  }

  /**
   * Tells the programs which ports mappings cover: only listeners there, or on a destination, are
   * counted. `whole` says to replace the previous ports; otherwise these are added.
   */
  setMappedPorts(mappings: Mappings, whole: boolean): void {
    const before = (this.#mapped ??= this.map("mapped_ports").readArray(ILM_PORT_WORDS));
    const after = whole ? new Uint8Array(before.length) : before.slice();
    coverPorts(after, mappings);
    this.#mapped = undefined;
    this.#putMappedPorts(before, after);
    this.#mapped = after;
  }

  /** Writes only the words that differ. */
  #putMappedPorts(before: Uint8Array, after: Uint8Array): void {
    if (Buffer.compare(before, after) === 0) return;
    const map = this.map("mapped_ports");
    const size = map.valueSize;
    const [old, now] = [before, after].map((bytes) => new BigUint64Array(bytes.buffer));
    const words: number[] = [];
    now?.forEach((word, index) => {
      if (word !== old?.[index]) words.push(index);
    });
    map.updateAll(
      new Uint8Array(Uint32Array.from(words).buffer),
      Buffer.concat(words.map((index) => after.subarray(index * size, (index + 1) * size))),
    );
  }

  #netfilter(bits: Readonly<Record<Family, number>>): Family[] {
    // An Ethernet header is the least that a test run accepts.
    const found = this.program("netfilter").testRunOn(new Uint8Array(64));
    return ([4, 6] as const).filter((family) => (found & bits[family]) !== 0);
  }

  /**
   * Returns the families for which this network namespace has NAT, or a packet socket bound to no
   * interface: both take away what ingress gives.
   */
  nat(): Family[] {
    return this.#netfilter({ 4: ILM_NAT_IPV4, 6: ILM_NAT_IPV6 });
  }

  /** Returns the families whose packets a filter at OUTPUT may judge by their conntrack state. */
  outputFilters(): Family[] {
    return this.#netfilter({ 4: ILM_OUTPUT_IPV4, 6: ILM_OUTPUT_IPV6 });
  }

  /** Returns the families for which netfilter has a hook on the way to a socket. */
  netfilterHooks(): Family[] {
    return this.#netfilter({ 4: ILM_HOOKS_IPV4, 6: ILM_HOOKS_IPV6 });
  }

  /**
   * Records which interfaces are VRFs, and whether what arrives there may go to sockets outside
   * too.
   */
  meetVrfs(): void {
    const [map, count] = [this.map("vrfs"), this.map("vrf_count")];
    const keys = vrfIndexes().map((index) => word(index));
    const known = count.lookup(zeroKey);
    // Most hosts have no VRFs.
    if (keys.length === 0 && known !== undefined && Buffer.compare(known, word(0)) === 0) return;
    const closed =
      (sysctl("net.ipv4.tcp_l3mdev_accept") === "1" ? 0 : ILM_VRF_CLOSED_TCP) |
      (sysctl("net.ipv4.udp_l3mdev_accept") === "1" ? 0 : ILM_VRF_CLOSED_UDP);
    const present = new Set(keys.map(keyText));
    for (const key of keys) map.update(key, word(closed));
    if (keys.length > 0) count.update(zeroKey, word(keys.length));
    for (const [key] of map.snapshot()) if (!present.has(keyText(key))) map.delete(key);
    // This comes last: while the count is 0, the programs look for no VRFs.
    if (keys.length === 0) count.update(zeroKey, word(0));
  }

  /** Discards what is known of the maps, so that it is read again. */
  forgetKnown(): void {
    this.#mapped = undefined;
  }

  /** Walks the namespace's sockets, and counts and places those that are not yet. */
  scan(protocols: readonly Protocol[] = ["tcp", "udp"]): void {
    for (const protocol of protocols) runIterator(this.program(`scan_${protocol}`));
  }

  /** Returns the raw records of the listing iterators. */
  list(): Uint8Array {
    return Buffer.concat(listings.map((name) => runIterator(this.program(name))));
  }

  /** Returns the raw records of the connections that destinations' listeners accepted. */
  accepted(): Uint8Array {
    return runIterator(this.program("list_accepted"));
  }

  /** Returns what the listing iterators say of each listener. */
  listed(): Listener[] {
    return decodeAll(listenerLayout, this.list());
  }

  /** Yields all places. */
  *#slots(): Generator<[Uint8Array, Slot]> {
    for (const [keys, values] of this.map("slots").batches()) {
      for (let at = 0; at * slotLayout.size < values.length; at++) {
        const key = keys.subarray(at * endpointLayout.size, (at + 1) * endpointLayout.size);
        yield [key, decode(slotLayout, values, at * slotLayout.size)];
      }
    }
  }

  /** Returns the places of these keys, and maybe others. */
  #slotsOf(keys: readonly Uint8Array[]): Map<string, Slot> {
    const found = new Map<string, Slot>();
    if (keys.length <= FEW) {
      for (const key of keys) {
        const value = this.map("slots").lookup(key);
        if (value !== undefined) found.set(keyText(key), decode(slotLayout, value));
      }
      return found;
    }
    for (const [key, slot] of this.#slots()) found.set(keyText(key), slot);
    return found;
  }

  /**
   * Gives each endpoint a place, keeping existing ones, and finds who listens: there, and anywhere
   * else, as what a socket did since its bind() or listen() may have gone unseen. Returns the index
   * into `primary` of each endpoint, or undefined when they do not fit, which takes a larger
   * registry. `whole`: the rules name no other endpoints, so a hand-over that they leave out is
   * unset. `permits` has the numbers of whose sockets new places take; who is permitted in existing
   * ones stays until `permit`.
   */
  reserve(
    endpoints: readonly Endpoint[],
    permits: PermitNumbers,
    whole: boolean,
  ): number[] | undefined {
    const keys = endpoints.map(endpointKey);
    const known = this.#slotsOf(keys);
    this.#instruct(endpoints, keys, known, whole);
    if (keys.some((key) => !known.has(keyText(key)))) {
      const taken = new Uint8Array(this.map("primary").maxEntries);
      let count = 0;
      /** The permits of places for every port of an address. */
      const everyPorts = new Map<string, number>();
      for (const [key, { index, permit }] of this.#slots()) {
        count++;
        if (index === ILM_SLOT_NONE) everyPorts.set(keyText(key), permit);
        else taken[index] = 1;
      }
      // Until the switch, its sockets are those of the place for every port.
      const permitOf = (endpoint: Endpoint): number =>
        (everyPorts.size === 0
          ? undefined
          : everyPorts.get(keyText(endpointKey({ ...endpoint, port: 0 })))) ??
        permits.of(endpoint.permit);
      const now = process.hrtime.bigint();
      const meta = this.#meta();
      let serial = meta.nextSerial;
      let free = 0;
      const added: [Uint8Array, Slot][] = [];
      endpoints.forEach((endpoint, i) => {
        const key = keys[i] ?? zeroKey;
        if (known.has(keyText(key))) return;
        let index = ILM_SLOT_NONE;
        if (endpoint.port !== 0) {
          while (taken[free] === 1) free++;
          index = free++;
        }
        const slot = {
          index,
          serial: serial++,
          wanted: 0,
          heard: 0,
          sinceNs: now,
          permit: permitOf(endpoint),
          ...unsaid,
          ...saidOf(endpoint),
        };
        known.set(keyText(key), slot);
        added.push([key, slot]);
      });
      if (count + added.length > taken.length) return undefined;
      // This comes first, so that no serial is used twice even if we are killed in between.
      this.#writeMeta({ ...meta, nextSerial: serial });
      putEntries(
        this.map("slots"),
        added.length,
        [bytesLayout(endpointLayout.size), (i) => added[i]?.[0] ?? zeroKey],
        [slotLayout, (i) => added[i]?.[1] ?? noSlot],
      );
    }
    this.#scanApart();
    return keys.map((key) => known.get(keyText(key))?.index ?? ILM_SLOT_NONE);
  }

  /**
   * Returns for each endpoint since when it has had a place, by CLOCK_MONOTONIC in nanoseconds,
   * provided that nobody has listened there since; otherwise null.
   */
  unheard(endpoints: readonly Endpoint[]): (bigint | null)[] {
    const keys = endpoints.map(endpointKey);
    const every = endpoints.map((endpoint) => endpointKey({ ...endpoint, port: 0 }));
    const known = this.#slotsOf([...keys, ...every]);
    return keys.map((key, i) => {
      const slot = known.get(keyText(key)) ?? known.get(keyText(every[i] ?? key));
      return slot === undefined || slot.heard !== 0 ? null : slot.sinceNs;
    });
  }

  /** Reports whether these endpoints find places, too. */
  hasRoom(endpoints: readonly Endpoint[]): boolean {
    const known = new Set([...this.#slots()].map(([key]) => keyText(key)));
    for (const endpoint of endpoints) known.add(keyText(endpointKey(endpoint)));
    return known.size <= this.map("primary").maxEntries;
  }

  /**
   * Returns an endpoint whose place has another hand-over or another origin than this one asks for.
   * A place has one of each, whichever rules decide.
   */
  contradicted(endpoints: readonly Endpoint[]): Endpoint | undefined {
    const known = this.#slotsOf(endpoints.map(endpointKey));
    return endpoints.find((endpoint) => {
      const slot = known.get(keyText(endpointKey(endpoint)));
      if (slot === undefined) return false;
      const asked = encode(slotLayout, { ...slot, ...saidOf(endpoint) });
      return Buffer.compare(encode(slotLayout, slot), asked) !== 0;
    });
  }

  #scanApart(): void {
    this.scan();
    // An owner may have been seen before a socket that he is to be told apart from.
    if (this.#hasIrregular()) this.scan();
  }

  /** Returns whether sockets listen on destinations that may not have all that is for them. */
  #hasIrregular(): boolean {
    const value = this.map("irregular").lookup(word(0));
    return value !== undefined && decode(u32, value) > 0;
  }

  /** Writes what the rules say into existing places; `known` has those of `endpoints`. */
  #instruct(
    endpoints: readonly Endpoint[],
    keys: readonly Uint8Array[],
    known: Map<string, Slot>,
    whole: boolean,
  ): void {
    const tell = (key: Uint8Array, slot: Slot, endpoint: Endpoint): void => {
      const changed = { ...slot, ...(whole && unsaid), ...saidOf(endpoint) };
      const value = encode(slotLayout, changed);
      if (Buffer.compare(value, encode(slotLayout, slot)) === 0) return;
      if (known.has(keyText(key))) known.set(keyText(key), changed);
      this.map("slots").update(key, value);
    };
    const everyPorts = new Map<string, Endpoint>();
    endpoints.forEach((endpoint, i) => {
      const key = keys[i] ?? zeroKey;
      const slot = known.get(keyText(key));
      if (endpoint.port === 0) everyPorts.set(keyText(key), endpoint);
      if (slot !== undefined) tell(key, slot, endpoint);
    });
    if (everyPorts.size === 0) return;
    // Places of single ports stay for the sake of an endpoint with every port: their sockets are
    // looked up there first.
    const named = new Set(keys.map(keyText));
    for (const [key, slot] of this.#slots()) {
      if (named.has(keyText(key))) continue;
      const endpoint = everyPorts.get(everyPort(decode(endpointLayout, key)));
      if (endpoint !== undefined) tell(key, slot, endpoint);
    }
  }

  /**
   * Permits these on their addresses, and takes others' sockets out of the maps. Not before the
   * switch: until then, the previous rules need their owners' sockets.
   */
  permit(owners: Owners, permits: PermitNumbers): void {
    const hadOwners = this.map("owners").nextKey(null) !== undefined;
    const owned = this.addOwners(owners, permits);
    // Most hosts have no owners.
    if (!hadOwners && this.map("owners").nextKey(null) === undefined) return;
    const hasChanged = this.#permitPlaces(owned);
    if (hasChanged) this.#scanApart();
    // A writer that was killed may have left strangers in the maps.
    if (hasChanged || this.#hasIrregular()) this.#evict();
  }

  /** Writes who is permitted in existing places. Returns whether that has changed. */
  #permitPlaces(owned: ReadonlyMap<Address, number>): boolean {
    const changed: [Uint8Array, Slot][] = [];
    for (const [key, slot] of this.#slots()) {
      const address = addressFromBytes(decode(endpointLayout, key).address);
      const permit = owned.get(address) ?? 0;
      if (permit !== slot.permit) changed.push([key, { ...slot, permit }]);
    }
    for (const [key, slot] of changed) this.map("slots").update(key, encode(slotLayout, slot));
    return changed.length > 0;
  }

  /** Takes sockets that a scan has found not permitted out of the maps. */
  #evict(): void {
    const strangers = new Set<bigint>();
    const indexes = new Set<number>();
    for (const { address, port, protocol, placed, cookie } of this.listed()) {
      const slot = placed === 0 ? this.#slotOf({ address, port, protocol }) : undefined;
      // What is for ingress leaves the maps by retain().
      if (slot === undefined || this.#isForIngress(slot)) continue;
      strangers.add(cookie);
      if (slot.index !== ILM_SLOT_NONE) indexes.add(slot.index);
    }
    if (strangers.size === 0) return;
    const isStranger = (map: BpfMap, key: Uint8Array): boolean => {
      const value = map.lookup(key);
      return value !== undefined && strangers.has(decode(u64, value));
    };
    const primary = this.map("primary");
    for (const index of indexes) if (isStranger(primary, word(index))) primary.delete(word(index));
    const members = this.map("members");
    const keys: Uint8Array[] = [];
    for (let key = members.nextKey(null); key !== undefined; key = members.nextKey(key)) {
      keys.push(key);
    }
    for (const key of keys) if (isStranger(members, key)) members.delete(key);
  }

  /** Returns the place of what listens there: its own, or that of every port of its address. */
  #slotOf(endpoint: Pick<AbiEndpoint, "address" | "port" | "protocol">): Slot | undefined {
    const slots = this.map("slots");
    const value =
      slots.lookup(encode(endpointLayout, endpoint)) ??
      slots.lookup(encode(endpointLayout, { ...endpoint, port: 0 }));
    return value && decode(slotLayout, value);
  }

  #isForIngress({ handover }: Slot): boolean {
    return handover === HandoverCode.INGRESS && this.steers;
  }

  /** Notes which port is the first that takes no privilege to bind, for the programs that judge. */
  noteFirstUnprivileged(): void {
    this.map("unprivileged").update(zeroKey, word(firstUnprivilegedPort() ?? 0));
  }

  /** Returns the first port that takes no privilege to bind, as the programs know it. */
  firstUnprivileged(): number {
    const value = this.map("unprivileged").lookup(zeroKey);
    return value === undefined ? 0 : decode(u32, value);
  }

  /**
   * Permits owners to listen on their services' addresses, and returns the numbers of the permits;
   * 0 is anyone. Others' addresses stay as they are.
   */
  addOwners(owners: Owners, permits: PermitNumbers): Map<Address, number> {
    const owned = new Map(
      owners.map(([address, permit]) => [address, permits.of(permit)] as const),
    );
    for (const [address, permit] of owned) {
      const key = addressBytes(address);
      if (permit !== 0) this.map("owners").update(key, word(permit));
      else if (this.map("owners").lookup(key) !== undefined) this.map("owners").delete(key);
    }
    return owned;
  }

  /** Forgets the owners of all other addresses. */
  retainOwners(owners: Owners): void {
    const kept = new Set(owners.map(([address]) => keyText(addressBytes(address))));
    for (const [key] of this.map("owners").snapshot()) {
      if (!kept.has(keyText(key))) this.map("owners").delete(key);
    }
  }

  /**
   * Frees the places that `endpoints` does not name, and removes their sockets from the maps. A
   * place stays if every port of its address is a destination: its sockets are found through it.
   * Sockets of places that are for ingress also leave the maps: reserve() has made sure that
   * ingress has them.
   */
  retain(endpoints: readonly Endpoint[]): void {
    const kept = new Set(endpoints.map((endpoint) => keyText(endpointKey(endpoint))));
    const removed = new Set<string>();
    const gone: Uint8Array[] = [];
    for (const [key, slot] of this.#slots()) {
      const text = keyText(key);
      const isKept = kept.has(text) || kept.has(everyPort(decode(endpointLayout, key)));
      if (isKept && !this.#isForIngress(slot)) continue;
      if (!isKept) gone.push(key);
      if (slot.index !== ILM_SLOT_NONE) this.map("primary").delete(word(slot.index));
      removed.add(text);
    }
    for (const key of gone) this.map("slots").delete(key);
    if (removed.size === 0) return;
    const members: Uint8Array[] = [];
    const map = this.map("members");
    for (let key = map.nextKey(null); key !== undefined; key = map.nextKey(key)) members.push(key);
    for (const key of members) {
      const member = decode(memberLayout, key);
      const text = keyText(encode(endpointLayout, member));
      if (removed.has(text) || (removed.has(everyPort(member)) && !kept.has(text))) map.delete(key);
    }
  }

  /** Removes places where nothing listens any more from `presence`, and scans for new listeners. */
  sweep(): void {
    this.forgetUnseen();
    this.scan();
  }

  /**
   * Removes entries of `presence` where nothing listens any more. The caller scans afterwards. This
   * includes listeners that are counted and whose end went unseen: another program that runs behind
   * ours denied the bind(), or removed the callbacks by which the kernel reports it; or a UDP
   * socket disconnected from a port that it had not chosen. An entry goes only when the kernel's
   * tables lack it repeatedly, under the same epoch, so no listener that comes or goes meanwhile is
   * mistaken for one of these.
   */
  forgetUnseen(): void {
    const map = this.map("presence");
    const unseen = new Map<string, { key: Uint8Array; epoch: bigint }>();
    for (const [key, value] of map.snapshot()) {
      const { sockets, epoch } = decode(presenceLayout, value);
      if (sockets > 0) unseen.set(keyText(key), { key, epoch });
    }
    for (let look = 0; look < LOOKS && unseen.size > 0; look++) {
      for (const [place, { key, epoch }] of unseen) {
        // A socket that closed was counted down, or had connected. A connected socket keeps the
        // entry for later ones.
        if (!this.#counts(key, epoch)) unseen.delete(place);
      }
      for (const place of this.#places()) unseen.delete(place);
    }
    for (const { key, epoch } of unseen.values()) {
      if (this.#counts(key, epoch)) map.delete(key);
    }
  }

  /** Reports whether the very same entry still counts a socket at the place. */
  #counts(place: Uint8Array, epoch: bigint): boolean {
    const value = this.map("presence").lookup(place);
    if (value === undefined) return false;
    const presence = decode(presenceLayout, value);
    return presence.sockets > 0 && presence.epoch === epoch;
  }

  /** Yields where a socket listens according to the kernel's tables, as keys of `presence`. */
  *#places(): Generator<string> {
    const records = this.list();
    for (let at = 0; at < records.length; at += listenerLayout.size) {
      const { address, port, protocol, device } = decode(listenerLayout, records, at);
      yield keyText(encode(placeLayout, { address, port, protocol, device }));
    }
  }

  faults(): Faults {
    const value = this.map("faults").lookup(zeroKey);
    if (value === undefined) throw new IlmError("INTERNAL", "the faults map is empty");
    const { untracked, unplaced, flows, unanswered, unsteered } = decode(faultsLayout, value);
    return {
      untracked: Number(untracked),
      unplaced: Number(unplaced),
      flows: Number(flows),
      unanswered: Number(unanswered),
      unsteered: Number(unsteered),
    };
  }

  /**
   * Opens whatever can be taken over from the maps of an earlier version's registry, or of an
   * incomplete one. The caller closes the maps.
   */
  static heritageOf(
    pins: Pins,
    netnsCookie: bigint,
    number = Math.max(0, ...pins.numbers("registry")),
  ): Heritage {
    return (name) => {
      const folder = pins.folder("registry", number);
      try {
        if (folder === undefined || metaIn(folder, netnsCookie) === undefined) return undefined;
        return openShaped(folder, name);
      } finally {
        folder?.close();
      }
    };
  }

  /** The maps that a new registry takes over from this one. The caller closes them. */
  get heritage(): Heritage {
    return (name) => this.map(name).duplicate();
  }

  get programIds(): ReadonlySet<number> {
    return new Set([...this.#programs.values()].map(({ id }) => id));
  }

  close(): void {
    for (const map of this.#maps.values()) map.close();
    for (const program of this.#programs.values()) program.close();
  }
}

function empty(table: BpfMap): void {
  for (let index = 0; index < table.maxEntries; index++) table.delete(word(index));
}

/**
 * Returns the ids of programs on cgroups that serve the namespace with this cookie, of any
 * registry.
 */
export function attachedHooks(netnsCookie: bigint): number[] {
  const found = new Set<number>();
  for (const link of allLinks()) {
    const { isOnCgroup, isAttached, programId } = link.info();
    if (!isOnCgroup || !isAttached || !programName(programId).startsWith("ilm_")) continue;
    const constants = constantsOf(programId);
    // The cookie comes first, in every version.
    if (constants !== undefined && constants.length >= 8) {
      const view = new DataView(constants.buffer, constants.byteOffset);
      if (view.getBigUint64(0, true) === netnsCookie) found.add(programId);
    }
  }
  return [...found];
}

function readMeta(map: BpfMap): Meta {
  const value = map.lookup(zeroKey);
  if (value === undefined) throw new IlmError("INTERNAL", "the meta map is empty");
  return decode(metaLayout, value);
}

/**
 * Reads the metadata of a registry of any version: all have begun like this since format 1. Returns
 * undefined when it is missing or another namespace's.
 */
export function metaIn(folder: Folder, netnsCookie: bigint): Meta | undefined {
  const map = openMap(folder, "meta");
  try {
    if (map === undefined || map.valueSize < metaLayout.size) return undefined;
    const meta = readMeta(map);
    return meta.netnsCookie === netnsCookie ? meta : undefined;
  } finally {
    map?.close();
  }
}

/**
 * Opens a map if it has the expected shape. The caller closes it. Returns undefined when it is
 * missing, or has another version's shape.
 */
function openShaped(folder: Folder, name: InheritedMap): BpfMap | undefined {
  const map = openMap(folder, name);
  const [key, value] = shapes[name];
  if (map?.keySize === key && map.valueSize === value) return map;
  map?.close();
  return undefined;
}

/**
 * Attaches a program to the root cgroup. A program attached there without BPF_F_ALLOW_MULTI
 * excludes all others (kernel/bpf/cgroup.c, hierarchy_allows_attach).
 */
function attachBeside(
  name: string,
  program: BpfProgram,
  target: number,
  type: AttachType,
): BpfLink {
  try {
    return attach(program, target, type);
  } catch (error) {
    if (errnoOf(error) !== Errno.EPERM) throw error;
    throw new IlmError(
      "SYSCALL",
      `${name} cannot be attached to the root cgroup: another program is alone on that hook`,
      {
        remedy:
          "`bpftool cgroup show` on the mount point of cgroup v2 names it. Let it be attached beside others (BPF_F_ALLOW_MULTI), or to another cgroup",
        cause: error,
      },
    );
  }
}

function linkName(hook: Hook | OptionalHook): string {
  return `link_${hook}`;
}

function isAttached(folder: Folder, hook: Hook | OptionalHook): boolean {
  const link = openLink(folder, linkName(hook));
  const attached = link?.info().isAttached === true;
  link?.close();
  return attached;
}

/**
 * Detaches a hook at once: a link whose pin is merely removed goes on for a grace period or more
 * (kernel/bpf/inode.c, bpf_free_inode).
 */
function detachHook(folder: Folder, hook: Hook | OptionalHook): void {
  removeLink(folder, linkName(hook));
}
