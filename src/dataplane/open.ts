/** The data plane of the main thread's network namespace. */
import { randomInt } from "node:crypto";
import { closeSync, openSync } from "node:fs";
import { decodeAll } from "../abi/layout.js";
import { ILM_ABI_VERSION, listenerLayout } from "../abi/generated.js";
import type { Removed } from "../compile/overlay.js";
import { type ChangeSummary, type Listed, summarize, summaryOfNew } from "../rules/summary.js";
import type { Compiled, Endpoint } from "../compile/tables.js";
import { candidates } from "../rules/candidates.js";
import { IlmError } from "../errors.js";
import {
  type HostAddress,
  addToLoopback,
  hostAddresses,
  removeFromLoopback,
} from "../kernel/addresses.js";
import { waitForPrograms } from "../kernel/bpf/grace.js";
import { BpfObject } from "../kernel/bpf/object.js";
import { programName } from "../kernel/bpf/program.js";
import { runIterator } from "../kernel/bpf/iterator.js";
import {
  AttachType,
  type BpfLink,
  attach,
  detachPrograms,
  linkById,
  skLookupLinks,
} from "../kernel/bpf/link.js";
import { type BpfMap } from "../kernel/bpf/map.js";
import { requireBpf } from "../kernel/features.js";
import { interfaces, vrfIndexes } from "../kernel/interfaces.js";
import type { Folder } from "../kernel/folder.js";
import { LOCK_EX, flock } from "../kernel/libc.js";
import { removeLockFile } from "../kernel/lock.js";
import { netnsCookie, netnsInode, ownNetnsPath } from "../kernel/netns.js";
import { sysctl } from "../kernel/procfs.js";
import type { CounterList, Counters, Packet } from "../model/decision.js";
import type { Flow } from "../model/flow.js";
import type { Listener } from "../model/listener.js";
import type { Mapping, RuleSet, Rules } from "../model/mapping.js";
import type { Revision } from "../model/revision.js";
import { allMappings } from "../model/mappings.js";
import { type Address, type Family, familyOf } from "../model/address.js";
import { printable } from "../printable.js";
import { beginStep } from "../progress.js";
import { version } from "../version.js";
import { countLiveFlows, forgetIdleFlows, liveFlows } from "./observe/flows.js";
import { Follower } from "./install/follower.js";
import { Earlier } from "./earlier.js";
import { chooseEngine, withoutKfunc } from "./install/engine.js";
import { explainPacket } from "./observe/explain.js";
import {
  attachInterfaces,
  detachInterfaces,
  directions,
  type Direction,
  ingressIsPossible,
  interfacesWithout,
  overtakenIn,
  programsOnInterfaces,
} from "./install/interfaces.js";
import {
  type Description,
  type Layers,
  digestOfFile,
  hasFileOf,
  isUndecodable,
} from "./description.js";
import { Generation } from "./install/generation.js";
import { describeHeader, readHeader } from "./header.js";
import { Programs } from "./install/programs.js";
import {
  type InForceNow,
  type MapSizes,
  type Searched,
  type Side,
  capacityOf,
  fitsIn,
  isLayered,
  oneSided,
  otherSide,
  searched,
  sideFor,
  tableSizes,
  twoSided as bothSides,
} from "./install/tables.js";
import { toListener } from "./observe/listeners.js";
import { mappingsAbove } from "./install/places.js";
import { findEnded, removeEnded } from "./install/ended.js";
import {
  type Plan,
  type Wanted,
  endpointsOf,
  layOver,
  planOver,
  planWhole,
  wantedOf,
} from "./install/plan.js";
import { objectPath } from "./objects.js";
import {
  LOOKUP_LINK,
  Pins,
  folderName,
  numbersIn,
  pinPath,
  pinnedNamespaces,
  stagingName,
} from "../kernel/pins.js";
import { type OptionalHook, Registry, attachedHooks, optionalHooks } from "./install/registry.js";
import {
  LOOKUP_MISSING,
  type ApplyOptions,
  type ApplyResult,
  type DataPlane,
  type DecisionStream,
  type Explanation,
  type Faults,
  type FlowCount,
  type FollowOptions,
  type InForce,
  type KeptText,
  type Missing,
  type Overtaken,
} from "./types.js";
import { watchDecisions } from "./observe/watch.js";

/** A generation in force, with what it stands on. */
interface Loaded {
  /** Another one after it was detached and repaired. */
  link: BpfLink;
  readonly programId: number;
  readonly generation: Generation;
  readonly description: Description;
  readonly registry: Registry;
  /** False: its pins are gone, or another BPF file system covers them. It lives by what this process holds. */
  pinned: boolean;
  /** This process put it in force, and no program is at work any more that has read what was in force before. */
  isAlone: boolean;
}

/** The rest of a change that decides already. */
interface Unfinished {
  finish(): void;
  /** Of what was in force before. */
  close(): void;
}

/** Links on interfaces, in the registry's folder: they call what this registry's map says. */
const INTERFACES = "interfaces";

interface Prepared {
  /** Addresses of services that were not there. */
  readonly added: readonly Address[];
  /** Addresses that we put on lo and that no service has any more. */
  readonly unused: readonly Address[];
  readonly repaired: readonly Missing[];
  /** What the rules in force need, all of which is attached; null: nothing is known of it. */
  readonly attached: Needs | null;
}

/** What rules need to be attached, beside what always is. */
interface Needs {
  readonly directions: Readonly<Record<Direction, boolean>>;
  readonly hooks: readonly OptionalHook[];
}

interface Built extends Pick<Loaded, "generation" | "registry" | "description"> {
  /** All that destinations name; null: those of the generation before and some more. */
  readonly endpoints: readonly Endpoint[] | null;
}

interface Look {
  readonly current: Loaded | Earlier | undefined;
  /** Why what decides cannot be read. */
  readonly trouble: IlmError | null;
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
  readonly #counterBytes: number | undefined;
  #loaded: Loaded | undefined;
  /** Instead of `#loaded`: what an earlier version made decides. */
  #earlier: Earlier | undefined;
  readonly #ingressIsPossible: () => boolean;
  /** This process stays, and puts back what others take away. */
  #holds = false;
  #unfinished: Unfinished | undefined;
  /** Set while `asOne` is at work; its pins are undefined when there are none. */
  #shared: { pins: Pins | undefined } | undefined;

