/** The data plane of the main thread's network namespace. */
import { closeSync, existsSync, mkdirSync, openSync, rmSync } from "node:fs";
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
  openLink,
  openProgram,
  runIterator,
  waitForPrograms,
} from "../kernel/bpf.js";
import { requireBpf } from "../kernel/features.js";
import { vrfIndexes } from "../kernel/interfaces.js";
import { LOCK_EX, flock } from "../kernel/libc.js";
import { lockPath } from "../kernel/lock.js";
import { findBpffs, mountBpffs } from "../kernel/mounts.js";
import { netnsCookie, netnsInode, ownNetnsPath } from "../kernel/netns.js";
import { sysctl } from "../kernel/procfs.js";
import type { Counters, Packet } from "../model/decision.js";
import type { Flow } from "../model/flow.js";
import type { Listener } from "../model/listener.js";
import { type Rules, mappingAt } from "../model/mapping.js";
import { type Address, familyOf, isLoopback4 } from "../model/address.js";
import { version } from "../version.js";
import { countLiveFlows, forgetIdleFlows, liveFlows } from "./flows.js";
import { Follower } from "./follower.js";
import { chooseEngine, withoutKfunc } from "./engine.js";
import { explainPacket } from "./explain.js";
import {
  type Direction,
  attachInterfaces,
  detachInterfaces,
  ingressIsPossible,
  interfacesWithout,
} from "./interfaces.js";
import type { Description } from "./description.js";
import { Generation } from "./generation.js";
import { toListener } from "./listeners.js";
import { findEnded, removeEnded } from "./ended.js";
import { type Plan, type Wanted, endpointsOf, planOver, planWhole, wantedOf } from "./plan.js";
import { PinPaths, objectPath, removeFolder, removeIfEmpty } from "./paths.js";
import { Registry } from "./registry.js";
import type {
  ApplyResult,
  DataPlane,
  DecisionStream,
  Explanation,
  Faults,
  FlowCount,
  InForce,
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

interface Prepared {
  readonly paths: PinPaths;
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

class KernelDataPlane implements DataPlane {
  readonly netnsInode: number;
  readonly #cookie: bigint;
  readonly #layeredFrom: number | undefined;
  #paths: PinPaths | undefined;
  #loaded: Loaded | undefined;
  readonly #ingressIsPossible: () => boolean;

  constructor({ layeredFrom, ingress = ingressIsPossible }: DataPlaneOptions) {
    requireBpf();
    this.#layeredFrom = layeredFrom;
    this.#ingressIsPossible = ingress;
    this.netnsInode = netnsInode();
    this.#cookie = netnsCookie();
  }

  get netnsCookie(): string {
    return this.#cookie.toString();
  }

  get pinPath(): string {
    return this.#findPaths()?.base ?? new PinPaths("/sys/fs/bpf", this.netnsInode).base;
  }

  #findPaths(): PinPaths | undefined {
    const bpffs = findBpffs();
    if (this.#paths === undefined && bpffs !== undefined) {
      this.#paths = new PinPaths(bpffs, this.netnsInode);
    }
    return this.#paths;
  }

  /** What is in force now; another process may have changed it since the last look. */
  #current(): Loaded | undefined {
    const paths = this.#findPaths();
    if (paths === undefined) return undefined;
    const link = openLink(paths.lookupLink);
    if (link === undefined) {
      this.#forget();
      return undefined;
    }
    const { programId } = link.info();
    if (this.#loaded?.programId === programId) {
      link.close();
      return this.#loaded;
    }
    this.#forget();
    for (const number of paths.numbers("generation")) {
      const program = openProgram(`${paths.generation(number)}/program`);
      const found = program?.id === programId;
      program?.close();
      if (!found) continue;
      const generation = Generation.open(paths, number);
      if (generation === undefined) break;
      const description = this.#describe(generation, paths);
      const registry = description && Registry.open(paths, description.registry, this.#cookie);
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

  #describe(generation: Generation, paths: PinPaths): Description | undefined {
    try {
      return generation.describe();
    } catch (cause) {
      throw new IlmError(
        "INCOMPATIBLE",
        `the state under ${paths.base} was made by another version of ilm`,
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
    const before = this.#findPaths() === undefined ? undefined : this.#readable();
    const planWith = (wanted: Wanted): Plan =>
      (before !== undefined && planOver(before, rules, wanted)) ||
      planWhole(rules, wanted, this.#layeredFrom);
    const wanted = wantedOf(before, rules, chooseEngine(rules));
    if (before !== undefined && isInForce(before, wanted)) return this.#keep(before, rules, wanted);
    // First, as it changes nothing: a rule set that does not compile must leave no trace.
    let plan = planWith(wanted);
    const { paths, addresses, added } = this.#prepare(before, rules);
    let built: Built;
    try {
      try {
        built = this.#build(paths, before, rules, plan);
      } catch (error) {
        const without = { ...wanted, choice: withoutKfunc(rules, plan.choice, error) };
        if (before !== undefined && isInForce(before, without)) {
          return this.#refresh(before, without, added);
        }
        plan = planWith(without);
        built = this.#build(paths, before, rules, plan);
      }
    } catch (error) {
      for (const address of added) removeFromLoopback(address);
      removeIfEmpty(paths.base);
      removeIfEmpty(paths.parent);
      throw error;
    }
    const { generation, registry, description, endpoints } = built;
    const missing = generation.resolveInterfaces();
    registry.meetVrfs();
    const shared = endpoints === null;
    if (before !== undefined) generation.carryFrom(before.generation, shared);
    // By the registry sk_lookup selects neither UDP sockets nor MPTCP listeners, as the kfunc did: ingress has to do so before.
    if (description.engine === "registry" && mayUseKfunc(paths, before)) {
      attachNeeded(paths, { registry, description });
      registry.setIngress(generation.ingress);
      // A packet that passed the old ingress program has been through sk_lookup then.
      waitForPrograms();
    }
    // The one step that changes what happens to a connection; the second is for what ingress hands over.
    const link = this.#switch(paths, before, generation);
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
    this.#removeLeftovers(paths, this.#loaded);
    if (endpoints !== null) registry.retain(endpoints);
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

  /** What has to be before a change: a place to pin things, and the addresses; nothing of those who are gone. */
  #prepare(before: Loaded | undefined, rules: Rules): Prepared {
    const paths = new PinPaths(mountBpffs(), this.netnsInode);
    this.#paths = paths;
    removeEnded(paths);
    // Another version's state goes on deciding until ours is in force.
    if (before !== undefined || !existsSync(paths.lookupLink)) this.#removeLeftovers(paths, before);
    const addresses = rules.file.services.flatMap((service) => service.addresses);
    const added = addMissing(addresses);
    // A writer that was killed may not have come that far.
    before?.registry.setIngress(before.generation.ingress);
    return { paths, addresses, added };
  }

  /** These rules are in force. */
  #keep(before: Loaded, rules: Rules, wanted: Wanted): ApplyResult {
    const { added } = this.#prepare(before, rules);
    return this.#refresh(before, wanted, added);
  }

  /** Nothing to change: what came and went is looked at again. */
  #refresh(
    { description, registry, generation }: Loaded,
    { mappings }: Wanted,
    added: readonly string[],
  ): ApplyResult {
    registry.scan();
    registry.meetVrfs();
    this.#steer();
    return {
      generation: description.generation,
      changed: false,
      mappings,
      incremental: false,
      addressesAdded: added,
      addressesRemoved: [],
      interfacesMissing: generation.resolveInterfaces(),
      kfuncTrouble: description.kfuncTrouble,
    };
  }

  /** A generation that decides nothing yet, and the registry that it uses. */
  #build(paths: PinPaths, before: Loaded | undefined, rules: Rules, plan: Plan): Built {
    mkdirSync(paths.base, { recursive: true, mode: 0o700 });
    const endpoints = endpointsOf(plan);
    let registry = before?.registry;
    let slots = registry?.reserve(endpoints);
    if (registry === undefined || slots === undefined) {
      // The tables in force name places in the registry that is there.
      if (plan.whole === null) {
        return this.#build(paths, before, rules, planWhole(rules, plan, this.#layeredFrom));
      }
      registry = Registry.create(
        paths,
        Math.max(0, ...paths.numbers("registry")) + 1,
        this.#cookie,
        endpoints.length,
        this.#ingressIsPossible(),
      );
      slots = registry.reserve(endpoints);
    }
    if (slots === undefined) throw new IlmError("INTERNAL", "a new registry is too small");
    const wanted: Description = {
      generation: Math.max(before?.description.generation ?? 0, ...paths.numbers("generation")) + 1,
      appliedAt: new Date().toISOString(),
      version,
      rules,
      ...plan.choice,
      fileDigest: plan.fileDigest,
      digest: plan.digest,
      protocols: plan.protocols,
      layers: plan.layers,
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
      const generation = Generation.createOver(before.generation, paths, registry, wanted, overlay);
      return { generation, registry, description: wanted, endpoints: null };
    }
    const whole = { compiled: plan.whole, slots, overlay };
    try {
      const generation = Generation.create(paths, registry, wanted, whole);
      return { generation, registry, description: wanted, endpoints };
    } catch (error) {
      if (registry !== before?.registry) {
        registry.close();
        removeFolder(paths.registry(registry.number));
      }
      throw error;
    }
  }

  #switch(paths: PinPaths, before: Loaded | undefined, generation: Generation): BpfLink {
    if (before !== undefined) {
      before.link.update(generation.program);
      return before.link;
    }
    // A link that nothing of ours stands behind is another version's, which goes over to us, or an ended namespace's.
    const found = openLink(paths.lookupLink);
    if (found?.info().netnsInode === this.netnsInode) {
      found.update(generation.program);
      return found;
    }
    found?.close();
    rmSync(paths.lookupLink, { force: true });
    const netns = openSync(ownNetnsPath, "r");
    try {
      const link = attach(generation.program, netns, AttachType.skLookup);
      link.pin(paths.lookupLink);
      return link;
    } finally {
      closeSync(netns);
    }
  }

  /** What a killed writer left, and generations and registries that are not in force. */
  #removeLeftovers(paths: PinPaths, keep: Loaded | undefined): void {
    removeFolder(paths.staging("generation"));
    removeFolder(paths.staging("registry"));
    for (const number of paths.numbers("generation")) {
      if (number !== keep?.generation.number) removeFolder(paths.generation(number));
    }
    for (const number of paths.numbers("registry")) {
      if (number !== keep?.registry.number) removeFolder(paths.registry(number));
    }
  }

  steers(): boolean | null {
    return this.#current()?.registry.steers ?? null;
  }

  vrfs(): ReadonlySet<number> {
    return new Set(vrfIndexes());
  }

  endedNamespaces(): number[] {
    const bpffs = findBpffs();
    return bpffs === undefined ? [] : findEnded(bpffs);
  }

  counters(): Counters[] {
    return this.#require().generation.counters();
  }

  listeners(): Listener[] {
    const loaded = this.#current();
    const records = loaded === undefined ? listWithoutRegistry() : loaded.registry.list();
    return decodeAll(listenerLayout, records).map(toListener);
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
    const paths = this.#findPaths();
    const loaded = this.#current();
    if (paths === undefined || loaded === undefined || !loaded.registry.steers) return [];
    const needed = neededHooks(loaded.description);
    const folder = paths.interfaces(loaded.registry.number);
    const without = directions.flatMap((direction) =>
      needed[direction] ? interfacesWithout(folder, direction) : [],
    );
    return [...new Set(without)];
  }

  faults(): Faults | null {
    return this.#current()?.registry.faults() ?? null;
  }

  explain(packet: Packet): Explanation {
    const { generation, description, registry } = this.#require();
    // One at a time: the program leaves its answer in one place.
    const folder = openSync(this.pinPath, "r");
    try {
      flock(folder, LOCK_EX);
      const explanation = explainPacket(packet, generation, registry, description.rules);
      if (explanation.verdict !== "selected" || explanation.cookie !== null) return explanation;
      return { ...explanation, cookie: this.#steeredSocket(explanation, description.rules) };
    } finally {
      closeSync(folder);
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
    this.#require();
    return watchDecisions(this.pinPath, () => this.#current());
  }

  follow(): { close(): void } {
    return new Follower(
      () => this.#current()?.registry,
      () => this.#meetInterfaces(),
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
    const paths = this.#findPaths();
    const loaded = this.#current();
    if (paths === undefined || loaded === undefined || !loaded.registry.steers) return;
    attachNeeded(paths, loaded);
    const needed = neededHooks(loaded.description);
    for (const direction of directions) {
      if (!needed[direction]) detachInterfaces(paths.interfaces(loaded.registry.number), direction);
    }
  }

  resync(): void {
    const { registry } = this.#require();
    this.#meetInterfaces();
    if (registry.faults().untracked > 0) registry.sweep();
    else registry.scan();
    forgetIdleFlows(registry.map("flows"));
  }

  unload(): boolean {
    const paths = this.#findPaths();
    const found = paths !== undefined && existsSync(paths.base);
    if (paths !== undefined) removeEnded(paths);
    const registry = this.#readable()?.registry;
    if (paths !== undefined && found) {
      // The decision first, so that no program runs on half of its state.
      rmSync(paths.lookupLink, { force: true });
      removeFolder(paths.base);
      removeIfEmpty(paths.parent);
      // Left to the kernel, the emptying takes so long that who lists maps meanwhile makes it lose count of who holds this
      // one (kernel/bpf/arraymap.c, prog_array_map_clear): it would stay for good.
      registry?.setIngress(null);
    }
    this.#forget();
    const removed = removeUnused([]);
    rmSync(lockPath(this.netnsInode), { force: true });
    return found || removed.length > 0;
  }

  close(): void {
    this.#forget();
  }
}

function isInForce({ description }: Loaded, { digest, choice }: Wanted): boolean {
  return (
    description.digest === digest &&
    description.engine === choice.engine &&
    description.kfuncTrouble === choice.kfuncTrouble
  );
}

/**
 * Ingress: UDP always; TCP where somebody may open MPTCP listeners, which a sockmap refuses. Egress: the answers of UDP.
 */
function neededHooks({ protocols, engine }: Description): Record<Direction, boolean> {
  const udp = protocols.includes("udp");
  // The kfunc finds those too. UDP needs ingress all the same, for ICMP errors.
  const mptcp = engine !== "kfunc" && protocols.length > 0 && sysctl("net.mptcp.enabled") === "1";
  return { ingress: udp || mptcp, egress: udp };
}

const directions = ["ingress", "egress"] as const satisfies readonly Direction[];

/** Attached to every interface, where these rules need it; what they do not need stays. */
function attachNeeded(
  paths: PinPaths,
  { registry, description }: Pick<Loaded, "registry" | "description">,
): void {
  if (!registry.steers) return;
  const needed = neededHooks(description);
  for (const direction of directions) {
    if (!needed[direction]) continue;
    attachInterfaces(paths.interfaces(registry.number), direction, registry.program(direction));
  }
}

/** Of what another version of ilm put in force the engine is not known. */
function mayUseKfunc(paths: PinPaths, before: Loaded | undefined): boolean {
  return before === undefined
    ? existsSync(paths.lookupLink)
    : before.description.engine === "kfunc";
}

/** Services' addresses that the host lacks, put on lo. All of 127.0.0.0/8 can be used as it is. */
function addMissing(addresses: readonly Address[]): Address[] {
  const wanted = addresses.filter((address) => !isLoopback4(address));
  if (wanted.length === 0) return [];
  const present = new Set(hostAddresses().map((entry) => entry.address));
  return wanted.filter((address) => !present.has(address) && addToLoopback(address));
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
  /** Says no: then all is as on a kernel without tcx. */
  readonly ingress?: () => boolean;
}
