/** Keeps mappings of arguments and of files from taking each other's place by mistake. */
import { IlmError } from "../errors.js";
import { formatMappingArgument } from "../config/argument.js";
import { mappingKey } from "../model/mapping.js";
import { toLazy } from "../model/mappings.js";
import type { Revision } from "../model/revision.js";
import type { ActiveRules, FilePart } from "../model/rules.js";
import { listSources } from "../model/sources.js";
import { givenMappings } from "./given.js";

/** What is active, as far as it would be replaced. */
export interface Replaced {
  /** The paths that the active rules were read from. */
  readonly sources: readonly string[];
  /** How many mappings are the file's. */
  readonly fileMappings: number;
}

/** Returns what of these rules would be replaced. Nothing is of rules that cannot be read. */
export function replacedOf(rules: ActiveRules | undefined): Replaced {
  return { sources: rules?.sources ?? [], fileMappings: rules?.file.count ?? 0 };
}

/** Throws USAGE when there are rules of a file that would be replaced. */
export function refuseReplacement({ sources, fileMappings }: Replaced): void {
  if (sources.length === 0 || fileMappings === 0) return;
  throw new IlmError(
    "USAGE",
    `these mappings would take the place of the ${fileMappings === 1 ? "mapping" : `${fileMappings} mappings`} of ${listSources(sources)}`,
    {
      remedy:
        "`ilm add MAPPING` adds them beside the file's, `-f FILE MAPPING` applies both, and `--replace` says that it is meant.",
    },
  );
}

/**
 * Throws USAGE when files would take away mappings that were given as arguments beside what is
 * active. Of many thousand mappings most of which stay, none are looked through.
 */
export function refuseLoss(
  active: ActiveRules | undefined,
  file: FilePart,
  revision: Revision | null,
): void {
  if (active === undefined || active.sources.length === 0 || active.file === file) return;
  if (revision !== null && active.file.count > LOOKED_THROUGH) return;
  const given = new Map(
    givenMappings(active.file.read().mappings).map((one) => [mappingKey(one), one]),
  );
  if (given.size === 0) return;
  const kept = toLazy(file.read().mappings).indexesOf(new Set(given.keys()));
  const lost = [...given].filter(([key]) => !kept.has(key)).map(([, mapping]) => mapping);
  if (lost.length === 0) return;
  const texts = lost.map((mapping) => formatMappingArgument(mapping));
  const [it, was] = lost.length === 1 ? ["it", "was"] : ["them", "were"];
  throw new IlmError(
    "USAGE",
    `this would take away ${lost.map(({ name }) => name).join(", ")}, which ${was} given as an argument beside ${listSources(active.sources)}`,
    {
      remedy: `Give ${it} again (${texts.join(" ")}), which keeps ${it}; \`--replace\` says that it is meant.`,
    },
  );
}

/** Up to this many mappings are looked through for arguments where most of them stay. */
const LOOKED_THROUGH = 10_000;