  constructor(options: DataPlaneOptions) {
    const { layeredFrom, drawSeed, counterBytes, ingress = ingressIsPossible } = options;
    requireBpf();
    this.#layeredFrom = layeredFrom;
    this.#drawSeed = drawSeed;
    this.#counterBytes = counterBytes;
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

  asOne<T>(action: () => T): T {
    return this.#withPins(action);
  }

  /** With the pins, which are opened once for all that `action` calls. */
  #withPins<T>(action: (pins: Pins | undefined) => T): T {
    if (this.#shared !== undefined) return action(this.#shared.pins);
    const shared = { pins: Pins.open(this.netnsInode) };
    this.#shared = shared;
    try {
      return action(shared.pins);
    } finally {
      this.#shared = undefined;
      shared.pins?.close();
    }
  }

  /** The same, made when there are none. */
  #withMadePins<T>(action: (pins: Pins) => T): T {
    return this.#withPins((found) => {
      const pins = found ?? Pins.make(this.netnsInode);
      if (this.#shared !== undefined) this.#shared.pins = pins;
      return action(pins);
    });
  }

  /** What is in force now; another process may have changed it since the last look. Throws UNSAFE_PATH, INCOMPATIBLE. */
  #current(): Loaded | Earlier | undefined {
    return this.#withPins((pins) => {
      const link = pins?.lookupLink();
      if (pins !== undefined && link !== undefined) return this.#find(pins, link);
      if (this.#holds && this.#loaded?.link.info().isAttached === true) {
        this.#loaded.pinned = false;
        return this.#loaded;
      }
      this.#forget();
      const unpinned = findUnpinned(this.netnsInode);
      if (unpinned !== undefined) {
        throw unreadable(
          unpinned.programId,
          `rules of ilm decide in this network namespace, and their state is not below ${this.pinPath}: it was removed, or another BPF file system is mounted over it`,
        );
      }
      return undefined;
    });
  }

  #find(pins: Pins, link: BpfLink): Loaded | Earlier | undefined {
    const { programId } = link.info();
    const before = this.#loaded;
    const earlier = this.#earlier;
    if (earlier?.link.info().programId === programId && earlier.isCurrent()) {
      link.close();
      return earlier;
    }
    if (before?.programId === programId) {
      const { programs } = before.generation;
      if (programs.generationOn(programs.inForce.side) === before.generation.number) {
        link.close();
        return before;
      }
    }
    this.#forget();
    const programs = programsOf(pins, programId);
    const generation = programs && openInForce(pins, programs);
    if (generation === undefined) {
      programs?.close();
      return this.#findEarlier(pins, link);
    }
    const description = describe(generation);
    const registry = description && Registry.open(pins, description.registry, this.#cookie);
    if (description === undefined || registry === undefined) {
      generation.discard();
      generation.programs.close();
      return this.#findEarlier(pins, link);
    }
    this.#loaded = {
      link,
      programId,
      generation,
      description,
      registry,
      pinned: true,
      isAlone: false,
    };
    return this.#loaded;
  }

  /** Undefined for what a namespace left that ended and whose inode number is used again. Else it decides: throws INCOMPATIBLE. */
  #findEarlier(pins: Pins, link: BpfLink): Earlier | undefined {
    this.#earlier = Earlier.open(pins, link, this.#cookie);
    if (this.#earlier !== undefined) return this.#earlier;
    const { netnsInode: inode, programId } = link.info();
    link.close();
    if (inode !== this.netnsInode) return undefined;
    throw unreadable(
      programId,
      `rules of ilm decide in this network namespace, and their state below ${this.pinPath} is not whole`,
    );
  }

  /** Undefined also for what an earlier version made: nothing is known of what that has attached. */
  #own(): Loaded | undefined {
    return ownOf(this.#current());
  }

  #require(): Loaded {
    const current = this.#current();
    if (current === undefined) throw notLoaded();
    if (current instanceof Earlier) throw takeOverFirst(current);
    return current;
  }

  /** Is all of it where the next command looks for it? */
  #isPinned(loaded: Loaded): boolean {
    return this.#withPins((pins) => {
      if (pins === undefined || !loaded.pinned) return false;
      const { generation, registry } = loaded;
      const folders = [
        ["generation", generation.number],
        ["programs", generation.programs.number],
        ["registry", registry.number],
      ] as const;
      const names = pins.base.names();
      return (
        names.includes(LOOKUP_LINK) &&
        folders.every(([kind, number]) => names.includes(folderName(kind, number)))
      );
    });
  }

  isLost(): boolean {
    return this.asOne(() => {
      const loaded = this.#own();
      if (loaded === undefined) return false;
      loaded.pinned = this.#isPinned(loaded);
      return !loaded.pinned;
    });
  }

  #forget(): void {
    this.#unfinished?.close();
    this.#unfinished = undefined;
    this.#loaded?.link.close();
    this.#loaded?.generation.close();
    this.#loaded?.generation.programs.close();
    this.#loaded?.registry.close();
    this.#loaded = undefined;
    this.#earlier?.close();
    this.#earlier = undefined;
  }

  inForce(): InForce | null {
    const current = this.#current();
    if (current === undefined) return null;
    const { generation, appliedAt, rules, engine, kfuncTrouble } = current.description;
    return {
      generation,
      appliedAt,
      version: current.description.version,
      // They unpack themselves when somebody looks at them.
      rules,
      fileDigest: current instanceof Earlier ? null : current.description.fileDigest,
      engine,
      kfuncTrouble,
      off: isOff(current),
      earlierFormat: current instanceof Earlier ? current.format : null,
    };
  }

  digestOf(source: string | null, file: RuleSet): string {
    return digestOfFile(source, file);
  }

  keptText(): KeptText | null {
    const loaded = this.#ownReadable();
    const text = loaded?.generation.text() ?? null;
    // Of the same generation: another process may put the next in force at this moment.
    if (loaded === undefined || text === null) return null;
    const { description } = loaded;
    const { source, file: before, runtime } = description.rules;
    const fits = (file: RuleSet, revision: Revision): boolean =>
      layOver(loaded, { source, file, runtime }, revision) !== null;
    return { file: before, text, fits: description.layers === null ? null : fits };
  }

  keepText(rules: Rules, text: string): void {
    const loaded = this.#ownReadable();
    if (loaded === undefined) return;
    const { description, generation } = loaded;
    const isTheirs =
      hasFileOf(description, rules) ||
      description.fileDigest === digestOfFile(rules.source, rules.file);
    if (isTheirs) generation.keepText(text);
  }

  /** Likewise where what decides cannot be read. */
  #ownReadable(): Loaded | undefined {
    return ownOf(this.#look().current);
  }

  /** Like #current, for a writer: what cannot be read is as good as nothing, and is replaced. */
  #look(): Look {
    try {
      return { current: this.#current(), trouble: null };
    } catch (error) {
      if (error instanceof IlmError && error.code === "INCOMPATIBLE") {
        return { current: undefined, trouble: error };
      }
      throw error;
    }
  }

  apply(rules: Rules, options: ApplyOptions = {}): ApplyResult {
    return this.asOne(() => this.#apply(rules, options));
  }

  settle(): void {
    const unfinished = this.#unfinished;
    if (unfinished === undefined) return;
    unfinished.finish();
    this.#unfinished = undefined;
    unfinished.close();
  }

  #apply(rules: Rules, options: ApplyOptions): ApplyResult {
    const { overNewer = false, revision = null } = options;
    // Nobody else is there to notice what goes meanwhile.
    const settleLater = options.settleLater === true && this.#holds;
    this.settle();
    const { current, trouble } = this.#look();
    if (trouble instanceof NewerState && !overNewer) throw trouble;
    const before = ownOf(current);
    if (before !== undefined) before.pinned = this.#isPinned(before);
    const wanted = wantedOf(before, rules, chooseEngine(rules));
    let act: (pins: Pins, prepared: Prepared) => ApplyResult;
    if (before?.pinned === true && isInForce(before, wanted)) {
      act = (_, prepared) => this.#refresh(before, wanted, prepared);
    } else {
      // First, as it changes nothing: a rule set that does not compile must leave no trace.
      const plan = this.#plan(before, rules, wanted, revision);
      act = (pins, prepared) =>
        this.#replace(pins, before, rules, plan, { ...prepared, settleLater });
    }
    const result = this.#withMadePins((pins) => act(pins, this.#prepare(pins, before, rules)));
    return trouble === null ? result : { ...result, lost: trouble.message };
  }

  #plan(
    before: Loaded | undefined,
    rules: Rules,
    wanted: Wanted,
    revision: Revision | null = null,
  ): Plan {
    return (
      (before?.pinned === true && planOver(before, rules, wanted, revision)) ||
      planWhole(rules, wanted, this.#layeredFrom)
    );
  }

  #replace(
    pins: Pins,
    before: Loaded | undefined,
    rules: Rules,
    plan: Plan,
    prepared: Prepared & { readonly settleLater: boolean },
  ): ApplyResult {
    const { added, unused, repaired, settleLater } = prepared;
    const earlier = this.#earlier;
    const off = isOff(before ?? earlier);
    const carry = ({ generation, endpoints, description }: Built): void => {
      if (endpoints === null && before !== undefined) {
        const gone = goneSince(before.description, description);
        generation.carryAbove(before.generation.countedAbove(gone));
        return;
      }
      const counted = before?.generation.counted() ?? earlier?.counted();
      if (counted !== undefined) generation.carry(counted);
    };
    let built: Built;
    let missing: readonly string[];
    let needs: Needs;
    let isAttached = false;
    try {
      try {
        built = this.#build(pins, before, rules, plan, settleLater);
      } catch (error) {
        const without = { ...plan, choice: withoutKfunc(rules, plan.choice, error) };
        if (before?.pinned === true && isInForce(before, without)) {
          return this.#refresh(before, without, prepared);
        }
        plan = this.#plan(before, rules, without);
        built = this.#build(pins, before, rules, plan, settleLater);
      }
      try {
        needs = needsOf(built, off);
        isAttached = built.registry === before?.registry && sameNeeds(needs, prepared.attached);
        missing = built.generation.resolveInterfaces();
        built.registry.meetVrfs();
        // Before the first packet is decided by them.
        if (!isAttached && needs.hooks.includes("deliver")) this.#attachDeliver(built);
        carry(built);
      } catch (error) {
        discardBuilt(pins, before, built);
        throw error;
      }
    } catch (error) {
      for (const address of added) removeFromLoopback(address);
      pins.removeEmpty();
      throw error;
    }
    const { generation, registry, description, endpoints } = built;
    // By the registry sk_lookup selects neither UDP sockets nor MPTCP listeners, as the kfunc did: ingress has to do so before.
    if (registry.steers && description.engine === "registry" && mayUseKfunc(pins, before)) {
      this.#inRegistry({ registry }, (folder) => {
        attachNeeded(folder, registry, needs);
      });
      generation.programs.setIngress(registry);
      // A packet that passed the old ingress program has been through sk_lookup then.
      waitForPrograms();
    }
    beginStep("switching over");
    // The one step that changes what happens to a connection; the second is for what ingress hands over.
    const link = this.#switch(pins, before, generation, { side: description.side, off });
    // Otherwise it is what it was when the change was prepared.
    if (generation.programs !== before?.generation.programs || registry !== before.registry) {
      generation.programs.setIngress(registry);
    }
    const isAlike = isAttached && before?.generation.programs === generation.programs;
    const settlesLater = settleLater && isAlike && unused.length === 0;
    // Nobody may see less than before until then.
    if (settlesLater) carry(built);
    const difference = differenceOf(before?.description ?? earlier?.description, built);
    generation.programs.writeHeader(description, plan.mappings);
    this.#earlier = undefined;
    const programId = generation.programs.lookup.id;
    const loaded: Loaded = {
      link,
      programId,
      generation,
      description,
      registry,
      pinned: true,
      isAlone: false,
    };
    this.#loaded = loaded;
    let again: readonly Missing[] = [];
    const finish = (): void => {
      // What was in force may still decide on another CPU: it counts until then, and needs the places of its destinations.
      if (before !== undefined || earlier !== undefined) waitForPrograms();
      carry(built);
      generation.settle();
      loaded.isAlone = true;
      beginStep("attaching and cleaning up");
      // Also what was taken away since the change was prepared; whoever stays looks for that all the time.
      if (!this.#holds || !isAttached) again = this.#steer(loaded, needs);
      if (settleLater) registry.sweep();
      this.#withPins((present) => {
        if (present !== undefined) this.#removeLeftovers(present, loaded);
      });
      if (before === undefined) this.#detachStrays(registry.programIds);
      if (endpoints !== null) {
        registry.setMappedPorts(allMappings(rules), true);
        registry.retain(endpoints);
      }
    };
    const close = (): void => {
      earlier?.close();
      if (before === undefined) return;
      before.generation.close();
      if (before.generation.programs !== generation.programs) before.generation.programs.close();
      if (before.link !== link) before.link.close();
      if (before.registry === registry) return;
      // Its pins, if it has some still, are where nobody looks.
      if (!before.pinned) detachPrograms(before.registry.programIds);
      before.registry.clearIngress();
      before.registry.close();
    };
    this.#unfinished = { finish, close };
    if (!settlesLater) this.settle();
    const removed = unused.filter((address) => removeFromLoopback(address));
    return {
      generation: description.generation,
      changed: true,
      difference,
      mappings: plan.mappings,
      incremental: endpoints === null,
      addressesAdded: added,
      addressesRemoved: removed,
      interfacesMissing: missing,
      kfuncTrouble: plan.choice.kfuncTrouble,
      repaired: [...repaired, ...again],
      off,
      takenOverFormat: earlier?.format ?? null,
      lost: null,
    };
  }

  #attachDeliver({ registry }: Pick<Loaded, "registry">): void {
    this.#inRegistry({ registry }, (folder) => {
      registry.setHook(folder, "deliver", true);
    });
  }

  /** What has to be before a change: the addresses, and nothing of those who are gone. */
  #prepare(pins: Pins, before: Loaded | undefined, rules: Rules): Prepared {
    beginStep("looking at what is attached");
    removeEnded(pins.otherNamespaces());
    // Another version's state goes on deciding until ours is in force.
    if (before !== undefined || !pins.base.has(LOOKUP_LINK)) this.#removeLeftovers(pins, before);
    const addresses = addressesOf(rules);
    const present = hostAddresses();
    const added = addMissing(addresses, present);
    const unused = unusedAddresses(addresses, present);
    // A writer that was killed may not have come that far.
    before?.generation.programs.setIngress(before.registry);
    if (before?.pinned !== true) return { added, unused, repaired: [], attached: null };
    const attached = needsOf(before, isOff(before));
    return { added, unused, repaired: this.#repair(pins, before, attached), attached };
  }

  /** Nothing to change: what came and went is looked at again, and what a killed writer left is removed. */
  #refresh(
    { description, registry, generation }: Loaded,
    { mappings }: Wanted,
    { added, unused, repaired }: Prepared,
  ): ApplyResult {
    // What is attached was looked at when the change was prepared; a killed writer may not have come to the header.
    generation.programs.writeHeader(description, mappings);
    registry.sweep();
    registry.meetVrfs();
    return {
      generation: description.generation,
      changed: false,
      difference: null,
      mappings,
      incremental: false,
      addressesAdded: added,
      addressesRemoved: unused.filter((address) => removeFromLoopback(address)),
      interfacesMissing: generation.resolveInterfaces(),
      kfuncTrouble: description.kfuncTrouble,
      repaired,
      off: isOff(this.#loaded),
      takenOverFormat: null,
      lost: null,
    };
  }

  /** A generation that decides nothing yet, and the registry that it uses, which is swept now or later. */
  #build(
    pins: Pins,
    before: Loaded | undefined,
    rules: Rules,
    plan: Plan,
    sweepsLater: boolean,
  ): Built {
    const endpoints = endpointsOf(plan);
    const steers = before?.registry.steers ?? this.#ingressIsPossible();
    if (!steers && endpoints.some(({ handover }) => handover === "ingress")) throw noIngress();
    const isWhole = plan.whole !== null;
    const mappings = isWhole ? allMappings(rules) : (plan.overlay?.compiled.mappings ?? []);
    let registry = before?.pinned === true ? before.registry : undefined;
    // Those of the rules in force until they are not.
    registry?.setMappedPorts(mappings, false);
    if (!sweepsLater) registry?.forgetUnseen();
    let slots = registry?.reserve(endpoints, isWhole);
    if (registry === undefined || slots === undefined) {
      // The tables in force name places in the registry that is there.
      if (plan.whole === null) {
        const whole = planWhole(rules, plan, this.#layeredFrom);
        return this.#build(pins, before, rules, whole, sweepsLater);
      }
      registry = Registry.create(
        pins,
        Math.max(0, ...pins.numbers("registry")) + 1,
        this.#cookie,
        endpoints.length,
        steers,
        before?.registry.heritage ??
          Registry.heritageOf(pins, this.#cookie, this.#earlier?.description.registry),
      );
      registry.setMappedPorts(mappings, true);
      registry.forgetUnseen();
      slots = registry.reserve(endpoints, isWhole);
    }
    if (slots === undefined) throw new IlmError("INTERNAL", "a new registry is too small");
    const engine = plan.choice.engine;
    const stays =
      before !== undefined && registry === before.registry && engine === before.description.engine;
    const wanted: Omit<Description, "programs" | "side" | "twoSided"> = {
      generation: Math.max(before?.description.generation ?? 0, ...pins.numbers("generation")) + 1,
      appliedAt: new Date().toISOString(),
      version,
      rules,
      ...plan.choice,
      fileDigest: plan.fileDigest,
      digest: plan.digest,
      protocols: plan.protocols,
      drawSeed:
        this.#drawSeed ?? (before ?? this.#earlier)?.description.drawSeed ?? randomInt(2 ** 32),
      layers: plan.layers,
      overlaid: plan.overlaid,
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
      if (!before.isAlone) waitForPrograms();
      const { programs, side, twoSided } = before.description;
      const description = { ...wanted, programs, side: otherSide(side), twoSided };
      const generation = Generation.createOver(before.generation, pins, description, overlay);
      return { generation, registry, description, endpoints: null };
    }
    let made: Programs | undefined;
    try {
      const home =
        (stays ? homeBeside(before, plan.whole, plan.layers) : null) ??
        homeFor(plan.whole, plan.layers);
      const { sizes, side, twoSided } = home;
      made =
        sizes === null
          ? undefined
          : Programs.create(pins, Math.max(0, ...pins.numbers("programs")) + 1, registry, {
              engine,
              drawSeed: wanted.drawSeed,
              sizes,
              counterBytes: this.#counterBytes,
            });
      const programs = made ?? before?.generation.programs;
      if (programs === undefined) throw new IlmError("INTERNAL", "there are no programs");
      // Likewise.
      if (made === undefined && before?.isAlone !== true) waitForPrograms();
      const description = { ...wanted, programs: programs.number, side, twoSided };
      const whole = { compiled: plan.whole, searched: home.searched, slots, overlay };
      const generation = Generation.create(pins, programs, description, whole, before?.generation);
      return { generation, registry, description, endpoints };
    } catch (error) {
      made?.discard(pins);
      if (registry !== before?.registry) {
        registry.close();
        Registry.remove(pins, registry.number);
      }
      throw error;
    }
  }

  #switch(
    pins: Pins,
    before: Loaded | undefined,
    { programs }: Generation,
    now: InForceNow,
  ): BpfLink {
    programs.putInForce(now);
    if (before !== undefined) {
      if (before.generation.programs !== programs) before.link.update(programs.lookup);
      if (!before.pinned) this.#pinLink(pins, before.link);
      return before.link;
    }
    // A link that nothing of ours stands behind is another version's, which goes over to us, or an ended namespace's.
    const found = pins.lookupLink();
    if (found?.info().netnsInode === this.netnsInode) {
      found.update(programs.lookup);
      return found;
    }
    const unpinned = unpinnedLink(this.netnsInode);
    if (unpinned !== undefined) {
      unpinned.update(programs.lookup);
      this.#pinLink(pins, unpinned);
      return unpinned;
    }
    found?.close();
    pins.base.remove(LOOKUP_LINK);
    const netns = openSync(ownNetnsPath, "r");
    try {
      const link = attach(programs.lookup, netns, AttachType.skLookup);
      link.pin(pins.base, LOOKUP_LINK);
      return link;
    } finally {
      closeSync(netns);
    }
  }

  /** What is attached for this namespace and held by pins that nobody finds: of a registry that was lost. */
  #detachStrays(own: ReadonlySet<number>): void {
    const attached = [...programsOnInterfaces(), ...attachedHooks(this.#cookie)];
    detachPrograms(new Set(attached.filter((id) => !own.has(id))));
  }

  /** What a killed writer left, and generations and registries that are not in force. Nothing that those decided is on its way. */
  #removeLeftovers(pins: Pins, keep: Loaded | undefined): void {
    keep?.registry.countOnlyFor(keep.generation.programs.number);
    const kept = {
      generation: keep?.generation.number,
      programs: keep?.generation.programs.number,
      registry: keep?.registry.number,
    };
    const names = pins.base.names();
    for (const kind of ["generation", "programs", "registry"] as const) {
      if (names.includes(stagingName(kind))) pins.base.remove(stagingName(kind));
      for (const number of numbersIn(names, kind)) {
        if (number === kept[kind]) continue;
        if (kind === "registry") Registry.remove(pins, number);
        else pins.base.remove(folderName(kind, number));
      }
    }
  }

  steers(): boolean | null {
    const current = this.#current();
    if (current instanceof Earlier) return current.steers;
    return current?.registry.steers ?? null;
  }

  nat(): readonly Family[] {
    return this.#own()?.registry.nat() ?? [];
  }

  netfilterHooks(): readonly Family[] {
    return this.#own()?.registry.netfilterHooks() ?? [];
  }

  outputFilters(): readonly Family[] {
    return this.#own()?.registry.outputFilters() ?? [];
  }

  vrfs(): ReadonlySet<number> {
    return new Set(vrfIndexes());
  }

  endedNamespaces(): number[] {
    return findEnded();
  }

  counters(): CounterList {
    return this.#countedIn((one) => one.counters());
  }

  countersOf(indexes: readonly number[]): CounterList {
    return this.#countedIn((one) => one.countersOf(indexes));
  }

  counterTotal(): Counters {
    return this.#countedIn((one) => one.counterTotal());
  }

  /** `read` gives undefined of what is not in force any more: then what is in force by now is read. */
  #countedIn<Read>(read: (one: Earlier | Generation) => Read | undefined): Read {
    for (;;) {
      const current = this.#current();
      const counted = read(current instanceof Earlier ? current : this.#require().generation);
      if (counted !== undefined) return counted;
    }
  }

  listeners(): Listener[] {
    const loaded = this.#own();
    const records = loaded === undefined ? listWithoutRegistry() : loaded.registry.list();
    let names: ReadonlyMap<number, string> | undefined;
    // Few listeners are bound to one.
    const nameOf = (index: number): string => (names ??= interfaces()).get(index) ?? "?";
    return decodeAll(listenerLayout, records).map((record) => toListener(record, nameOf));
  }

  /** Null: nothing is loaded. */
  #flows(): BpfMap | null {
    const current = this.#current();
    const map = current instanceof Earlier ? current.flows : current?.registry.map("flows");
    return map ?? null;
  }

  flows(): Flow[] {
    const map = this.#flows();
    return map === null ? [] : liveFlows(map);
  }

  flowCount(): FlowCount | null {
    const map = this.#flows();
    return map && { live: countLiveFlows(map), capacity: map.maxEntries };
  }

  uncoveredInterfaces(): string[] {
    return this.asOne(() => this.#uncoveredInterfaces());
  }

  #uncoveredInterfaces(): string[] {
    const loaded = this.#own();
    if (loaded === undefined || !loaded.registry.steers) return [];
    const { directions: needed } = needsOf(loaded, isOff(loaded));
    const without = this.#inInterfaces(loaded, (folder) =>
      directions
        .filter((direction) => needed[direction])
        .flatMap((direction) => interfacesWithout(folder, direction)),
    );
    return [...new Set(without)];
  }

  detached(): readonly Missing[] {
    return this.asOne(() => {
      const loaded = this.#current();
      if (loaded === undefined) return [];
      if (loaded instanceof Earlier) return loaded.link.info().isAttached ? [] : [LOOKUP_MISSING];
      return this.#detached(loaded, needsOf(loaded, isOff(loaded)));
    });
  }

  #detached(loaded: Loaded, needs: Needs): Missing[] {
    const hooks = this.#inRegistry(loaded, (folder) =>
      loaded.registry.missingHooks(folder, needs.hooks),
    );
    return [
      ...(loaded.link.info().isAttached ? [] : [LOOKUP_MISSING]),
      ...(hooks ?? []).map((hook) => `cgroup/${hook}`),
    ];
  }

  missing(): readonly Missing[] {
    return this.asOne(() => this.#missing());
  }

  #missing(): Missing[] {
    const loaded = this.#own();
    if (loaded === undefined) return [];
    const needs = needsOf(loaded, isOff(loaded));
    const { directions: needed } = needs;
    const onInterfaces = loaded.registry.steers
      ? this.#inInterfaces(loaded, (folder) =>
          directions
            .filter((direction) => needed[direction])
            .flatMap((direction) =>
              interfacesWithout(folder, direction).map((name) => `${direction}/${name}`),
            ),
        )
      : [];
    const addresses = missingAddresses(addressesOf(loaded.description.rules));
    return [...this.#detached(loaded, needs), ...(onInterfaces ?? []), ...addresses];
  }

  repair(): readonly Missing[] {
    return this.#withPins((pins) => {
      const loaded = this.#own();
      if (pins === undefined || loaded === undefined) return [];
      const repaired = this.#repair(pins, loaded, needsOf(loaded, isOff(loaded)));
      return [...repaired, ...addMissing(addressesOf(loaded.description.rules))];
    });
  }

  /** All but addresses. */
  #repair(pins: Pins, loaded: Loaded, needs: Needs): Missing[] {
    const { registry } = loaded;
    const repaired = this.#inRegistry(loaded, (folder) => {
      const hooks = registry.missingHooks(folder, needs.hooks);
      if (hooks.length > 0) registry.repairHooks(folder, hooks);
      return hooks;
    });
    const missing = (repaired ?? []).map((hook) => `cgroup/${hook}`);
    // What came and went meanwhile was not seen.
    if (missing.length > 0) registry.sweep();
    if (!loaded.link.info().isAttached) {
      missing.unshift(LOOKUP_MISSING);
      loaded.link = this.#reattach(pins, loaded);
    }
    const attached = needs.hooks.filter((hook) => repaired?.includes(hook) === false);
    return [...missing, ...this.#steer(loaded, needs, attached)];
  }

  /** In the place of a link that somebody detached. */
  #reattach(pins: Pins, { link: detached, generation }: Loaded): BpfLink {
    const netns = openSync(ownNetnsPath, "r");
    try {
      const link = attach(generation.programs.lookup, netns, AttachType.skLookup);
      this.#pinLink(pins, link);
      detached.close();
      return link;
    } finally {
      closeSync(netns);
    }
  }

  /** In the place of whatever is there. */
  #pinLink(pins: Pins, link: BpfLink): void {
    pins.base.remove(stagingName("link"));
    link.pin(pins.base, stagingName("link"));
    pins.base.rename(stagingName("link"), LOOKUP_LINK);
  }

  overtaken(): Overtaken[] {
    return this.asOne(() => {
      const loaded = this.#own();
      if (loaded === undefined || !loaded.registry.steers) return [];
      const found = this.#inInterfaces(
        loaded,
        (folder) => folder && directions.flatMap((direction) => overtakenIn(folder, direction)),
      );
      return found ?? [];
    });
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
    return this.#withPins((pins) => {
      const folder = pins?.folder("registry", registry.number);
      try {
        return folder && action(folder);
      } finally {
        folder?.close();
      }
    });
  }

  faults(): Faults | null {
    return this.#own()?.registry.faults() ?? null;
  }

  explain(packet: Packet): Explanation {
    // One at a time: the program leaves its answer in one place.
    const pins = Pins.open(this.netnsInode);
    if (pins === undefined) throw notLoaded();
    const lock = pins.base.openSelf();
    pins.close();
    try {
      flock(lock, LOCK_EX);
      let loaded = this.#require();
      let explanation = explainPacket(packet, loaded);
      while (explanation.generation !== loaded.generation.number) {
        // Another process put the next in force meanwhile: its number stands for another mapping.
        loaded = this.#require();
        explanation = explainPacket(packet, loaded);
      }
      const { description } = loaded;
      if (explanation.verdict !== "selected" || explanation.cookie !== null) return explanation;
      return { ...explanation, cookie: this.#steeredSocket(explanation, description.rules) };
    } finally {
      closeSync(lock);
    }
  }

  /** The kernel selects at ingress, with a packet in hand; here the listener on the destination is named. */
  #steeredSocket(explanation: Explanation, rules: Rules): string | null {
    const { packet, mapping: index, destination } = explanation;
    const mapping = index === null ? undefined : allMappings(rules).at(index);
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
    return watchDecisions(lock, () => this.#own());
  }

  follow({ onError, onRestored }: FollowOptions = {}): { close(): void } {
    this.#holds = true;
    return new Follower(
      // What cannot be read, or is of an earlier version, is about to be replaced.
      () => this.#ownReadable()?.registry,
      () => {
        const missing = this.#meetInterfaces();
        if (missing.length > 0) onRestored?.(missing);
      },
      onError,
    );
  }

  /** Interfaces came, went or were renamed: those that mappings name, and those at which UDP and MPTCP are handed over. */
  #meetInterfaces(): Missing[] {
    return this.asOne(() => {
      const loaded = this.#ownReadable();
      loaded?.generation.resolveInterfaces();
      loaded?.registry.meetVrfs();
      return loaded === undefined ? [] : this.#steer(loaded, needsOf(loaded, isOff(loaded)));
    });
  }

  /** The hand-over at ingress, where the rules in force need it and nowhere else. Where it was missing though the interface was not new. */
  #steer(loaded: Loaded, needs: Needs, attached: readonly OptionalHook[] = []): Missing[] {
    const { registry } = loaded;
    const missing = this.#inRegistry(loaded, (folder) => {
      for (const hook of optionalHooks) {
        if (!attached.includes(hook)) registry.setHook(folder, hook, needs.hooks.includes(hook));
      }
      if (!registry.steers) return [];
      const gone = attachNeeded(folder, registry, needs);
      if (directions.every((direction) => needs.directions[direction])) return gone;
      const inside = folder.folder(INTERFACES);
      for (const direction of directions) {
        if (inside !== undefined && !needs.directions[direction]) {
          detachInterfaces(inside, direction);
        }
      }
      inside?.close();
      return gone;
    });
    return missing ?? [];
  }

  setOff(off: boolean): boolean {
    const current = this.#current();
    if (current instanceof Earlier) this.apply(current.description.rules);
    const { programs } = this.#require().generation;
    const { side, off: before } = programs.inForce;
    if (before === off) return false;
    // On again: what ingress needs is there before it is asked for.
    programs.putInForce({ side, off });
    // What was handed over is counted when it comes to its socket.
    if (off) waitForPrograms();
    const loaded = this.#ownReadable();
    if (loaded !== undefined) this.#steer(loaded, needsOf(loaded, off));
    return true;
  }

  resync(): readonly Missing[] {
    const { registry } = this.#require();
    const missing = this.#meetInterfaces();
    registry.forgetKnown();
    registry.sweep();
    forgetIdleFlows(registry.map("flows"));
    return missing;
  }

  unload(): boolean {
    const found = this.#withPins((pins) => this.#unloadFrom(pins));
    this.#forget();
    const unused = unusedAddresses([], hostAddresses());
    const removed = unused.filter((address) => removeFromLoopback(address));
    removeLockFile(this.netnsInode);
    return found || removed.length > 0;
  }

  /** False when nothing was there. */
  #unloadFrom(pins: Pins | undefined): boolean {
    let found = pins !== undefined;
    removeEnded(
      pins?.otherNamespaces() ?? pinnedNamespaces().filter((inode) => inode !== this.netnsInode),
    );
    const loaded = this.#ownReadable();
    const registry = loaded?.registry;
    // What pins hold that are covered would stay.
    if (loaded !== undefined && !this.#isPinned(loaded)) {
      loaded.link.detach();
      detachPrograms(loaded.registry.programIds);
    }
    if (loaded === undefined) {
      const hidden = unpinnedLink(this.netnsInode);
      hidden?.detach();
      hidden?.close();
      found ||= hidden !== undefined;
      this.#detachStrays(new Set());
    }
    // The decision first, so that no program runs on half of its state.
    const link = pins?.lookupLink();
    pins?.base.remove(LOOKUP_LINK);
    // Another process (`monitor`) may hold it for a moment longer.
    if (link?.info().isAttached === true) link.detach();
    link?.close();
    for (const number of pins?.numbers("registry") ?? []) {
      if (pins !== undefined) Registry.remove(pins, number);
    }
    pins?.removeAll();
    // Where its pins are covered.
    registry?.clearIngress();
    return found;
  }

  close(): void {
    this.#forget();
  }
}

