/**
 * A change of the active rules as a transaction: plan, prepare, build, make ready, switch, settle.
 */
import type { CompiledFile } from "../../compile/compile.js";
import type { Removed } from "../../compile/overlay.js";
import { IlmError } from "../../errors.js";
import { removeFromLoopback, hostAddresses } from "../../kernel/addresses.js";
import { waitForPrograms } from "../../kernel/bpf/grace.js";
import { detachPrograms, type BpfLink } from "../../kernel/bpf/link.js";
import { type Pins, LOOKUP_LINK, stagingName, numbersIn, folderName } from "../../kernel/pins.js";
import type { Address } from "../../model/address.js";
import type { Mapping } from "../../model/mapping.js";
import { type ActiveRules, type FileHead, allMappings, readRules } from "../../model/rules.js";
import type { Revision } from "../../model/revision.js";
import { beginStep } from "../../progress.js";
import { type ChangeSummary, summaryOfNew, summarize, type Listed } from "../../rules/summary.js";
import type { Description } from "../description.js";
import type { Earlier } from "../earlier.js";
import type { Missing, ApplyOptions, ApplyResult } from "../types.js";
import { type Built, type Task, discardBuilt, buildGeneration } from "./build.js";
import { removeEnded } from "./ended.js";
import { chooseEngine, withoutKfunc } from "./engine.js";
import type { Generation } from "./generation.js";
import {
  attachDeliver,
  attachLookup,
  attachNeeded,
  steer,
  detachStrays,
  repairAttached,
  pinLink,
} from "./hooks.js";
import { addressesOf, addMissing, unusedAddresses } from "./loopback.js";
import { type Needs, needsOf, sameNeeds } from "./needs.js";
import { mappingsAbove } from "./places.js";
import { type Accounts, findAccounts, PermitNumbers } from "./permits.js";
import { policyEntries, rewriteEntries } from "./policies.js";
import { wantedOf, type Wanted, type Plan, planOver, planWhole } from "./plan.js";
import { Registry } from "./registry.js";
import {
  type State,
  NewerState,
  ownOf,
  type Loaded,
  loadedOf,
  isOff,
  unpinnedLink,
} from "./state.js";
import type { ActiveSide } from "./tables.js";

interface Prepared {
  /** Addresses of services that were missing and have been added. */
  readonly added: readonly Address[];
  /** Addresses that we put on lo and that no service has any more. */
  readonly unused: readonly Address[];
  readonly repaired: readonly Missing[];
  /** What the active rules need, all of which is attached; null when that is unknown. */
  readonly attached: Needs | null;
}

export function apply(state: State, rules: ActiveRules, options: ApplyOptions): ApplyResult {
  const { overNewer = false, revision = null, compiled = null } = options;
  // Only when this process holds the namespace: no other process would notice what goes meanwhile.
  const settleLater = options.settleLater === true && state.holds;
  state.settle();
  const { current, trouble } = state.look();
  if (trouble instanceof NewerState && !overNewer) throw trouble;
  const before = ownOf(current);
  if (before !== undefined) before.pinned = state.isPinned(before);
  const wanted = wantedOf(before, rules, chooseEngine(rules));
  let act: (pins: Pins, prepared: Prepared) => ApplyResult;
  if (before?.pinned === true && isActive(before, wanted)) {
    act = (_, prepared) => refresh(state, before, wanted, prepared);
  } else {
    // Plan first, as that changes nothing: a rule set that does not compile must leave no trace.
    const plan = planFor(state, before, rules, wanted, revision, compiled);
    act = (pins, prepared) =>
      new Change({ state, pins, before, rules }, prepared, settleLater).make(plan);
  }
  const result = state.withMadePins((pins) => act(pins, prepare(state, pins, before, rules)));
  return trouble === null ? result : { ...result, lost: trouble.message };
}

/** Plans what to build for the rules: an overlay where that will do. */
function planFor(
  state: State,
  before: Loaded | undefined,
  rules: ActiveRules,
  wanted: Wanted,
  revision: Revision | null = null,
  compiled: CompiledFile | null = null,
): Plan {
  return (
    (before?.pinned === true && planOver(before, rules, wanted, revision)) ||
    planWhole(rules, wanted, state.settings.layeredFrom, compiled)
  );
}

/** A generation that is built and filled, with the previous counters. Only the switch remains. */
interface Ready extends Built {
  readonly plan: Plan;
  readonly needs: Needs;
  /** True when everything it needs is attached, because the active rules need the same. */
  readonly isAttached: boolean;
  readonly interfacesMissing: readonly string[];
}

/**
 * One change of the active rules: built, made ready, switched to, settled. A step that fails before
 * the switch undoes the change.
 */
class Change {
  readonly #task: Task;
  readonly #earlier: Earlier | undefined;
  readonly #prepared: Prepared;
  readonly #settleLater: boolean;
  /** True once the previous generation has counted its last packet. */
  #hasCounted = false;

