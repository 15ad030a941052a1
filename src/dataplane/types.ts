/** What the layers above see of one network namespace's data plane. */
import type { CompiledFile } from "../compile/compile.js";
import type { ChangeSummary } from "../rules/summary.js";
import type { Family } from "../model/address.js";
import type {
  CounterList,
  Counters,
  Decision,
  DecisionCounts,
  DecisionFilter,
  MappingCounters,
  Packet,
} from "../model/decision.js";
import type { Connections } from "../model/connection.js";
import type { Flow } from "../model/flow.js";
import type { Ending, Listener, Turn } from "../model/listener.js";
import type { Refusal, RefusedAttempt } from "../model/refusal.js";
import type { Unheard } from "../rules/endings.js";
import type { Permit } from "../rules/permits.js";
import type { Engine, StrangerPolicy } from "../model/mapping.js";
import type { PendingChange } from "../model/pending.js";
import type { ActiveRules, FilePart } from "../model/rules.js";
import type { Revision } from "../model/revision.js";

export type ActiveEngine = Exclude<Engine, "auto">;

/** The active rules and the state around them. */
export interface Active {
  /**
   * The generation number: starts at 1 and grows with each change. The number of one that failed or
   * went back is not used again.
   */
  readonly generation: number;
  /** When the rules were applied: ISO 8601, UTC. */
  readonly appliedAt: string;
  /** The version of ilm that applied the rules. */
  readonly version: string;
  readonly rules: ActiveRules;
  /**
   * SHA-256, in hexadecimal, of what the file's part means. Equal rules have equal digests,
   * wherever they are in their files. It is null when an earlier version made the state.
   */
  readonly fileDigest: string | null;
  /** What finds the listeners: the kernel module's kfunc, or the registry. */
  readonly engine: ActiveEngine;
  /** Why `engine: auto` does without the kfunc although the module is loaded; otherwise null. */
  readonly kfuncTrouble: string | null;
  /**
   * True while the rules are switched off (`ilm off`): they decide nothing until switched on again.
   */
  readonly off: boolean;
  /**
   * The state format, when an earlier version made the state; null when this version did. The next
   * change takes such state over. What the earlier version has attached is not checked.
   */
  readonly earlierFormat: number | null;
  /**
   * What happens to sockets of others on mapped ports. A host that an earlier version has prepared
   * reports them until its configuration has `strangers`.
   */
  readonly strangerPolicy: StrangerPolicy;
  /** Set while these rules wait for their confirmation. */
  readonly pending: PendingChange | null;
  /**
   * When the change after these rules was taken back, for lack of a confirmation: ISO 8601, UTC. It
   * is null when there was none.
   */
  readonly wentBackAt: string | null;
}

/** The file's part of the active rules, and what is kept about the text it was read from. */
export interface KeptText {
  readonly file: FilePart;
  readonly text: string;
  /**
   * Reports whether `apply` would lay the difference over the active tables. Only then is a problem
   * or warning about the rules as a whole one that the active rules already have. It is null when
   * nothing can be laid over these tables.
   */
  readonly fits: ((file: FilePart, revision: Revision) => boolean) | null;
}

/** The active rules in the form in which they are kept, to be made active again later. */
export interface Snapshot extends Pick<
  Active,
  "generation" | "appliedAt" | "off" | "rules" | "pending" | "wentBackAt"
> {
  /** The state format of this version of ilm, which later versions read. */
  readonly format: number;
  readonly fileDigest: string;
  /** The digest of all rules: the file's part and the run-time mappings. */
  readonly digest: string;
  /** Reads the file's mappings, packed. */
  readonly packed: () => Uint8Array;
}

export interface ApplyOptions {
  /**
   * Go back to the active rules after this many seconds, unless `confirm` is called. No process is
   * needed for that.
   */
  readonly confirmSeconds?: number | undefined;
  /** Replace the state even when a newer version made it. */
  readonly overNewer?: boolean | undefined;
  /**
   * The file's part, as what became of the active one. It is used only while that one is still
   * active.
   */
  readonly revision?: Revision | null | undefined;
  /** What the file's part compiled to, so that it need not be compiled again. */
  readonly compiled?: CompiledFile | null | undefined;
  /**
   * Return as soon as the new rules decide, provided nothing else had to be done. The remaining
   * work, waiting some milliseconds for programs that have read the previous rules, is left to
   * `settle`. Ignored unless `follow` runs in this process.
   */
  readonly settleLater?: boolean | undefined;
}

