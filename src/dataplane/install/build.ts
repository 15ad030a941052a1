/** Builds a new generation beside the active one: its registry, its tables and its description. */
import { randomInt } from "node:crypto";
import type { Endpoint, Compiled } from "../../compile/tables.js";
import { IlmError } from "../../errors.js";
import { waitForPrograms } from "../../kernel/bpf/grace.js";
import { type Pins, folderName } from "../../kernel/pins.js";
import type { StrangerPolicy } from "../../model/mapping.js";
import { type ActiveRules, type FileHead, allMappings, readRules } from "../../model/rules.js";
import { version } from "../../version.js";
import type { Description, Layers } from "../description.js";
import { Generation } from "./generation.js";
import { type Plan, endpointsOf } from "./plan.js";
import { joinMappings } from "../../model/mappings.js";
import { type Accounts, PermitNumbers, findAccounts } from "./permits.js";
import { Programs } from "./programs.js";
import { ownersOf } from "../../rules/permits.js";
import { Registry } from "./registry.js";
import { sharesFor, tellsApart } from "./shares.js";
import type { State, Loaded } from "./state.js";
import { otherSide, type Side } from "./sides.js";
import {
  type Searched,
  type MapSizes,
  capacityOf,
  searched,
  fitsIn,
  tableSizes,
  isLayered,
  twoSided as bothSides,
  sideFor,
  largerOf,
  oneSided,
} from "./tables.js";

/** What a generation is built for: `rules` take the place of `before`. */
export interface Task {
  readonly state: State;
  readonly pins: Pins;
  readonly before: Loaded | undefined;
  readonly rules: ActiveRules;
  /**
   * True when the rules wait for their confirmation: they are built beside those that decide again
   * without it, in the same program set and registry, and take nothing away that those need.
   */
  readonly waits: boolean;
  /** Rules for which there has to be room beside these; null for none. */
  readonly room: Room | null;
}

/** Rules for which there has to be room. */
export interface Room {
  readonly compiled: Compiled;
  readonly endpoints: readonly Endpoint[];
}

export interface Built extends Pick<Loaded, "generation" | "registry" | "description"> {
  /**
   * All endpoints that destinations name; null when they are those of the previous generation and
   * some more.
   */
  readonly endpoints: readonly Endpoint[] | null;
  /** The numbers of the permits that the rules give. */
  readonly permits: PermitNumbers;
  readonly accounts: Accounts;
}

const noIngress = (): IlmError =>
  new IlmError("NO_BPF", "`handover: ingress` needs tcx, which this kernel lacks", {
    remedy:
      "Use Linux 6.6 or later, or remove `handover: ingress`: then the listeners are put into socket maps",
  });

/**
 * Returns what happens to sockets of others on mapped ports. Without a word of the configuration
 * they are refused; on a host that an earlier version managed they go on being selected, until a
 * configuration says something.
 */
function strangerPolicyFor({ state, before, rules }: Task): StrangerPolicy {
  const { strangers } = rules.file.head;
  if (strangers !== undefined) return strangers;
  const known = before ?? state.earlier;
  if (known === undefined || known.description.rules.file.head.strangers !== undefined) {
    return "refuse";
  }
  return known.description.strangerPolicy ?? "report";
}

/** Returns all that names accounts: of the rules, and of those that may decide again. */
function headOf({ before, rules, waits }: Task): Pick<FileHead, "services" | "wildcard"> {
  const { services, wildcard } = rules.file.head;
  if (!waits || before === undefined) return rules.file.head;
  const { head } = before.description.rules.file;
  const users = { ...head.wildcard?.users, ...wildcard?.users };
  return { services: [...head.services, ...services], wildcard: { ...wildcard, users } };
}

/** A registry with a place for each destination. */
interface Placed {
  readonly registry: Registry;
  readonly slots: readonly number[];
  readonly permits: PermitNumbers;
}

/**
 * Finds places in the existing registry, or in a larger one. Returns null when the active tables
 * are kept and their registry has no room: they name places in it. `sweepsLater`: the caller sweeps
 * the registry when the change settles.
 */