/** State of a version that is newer than this one. */
class NewerState extends IlmError {}

/** `programId`: of what decides; its header tells a newer version's state from one that is not whole. */
function unreadable(programId: number, message: string): IlmError {
  const header = readHeader(programId);
  if (header === undefined || header.format <= ILM_ABI_VERSION) {
    return new IlmError("INCOMPATIBLE", message, {
      remedy:
        "Apply the whole configuration (ilm apply -f FILE, or ilm run -f FILE): it takes over without a gap",
    });
  }
  return new NewerState(
    "INCOMPATIBLE",
    `a newer version of ilm made the rules that decide in this network namespace, and this is ${version} (state format ${ILM_ABI_VERSION}): ${describeHeader(header)}`,
    {
      remedy:
        "Use that version. To go back to this one without a gap, write down what was added at run time (`ilm mappings` of the newer version), and give this one the whole configuration: ilm apply -f FILE --over-newer, or ilm run -f FILE --over-newer",
    },
  );
}

function takeOverFirst({ format, description }: Earlier): IlmError {
  return new IlmError(
    "INCOMPATIBLE",
    `an earlier version of ilm (${printable(description.version)}, state format ${format}) made the rules in force, and only their own version can be asked this`,
    {
      remedy:
        "Any change takes them over without a gap: ilm apply -f FILE, ilm add, ilm remove, or ilm run",
    },
  );
}

