/** What a change has to build: everything, or a new overlay over the tables that are in force. Touches nothing. */
import { compiledBase } from "../compile/base.js";
import { type Endpoint, compile } from "../compile/compile.js";
import { type Overlay, compileOverlay } from "../compile/overlay.js";
import type { Compiled } from "../compile/tables.js";
import { beginStep } from "../progress.js";
import type { Protocol, Rules } from "../model/mapping.js";
import { type Description, type Layers, digestOf, digestOfFile } from "./description.js";
import type { EngineChoice } from "./engine.js";
import type { Generation } from "./generation.js";
import { type Side, fitsRoom, isLayered, offsets, otherSide } from "./tables.js";

/** What is asked for, without what it takes. */
export interface Wanted {
  readonly choice: EngineChoice;
  readonly fileDigest: string;
  readonly digest: string;
  /** How many, of both kinds. */
  readonly mappings: number;
}

export interface Plan extends Wanted {
  /** Null: the tables in force are used. */
  readonly whole: Compiled | null;
  readonly overlay: Overlay | null;
  readonly layers: Layers | null;
  readonly interfaces: readonly string[];
  readonly protocols: readonly Protocol[];
}

/** Those of the tables first, then the overlay's. */
export function endpointsOf({ whole, overlay }: Plan): readonly Endpoint[] {
  const above = overlay?.compiled.endpoints ?? [];
  return whole === null
    ? above
    : above.length === 0
      ? whole.endpoints
      : [...whole.endpoints, ...above];
}

interface InForce {
  readonly generation: Generation;
  readonly description: Description;
}

/** The very same: who adds a mapping takes the file's part of what is in force. */
export function hasFileOf({ rules: old }: Description, rules: Rules): boolean {
  return rules.file === old.file && rules.source === old.source;
}

export function wantedOf(before: InForce | undefined, rules: Rules, choice: EngineChoice): Wanted {
  beginStep("comparing with what is in force");
  const same = before !== undefined && hasFileOf(before.description, rules);
  const fileDigest = same ? before.description.fileDigest : digestOfFile(rules.source, rules.file);
  // Where the layers say how many, the file's mappings need not be unpacked.
  const ofFile =
    (same ? before.description.layers?.mappings : undefined) ?? rules.file.mappings.length;
  return {
    choice,
    fileDigest,
    digest: digestOf(fileDigest, rules.runtime),
    mappings: ofFile + rules.runtime.length,
  };
}

/** Null: the whole has to be built. */
export function planOver(before: InForce, rules: Rules, wanted: Wanted): Plan | null {
  const { description, generation } = before;
  if (!hasFileOf(description, rules)) return null;
  const base = generation.base();
  if (base === null || description.layers === null) return null;
  if (description.engine !== wanted.choice.engine) return null;
  const { layers } = description;
  const overlay = layOver(rules, layers, otherSide(description.side), (firstRule) =>
    compileOverlay(rules.runtime, base, firstRule),
  );
  if (overlay === null) return null;
  return {
    ...wanted,
    whole: null,
    overlay: overlay.built,
    layers,
    interfaces: description.interfaces,
    protocols: protocolsOf(layers.protocols, overlay.built?.compiled),
  };
}

/** Throws CONFIGURATION with everything that is wrong with the rules. */
export function planWhole(rules: Rules, wanted: Wanted, layeredFrom: number | undefined): Plan {
  beginStep("compiling");
  if (isLayered(rules.file.mappings.length, layeredFrom)) {
    const whole = compile({ ...rules, runtime: [] });
    const layers: Layers = {
      protocols: protocolsOf([], whole),
      mappings: whole.mappings.length,
      rules: whole.rules.count,
      destinations: whole.destinations.count,
    };
    // Of a file of so many each generation has new tables.
    const overlay = layOver(rules, layers, 0, (firstRule) =>
      compileOverlay(rules.runtime, compiledBase(whole), firstRule),
    );
    if (overlay !== null) {
      const protocols = protocolsOf(layers.protocols, overlay.built?.compiled);
      const { interfaces } = whole;
      return { ...wanted, whole, overlay: overlay.built, layers, interfaces, protocols };
    }
  }
  const whole = compile(rules);
  const protocols = protocolsOf([], whole);
  const { interfaces } = whole;
  return { ...wanted, whole, overlay: null, layers: null, interfaces, protocols };
}

function protocolsOf(known: readonly Protocol[], compiled: Compiled | undefined): Protocol[] {
  return [...new Set([...known, ...(compiled?.classes ?? []).map(({ protocol }) => protocol)])];
}

/** Null: it cannot be an overlay. Nothing was added at run time: then none is needed. */
function layOver(
  { runtime }: Rules,
  layers: Layers,
  side: Side,
  build: (firstRule: number) => Overlay | null,
): { readonly built: Overlay | null } | null {
  if (runtime.length === 0) return { built: null };
  const built = build(offsets(layers, side).rules);
  return built !== null && fitsRoom(built) ? { built } : null;
}
