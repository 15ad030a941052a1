/** Rule sets: what a configuration says, and what is active. */
import type { Prefix } from "./address.js";
import type {
  Engine,
  Mapping,
  MptcpMode,
  Service,
  StrangerPolicy,
  WildcardPolicies,
} from "./mapping.js";
import { type Mappings, joinMappings } from "./mappings.js";

/** What a configuration says once for the whole network namespace. */
export interface Settings {
  /** The engine. Absent means auto. */
  readonly engine?: Engine;
  /** Whether MPTCP is allowed. Absent means on. */
  readonly mptcp?: MptcpMode;
  /**
   * What happens to others' sockets on a mapped port. Absent means refuse, or report on a host that
   * upgrades.
   */
  readonly strangers?: StrangerPolicy;
  /** What happens to sockets that bind to 0.0.0.0 or ::. Absent means allow. */
  readonly wildcard?: WildcardPolicies;
  /**
   * The /48 that services' own IPv6 addresses are out of. Absent means one derived from the host's
   * machine id.
   */
  readonly ula?: Prefix;
}

/**
 * Returns the settings alone, with the defaults of those that have one, in the same order for equal
 * settings.
 */
export function settingsOf({
  engine = "auto",
  mptcp = "on",
  strangers,
  wildcard,
  ula,
}: { readonly [Name in keyof Settings]?: Settings[Name] | undefined }): Settings {
  return {
    engine,
    mptcp,
    ...(strangers !== undefined && { strangers }),
    ...(wildcard !== undefined && { wildcard }),
    ...(ula !== undefined && { ula }),
  };
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