  constructor(task: Task, prepared: Prepared, settleLater: boolean) {
    this.#task = task;
    this.#earlier = task.state.earlier;
    this.#prepared = prepared;
    this.#settleLater = settleLater;
  }

  make(planned: Plan): ApplyResult {
    const ready = this.#ready(planned);
    // Without the kernel module, the active rules are already the wanted ones.
    if (ready === null) return this.#refresh(planned);
    const { generation, description, endpoints, plan } = ready;
    const { added, unused, repaired } = this.#prepared;
    const off = isOff(this.#task.before ?? this.#earlier);
    this.#giveAtIngressFirst(ready);
    beginStep("switching over");
    const loaded = this.#switch(ready, off);
    const restored: Missing[] = [];
    // From here on it decides: should a step fail, the next change begins with what is left.
    this.#task.state.unfinished = {
      finish: () => {
        restored.push(...this.#settle(ready, loaded));
      },
      close: () => {
        this.#closeBefore(loaded);
      },
    };
    this.#permit(ready);
    const settlesLater = this.#settlesLater(ready);
    // No other process may see less than before until then.
    if (settlesLater) this.#carry(ready);
    const difference = differenceOf((this.#task.before ?? this.#earlier)?.description, ready);
    generation.programs.writeHeader(description, plan.mappings);
    if (!settlesLater) this.#task.state.settle();
    return {
      generation: description.generation,
      changed: true,
      difference,
      mappings: plan.mappings,
      incremental: endpoints === null,
      addressesAdded: added,
      addressesRemoved: unused.filter((address) => removeFromLoopback(address)),
      interfacesMissing: ready.interfacesMissing,
      kfuncTrouble: plan.choice.kfuncTrouble,
      repaired: [...repaired, ...restored],
      off,
      takenOverFormat: this.#earlier?.format ?? null,
      lost: null,
    };
  }

  #refresh(wanted: Wanted): ApplyResult {
    if (this.#task.before === undefined) throw new IlmError("INTERNAL", "no rules are active");
    return refresh(this.#task.state, this.#task.before, wanted, this.#prepared);
  }

  /**
   * Makes the change ready for the switch, and undoes it on failure. Returns null when nothing has
   * to change.
   */
  #ready(planned: Plan): Ready | null {
    try {
      const found = this.#build(planned);
      if (found === null) return null;
      const { built, plan } = found;
      try {
        return this.#fit(built, plan);
      } catch (error) {
        discardBuilt(this.#task.pins, this.#task.before, built);
        throw error;
      }
    } catch (error) {
      for (const address of this.#prepared.added) removeFromLoopback(address);
      this.#task.pins.removeEmpty();
      throw error;
    }
  }

  /**
   * Builds with the kernel module, or without it where it turns out to be unusable. Returns null
   * when the latter is already active.
   */
  #build(plan: Plan): { readonly built: Built; readonly plan: Plan } | null {
    try {
      return { built: this.#buildOnce(plan), plan };
    } catch (error) {
      const without = { ...plan, choice: withoutKfunc(this.#task.rules, plan.choice, error) };
      const { before } = this.#task;
      if (before?.pinned === true && isActive(before, without)) return null;
      const other = planFor(this.#task.state, before, this.#task.rules, without);
      return { built: this.#buildOnce(other), plan: other };
    }
  }

  #buildOnce(plan: Plan): Built {
    const build = (what: Plan): Built | null =>
      buildGeneration(this.#task, what, this.#settleLater);
    const built =
      build(plan) ??
      build(planWhole(this.#task.rules, plan, this.#task.state.settings.layeredFrom));
    if (built === null) throw new IlmError("INTERNAL", "the whole lies on nothing");
    return built;
  }

  /**
   * Looks at the host, attaches what must be there before the first packet, and carries counters
   * over.
   */
  #fit(built: Built, plan: Plan): Ready {
    const { before } = this.#task;
    const needs = needsOf(built, isOff(before ?? this.#earlier));
    const isAttached =
      built.registry === before?.registry && sameNeeds(needs, this.#prepared.attached);
    const interfacesMissing = built.generation.resolveInterfaces();
    built.registry.meetVrfs();
    if (!isAttached && needs.hooks.includes("deliver")) attachDeliver(this.#task.state, built);
    this.#carry(built);
    return { ...built, plan, needs, isAttached, interfacesMissing };
  }

  /** Carries counters over: before the switch, and again for what was counted meanwhile. */
  #carry({ generation, endpoints, description }: Built): void {
    const { before } = this.#task;
    if (endpoints === null && before !== undefined) {
      const gone = goneSince(before.description, description);
      generation.carryAbove(before.generation.countedAbove(gone));
      return;
    }
    const counted = before?.generation.counted() ?? this.#earlier?.counted();
    if (counted !== undefined) generation.carry(counted);
  }

  /**
   * Makes ingress select before the switch from the kfunc to the registry. Unlike the kfunc,
   * sk_lookup with the registry selects neither UDP sockets nor MPTCP listeners.
   */
  #giveAtIngressFirst({ registry, description, generation, needs }: Ready): void {
    if (!registry.steers || description.engine !== "registry") return;
    if (!mayUseKfunc(this.#task.pins, this.#task.before)) return;
    this.#task.state.inRegistry({ registry }, (folder) => {
      attachNeeded(folder, registry, needs);
    });
    generation.programs.setIngress(registry);
    // Afterwards, no packet that passed the old ingress program has yet to go through sk_lookup.
    waitForPrograms();
  }

  /**
   * Switches: the one step that changes what happens to a connection. A second step does so for
   * what ingress hands over.
   */
  #switch(ready: Ready, off: boolean): Loaded {
    const { generation, description, registry } = ready;
    const { before } = this.#task;
    const now = { side: description.side, off };
    const link = switchTo(this.#task.state, this.#task.pins, before, generation, now);
    // Otherwise, ingress is as it was when the change was prepared.
    if (generation.programs !== before?.generation.programs || registry !== before.registry) {
      generation.programs.setCalled(registry);
    }
    const loaded = loadedOf(link, generation, registry);
    this.#task.state.earlier = undefined;
    this.#task.state.loaded = loaded;
    return loaded;
  }

  /** Tells the registry what processes may do by the rules that decide now. */
  #permit({ registry, description, endpoints, accounts, permits }: Ready): void {
    const { head } = description.rules.file;
    tellPolicies(registry, head, accounts);
    // An overlay changes nothing about services.
    if (endpoints !== null) registry.permit(head.services, permits);
  }

  /**
   * Reports whether the caller need not wait for the rest, because nothing in it is what the change
   * was made for.
   */
  #settlesLater({ generation, isAttached }: Ready): boolean {
    return (
      this.#settleLater &&
      isAttached &&
      generation.programs === this.#task.before?.generation.programs &&
      this.#prepared.unused.length === 0
    );
  }

  /**
   * Does the rest once no program reads the previous rules. Returns what was detached and has been
   * attached again.
   */
  #settle(ready: Ready, loaded: Loaded): readonly Missing[] {
    const { registry, endpoints, needs, isAttached } = ready;
    if (!this.#hasCounted) this.#countLast(ready, loaded);
    beginStep("attaching and cleaning up");
    // Also attach what was removed since the change was prepared. A process that follows checks
    // that all the time.
    const again =
      this.#task.state.holds && isAttached ? [] : steer(this.#task.state, loaded, needs);
    if (this.#settleLater) registry.sweep();
    this.#task.state.withPins((pins) => {
      if (pins !== undefined) removeLeftovers(pins, loaded);
    });
    if (this.#task.before === undefined) detachStrays(this.#task.state, registry.programIds);
    if (endpoints !== null) {
      registry.setMappedPorts(allMappings(readRules(this.#task.rules)), true);
      registry.retain(endpoints);
      registry.retainOwners(this.#task.rules.file.head.services);
      ready.permits.forgetOthers();
    }
    return again;
  }

  /**
   * Waits until the previous rules have stopped deciding on every CPU. Until then they count, and
   * need the places of their destinations.
   */
  #countLast(ready: Ready, loaded: Loaded): void {
    const { generation } = ready;
    const { before } = this.#task;
    if (before !== undefined || this.#earlier !== undefined) waitForPrograms();
    this.#carry(ready);
    generation.settle();
    loaded.isAlone = true;
    this.#hasCounted = true;
    this.#closeTables(loaded);
  }

  #closeTables({ generation, link }: Loaded): void {
    const { before } = this.#task;
    this.#earlier?.close();
    if (before === undefined) return;
    before.generation.close();
    if (before.generation.programs !== generation.programs) before.generation.programs.close();
    if (before.link !== link) before.link.close();
  }

  #closeBefore(loaded: Loaded): void {
    const { before } = this.#task;
    if (!this.#hasCounted) this.#closeTables(loaded);
    if (before === undefined || before.registry === loaded.registry) return;
    // Its pins, if any remain, are where nothing looks for them.
    if (!before.pinned) detachPrograms(before.registry.programIds);
    before.registry.clearPrograms();
    before.registry.close();
  }
}

/**
 * Prepares a change: removes what earlier writers and ended namespaces left, adds the addresses,
 * and repairs what is attached.
 */
function prepare(
  state: State,
  pins: Pins,
  before: Loaded | undefined,
  rules: ActiveRules,
): Prepared {
  beginStep("looking at what is attached");
  removeEnded(pins.otherNamespaces());
  // Another version's state keeps deciding until we switch.
  if (before !== undefined || !pins.base.has(LOOKUP_LINK)) removeLeftovers(pins, before);
  const addresses = addressesOf(rules);
  const present = hostAddresses();
  const added = addMissing(addresses, present);
  const unused = unusedAddresses(addresses, present);
  // A writer that was killed may not have got this far.
  before?.generation.programs.setCalled(before.registry);
  if (before?.pinned !== true) return { added, unused, repaired: [], attached: null };
  const attached = needsOf(before, isOff(before));
  return { added, unused, repaired: repairAttached(state, pins, before, attached), attached };
}

/** Tells the registry what the rules say about processes. */
function tellPolicies(registry: Registry, head: FileHead, accounts: Accounts): void {
  registry.setRewrites(rewriteEntries(head, accounts));
  registry.setPolicies(policyEntries(head, accounts));
}

/**
 * Handles a change that changes nothing: checks again what came and went, and removes what a killed
 * writer left.
 */
function refresh(
  state: State,
  { description, registry, generation }: Loaded,
  { mappings }: Wanted,
  { added, unused, repaired }: Prepared,
): ApplyResult {
  // What is attached was checked when the change was prepared. A killed writer may not have got to
  // the header.
  generation.programs.writeHeader(description, mappings);
  registry.sweep();
  registry.meetVrfs();
  const { rules, strangerPolicy } = description;
  const { head } = rules.file;
  // What is said about processes, and whose services are, names no mappings.
  const accounts = findAccounts(head, [], rules.sources);
  tellPolicies(registry, head, accounts);
  const permits = new PermitNumbers(registry.map("permits"), accounts, strangerPolicy);
  registry.noteFirstUnprivileged();
  registry.permit(head.services, permits);
  registry.retainOwners(head.services);
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
    off: isOff(state.loaded),
    takenOverFormat: null,
    lost: null,
  };
}

function switchTo(
  state: State,
  pins: Pins,
  before: Loaded | undefined,
  { programs }: Generation,
  now: ActiveSide,
): BpfLink {
  programs.activate(now);
  if (before !== undefined) {
    if (before.generation.programs !== programs) before.link.update(programs.lookup);
    if (!before.pinned) pinLink(pins, before.link);
    return before.link;
  }
  // A link without anything of ours behind it is either another version's, which we take over, or
  // an ended namespace's.
  const found = pins.lookupLink();
  if (found?.info().netnsInode === state.netnsInode) {
    found.update(programs.lookup);
    return found;
  }
  const unpinned = unpinnedLink(state.netnsInode);
  if (unpinned !== undefined) {
    unpinned.update(programs.lookup);
    pinLink(pins, unpinned);
    return unpinned;
  }
  found?.close();
  pins.base.remove(LOOKUP_LINK);
  const link = attachLookup(programs);
  link.pin(pins.base, LOOKUP_LINK);
  return link;
}

/**
 * Removes what a killed writer left, and inactive generations and registries. The caller makes sure
 * that no packet they decided is still on its way.
 */
function removeLeftovers(pins: Pins, keep: Loaded | undefined): void {
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

/** Reports whether the kfunc may be deciding, which is also assumed of another version's rules. */
function mayUseKfunc(pins: Pins, before: Loaded | undefined): boolean {
  if (before !== undefined) return before.description.engine === "kfunc";
  const link = pins.lookupLink();
  link?.close();
  return link !== undefined;
}

function isActive({ description }: Loaded, { digest, choice }: Wanted): boolean {
  return (
    description.digest === digest &&
    description.engine === choice.engine &&
    description.kfuncTrouble === choice.kfuncTrouble
  );
}

/**
 * Returns the mappings of the tables that the file has lost since `before`, which is in the same
 * tables.
 */
function goneSince(before: Description, after: Description): Removed[] {
  const known = new Set(before.overlaid?.removed.map(({ index }) => index));
  return (after.overlaid?.removed ?? []).filter(({ index }) => !known.has(index));
}

/** Summarizes the change. `before` describes the previous rules, possibly an earlier version's. */
function differenceOf(
  before: Pick<Description, "rules"> | Description | undefined,
  { generation, description, endpoints }: Built,
): ChangeSummary {
  const { rules } = description;
  const { cameFrom } = generation;
  if (before === undefined || cameFrom === undefined) return summaryOfNew(readRules(rules));
  if (endpoints !== null || !("overlaid" in before)) {
    return summarize(readRules(before.rules), readRules(rules), cameFrom);
  }
  const gone = goneSince(before, description).map(({ mapping }) => mapping);
  const above = (runtime: readonly Mapping[]): Listed => ({ file: { mappings: [] }, runtime });
  const old = above([...mappingsAbove(before), ...gone]);
  return summarize(old, above(mappingsAbove(description)), cameFrom);
}