function placeEndpoints(
  { state, pins, before, rules, waits, room }: Task,
  plan: Plan,
  accounts: Accounts,
  strangers: StrangerPolicy,
  sweepsLater: boolean,
): Placed | null {
  const endpoints = endpointsOf(plan);
  const permitsOf = (registry: Registry): PermitNumbers =>
    new PermitNumbers(registry.map("permits"), accounts, strangers);
  const steers = before?.registry.steers ?? state.settings.ingress();
  if (!steers && endpoints.some(({ handover }) => handover === "ingress")) throw noIngress();
  const isWhole = plan.whole !== null;
  const mappings = isWhole
    ? allMappings(readRules(rules))
    : (plan.overlay?.compiled.mappings ?? []);
  const present = before?.pinned === true ? before.registry : undefined;
  // Keep the ports of the active rules while they decide.
  present?.setMappedPorts(mappings, false);
  if (!sweepsLater) present?.forgetUnseen();
  if (present !== undefined) {
    const permits = permitsOf(present);
    present.noteFirstUnprivileged();
    const hasRoom = room === null || present.hasRoom([...endpoints, ...room.endpoints]);
    const slots = hasRoom ? present.reserve(endpoints, permits, isWhole && !waits) : undefined;
    if (slots !== undefined) return { registry: present, slots, permits };
  }
  if (!isWhole || waits) return null;
  const registry = Registry.create(
    pins,
    Math.max(0, ...pins.numbers("registry")) + 1,
    state.cookie,
    endpoints.length + (room?.endpoints.length ?? 0),
    steers,
    before?.registry.heritage ??
      Registry.heritageOf(pins, state.cookie, state.earlier?.description.registry),
  );
  registry.setMappedPorts(mappings, true);
  registry.forgetUnseen();
  const permits = permitsOf(registry);
  registry.noteFirstUnprivileged();
  registry.addOwners(ownersOf(rules.file.head.services), permits);
  const slots = registry.reserve(endpoints, permits, isWhole);
  if (slots === undefined) throw new IlmError("INTERNAL", "a new registry is too small");
  return { registry, slots, permits };
}

/** Writes a generation's description, except for where its tables are. */
function describePlan(
  { state, pins, before, rules, room }: Task,
  plan: Plan,
  registry: Registry,
): Omit<Description, "programs" | "side" | "twoSided" | "strangerPolicy"> {
  const { drawSeed = (before ?? state.earlier)?.description.drawSeed } = state.settings;
  const known = before?.description;
  // The number of one that went back is not used again: others may still know it.
  const onSides = ([0, 1] as const).map(
    (side) => before?.generation.programs.generationOn(side) ?? 0,
  );
  // The same rules, in other tables.
  const appliedAt = room === null ? undefined : known?.appliedAt;
  return {
    generation: Math.max(known?.generation ?? 0, ...onSides, ...pins.numbers("generation")) + 1,
    appliedAt: appliedAt ?? new Date().toISOString(),
    version,
    rules,
    ...plan.choice,
    fileDigest: plan.fileDigest,
    digest: plan.digest,
    protocols: plan.protocols,
    drawSeed: drawSeed ?? randomInt(2 ** 32),
    layers: plan.layers,
    overlaid: plan.overlaid,
    steersTcp:
      endpointsOf(plan).some(isSteeredTcp) ||
      (plan.whole === null && before?.description.steersTcp === true),
    registry: registry.number,
    interfaces: plan.interfaces,
  };
}

/**
 * Builds a generation that decides nothing yet, and the registry it uses. Returns null when an
 * overlay will not do.
 */
