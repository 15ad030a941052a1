/** Rule sets: what a configuration says, and what is active. */
import { prefixContains, type Address, type Prefix } from "./address.js";
import type { Drained } from "./drained.js";
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
  /** What happens to sockets that bind to 0.0.0.0 or ::. Absent means report. */
  readonly wildcard?: WildcardPolicies;
  /**
   * The /48 that services' own IPv6 addresses are out of. Absent means one derived from the host's
   * machine id.
   */
  readonly ula?: Prefix;
  /** Prefixes all of whose addresses are the host's, sorted. Absent means none. */
  readonly anyip?: readonly Prefix[];
  /** Addresses that the host has at times, as prefixes, sorted. Absent means none. */
  readonly floating?: readonly Prefix[];
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
  anyip,
  floating,
}: { readonly [Name in keyof Settings]?: Settings[Name] | undefined }): Settings {
  return {
    engine,
    mptcp,
    ...(strangers !== undefined && { strangers }),
    ...(wildcard !== undefined && { wildcard }),
    ...(ula !== undefined && { ula }),
    ...(anyip !== undefined && { anyip }),
    ...(floating !== undefined && { floating }),
  };
}

/** Reports whether the address is the host's at times. */
export function isFloating(floating: readonly Prefix[], address: Address): boolean {
  return floating.some((prefix) => prefixContains(prefix, address));
}

/** What a configuration says besides its mappings. */
export interface FileHead extends Settings {
  readonly services: readonly Service[];
}

/** A complete, validated configuration. */
export interface RuleSet extends FileHead {
  readonly mappings: Mappings;
}

/**
 * All the rules of one network namespace: what the file says, and the run-time mappings, which live
 * beside it, survive reloads, and go with `remove` or `unload`.
 */
export interface Rules {
  /**
   * The absolute paths that the file part was read from, in their order; none when mappings were
   * only given as arguments or at run time.
   */
  readonly sources: readonly string[];
  readonly file: RuleSet;
  readonly runtime: readonly Mapping[];
  /** The destinations that get nobody new, which live as long; absent means none. */
  readonly drained?: readonly Drained[];
}

export const emptyRules: Rules = {
  sources: [],
  file: { services: [], mappings: [] },
  runtime: [],
};

/**
 * The file's part of rules. Its mappings, of which there may be a million, may lie in the kernel.
 * Two parts are the same when they are the same object.
 */
export interface FilePart {
  readonly head: FileHead;
  /** The number of mappings. */
  readonly count: number;
  /**
   * Returns the whole, with the mappings: always the same object. The first call may read them from
   * the kernel, which it can until the data plane they came from is closed.
   */
  read(): RuleSet;
}

/**
 * Rules that are active, or that a change makes active. All but the file's mappings is plain data,
 * which answers most questions; `readRules` reads those too.
 */
export interface ActiveRules extends Omit<Rules, "file"> {
  readonly file: FilePart;
}

/** Makes a part of a configuration that has been read. */
export function inMemory(file: RuleSet): FilePart {
  return { head: file, count: file.mappings.length, read: () => file };
}

/** Makes rules whose file has been read ready to be made active. */
export function toBeActive(rules: Rules): ActiveRules {
  return { ...rules, file: inMemory(rules.file) };
}

export const noActiveRules: ActiveRules = toBeActive(emptyRules);

/** Returns the whole rules; reads the file's mappings when nobody has read them before. */
export function readRules({ file, ...rest }: ActiveRules): Rules {
  return { ...rest, file: file.read() };
}

/** Counts the mappings of both kinds, without reading any. */
export function countMappings({ file, runtime }: ActiveRules): number {
  return file.count + runtime.length;
}

/** Returns all mappings, the file's first. */
export function allMappings({
  file,
  runtime,
}: Pick<Rules, "runtime"> & { readonly file: Pick<RuleSet, "mappings"> }): Mappings {
  return joinMappings(file.mappings, runtime);
}