/** Of a namespace: the link of ours that decides although nothing is pinned where we look. */
function findUnpinned(netnsInode: number): ReturnType<typeof skLookupLinks>[number] | undefined {
  return skLookupLinks(netnsInode).find(({ programId }) =>
    programName(programId).startsWith("ilm_lookup"),
  );
}

/** Likewise; to be closed. */
function unpinnedLink(netnsInode: number): BpfLink | undefined {
  const found = findUnpinned(netnsInode);
  return found && linkById(found.id);
}

function isSteeredTcp({ protocol, handover }: Endpoint): boolean {
  return protocol === "tcp" && handover === "ingress";
}

/** The set to which the program belongs. */
function programsOf(pins: Pins, programId: number): Programs | undefined {
  const number = pins.numberOf("programs", programId);
  return number === undefined ? undefined : Programs.open(pins, number);
}

/** The generation in force of these programs. Undefined: it is not whole. */
function openInForce(pins: Pins, programs: Programs): Generation | undefined {
  let number = programs.generationOn(programs.inForce.side);
  for (;;) {
    const generation = Generation.open(pins, number, programs);
    if (generation !== undefined) return generation;
    // Another process may just have put the next in force, and removed this one.
    const now = programs.generationOn(programs.inForce.side);
    if (now === number) return undefined;
    number = now;
  }
}

