/** The data plane of the main thread's network namespace. */
import { randomInt } from "node:crypto";
import { closeSync, openSync } from "node:fs";
import { decodeAll } from "../abi/layout.js";
import { listenerLayout } from "../abi/generated.js";
import type { Endpoint } from "../compile/tables.js";
import { candidates } from "../model/candidates.js";
import { IlmError } from "../errors.js";
import { addToLoopback, hostAddresses, removeFromLoopback } from "../kernel/addresses.js";
import {
  AttachType,
  BpfObject,
  type BpfLink,
  attach,
  runIterator,
  waitForPrograms,
} from "../kernel/bpf.js";
import { requireBpf } from "../kernel/features.js";
import { interfaces, vrfIndexes } from "../kernel/interfaces.js";
import type { Folder } from "../kernel/folder.js";
import { LOCK_EX, flock } from "../kernel/libc.js";
import { removeLockFile } from "../kernel/lock.js";
import { netnsCookie, netnsInode, ownNetnsPath } from "../kernel/netns.js";
import { sysctl } from "../kernel/procfs.js";
import type { Counters, Packet } from "../model/decision.js";
import type { Flow } from "../model/flow.js";
import type { Listener } from "../model/listener.js";
import { type Rules, allMappings, mappingAt } from "../model/mapping.js";
import { type Address, type Family, familyOf } from "../model/address.js";
import { version } from "../version.js";
import { countLiveFlows, forgetIdleFlows, liveFlows } from "./flows.js";
import { Follower } from "./follower.js";
import { chooseEngine, withoutKfunc } from "./engine.js";
import { explainPacket } from "./explain.js";
import {
  attachInterfaces,
  detachInterfaces,
  directions,
  type Direction,
  ingressIsPossible,
  interfacesWithout,
  overtakenIn,
} from "./interfaces.js";
import type { Description } from "./description.js";
import { Generation } from "./generation.js";
import { toListener } from "./listeners.js";
import { findEnded, removeEnded } from "./ended.js";
import { type Plan, type Wanted, endpointsOf, planOver, planWhole, wantedOf } from "./plan.js";
import { objectPath } from "./objects.js";
import { LOOKUP_LINK, Pins, folderName, pinPath, stagingName } from "../kernel/pins.js";
import { Registry } from "./registry.js";
import type {
  ApplyResult,
  DataPlane,
  DecisionStream,
  Explanation,
  Faults,
  FlowCount,
  InForce,
  Overtaken,
} from "./types.js";
import { watchDecisions } from "./watch.js";

/** A generation in force, with what it stands on. */
interface Loaded {
  readonly link: BpfLink;
  readonly programId: number;
  readonly generation: Generation;
  readonly description: Description;
  readonly registry: Registry;
}

/** Links on interfaces, in the registry's folder: they call what this registry's map says. */
const INTERFACES = "interfaces";

interface Prepared {
  /** Of the services. */
  readonly addresses: readonly Address[];
  /** Those that were not there. */
  readonly added: readonly Address[];
}

interface Built extends Pick<Loaded, "generation" | "registry" | "description"> {
  /** All that destinations name; null: those of the generation before and some more. */
  readonly endpoints: readonly Endpoint[] | null;
}

const notLoaded = (): IlmError =>
  new IlmError("NOT_LOADED", "nothing is loaded in this network namespace", {
    remedy: "Put a configuration in force: ilm apply -f FILE, or ilm run -f FILE",
  });

const noIngress = (): IlmError =>
  new IlmError("NO_BPF", "`handover: ingress` needs tcx, and this kernel has none", {
    remedy: "Take Linux 6.6 or later, or leave it out: then the listeners are put into socket maps",
  });

class KernelDataPlane implements DataPlane {
  readonly netnsInode: number;
  readonly #cookie: bigint;
  readonly #layeredFrom: number | undefined;
  readonly #drawSeed: number | undefined;
  #loaded: Loaded | undefined;
  readonly #ingressIsPossible: () => boolean;

  constructor({ layeredFrom, drawSeed, ingress = ingressIsPossible }: DataPlaneOptions) {
    requireBpf();
    this.#layeredFrom = layeredFrom;
    this.#drawSeed = drawSeed;
    this.#ingressIsPossible = ingress;
    this.netnsInode = netnsInode();
    this.#cookie = netnsCookie();
  }

  get netnsCookie(): string {
    return this.#cookie.toString();
  }