export interface ApplyResult {
  readonly generation: number;
  /** True while the rules are switched off (`ilm off`): they are loaded but decide nothing. */
  readonly off: boolean;
  /** Whether anything was done. False when the rules were already active. */
  readonly changed: boolean;
  /** Which mappings of both kinds came, went or differ. It is null when nothing changed. */
  readonly difference: ChangeSummary | null;
  /** The number of mappings that are now active. */
  readonly mappings: number;
  /** True when only the difference from the active tables was built, on top of them. */
  readonly incremental: boolean;
  readonly addressesAdded: readonly string[];
  readonly addressesRemoved: readonly string[];
  /**
   * Interfaces that mappings name and that do not exist. Those mappings match nothing until the
   * interfaces appear.
   */
  readonly interfacesMissing: readonly string[];
  /** Why `engine: auto` does without the kfunc although the module is loaded; otherwise null. */
  readonly kfuncTrouble: string | null;
  /** What had been detached or removed and has been put back. */
  readonly repaired: readonly Missing[];
  /**
   * The state format of the earlier version whose state was taken over, with run-time mappings,
   * counters and flows; otherwise null.
   */
  readonly takenOverFormat: number | null;
  /**
   * Why the previous state could not be read, so that run-time mappings and counters are lost;
   * otherwise null.
   */
  readonly lost: string | null;
  /** Set when the rules wait for their confirmation. */
  readonly pending: PendingChange | null;
}

/**
 * Something of ours that should exist: `sk_lookup` on the network namespace; a hook of the root
 * cgroup, such as `cgroup/sockops`; `ingress/eth0` or `egress/eth0`; a service's address on lo.
 */
export type Missing = string;
export const LOOKUP_MISSING: Missing = "sk_lookup";

/**
 * Live decisions, some at a time, oldest first. Ending the stream, or the death of its process,
 * ends their cost.
 */
export interface DecisionStream extends AsyncIterable<readonly ObservedDecision[]> {
  /** What became of the decisions so far. */
  counts(): DecisionCounts;
  /** Has the stream end after what was decided until now. */
  end(): void;
  /** Releases everything. */
  close(): void;
}

export interface ObservedDecision extends Decision {
  /** When the decision was made, in milliseconds since the epoch. */
  readonly time: number;
}

/** A decision that the loaded program itself made for a packet it was asked about. */
export interface Explanation extends Decision {
  /** The cookie of the selected socket, in decimal; null when none was selected. */
  readonly cookie: string | null;
}

export interface FlowCount {
  readonly live: number;
  /** The maximum number of flows. Beyond it, the least recently used ones are evicted. */
  readonly capacity: number;
}

/** Who watches decisions. */
export interface Watching {
  /** How many processes watch now. */
  readonly readers: number;
  /** Decisions that came faster than their readers took them, all in all. */
  readonly dropped: number;
}

/**
 * What the kernel side could not do, counted since its registry was created (usually at the first
 * apply).
 */
export interface Faults {
  /** Listeners that were not tracked because a map was full or memory ran out. */
  readonly untracked: number;
  /** Listeners on a destination that the socket map refused. */
  readonly unplaced: number;
  /** UDP flows that could not be recorded. */
  readonly flows: number;
  /**
   * Datagrams from a mapped UDP daemon to a peer of which nothing is known, or nothing any more.
   */
  readonly unanswered: number;
  /**
   * Packets that only ingress could have handed over to their listener, and did not: behind NAT, in
   * fragments, or from elsewhere.
   */
  readonly unsteered: number;
}

/** An interface on which other people's programs run before ours. */
export interface Overtaken {
  readonly interface: string;
  readonly direction: "ingress" | "egress";
  /**
   * The names the programs were loaded with, in the order they run; the id of a program without a
   * name.
   */
  readonly programs: readonly string[];
}

