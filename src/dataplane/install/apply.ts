/**
 * A change of the active rules as a transaction: plan, prepare, build, make ready, switch, settle.
 */
import type { CompiledFile } from "../../compile/compile.js";
import type { Removed } from "../../compile/overlay.js";
import { IlmError } from "../../errors.js";
import { secondAfter } from "../../kernel/boot-time.js";
import { waitForPrograms } from "../../kernel/bpf/grace.js";
import { detachPrograms, type BpfLink } from "../../kernel/bpf/link.js";
import { type Pins, LOOKUP_LINK } from "../../kernel/pins.js";
import type { Mapping } from "../../model/mapping.js";
import {
  type ActiveRules,
  type FileHead,
  allMappings,
  noActiveRules,
  readRules,
} from "../../model/rules.js";
import type { Revision } from "../../model/revision.js";
import { beginStep } from "../../progress.js";
import {
  type ChangeSummary,
  type Listed,
  type MappingSummary,
  summaryOfDrains,
  summaryOfNew,
  summarize,
} from "../../rules/summary.js";
import type { Description } from "../description.js";
import type { Earlier } from "../earlier.js";
import type { Missing, ApplyOptions, ApplyResult } from "../types.js";
import { type Built, type Task, discardBuilt, buildGeneration, homeBeside } from "./build.js";
import { removeEnded } from "./ended.js";
import { type EngineChoice, chooseEngine, withoutKfunc } from "./engine.js";
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
import { addMissing, type Held, heldBy, lookAtHost, release, unusedOn } from "./loopback.js";
import { ownersOf, ownersOfEither } from "../../rules/permits.js";
import { type Needs, needsOf, sameNeeds } from "./needs.js";
import { mappingsAbove } from "./places.js";
import { type Accounts, findAccounts, PermitNumbers } from "./permits.js";
import { policyEntries, rewriteEntries } from "./policies.js";
import { refuseBesidePending } from "../beside-pending.js";
import { pendingOf, settleBack } from "./pending.js";
import { removeLeftovers } from "./leftovers.js";
import { unload } from "./unload.js";
import { endpointsOf, wantedOf, type Wanted, type Plan, planOver, planWhole } from "./plan.js";
import type { Registry } from "./registry.js";
import {
  type State,
  NewerState,
  ownOf,
  type Loaded,
  loadedOf,
  isOff,
  unpinnedLink,
} from "./state.js";

interface Prepared {
  /** What lo lacked and has now. */
  readonly added: readonly Held[];
  /** What we put on lo and the rules need no more. */
  readonly unused: readonly Held[];
  readonly repaired: readonly Missing[];
  /** What the active rules need, all of which is attached; null when that is unknown. */
  readonly attached: Needs | null;
}

export function apply(state: State, rules: ActiveRules, options: ApplyOptions): ApplyResult {
  const { overNewer = false, revision = null, compiled = null, confirmSeconds } = options;
  // Only when this process holds the namespace: no other process would notice what goes meanwhile.
  const settleLater = options.settleLater === true && state.holds;
  state.settle();
  settleBack(state);
  const { current, trouble } = state.look();
  if (trouble instanceof NewerState && !overNewer) throw trouble;
  if (trouble !== null && confirmSeconds !== undefined) throw nothingToGoBackTo(trouble);
  const before = ownOf(current);
  if (before !== undefined) {
    refuseBesidePending(before.generation.number, pendingOf(before.generation.programs));
  }
  if (before !== undefined) before.pinned = state.isPinned(before);
  const wanted = wantedOf(before, rules, chooseEngine(rules));
  const wish = { rules, wanted, revision, compiled };
  let result: ApplyResult;
  if (before?.pinned === true && isActive(before, wanted)) {
    result = state.withMadePins((pins) =>
      refresh(state, before, wanted, prepare(state, pins, before, rules)),
    );
  } else if (confirmSeconds !== undefined) {
    result = applyUntil(state, before, wish, confirmSeconds);
  } else {
    // Plan first, as that changes nothing: a rule set that does not compile must leave no trace.
    const plan = planFor(state, before, wish);
    result = make(state, { before, rules, waits: false, room: null }, plan, { settleLater });
  }
  return trouble === null ? result : { ...result, lost: trouble.message };
}