/** Where the tables of a generation are to be. `sizes`: of the new programs that this takes. */
interface Home {
  readonly searched: Searched;
  readonly sizes: MapSizes | null;
  readonly side: Side;
  readonly twoSided: boolean;
}

/** On the other side of the tables in force. Null: they do not hold it. */
function homeBeside(
  { generation, description }: Loaded,
  compiled: Compiled,
  layers: Layers | null,
): Home | null {
  if (!description.twoSided || layers !== null) return null;
  const side = otherSide(description.side);
  const capacity = capacityOf((name) => generation.programs.places(name));
  const found = searched(compiled, side * capacity.classes);
  if (!fitsIn(tableSizes(compiled, found), capacity)) return null;
  return { searched: found, sizes: null, side, twoSided: true };
}

function homeFor(compiled: Compiled, layers: Layers | null): Home {
  const found = searched(compiled, 0);
  const sizes = tableSizes(compiled, found);
  // Two sides of large tables would take memory all the time for what is needed during a change.
  const twoSided = layers === null && !isLayered(compiled.mappings.length);
  return {
    searched: found,
    sizes: twoSided ? bothSides(sideFor(sizes)) : oneSided(sizes, layers !== null),
    side: 0,
    twoSided,
  };
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
function neededDirections(
  { protocols, engine, steersTcp }: Description,
  off: boolean,
): Record<Direction, boolean> {
  if (off) return { ingress: false, egress: false };
  const udp = protocols.includes("udp");
  // The kfunc finds those too. UDP needs ingress all the same, as that tells sk_lookup what is a packet.
  const mptcp = engine !== "kfunc" && protocols.length > 0 && sysctl("net.mptcp.enabled") === "1";
  return { ingress: udp || mptcp || steersTcp, egress: udp };
}

/** Undefined: it is not there, or no description of this version. */
function describe(generation: Generation): Description | undefined {
  try {
    return generation.describe();
  } catch (error) {
    if (isUndecodable(error)) return undefined;
    throw error;
  }
}

function ownOf(current: Loaded | Earlier | undefined): Loaded | undefined {
  return current instanceof Earlier ? undefined : current;
}

/** Nobody is led to it yet. */
function discardBuilt(
  pins: Pins,
  before: Loaded | undefined,
  { generation, registry }: Built,
): void {
  generation.discard();
  pins.base.remove(folderName("generation", generation.number));
  if (generation.programs !== before?.generation.programs) generation.programs.discard(pins);
  if (registry === before?.registry) return;
  registry.close();
  Registry.remove(pins, registry.number);
}

/** Mappings of the tables that are in the file no more since `before`, which is in the same tables. */
function goneSince(before: Description, after: Description): Removed[] {
  const known = new Set(before.overlaid?.removed.map(({ index }) => index));
  return (after.overlaid?.removed ?? []).filter(({ index }) => !known.has(index));
}

/** `before`: of what was in force, which may be an earlier version's. */
function differenceOf(
  before: Pick<Description, "rules"> | Description | undefined,
  { generation, description, endpoints }: Built,
): ChangeSummary {
  const { rules } = description;
  const { cameFrom } = generation;
  if (before === undefined || cameFrom === undefined) return summaryOfNew(rules);
  if (endpoints !== null || !("overlaid" in before)) {
    return summarize(before.rules, rules, cameFrom);
  }
  const gone = goneSince(before, description).map(({ mapping }) => mapping);
  const above = (runtime: readonly Mapping[]): Listed => ({ file: { mappings: [] }, runtime });
  const old = above([...mappingsAbove(before), ...gone]);
  return summarize(old, above(mappingsAbove(description)), cameFrom);
}

function isOff(loaded: Loaded | Earlier | undefined): boolean {
  if (loaded instanceof Earlier) return loaded.off;
  return loaded?.generation.programs.inForce.off === true;
}

function needsOf(
  { registry, description }: Pick<Loaded, "registry" | "description">,
  off: boolean,
): Needs {
  const needed = neededDirections(description, off);
  const wanted: Record<OptionalHook, boolean> = {
    // What ingress hands over is counted there.
    deliver: needed.egress || (needed.ingress && registry.steers),
    sock_create: !off && description.rules.file.mptcp === "off",
  };
  return { directions: needed, hooks: optionalHooks.filter((hook) => wanted[hook]) };
}

function sameNeeds(needs: Needs, other: Needs | null): boolean {
  return (
    other !== null &&
    directions.every((direction) => needs.directions[direction] === other.directions[direction]) &&
    needs.hooks.join() === other.hooks.join()
  );
}

/**
 * Attached to every interface, where these rules need it; what they do not need stays. `around`: the registry's folder. Where
 * somebody had detached it.
 */
function attachNeeded(around: Folder, registry: Registry, needs: Needs): Missing[] {
  const folder = around.makeFolder(INTERFACES);
  try {
    const wanted = directions.filter((direction) => needs.directions[direction]);
    return attachInterfaces(
      folder,
      Object.fromEntries(wanted.map((direction) => [direction, registry.program(direction)])),
      registry.links,
    );
  } finally {
    folder.close();
  }
}

/**
 * Services' addresses that no interface has, put on lo. Of 127.0.0.0/8 too, all of which can be used as it is: some daemons
 * (BIND) serve only addresses that an interface has.
 */
function addMissing(addresses: readonly Address[], present?: readonly HostAddress[]): Address[] {
  return missingAddresses(addresses, present).filter((address) => addToLoopback(address));
}

function missingAddresses(
  addresses: readonly Address[],
  present: readonly HostAddress[] = addresses.length === 0 ? [] : hostAddresses(),
): Address[] {
  const known = new Set(present.map((entry) => entry.address));
  return addresses.filter((address) => !known.has(address));
}

function addressesOf({ file }: Rules): Address[] {
  return file.services.flatMap((service) => service.addresses);
}

/** Addresses that we put on lo and that no service has any more. */
function unusedAddresses(
  addresses: readonly Address[],
  present: readonly HostAddress[],
): Address[] {
  const wanted = new Set(addresses);
  return present
    .filter((entry) => entry.ours && !wanted.has(entry.address))
    .map((entry) => entry.address);
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
  /** The most that the copies of the counters may take. */
  readonly counterBytes?: number;
  /** Says no: then all is as on a kernel without tcx. */
  readonly ingress?: () => boolean;
}
