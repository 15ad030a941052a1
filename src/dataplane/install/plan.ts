/**
 * Plans what a change has to build: everything, or a new overlay over the active tables. Touches
 * nothing.
 */
import { mayHaveHidden } from "../../compile/gone.js";
import { compiledBase } from "../../compile/base.js";
import { type Around, type CompiledFile, type Endpoint, compile } from "../../compile/compile.js";
import { type Above, compileOverlay } from "../../compile/overlay.js";
import type { Compiled } from "../../compile/tables.js";
import { DrainedPlaces } from "../../rules/drained.js";
import { Permits } from "../../rules/permits.js";
import { beginStep } from "../../progress.js";
import { type Mapping, type Protocol, mappingKey } from "../../model/mapping.js";
import { type ActiveRules, countMappings, readRules } from "../../model/rules.js";
import { toColumns } from "../../model/mapping-columns.js";
import { type Revision, isSameBeside, removedBy } from "../../model/revision.js";
import {
  type Description,
  type Layers,
  digestOf,
  digestOfFile,
  hasFileOf,
  type Overlaid,
} from "../description.js";
import type { EngineChoice } from "./engine.js";
import { addedOf, meetsFile, overlaidBy } from "./places.js";
import { shapesOf } from "./shapes.js";
import type { Loaded } from "./state.js";
import { type LaidOverlay, fitsRoom, isLayered } from "./tables.js";
import { OVERLAY_RULES, TableTargets } from "./targets.js";

/** The rules that are asked for, without the way to them. */
export interface Wanted {
  readonly choice: EngineChoice;
  readonly fileDigest: string;
  readonly digest: string;
  /** The number of mappings of both kinds. */
  readonly mappings: number;
}

export interface Plan extends Wanted {
  /** The tables to build, or null when the active tables are kept. */
  readonly whole: Compiled | null;
  readonly overlay: LaidOverlay | null;
  readonly layers: Layers | null;
  readonly overlaid: Overlaid | null;
  readonly interfaces: readonly string[];
  readonly protocols: readonly Protocol[];
}

/** Returns the endpoints of the tables first, then the overlay's. */
export function endpointsOf({ whole, overlay }: Plan): readonly Endpoint[] {
  const above = overlay?.compiled.endpoints ?? [];
  return whole === null
    ? above
    : above.length === 0
      ? whole.endpoints
      : [...whole.endpoints, ...above];
}

/** What a plan needs to know of the active rules. */
type Active = Pick<Loaded, "generation" | "description">;

export function wantedOf(
  before: Active | undefined,
  rules: ActiveRules,
  choice: EngineChoice,
): Wanted {
  beginStep("comparing with the active rules");
  const same = before !== undefined && hasFileOf(before.description, rules);
  const fileDigest = same
    ? before.description.fileDigest
    : digestOfFile(rules.sources, rules.file.read());
  return {
    choice,
    fileDigest,
    digest: digestOf(fileDigest, rules),
    mappings: countMappings(rules),
  };
}

function isNothingDrained({ drained = [] }: ActiveRules): boolean {
  return drained.length === 0;
}

function sameDrained(
  { drained: before = [] }: ActiveRules,
  { drained = [] }: ActiveRules,
): boolean {
  return JSON.stringify(before) === JSON.stringify(drained);
}

/** What all mappings have in common, whatever tables they are in. */
function lookAt({ file, drained = [] }: ActiveRules): Around {
  const { services } = file.head;
  return { permits: new Permits(services), drained: new DrainedPlaces(drained, services) };
}

/** An overlay over the active tables, and how the file then differs from these. */
interface Laid {
  readonly built: LaidOverlay | null;
  readonly overlaid: Overlaid | null;
}

/**
 * Lays the rules over the active tables. Returns null when they cannot be an overlay. `revision`
 * leads from the active file's part to that of these rules; it is null when both are the same.
 */
export function layOver(
  { description, generation }: Active,
  rules: ActiveRules,
  revision: Revision | null,
): Laid | null {
  const { layers } = description;
  const base = generation.base();
  if (base === null || layers === null) return null;
  // The destinations below say whether they are drained.
  if (!sameDrained(description.rules, rules)) return null;
  const hasName = (key: string): boolean => generation.hasName(key);
  let above: Above = {
    added: addedOf(description),
    removed: description.overlaid?.removed ?? [],
    runtime: rules.runtime,
  };
  let { overlaid } = description;
  if (revision !== null) {
    const found = revise(description, rules, revision, hasName);
    if (found === null) return null;
    const { runs, removed, added } = found;
    overlaid = { runs, removed };
    above = { ...above, added, removed };
  }
  if (meetsFile(above, rules.runtime, hasName)) return null;
  const { added, removed, runtime } = above;
  // Nothing is over the tables, so no overlay is needed.
  if (added.length + removed.length + runtime.length === 0) return { built: null, overlaid };
  const built = compileOverlay(above, base, OVERLAY_RULES, lookAt(rules));
  return built !== null && fitsRoom(built, generation.programs.shares.shares)
    ? { built: { ...built, below: base }, overlaid }
    : null;
}