/** The rules that are asked for, and what is known about the way there. */
interface Wish {
  readonly rules: ActiveRules;
  readonly wanted: Wanted;
  readonly revision?: Revision | null;
  readonly compiled?: CompiledFile | null;
}

/** How a change is made. */
interface How {
  readonly settleLater?: boolean;
  /** How long the rules wait for their confirmation; absent when they decide for good. */
  readonly confirmSeconds?: number;
}

function make(state: State, task: Omit<Task, "state" | "pins">, plan: Plan, how: How): ApplyResult {
  return state.withMadePins((pins) => {
    const prepared = prepare(state, pins, task.before, task.rules);
    return new Change({ ...task, state, pins }, prepared, how).make(plan);
  });
}

/** Plans what to build for the rules: an overlay where that will do. */
function planFor(
  { settings: { layeredFrom } }: State,
  before: Loaded | undefined,
  { rules, wanted, revision = null, compiled = null }: Wish,
): Plan {
  return (
    (before?.pinned === true && planOver(before, rules, wanted, revision)) ||
    planWhole(rules, wanted, layeredFrom, compiled)
  );
}

/**
 * Makes a change that goes back by itself. Both rules have to be in the same tables; where these
 * have no room for that, the active rules first move into others, in which they decide as before.
 */
function applyUntil(
  state: State,
  before: Loaded | undefined,
  { rules, wanted, revision = null, compiled = null }: Wish,
  confirmSeconds: number,
): ApplyResult {
  const over = before?.pinned === true ? planOver(before, rules, wanted, revision) : null;
  // The file's mappings have two sides too, whatever their number.
  const whole = (): Plan => planWhole(rules, wanted, Infinity, compiled);
  const plan = over ?? whole();
  refuseWhatStays(before, plan);
  const task = { rules, waits: true, room: null };
  if (before !== undefined && staysBeside(before, plan)) {
    return make(state, { ...task, before }, plan, { confirmSeconds });
  }
  const planned = plan.whole === null ? whole() : plan;
  const { file, sources } = rules;
  // Anything that this host lacks is found before anything moves.
  findAccounts(file.head, planned.whole?.mappings ?? [], sources);
  const wasLoaded = before !== undefined || state.earlier !== undefined;
  const moved = moveRules(state, before, planned);
  try {
    const result = make(state, { ...task, before: state.require() }, planned, { confirmSeconds });
    const { takenOverFormat } = moved;
    return {
      ...result,
      takenOverFormat,
      addressesAdded: [...moved.addressesAdded, ...result.addressesAdded],
      repaired: [...moved.repaired, ...result.repaired],
    };
  } catch (error) {
    if (!wasLoaded) unload(state);
    throw error;
  }
}

/** Moves the active rules, if there are any, into tables that have room for these as well. */
function moveRules(state: State, before: Loaded | undefined, planned: Plan): ApplyResult {
  const rules = (before ?? state.earlier)?.description.rules ?? noActiveRules;
  const choice = before === undefined ? planned.choice : choiceOf(before);
  const plan = planWhole(rules, wantedOf(before, rules, choice), Infinity);
  const { whole: compiled } = planned;
  if (compiled === null) throw new IlmError("INTERNAL", "an overlay has no tables of its own");
  const room = { compiled, endpoints: endpointsOf(planned) };
  return make(state, { before, rules, waits: false, room }, plan, {});
}

function choiceOf({ description: { engine, kfuncTrouble } }: Loaded): EngineChoice {
  return { engine, kfuncTrouble };
}

/** Reports whether the rules can be built beside the active ones, in the same tables. */
function staysBeside(before: Loaded, plan: Plan): boolean {
  return (
    before.pinned &&
    before.registry.hasRoom(endpointsOf(plan)) &&
    (plan.whole === null || homeBeside(before, plan.whole, plan.layers) !== null)
  );
}