  get pinPath(): string {
    return pinPath(this.netnsInode);
  }

  /** What is in force now; another process may have changed it since the last look. Throws UNSAFE_PATH. */
  #current(): Loaded | undefined {
    const pins = Pins.open(this.netnsInode);
    try {
      const link = pins?.lookupLink();
      if (pins === undefined || link === undefined) {
        this.#forget();
        return undefined;
      }
      return this.#find(pins, link);
    } finally {
      pins?.close();
    }
  }

  #find(pins: Pins, link: BpfLink): Loaded | undefined {
    const { programId } = link.info();
    if (this.#loaded?.programId === programId) {
      link.close();
      return this.#loaded;
    }
    this.#forget();
    for (const number of pins.numbers("generation")) {
      if (!isProgramOf(pins, number, programId)) continue;
      const generation = Generation.open(pins, number);
      if (generation === undefined) break;
      const description = this.#describe(generation);
      const registry = description && Registry.open(pins, description.registry, this.#cookie);
      // A namespace that ended and whose inode number is used again, or another version's state: not ours to read.
      if (description === undefined || registry === undefined) {
        generation.close();
        break;
      }
      this.#loaded = { link, programId, generation, description, registry };
      return this.#loaded;
    }
    link.close();
    return undefined;
  }

  #describe(generation: Generation): Description | undefined {
    try {
      return generation.describe();
    } catch (cause) {
      throw new IlmError(
        "INCOMPATIBLE",
        `the state under ${this.pinPath} was made by another version of ilm`,
        {
          cause,
          remedy: "Apply the configuration again with this version: it takes over without a gap",
        },
      );
    }
  }

  #require(): Loaded {
    const loaded = this.#current();
    if (loaded === undefined) throw notLoaded();
    return loaded;
  }

  #forget(): void {
    this.#loaded?.link.close();
    this.#loaded?.generation.close();
    this.#loaded?.registry.close();
    this.#loaded = undefined;
  }

  inForce(): InForce | null {
    const description = this.#current()?.description;
    if (description === undefined) return null;
    const { generation, appliedAt, version: by, rules, engine, kfuncTrouble } = description;
    // The rules unpack themselves when somebody looks at them.
    return { generation, appliedAt, version: by, rules, engine, kfuncTrouble };
  }

  /** Like #current, for a writer: what another version of ilm made is as good as nothing, and is replaced. */
  #readable(): Loaded | undefined {
    try {
      return this.#current();
    } catch (error) {
      if (error instanceof IlmError && error.code === "INCOMPATIBLE") return undefined;
      throw error;
    }
  }

  apply(rules: Rules): ApplyResult {
    const before = this.#readable();
    const wanted = wantedOf(before, rules, chooseEngine(rules));
    let act: (pins: Pins, prepared: Prepared) => ApplyResult;
    if (before !== undefined && isInForce(before, wanted)) {
      act = (_, prepared) => this.#refresh(before, wanted, prepared);
    } else {
      // First, as it changes nothing: a rule set that does not compile must leave no trace.
      const plan = this.#plan(before, rules, wanted);
      act = (pins, prepared) => this.#replace(pins, before, rules, plan, prepared);
    }
    const pins = Pins.make(this.netnsInode);
    try {
      return act(pins, this.#prepare(pins, before, rules));
    } finally {
      pins.close();
    }
  }

  #plan(before: Loaded | undefined, rules: Rules, wanted: Wanted): Plan {
    return (
      (before !== undefined && planOver(before, rules, wanted)) ||
      planWhole(rules, wanted, this.#layeredFrom)
    );
  }

  #replace(
    pins: Pins,
    before: Loaded | undefined,
    rules: Rules,
    plan: Plan,
    prepared: Prepared,
  ): ApplyResult {
    const { addresses, added } = prepared;
    let built: Built;
    try {
      try {
        built = this.#build(pins, before, rules, plan);
      } catch (error) {
        const without = { ...plan, choice: withoutKfunc(rules, plan.choice, error) };
        if (before !== undefined && isInForce(before, without)) {
          return this.#refresh(before, without, prepared);
        }
        plan = this.#plan(before, rules, without);
        built = this.#build(pins, before, rules, plan);
      }
    } catch (error) {
      for (const address of added) removeFromLoopback(address);
      pins.removeEmpty();
      throw error;
    }
    const { generation, registry, description, endpoints } = built;
    const shared = endpoints === null;
    const missing = generation.resolveInterfaces();
    registry.meetVrfs();
    if (before !== undefined) generation.carryFrom(before.generation, shared);
    // By the registry sk_lookup selects neither UDP sockets nor MPTCP listeners, as the kfunc did: ingress has to do so before.
    if (registry.steers && description.engine === "registry" && mayUseKfunc(pins, before)) {
      this.#inRegistry({ registry }, (folder) => {
        attachNeeded(folder, { registry, description });
      });
      registry.setIngress(generation.ingress);
      // A packet that passed the old ingress program has been through sk_lookup then.
      waitForPrograms();
    }
    // Before the first datagram is handed over.
    this.#inRegistry({ registry }, (folder) => {
      if (neededHooks(description).egress) registry.setHook(folder, "deliver", true);
    });
    // The one step that changes what happens to a connection; the second is for what ingress hands over.
    const link = this.#switch(pins, before, generation);
    registry.setIngress(generation.ingress);
    if (before !== undefined) {
      // The old program may still run on another CPU: it counts until then, and needs the places of its destinations.
      waitForPrograms();
      generation.carryFrom(before.generation, shared);
      before.generation.close();
      if (before.registry !== registry) before.registry.close();
      if (before.link !== link) before.link.close();
    }
    this.#loaded = { link, programId: generation.program.id, generation, description, registry };
    this.#steer();
    this.#removeLeftovers(pins, this.#loaded);
    if (endpoints !== null) {
      registry.setMappedPorts(allMappings(rules), true);
      registry.retain(endpoints);
    }
    const removed = removeUnused(addresses);
    return {
      generation: description.generation,
      changed: true,
      mappings: plan.mappings,
      incremental: shared,
      addressesAdded: added,
      addressesRemoved: removed,
      interfacesMissing: missing,
      kfuncTrouble: plan.choice.kfuncTrouble,
    };
  }

  /** What has to be before a change: the addresses, and nothing of those who are gone. */
  #prepare(pins: Pins, before: Loaded | undefined, rules: Rules): Prepared {
    removeEnded(this.netnsInode);
    const link = pins.lookupLink();
    // Another version's state goes on deciding until ours is in force.
    if (before !== undefined || link === undefined) this.#removeLeftovers(pins, before);
    link?.close();
    const addresses = rules.file.services.flatMap((service) => service.addresses);
    const added = addMissing(addresses);
    // A writer that was killed may not have come that far.
    before?.registry.setIngress(before.generation.ingress);
    return { addresses, added };
  }

  /** Nothing to change: what came and went is looked at again, and what a killed writer left is removed. */
  #refresh(
    { description, registry, generation }: Loaded,
    { mappings }: Wanted,
    { addresses, added }: Prepared,
  ): ApplyResult {
    registry.sweep();
    registry.meetVrfs();
    this.#steer();
    return {
      generation: description.generation,
      changed: false,
      mappings,
      incremental: false,
      addressesAdded: added,
      addressesRemoved: removeUnused(addresses),
      interfacesMissing: generation.resolveInterfaces(),
      kfuncTrouble: description.kfuncTrouble,
    };
  }

  /** A generation that decides nothing yet, and the registry that it uses. */
  #build(pins: Pins, before: Loaded | undefined, rules: Rules, plan: Plan): Built {
    const endpoints = endpointsOf(plan);
    const steers = before?.registry.steers ?? this.#ingressIsPossible();
    if (!steers && endpoints.some(({ handover }) => handover === "ingress")) throw noIngress();
    const isWhole = plan.whole !== null;
    const mappings = isWhole ? allMappings(rules) : rules.runtime;
    let registry = before?.registry;
    // Those of the rules in force until they are not.
    registry?.setMappedPorts(mappings, false);
    let slots = registry?.reserve(endpoints, isWhole);
    if (registry === undefined || slots === undefined) {
      // The tables in force name places in the registry that is there.
      if (plan.whole === null) {
        return this.#build(pins, before, rules, planWhole(rules, plan, this.#layeredFrom));
      }
      registry = Registry.create(
        pins,
        Math.max(0, ...pins.numbers("registry")) + 1,
        this.#cookie,
        endpoints.length,
        steers,
      );
      registry.setMappedPorts(mappings, true);
      slots = registry.reserve(endpoints, isWhole);
    }
    if (slots === undefined) throw new IlmError("INTERNAL", "a new registry is too small");
    const wanted: Description = {
      generation: Math.max(before?.description.generation ?? 0, ...pins.numbers("generation")) + 1,
      appliedAt: new Date().toISOString(),
      version,
      rules,
      ...plan.choice,
      fileDigest: plan.fileDigest,
      digest: plan.digest,
      protocols: plan.protocols,
      drawSeed: this.#drawSeed ?? before?.description.drawSeed ?? randomInt(2 ** 32),
      layers: plan.layers,
      steersTcp:
        endpoints.some(isSteeredTcp) ||
        (plan.whole === null && before?.description.steersTcp === true),
      registry: registry.number,
      interfaces: plan.interfaces,
    };
    const overlay =
      plan.overlay === null
        ? null
        : { overlay: plan.overlay, slots: slots.slice(plan.whole?.endpoints.length ?? 0) };
    if (plan.whole === null) {
      if (before === undefined) throw new IlmError("INTERNAL", "there is nothing to lie on");
      // It is written where a program may still read that was in force until a moment ago.
      waitForPrograms();
      const generation = Generation.createOver(before.generation, pins, registry, wanted, overlay);
      return { generation, registry, description: wanted, endpoints: null };
    }
    const whole = { compiled: plan.whole, slots, overlay };
    try {
      const generation = Generation.create(pins, registry, wanted, whole);
      return { generation, registry, description: wanted, endpoints };
    } catch (error) {
      if (registry !== before?.registry) {
        registry.close();
        pins.base.remove(folderName("registry", registry.number));
      }
      throw error;
    }
  }

  #switch(pins: Pins, before: Loaded | undefined, generation: Generation): BpfLink {
    if (before !== undefined) {
      before.link.update(generation.program);
      return before.link;
    }
    // A link that nothing of ours stands behind is another version's, which goes over to us, or an ended namespace's.
    const found = pins.lookupLink();
    if (found?.info().netnsInode === this.netnsInode) {
      found.update(generation.program);
      return found;
    }
    found?.close();
    pins.base.remove(LOOKUP_LINK);
    const netns = openSync(ownNetnsPath, "r");
    try {
      const link = attach(generation.program, netns, AttachType.skLookup);
      link.pin(pins.base, LOOKUP_LINK);
      return link;
    } finally {
      closeSync(netns);
    }
  }

  /** What a killed writer left, and generations and registries that are not in force. */
  #removeLeftovers(pins: Pins, keep: Loaded | undefined): void {
    for (const kind of ["generation", "registry"] as const) {
      pins.base.remove(stagingName(kind));
      for (const number of pins.numbers(kind)) {
        if (number !== keep?.[kind].number) pins.base.remove(folderName(kind, number));
      }
    }
  }

  steers(): boolean | null {
    return this.#current()?.registry.steers ?? null;
  }

  nat(): readonly Family[] {
    return this.#current()?.registry.nat() ?? [];
  }

  netfilterHooks(): readonly Family[] {
    return this.#current()?.registry.netfilterHooks() ?? [];
  }

  outputFilters(): readonly Family[] {
    return this.#current()?.registry.outputFilters() ?? [];
  }

  vrfs(): ReadonlySet<number> {
    return new Set(vrfIndexes());
  }

  endedNamespaces(): number[] {
    return findEnded();
  }

  counters(): Counters[] {
    return this.#require().generation.counters();
  }

  listeners(): Listener[] {
    const loaded = this.#current();
    const records = loaded === undefined ? listWithoutRegistry() : loaded.registry.list();
    let names: ReadonlyMap<number, string> | undefined;
    // Few listeners are bound to one.
    const nameOf = (index: number): string => (names ??= interfaces()).get(index) ?? "?";
    return decodeAll(listenerLayout, records).map((record) => toListener(record, nameOf));
  }

  flows(): Flow[] {
    const registry = this.#current()?.registry;
    return registry === undefined ? [] : liveFlows(registry.map("flows"));
  }

  flowCount(): FlowCount | null {
    const map = this.#current()?.registry.map("flows");
    return map === undefined ? null : { live: countLiveFlows(map), capacity: map.maxEntries };
  }

  uncoveredInterfaces(): string[] {
    const loaded = this.#current();
    if (loaded === undefined || !loaded.registry.steers) return [];
    const needed = neededHooks(loaded.description);
    const without = this.#inInterfaces(loaded, (folder) =>
      directions
        .filter((direction) => needed[direction])
        .flatMap((direction) => interfacesWithout(folder, direction)),
    );
    return [...new Set(without)];
  }

  overtaken(): Overtaken[] {
    const loaded = this.#current();
    if (loaded === undefined || !loaded.registry.steers) return [];
    const found = this.#inInterfaces(
      loaded,
      (folder) => folder && directions.flatMap((direction) => overtakenIn(folder, direction)),
    );
    return found ?? [];
  }

  /** In the folder of what is attached to interfaces, which is undefined when nothing is; undefined as the next. */
  #inInterfaces<T>(loaded: Loaded, action: (folder: Folder | undefined) => T): T | undefined {
    return this.#inRegistry(loaded, (registry) => {
      const folder = registry.folder(INTERFACES);
      try {
        return action(folder);
      } finally {
        folder?.close();
      }
    });
  }

  /** In the folder of a registry; undefined when it has just been removed. */
  #inRegistry<T>(
    { registry }: Pick<Loaded, "registry">,
    action: (folder: Folder) => T,
  ): T | undefined {
    const pins = Pins.open(this.netnsInode);
    const folder = pins?.folder("registry", registry.number);
    try {
      return folder && action(folder);
    } finally {
      folder?.close();
      pins?.close();
    }
  }

  faults(): Faults | null {
    return this.#current()?.registry.faults() ?? null;
  }

  explain(packet: Packet): Explanation {
    const { generation, description, registry } = this.#require();
    // One at a time: the program leaves its answer in one place.
    const pins = Pins.open(this.netnsInode);
    if (pins === undefined) throw notLoaded();
    const lock = pins.base.openSelf();
    pins.close();
    try {
      flock(lock, LOCK_EX);
      const explanation = explainPacket(packet, generation, registry, description.rules);
      if (explanation.verdict !== "selected" || explanation.cookie !== null) return explanation;
      return { ...explanation, cookie: this.#steeredSocket(explanation, description.rules) };
    } finally {
      closeSync(lock);
    }
  }

  /** The kernel selects at ingress, with a packet in hand; here the listener on the destination is named. */
  #steeredSocket(explanation: Explanation, rules: Rules): string | null {
    const { packet, mapping: index, destination } = explanation;
    const mapping = index === null ? undefined : mappingAt(rules, index);
    if (mapping === undefined) return null;
    const wanted = candidates(mapping, familyOf(packet.local)).filter(
      (candidate) => candidate.destination === destination,
    );
    const found = this.listeners().find(
      (listener) =>
        listener.protocol === packet.protocol &&
        !(listener.v6only && familyOf(packet.local) === 4) &&
        wanted.some(
          ({ address, port }) =>
            listener.address === address && listener.port === (port || packet.localPort),
        ),
    );
    return found?.cookie ?? null;
  }

  watch(): DecisionStream {
    const lock = this.#inRegistry(this.#require(), (folder) => folder.openSelf());
    if (lock === undefined) throw notLoaded();
    return watchDecisions(lock, () => this.#current());
  }

  follow(onError?: (error: unknown) => void): { close(): void } {
    return new Follower(
      () => this.#current()?.registry,
      () => this.#meetInterfaces(),
      onError,
    );
  }

  /** Interfaces came, went or were renamed: those that mappings name, and those at which UDP and MPTCP are handed over. */
  #meetInterfaces(): void {
    const loaded = this.#current();
    loaded?.generation.resolveInterfaces();
    loaded?.registry.meetVrfs();
    this.#steer();
  }

  /** The hand-over at ingress, where the rules in force need it and nowhere else. */
  #steer(): void {
    const loaded = this.#current();
    if (loaded === undefined) return;
    const needed = neededHooks(loaded.description);
    this.#inRegistry(loaded, (registry) => {
      loaded.registry.setHook(registry, "deliver", needed.egress);
      loaded.registry.setHook(
        registry,
        "sock_create",
        loaded.description.rules.file.mptcp === "off",
      );
      if (!loaded.registry.steers) return;
      attachNeeded(registry, loaded);
      const folder = registry.folder(INTERFACES);
      for (const direction of directions) {
        if (folder !== undefined && !needed[direction]) detachInterfaces(folder, direction);
      }
      folder?.close();
    });
  }

  resync(): void {
    const { registry } = this.#require();
    this.#meetInterfaces();
    registry.sweep();
    forgetIdleFlows(registry.map("flows"));
  }

  unload(): boolean {
    const pins = Pins.open(this.netnsInode);
    try {
      removeEnded(this.netnsInode);
      const registry = this.#readable()?.registry;
      // The decision first, so that no program runs on half of its state.
      pins?.base.remove(LOOKUP_LINK);
      pins?.removeAll();
      // Left to the kernel, the emptying takes so long that who lists maps meanwhile makes it lose count of who holds this
      // one (kernel/bpf/arraymap.c, prog_array_map_clear): it would stay for good.
      registry?.setIngress(null);
    } finally {
      pins?.close();
    }
    this.#forget();
    const removed = removeUnused([]);
    removeLockFile(this.netnsInode);
    return pins !== undefined || removed.length > 0;
  }

  close(): void {
    this.#forget();
  }
}

