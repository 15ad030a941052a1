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
import { fitsRoom, isLayered, offsets } from "./tables.js";

export interface Plan {
  readonly choice: EngineChoice;
  readonly fileDigest: string;
  readonly digest: string;
  /** Null: the tables in force are used. */
  readonly whole: Compiled | null;
  readonly overlay: Overlay | null;
  readonly layers: Layers | null;
  readonly interfaces: readonly string[];
  readonly protocols: readonly Protocol[];
  /** How many, of both kinds. */
  readonly mappings: number;
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

/** Null: the whole has to be built. */
export function planOver(before: InForce, rules: Rules, choice: EngineChoice): Plan | null {
  const { description, generation } = before;
  // The very same: who adds a mapping takes the file's part of what is in force.
  const { rules: old } = description;
  if (rules.file !== old.file || rules.source !== old.source) return null;
  const base = generation.base();
  if (base === null || description.layers === null) return null;
  if (description.engine !== choice.engine) return null;
  const layers: Layers = { ...description.layers, room: description.layers.room === 0 ? 1 : 0 };
  const overlay = layOver(rules, layers, (firstRule) =>
    compileOverlay(rules.runtime, base, firstRule),
  );
  if (overlay === null) return null;
  return {
    choice,
    fileDigest: description.fileDigest,
    digest: digestOf(description.fileDigest, rules.runtime),
    whole: null,
    overlay: overlay.built,
    layers,
    interfaces: description.interfaces,
    protocols: protocolsOf(layers.protocols, overlay.built?.compiled),
    mappings: layers.mappings + rules.runtime.length,
  };
}

/** Throws CONFIGURATION with everything that is wrong with the rules. */
export function planWhole(
  rules: Rules,
  choice: EngineChoice,
  layeredFrom: number | undefined,
): Plan {
  beginStep("comparing with what is in force");
  const fileDigest = digestOfFile(rules.source, rules.file);
  beginStep("compiling");
  const common = {
    choice,
    fileDigest,
    digest: digestOf(fileDigest, rules.runtime),
    mappings: rules.file.mappings.length + rules.runtime.length,
  };
  if (isLayered(rules.file.mappings.length, layeredFrom)) {
    const whole = compile({ ...rules, runtime: [] });
    const layers: Layers = {
      protocols: protocolsOf([], whole),
      mappings: whole.mappings.length,
      rules: whole.rules.count,
      destinations: whole.destinations.count,
      room: 0,
    };
    const overlay = layOver(rules, layers, (firstRule) =>
      compileOverlay(rules.runtime, compiledBase(whole), firstRule),
    );
    if (overlay !== null) {
      const protocols = protocolsOf(layers.protocols, overlay.built?.compiled);
      const { interfaces } = whole;
      return { ...common, whole, overlay: overlay.built, layers, interfaces, protocols };
    }
  }
  const whole = compile(rules);
  const protocols = protocolsOf([], whole);
  const { interfaces } = whole;
  return { ...common, whole, overlay: null, layers: null, interfaces, protocols };
}

function protocolsOf(known: readonly Protocol[], compiled: Compiled | undefined): Protocol[] {
  return [...new Set([...known, ...(compiled?.classes ?? []).map(({ protocol }) => protocol)])];
}

/** Null: it cannot be an overlay. Nothing was added at run time: then none is needed. */
function layOver(
  { runtime }: Rules,
  layers: Layers,
  build: (firstRule: number) => Overlay | null,
): { readonly built: Overlay | null } | null {
  if (runtime.length === 0) return { built: null };
  const built = build(offsets(layers).rules);
  return built !== null && fitsRoom(built) ? { built } : null;
}