/** Refuses what would not go back by itself. */
function refuseWhatStays(before: Loaded | undefined, plan: Plan): void {
  if (before === undefined) return;
  const refuse = (what: string): never => {
    throw new IlmError("CONFIGURATION", `this change cannot go back by itself: ${what}`, {
      remedy: "Apply it without --confirm, or make that part of it a change of its own first.",
    });
  };
  const { engine } = before.description;
  if (plan.choice.engine !== engine) {
    refuse(`the active rules use the engine ${engine}, and these ${plan.choice.engine}`);
  }
  const other = before.registry.contradicted(endpointsOf(plan));
  if (other !== undefined) {
    const { address, port, protocol } = other;
    refuse(
      `who hands over to ${protocol} ${address} port ${port || "any"}, or where its answers leave from, differs from the active rules`,
    );
  }
}

function nothingToGoBackTo(trouble: IlmError): IlmError {
  return new IlmError(trouble.code, `there is nothing to go back to: ${trouble.message}`, {
    cause: trouble,
    remedy: "Apply the whole configuration without --confirm.",
  });
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
  /** How long the rules wait for their confirmation; null when they decide for good. */
  readonly #confirmSeconds: number | null;
  /** True once the previous generation has counted its last packet. */
  #hasCounted = false;

  constructor(task: Task, prepared: Prepared, { settleLater = false, confirmSeconds }: How) {
    this.#task = task;
    this.#earlier = task.state.earlier;
    this.#prepared = prepared;
    this.#settleLater = settleLater;
    this.#confirmSeconds = confirmSeconds ?? null;
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
    const pending = pendingOf(generation.programs);
    const backTo = pending && { generation: pending.backTo, from: pending.until };
    generation.programs.writeHeader(description, plan.mappings, backTo);
    if (!settlesLater) this.#task.state.settle();
    return {
      generation: description.generation,
      changed: true,
      difference,
      mappings: plan.mappings,
      incremental: endpoints === null,
      addressesAdded: added,
      addressesRemoved: this.#waits ? [] : unused.filter(release),
      interfacesMissing: ready.interfacesMissing,
      kfuncTrouble: plan.choice.kfuncTrouble,
      repaired: [...repaired, ...restored],
      off,
      takenOverFormat: this.#earlier?.format ?? null,
      lost: null,
      pending,
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
      for (const one of this.#prepared.added) release(one);
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
      if (this.#waits) throw error;
      const { state, rules } = this.#task;
      const other = planFor(state, before, { rules, wanted: without });
      return { built: this.#buildOnce(other), plan: other };
    }
  }

  #buildOnce(plan: Plan): Built {
    const build = (what: Plan): Built | null =>
      buildGeneration(this.#task, what, this.#settleLater);
    const { rules, state } = this.#task;
    const built =
      build(plan) ??
      (this.#waits ? null : build(planWhole(rules, plan, state.settings.layeredFrom)));
    if (built === null) throw new IlmError("INTERNAL", "the whole lies on nothing");
    return built;
  }

  /**
   * Looks at the host, attaches what must be there before the first packet, and carries counters
   * over.
   */
  #fit(built: Built, plan: Plan): Ready {
    const { before } = this.#task;
    const beside = this.#beside();
    const needs = needsOf({ ...built, beside }, isOff(before ?? this.#earlier));
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
    const until_s = this.#confirmSeconds === null ? null : secondAfter(this.#confirmSeconds);
    generation.programs.activate({ side: description.side, off }, until_s);
    const link = switchTo(this.#task.state, this.#task.pins, before, generation);
    // Otherwise, ingress is as it was when the change was prepared.
    if (generation.programs !== before?.generation.programs || registry !== before.registry) {
      generation.programs.setCalled(registry);
    }
    const loaded = loadedOf(link, generation, registry, this.#beside());
    this.#task.state.earlier = undefined;
    this.#task.state.loaded = loaded;
    return loaded;
  }

  /** Tells the registry what processes may do by the rules that decide now. */
  #permit({ registry, description, endpoints, accounts, permits }: Ready): void {
    const { head } = description.rules.file;
    const other = this.#beside()?.description.rules.file.head ?? null;
    tellPolicies(registry, head, accounts, other);
    // An overlay changes nothing about services.
    if (endpoints === null) return;
    const owners =
      other === null ? ownersOf(head.services) : ownersOfEither(head.services, other.services);
    registry.permit(owners, permits);
  }

  get #waits(): boolean {
    return this.#confirmSeconds !== null;
  }

  /** Returns the generation that decides again if this one is not confirmed. */
  #beside(): Generation | null {
    return this.#waits ? (this.#task.before?.generation ?? null) : null;
  }

  /**
   * Reports whether the caller need not wait for the rest, because nothing in it is what the change
   * was made for.
   */
  #settlesLater({ generation, isAttached }: Ready): boolean {
    return (
      this.#settleLater &&
      !this.#waits &&
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
    // The rules before need theirs until it is known which of the two stay.
    if (endpoints !== null && !this.#waits) {
      registry.setMappedPorts(allMappings(readRules(this.#task.rules)), true);
      registry.retain(endpoints);
      registry.retainOwners(ownersOf(this.#task.rules.file.head.services));
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
    before.beside?.close();
    if (!this.#waits) before.generation.close();
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
  const held = heldBy(rules);
  const host = lookAtHost();
  const added = addMissing(held, host);
  const unused = unusedOn(host, held);
  // A writer that was killed may not have got this far.
  before?.generation.programs.setCalled(before.registry);
  if (before?.pinned !== true) return { added, unused, repaired: [], attached: null };
  const attached = needsOf(before, isOff(before));
  return { added, unused, repaired: repairAttached(state, pins, before, attached), attached };
}

/**
 * Tells the registry what the rules say about processes. `others`: what these say stays, where the
 * rules say nothing.
 */
function tellPolicies(
  registry: Registry,
  head: FileHead,
  accounts: Accounts,
  others: FileHead | null,
): void {
  const heads = others === null ? [head] : [others, head];
  registry.setRewrites(lastOfEach(heads.flatMap((one) => rewriteEntries(one, accounts))));
  registry.setPolicies(lastOfEach(heads.flatMap((one) => policyEntries(one, accounts))));
}

/** Returns the last entry with each key. */
function lastOfEach<T>(entries: readonly [Uint8Array, T][]): [Uint8Array, T][] {
  return [...new Map(entries.map((one) => [Buffer.from(one[0]).toString("hex"), one])).values()];
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
  generation.programs.writeHeader(description, mappings, null);
  registry.sweep();
  registry.meetVrfs();
  const { rules, strangerPolicy } = description;
  const { head } = rules.file;
  // What is said about processes, and whose services are, names no mappings.
  const accounts = findAccounts(head, [], rules.sources);
  tellPolicies(registry, head, accounts, null);
  const permits = new PermitNumbers(registry.map("permits"), accounts, strangerPolicy);
  registry.noteFirstUnprivileged();
  const owners = ownersOf(head.services);
  registry.permit(owners, permits);
  registry.retainOwners(owners);
  return {
    generation: description.generation,
    changed: false,
    difference: null,
    mappings,
    incremental: false,
    addressesAdded: added,
    addressesRemoved: unused.filter(release),
    interfacesMissing: generation.resolveInterfaces(),
    kfuncTrouble: description.kfuncTrouble,
    repaired,
    off: isOff(state.loaded),
    takenOverFormat: null,
    lost: null,
    pending: null,
  };
}

function switchTo(
  state: State,
  pins: Pins,
  before: Loaded | undefined,
  { programs }: Generation,
): BpfLink {
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
  built: Built,
): ChangeSummary {
  const { rules } = built.description;
  const drainedBefore = before?.rules.drained ?? [];
  return {
    ...differenceOfMappings(before, built),
    ...summaryOfDrains(drainedBefore, rules.drained ?? [], () => readRules(rules)),
  };
}

function differenceOfMappings(
  before: Pick<Description, "rules"> | Description | undefined,
  { generation, description, endpoints }: Built,
): MappingSummary {
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