/**
 * Works out what a revision changes. Returns null when it does not start from the active file's
 * part, is too large, or removes mappings that may have hidden others.
 */
function revise(
  description: Description,
  rules: ActiveRules,
  revision: Revision,
  hasName: (key: string) => boolean,
): ReturnType<typeof overlaidBy> {
  const { file } = description.rules;
  if (revision.of !== file) return null;
  if (!isSameBeside(rules.file.head, file.head)) return null;
  const found = overlaidBy(description, revision, hasName);
  if (found === null) return null;
  // All mappings that lead to an endpoint must agree on who hands over to it.
  if ([...found.added, ...found.gone].some(saysHandover)) return null;
  const before = toColumns(file.read().mappings);
  const gone = new Set(removedBy(revision.pieces, before.length));
  return mayHaveHidden(found.gone, before, (index) => gone.has(index)) ? null : found;
}

function saysHandover({ to }: Mapping): boolean {
  return to.some(({ handover }) => handover !== undefined);
}

/** Plans an overlay. Returns null when everything has to be built. */
export function planOver(
  before: Active,
  rules: ActiveRules,
  wanted: Wanted,
  revision: Revision | null,
): Plan | null {
  const { description } = before;
  const { layers, engine, interfaces } = description;
  const isSame = hasFileOf(description, rules);
  if ((!isSame && revision === null) || engine !== wanted.choice.engine) return null;
  const laid = layOver(before, rules, isSame ? null : revision);
  if (laid === null || layers === null) return null;
  const { built, overlaid } = laid;
  const protocols = protocolsOf(layers.protocols, built?.compiled);
  return { ...wanted, whole: null, overlay: built, layers, overlaid, interfaces, protocols };
}

/** Plans to build everything. Throws CONFIGURATION with every problem of the rules. */
export function planWhole(
  rules: ActiveRules,
  wanted: Wanted,
  layeredFrom: number | undefined,
  known: CompiledFile | null = null,
): Plan {
  beginStep("compiling");
  const read = readRules(rules);
  const alone = (): Compiled =>
    known?.file === read.file && isNothingDrained(rules)
      ? known.compiled
      : compile({ ...read, runtime: [] });
  if (isLayered(rules.file.count, layeredFrom)) {
    const whole = alone();
    const layers: Layers = {
      protocols: protocolsOf([], whole),
      mappings: whole.mappings.length,
      rules: shapesOf(whole).count,
      destinations: whole.destinations.count,
    };
    const overlay = layRuntime(rules, whole);
    if (overlay !== null) {
      const protocols = protocolsOf(layers.protocols, overlay.built?.compiled);
      const { interfaces } = whole;
      const { built } = overlay;
      return { ...wanted, whole, overlay: built, layers, overlaid: null, interfaces, protocols };
    }
  }
  const whole = rules.runtime.length === 0 ? alone() : compile(read);
  const protocols = protocolsOf([], whole);
  const { interfaces } = whole;
  return { ...wanted, whole, overlay: null, layers: null, overlaid: null, interfaces, protocols };
}

function protocolsOf(known: readonly Protocol[], compiled: Compiled | undefined): Protocol[] {
  return [...new Set([...known, ...(compiled?.classes ?? []).map(({ protocol }) => protocol)])];
}

/**
 * Lays run-time mappings over new tables of the file's mappings. Returns null when they cannot be
 * an overlay.
 */
function layRuntime(rules: ActiveRules, whole: Compiled): Pick<Laid, "built"> | null {
  const { runtime } = rules;
  if (runtime.length === 0) return { built: null };
  const names = whole.mappings.indexesOf(new Set(runtime.map(mappingKey)));
  const above: Above = { added: [], removed: [], runtime };
  if (meetsFile(above, runtime, (key) => names.has(key))) return null;
  const built = compileOverlay(above, compiledBase(whole), OVERLAY_RULES, lookAt(rules));
  // Tables of that many mappings have one part, from 0 on.
  const below = new TableTargets(whole, { rules: 0, steps: 0, counters: 0 });
  return built !== null && fitsRoom(built, Infinity) ? { built: { ...built, below } } : null;
}