export interface FollowOptions {
  /** Called with the error that ended following. An exception it throws is uncaught. */
  readonly onError?: (error: unknown) => void;
  /** Called with what had been removed and is now back. */
  readonly onRestored?: (missing: readonly Missing[]) => void;
  /** Called when somebody was refused something, or reported; at most every 10 s for the same. */
  readonly onRefused?: (attempt: RefusedAttempt) => void;
  /** Called when a destination has its first listener, and when its last one ended. */
  readonly onTurned?: (turn: Turn) => void;
}

export interface DataPlane {
  /** The inode number of the network namespace. The cookie beside it is decimal. */
  readonly netnsInode: number;
  readonly netnsCookie: string;
  /** Where the pins are, e.g. /sys/fs/bpf/ilm/4026531840. */
  readonly pinPath: string;
  /**
   * Returns the active rules and their state, or null when nothing is loaded. Throws INCOMPATIBLE
   * when rules decide whose state was made by a newer version, is incomplete, or cannot be found.
   */
  active(): Active | null;
  /** Returns the active rules to be kept, or null when nothing is loaded. Throws as `active`. */
  snapshot(): Snapshot | null;
  /** Returns the `fileDigest` that `active` reports once this file is active. */
  digestOf(sources: readonly string[], file: FilePart): string;
  /**
   * Returns what `keepText` kept. Returns null when nothing is kept or no rules of this version are
   * active.
   */
  keptText(): KeptText | null;
  /**
   * Keeps something about the text that the file's part of the rules was read from, for as long as
   * that part is active. Does nothing when another part is active. It needs no lock. Text longer
   * than about 16,000 bytes plus half a byte per mapping is not kept.
   */
  keepText(rules: ActiveRules, text: string): void;
  /**
   * Runs `action` with the pins opened once, at its start. Anything mounted over them meanwhile is
   * noticed the next time they are opened.
   */
  asOne<T>(action: () => T): T;
  /**
   * Makes the rules active in one atomic step, even if the previous state is unreadable. The caller
   * holds the writer's lock. Throws INCOMPATIBLE when a newer version made the active state, unless
   * `overNewer` is set.
   */
  apply(rules: ActiveRules, options?: ApplyOptions): ApplyResult;
  /**
   * Finishes a change that was to settle later; the next `apply` does so before anything else. The
   * caller holds the writer's lock.
   */
  settle(): void;
  /**
   * Has the active rules decide for good, which wait for their confirmation. The caller holds the
   * writer's lock. Throws NOT_FOUND when none do, and when they have gone back.
   */
  confirm(): void;
  /**
   * Goes back at once from rules that wait for their confirmation. The caller holds the writer's
   * lock. Throws NOT_FOUND when none do, and when they have gone back.
   */
  goBack(): void;
  /**
   * Removes what is left of rules that went back for lack of a confirmation. Returns the generation
   * that decides again, or null when there is nothing to do. Every change does so first. The caller
   * holds the writer's lock.
   */
  settleBack(): number | null;
  /**
   * Switches all decisions off, or back on unchanged. Changing the rules while they are off leaves
   * them off. Returns false when nothing had to be switched. The caller holds the writer's lock.
   * Throws NOT_LOADED.
   */
  setOff(off: boolean): boolean;
  /**
   * Reports whether UDP and MPTCP are handed over at ingress, as this kernel allows. Returns null
   * when nothing is loaded.
   */
  steers(): boolean | null;
  /**
   * Returns the families for which the namespace has NAT or a packet socket, so that ingress hands
   * over nothing. Returns none when nothing is loaded.
   */
  nat(): readonly Family[];
  /**
   * Returns the families whose packets a filter at OUTPUT may judge by their conntrack state.
   * Returns none when nothing is loaded.
   */
  outputFilters(): readonly Family[];
  /**
   * Returns the families for which netfilter has a hook on the way to a socket: filters, NAT,
   * conntrack.
   */
  netfilterHooks(): readonly Family[];
  /** Returns the interface indexes of the namespace's VRFs. */
  vrfs(): ReadonlySet<number>;
  /**
   * Returns the inode numbers of network namespaces that have ended and left state behind. The next
   * change removes that state.
   */
  endedNamespaces(): number[];
  /**
   * Returns a number that no other registry of this boot has had lately: with another registry,
   * counters may have begun anew. Returns null when nothing is loaded, or by an earlier version.
   */
  registryId(): number | null;
  /** Returns one set of counters per mapping, in the order of the active mappings. */
  counters(): CounterList;
  /** Returns the counters of the mappings with these indexes only, in the order given. */
  countersOf(indexes: readonly number[]): readonly MappingCounters[];
  /** Returns the sum of all mappings' counters. */
  counterTotal(): Counters;
  /**
   * Returns every listener of this network namespace, from the kernel's socket tables. Works when
   * nothing is loaded.
   */
  listeners(): Listener[];
  /**
   * Returns when destinations lost their last listener, also of those that have one again. Returns
   * none when nothing is loaded. Only the latest some thousand are remembered.
   */
  endings(): Ending[];
  /** Tells where nobody has listened yet, as far as the programs have seen. */
  readonly unheard: Unheard;
  /**
   * Returns a function that reports whether the active rules let a listener be selected where they
   * give that permit; null is anyone. A user or a group that this host no longer has owns nothing.
   */
  permits(): (listener: Listener, permit: Permit | null) => boolean;
  /**
   * Returns the first port that takes no privilege to bind, as the programs know it; 0 when nothing
   * is loaded.
   */
  firstUnprivileged(): number;
  /** Returns what was refused or reported, the latest first; nothing when nothing is loaded. */
  refusals(): Refusal[];
  /** Returns the live flows in no particular order; none when nothing is loaded. */
  flows(): Flow[];
  /**
   * Counts the open TCP connections that destinations' listeners accepted since ilm knows them, in
   * no particular order; none when nothing is loaded. Goes through all sockets.
   */
  connections(): Connections[];
  /**
   * Counts the live flows, which is cheaper than listing them. Returns null when nothing is loaded.
   */
  flowCount(): FlowCount | null;
  /** Returns what the kernel side could not do, or null when nothing is loaded. */
  faults(): Faults | null;
  /** Returns who watches decisions, or null when nothing is loaded. */
  watching(): Watching | null;
  /**
   * Returns the names of interfaces that appeared after the rules were applied and have no programs
   * yet. Traffic that needs the hand-over at ingress does not get it there.
   */
  uncoveredInterfaces(): string[];
  /**
   * Returns what the active rules need and is not attached, apart from interfaces. Inspects the
   * links themselves. Returns nothing when nothing is loaded.
   */
  detached(): readonly Missing[];
  /**
   * Reports whether active rules have lost their pins, or had them covered by a mount, so that no
   * other process finds them. The next `apply` recreates the pins.
   */
  isLost(): boolean;
  /**
   * Returns what the active rules need and is not attached, including interfaces, and the addresses
   * of services and prefixes of `anyip` that are missing on lo.
   */
  missing(): readonly Missing[];
  /** Puts back what is missing, and returns what that was. The caller holds the writer's lock. */
  repair(): readonly Missing[];
  /**
   * Returns the interfaces on which other people's programs run before ours; none when nothing is
   * loaded.
   */
  overtaken(): Overtaken[];
  explain(packet: Packet): Explanation;
  /** Starts a stream of the decisions that pass the filter. Throws LIMIT when too many watch. */
  watch(filter: DecisionFilter): DecisionStream;
  /**
   * Does what needs a running process, until closed: puts the programs on interfaces that appear
   * and, where ingress is unavailable, places UDP sockets as they bind. TCP needs no process.
   */
  follow(options?: FollowOptions): { close(): void };
  /**
   * Resynchronises the registry with the kernel's socket tables and removes flows that are over.
   * Returns what was missing and has been put back.
   */
  resync(): readonly Missing[];
  /**
   * Removes programs, maps, links, files and the addresses that ilm put on lo. Returns true when
   * something was loaded.
   */
  unload(): boolean;
  /**
   * Releases this process's descriptors. The active rules stay; those that `active` has returned
   * can no longer be read.
   */
  close(): void;
}