function isSteeredTcp({ protocol, handover }: Endpoint): boolean {
  return protocol === "tcp" && handover === "ingress";
}

function isProgramOf(pins: Pins, generation: number, programId: number): boolean {
  const program = pins.lookupProgram(generation);
  const found = program?.id === programId;
  program?.close();
  return found;
}

/** True also when another version's rules may be in force. */
function mayUseKfunc(pins: Pins, before: Loaded | undefined): boolean {
  if (before !== undefined) return before.description.engine === "kfunc";
  const link = pins.lookupLink();
  link?.close();
  return link !== undefined;
}

function isInForce({ description }: Loaded, { digest, choice }: Wanted): boolean {
  return (
    description.digest === digest &&
    description.engine === choice.engine &&
    description.kfuncTrouble === choice.kfuncTrouble
  );
}

/**
 * Ingress: UDP always; TCP where somebody may open MPTCP listeners, which a sockmap refuses, or it is asked for. Egress: the
 * answers of UDP.
 */
function neededHooks({ protocols, engine, steersTcp }: Description): Record<Direction, boolean> {
  const udp = protocols.includes("udp");
  // The kfunc finds those too. UDP needs ingress all the same, as that tells sk_lookup what is a packet.
  const mptcp = engine !== "kfunc" && protocols.length > 0 && sysctl("net.mptcp.enabled") === "1";
  return { ingress: udp || mptcp || steersTcp, egress: udp };
}