export function buildGeneration(task: Task, plan: Plan, sweepsLater: boolean): Built | null {
  const { state, pins, before } = task;
  const strangerPolicy = strangerPolicyFor(task);
  const added = plan.overlay?.compiled.mappings ?? [];
  const mappings = plan.whole === null ? added : joinMappings(plan.whole.mappings, added);
  const accounts = findAccounts(headOf(task), mappings, task.rules.sources);
  const placed = placeEndpoints(task, plan, accounts, strangerPolicy, sweepsLater);
  if (placed === null) return null;
  const { registry, slots, permits } = placed;
  const wanted = { ...describePlan(task, plan, registry), strangerPolicy };
  const { whole, layers } = plan;
  const overlay =
    plan.overlay === null
      ? null
      : {
          overlay: plan.overlay,
          places: { slots: slots.slice(whole?.endpoints.length ?? 0), permits },
        };
  if (whole === null) {
    if (before === undefined) throw new IlmError("INTERNAL", "there is nothing to lie on");
    // The overlay is written where programs that started a moment ago may still read.
    if (!before.isAlone) waitForPrograms();
    const { programs, side, twoSided } = before.description;
    const description = { ...wanted, programs, side: otherSide(side), twoSided };
    const generation = Generation.createOver(before.generation, pins, description, overlay);
    return { generation, registry, description, endpoints: null, permits, accounts };
  }
  let made: Programs | undefined;
  try {
    const { engine } = plan.choice;
    const stays =
      before !== undefined && registry === before.registry && engine === before.description.engine;
    const shares = sharesFor(
      whole.destinations,
      ...(plan.overlay === null ? [] : [plan.overlay.compiled.destinations]),
      ...(task.room === null ? [] : [task.room.compiled.destinations]),
    );
    const beside = stays && task.room === null ? homeBeside(before, whole, layers) : null;
    if (beside === null && task.waits) return null;
    const home = beside ?? homeFor(whole, layers, task.room);
    const { sizes, side, twoSided } = home;
    if (sizes !== null) {
      const number = Math.max(0, ...pins.numbers("programs")) + 1;
      const { counterBytes } = state.settings;
      const options = { engine, drawSeed: wanted.drawSeed, sizes, shares, counterBytes };
      made = Programs.create(pins, number, registry, options);
    }
    const programs = made ?? before?.generation.programs;
    if (programs === undefined) throw new IlmError("INTERNAL", "there are no programs");
    // The side may be one that a program still reads.
    if (made === undefined && before?.isAlone !== true) waitForPrograms();
    const description = { ...wanted, programs: programs.number, side, twoSided };
    const content = {
      compiled: whole,
      searched: home.searched,
      places: { slots, permits },
      overlay,
    };
    const generation = Generation.create(pins, programs, description, content, before?.generation);
    return { generation, registry, description, endpoints: endpointsOf(plan), permits, accounts };
  } catch (error) {
    made?.discard(pins);
    if (registry !== before?.registry) {
      registry.close();
      Registry.remove(pins, registry.number);
    }
    throw error;
  }
}

function isSteeredTcp({ protocol, handover }: Endpoint): boolean {
  return protocol === "tcp" && handover === "ingress";
}

/**
 * Where the tables of a generation will be. `sizes` are those of a new program set, if it needs
 * one.
 */
interface Home {
  readonly searched: Searched;
  readonly sizes: MapSizes | null;
  readonly side: Side;
  readonly twoSided: boolean;
}

/**
 * Finds room on the other side of the active tables. Returns null when the generation does not fit.
 */
export function homeBeside(
  { generation, description }: Loaded,
  compiled: Compiled,
  layers: Layers | null,
): Home | null {
  if (!description.twoSided || layers !== null) return null;
  if (!tellsApart(compiled.destinations, generation.programs.shares.shares)) return null;
  const side = otherSide(description.side);
  const capacity = capacityOf((name) => generation.programs.places(name));
  const found = searched(compiled, side * capacity.classes);
  if (!fitsIn(tableSizes(compiled, found), capacity)) return null;
  return { searched: found, sizes: null, side, twoSided: true };
}

function homeFor(compiled: Compiled, layers: Layers | null, room: Room | null): Home {
  const found = searched(compiled, 0);
  const own = tableSizes(compiled, found);
  const sizes =
    room === null ? own : largerOf(own, tableSizes(room.compiled, searched(room.compiled, 0)));
  // For large tables, a second side would occupy memory all the time, only to be used during
  // changes.
  const twoSided = layers === null && (room !== null || !isLayered(compiled.mappings.length));
  return {
    searched: found,
    sizes: twoSided ? bothSides(sideFor(sizes)) : oneSided(sizes, layers !== null),
    side: 0,
    twoSided,
  };
}

/** Discards a generation that was built and that nothing refers to yet. */
export function discardBuilt(
  pins: Pins,
  before: Loaded | undefined,
  { generation, registry }: Built,
): void {
  generation.close();
  pins.base.remove(folderName("generation", generation.number));
  if (generation.programs !== before?.generation.programs) generation.programs.discard(pins);
  if (registry === before?.registry) return;
  registry.close();
  Registry.remove(pins, registry.number);
}
