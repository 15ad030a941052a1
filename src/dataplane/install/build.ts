/** A new generation beside the one in force: its registry, its tables and its description. */
import { randomInt } from "node:crypto";
import type { Endpoint, Compiled } from "../../compile/tables.js";
import { IlmError } from "../../errors.js";
import { waitForPrograms } from "../../kernel/bpf/grace.js";
import type { Pins } from "../../kernel/pins.js";
import { folderName } from "../../kernel/pins.js";
import type { Rules } from "../../model/rules.js";
import { allMappings } from "../../model/rules.js";
import { version } from "../../version.js";
import type { Description, Layers } from "../description.js";
import { Generation } from "./generation.js";
import { type Plan, endpointsOf } from "./plan.js";
import { Programs } from "./programs.js";
import { Registry } from "./registry.js";
import type { State } from "./state.js";
import { type Loaded } from "./state.js";
import {
  otherSide,
  type Searched,
  type MapSizes,
  type Side,
  capacityOf,
  searched,
  fitsIn,
  tableSizes,
  isLayered,
  twoSided as bothSides,
  sideFor,
  oneSided,
} from "./tables.js";

export interface Built extends Pick<Loaded, "generation" | "registry" | "description"> {
  /** All that destinations name; null: those of the generation before and some more. */
  readonly endpoints: readonly Endpoint[] | null;
}

const noIngress = (): IlmError =>
  new IlmError("NO_BPF", "`handover: ingress` needs tcx, and this kernel has none", {
    remedy: "Take Linux 6.6 or later, or leave it out: then the listeners are put into socket maps",
  });

/** The registry, with a place for each destination. */
interface Placed {
  readonly registry: Registry;
  readonly slots: readonly number[];
}

/**
 * In the registry that is there, or a larger one. Null: the tables in force name places in the one
 * that is there. `sweepsLater`: who stays does.
 */
function placeEndpoints(
  state: State,
  pins: Pins,
  before: Loaded | undefined,
  rules: Rules,
  plan: Plan,
  sweepsLater: boolean,
): Placed | null {
  const endpoints = endpointsOf(plan);
  const steers = before?.registry.steers ?? state.settings.ingress();
  if (!steers && endpoints.some(({ handover }) => handover === "ingress")) throw noIngress();
  const isWhole = plan.whole !== null;
  const mappings = isWhole ? allMappings(rules) : (plan.overlay?.compiled.mappings ?? []);
  const present = before?.pinned === true ? before.registry : undefined;
  // Those of the rules in force until they are not.
  present?.setMappedPorts(mappings, false);
  if (!sweepsLater) present?.forgetUnseen();
  const known = present?.reserve(endpoints, isWhole);
  if (present !== undefined && known !== undefined) return { registry: present, slots: known };
  if (!isWhole) return null;
  const registry = Registry.create(
    pins,
    Math.max(0, ...pins.numbers("registry")) + 1,
    state.cookie,
    endpoints.length,
    steers,
    before?.registry.heritage ??
      Registry.heritageOf(pins, state.cookie, state.earlier?.description.registry),
  );
  registry.setMappedPorts(mappings, true);
  registry.forgetUnseen();
  const slots = registry.reserve(endpoints, isWhole);
  if (slots === undefined) throw new IlmError("INTERNAL", "a new registry is too small");
  return { registry, slots };
}

/** What a generation says of itself, but for where its tables are. */
function describePlan(
  state: State,
  pins: Pins,
  before: Loaded | undefined,
  rules: Rules,
  plan: Plan,
  registry: Registry,
): Omit<Description, "programs" | "side" | "twoSided"> {
  const { drawSeed = (before ?? state.earlier)?.description.drawSeed } = state.settings;
  return {
    generation: Math.max(before?.description.generation ?? 0, ...pins.numbers("generation")) + 1,
    appliedAt: new Date().toISOString(),
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
 * A generation that decides nothing yet, and the registry that it uses. Null: an overlay will not
 * do.
 */
export function buildGeneration(
  state: State,
  pins: Pins,
  before: Loaded | undefined,
  rules: Rules,
  plan: Plan,
  sweepsLater: boolean,
): Built | null {
  const placed = placeEndpoints(state, pins, before, rules, plan, sweepsLater);
  if (placed === null) return null;
  const { registry, slots } = placed;
  const wanted = describePlan(state, pins, before, rules, plan, registry);
  const { whole, layers } = plan;
  const overlay =
    plan.overlay === null
      ? null
      : { overlay: plan.overlay, slots: slots.slice(whole?.endpoints.length ?? 0) };
  if (whole === null) {
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
    const { engine } = plan.choice;
    const stays =
      before !== undefined && registry === before.registry && engine === before.description.engine;
    const home = (stays ? homeBeside(before, whole, layers) : null) ?? homeFor(whole, layers);
    const { sizes, side, twoSided } = home;
    if (sizes !== null) {
      const number = Math.max(0, ...pins.numbers("programs")) + 1;
      const { counterBytes } = state.settings;
      const options = { engine, drawSeed: wanted.drawSeed, sizes, counterBytes };
      made = Programs.create(pins, number, registry, options);
    }
    const programs = made ?? before?.generation.programs;
    if (programs === undefined) throw new IlmError("INTERNAL", "there are no programs");
    // The side may be one that a program still reads.
    if (made === undefined && before?.isAlone !== true) waitForPrograms();
    const description = { ...wanted, programs: programs.number, side, twoSided };
    const content = { compiled: whole, searched: home.searched, slots, overlay };
    const generation = Generation.create(pins, programs, description, content, before?.generation);
    return { generation, registry, description, endpoints: endpointsOf(plan) };
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

/** Nobody is led to it yet. */
export function discardBuilt(
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