/** Attached to every interface, where these rules need it; what they do not need stays. `around`: the registry's folder. */
function attachNeeded(
  around: Folder,
  { registry, description }: Pick<Loaded, "registry" | "description">,
): void {
  const needed = neededHooks(description);
  const folder = around.makeFolder(INTERFACES);
  try {
    for (const direction of directions) {
      if (needed[direction]) attachInterfaces(folder, direction, registry.program(direction));
    }
  } finally {
    folder.close();
  }
}

/**
 * Services' addresses that no interface has, put on lo. Of 127.0.0.0/8 too, all of which can be used as it is: some daemons
 * (BIND) serve only addresses that an interface has.
 */
function addMissing(addresses: readonly Address[]): Address[] {
  if (addresses.length === 0) return [];
  const present = new Set(hostAddresses().map((entry) => entry.address));
  return addresses.filter((address) => !present.has(address) && addToLoopback(address));
}

/** Addresses that we put on lo and that no service has any more. */
function removeUnused(addresses: readonly Address[]): Address[] {
  const wanted = new Set(addresses);
  return hostAddresses()
    .filter((entry) => entry.ours && !wanted.has(entry.address))
    .map((entry) => entry.address)
    .filter((address) => removeFromLoopback(address));
}

function listWithoutRegistry(): Uint8Array {
  const object = new BpfObject(objectPath("listing"));
  try {
    object.load();
    return Buffer.concat(
      ["ilm_list_tcp", "ilm_list_udp"].map((name) => {
        const program = object.program(name);
        try {
          return runIterator(program);
        } finally {
          program.close();
        }
      }),
    );
  } finally {
    object.close();
  }
}

/**
 * Cheap, and changes nothing; works when nothing is loaded. Throws NOT_PERMITTED, NO_BPF, NO_BTF, NO_LIBBPF when this host
 * or user cannot.
 */
export function openDataPlane(options: DataPlaneOptions = {}): DataPlane {
  return new KernelDataPlane(options);
}

/** For tests and measurements. */
export interface DataPlaneOptions {
  /** From how many mappings of the file on those added at run time are an overlay. */
  readonly layeredFrom?: number;
  /** Instead of a random one. */
  readonly drawSeed?: number;
  /** Says no: then all is as on a kernel without tcx. */
  readonly ingress?: () => boolean;
}
