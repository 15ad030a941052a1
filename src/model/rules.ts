/** Rule sets: what a configuration says, and what is in force. */
import type { Engine, MptcpMode, Service, Mapping } from "./mapping.js";
import { type Mappings, joinMappings } from "./mappings.js";

/** What a configuration says once for the whole network namespace. */
export interface Settings {
  /** Left out: auto. */
  readonly engine?: Engine;
  /** Left out: on. */
  readonly mptcp?: MptcpMode;
}

/** A complete, validated configuration. */
export interface RuleSet extends Settings {
  readonly services: readonly Service[];
  readonly mappings: Mappings;
}

/**
 * Everything that is in force in one network namespace: what the file said, and the mappings added
 * at run time, which live beside it, survive reloads, and go with `remove` or `unload`.
 */
export interface Rules {
  /**
   * The path the file part was read from, absolute; null when mappings were only given as arguments
   * or at run time.
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

/** All mappings in force, the file's first. */
export function allMappings({
  file,
  runtime,
}: Pick<Rules, "runtime"> & { readonly file: Pick<RuleSet, "mappings"> }): Mappings {
  return joinMappings(file.mappings, runtime);
}
