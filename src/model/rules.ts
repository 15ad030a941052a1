/** Rule sets: what a configuration says, and what is active. */
import type { Engine, MptcpMode, Service, Mapping } from "./mapping.js";
import { type Mappings, joinMappings } from "./mappings.js";

/** What a configuration says once for the whole network namespace. */
export interface Settings {
  /** The engine. Absent means auto. */
  readonly engine?: Engine;
  /** Whether MPTCP is allowed. Absent means on. */
  readonly mptcp?: MptcpMode;
}

/** A complete, validated configuration. */
export interface RuleSet extends Settings {
  readonly services: readonly Service[];
  readonly mappings: Mappings;
}

/**
 * All the rules of one network namespace: what the file says, and the run-time mappings, which live
 * beside it, survive reloads, and go with `remove` or `unload`.
 */
export interface Rules {
  /**
   * The absolute path that the file part was read from; null when mappings were only given as
   * arguments or at run time.
   */
  readonly source: string | null;
  readonly file: RuleSet;
  readonly runtime: readonly Mapping[];
}

export const emptyRules: Rules = {
  source: null,
  file: { services: [], mappings: [] },
  runtime: [],
};

/** Returns all mappings, the file's first. */
export function allMappings({
  file,
  runtime,
}: Pick<Rules, "runtime"> & { readonly file: Pick<RuleSet, "mappings"> }): Mappings {
  return joinMappings(file.mappings, runtime);
}
