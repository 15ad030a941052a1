/** What the layers above see of the data plane of one network namespace. */
import type { CompiledFile } from "../compile/compile.js";
import type { ChangeSummary } from "../rules/summary.js";
import type { Family } from "../model/address.js";
import type { CounterList, Counters, Decision, Packet } from "../model/decision.js";
import type { Flow } from "../model/flow.js";
import type { Listener } from "../model/listener.js";
import type { Engine } from "../model/mapping.js";
import type { RuleSet, Rules } from "../model/rules.js";
import type { Revision } from "../model/revision.js";

export type EngineInForce = Exclude<Engine, "auto">;

/** What is in force. */
export interface InForce {
  /** Starts at 1, grows by one with each change. */
  readonly generation: number;
  /** ISO 8601, UTC. */
  readonly appliedAt: string;
  /** Version of ilm that applied it. */
  readonly version: string;
  readonly rules: Rules;
  /**
   * Of what the file's part means, SHA-256 in hexadecimal: equal for equal rules, wherever in their
   * files they were written. Null: an earlier version made it.
   */
  readonly fileDigest: string | null;
  /** What finds the listeners: the module's kfunc, or the registry. */
  readonly engine: EngineInForce;
  /** Why `engine: auto` does without the kfunc although the module is loaded; else null. */
  readonly kfuncTrouble: string | null;
  /** It decides nothing until it is switched on again. */
  readonly off: boolean;
  /**
   * An earlier version made it, whose state has this format: the next change takes it over. What
   * that version has attached is not looked at. Null: this version made it.
   */
  readonly earlierFormat: number | null;
}

/** The file's part of the rules in force, and what is kept about the text that it was read from. */
export interface KeptText {
  readonly file: RuleSet;
  readonly text: string;
  /**
   * Would `apply` lay what differs over the tables in force? Only then is nothing wrong with the
   * whole or doubtful that is not so in force. Null: nothing can be laid over these.
   */
  readonly fits: ((file: RuleSet, revision: Revision) => boolean) | null;
}

export interface ApplyOptions {
  /** Also in the place of what a newer version made. */
  readonly overNewer?: boolean | undefined;
  /**
   * The file's part as what became of the one in force. Of use only when that is in force still.
   */
  readonly revision?: Revision | null | undefined;
  /** What the file's part compiled to, so that it need not be compiled again. */
  readonly compiled?: CompiledFile | null | undefined;
  /**
   * Returns when the new rules decide, if nothing else was to be done: what remains, waiting for
   * the programs that have read the rules before, some milliseconds, is left to `settle`. Only
   * beside `follow`.
   */
  readonly settleLater?: boolean | undefined;
}

export interface ApplyResult {
  readonly generation: number;
  /** Switched off (`ilm off`): in force, and nothing is decided. */
  readonly off: boolean;
  /** False: the rules were in force already, nothing was done. */
  readonly changed: boolean;
  /** What came, went and is not as it was, of both kinds of mappings. Null: nothing was changed. */
  readonly difference: ChangeSummary | null;
  /** How many are in force now. */
  readonly mappings: number;
  /** True: only what differs from the tables in force was built, over them. */
  readonly incremental: boolean;
  readonly addressesAdded: readonly string[];
  readonly addressesRemoved: readonly string[];
  /**
   * Interfaces that mappings name and that there are not: those mappings match nothing until they
   * come.
   */
  readonly interfacesMissing: readonly string[];
  /** As in `InForce`. */
  readonly kfuncTrouble: string | null;
  /** What had been detached or taken away, and is there again. */
  readonly repaired: readonly Missing[];
  /**
   * An earlier version's state, of this format, was taken over: mappings added at run time,
   * counters and flows too. Else null.
   */
  readonly takenOverFormat: number | null;
  /**
   * Why what was in force could not be read, so that mappings added at run time and counters are
   * lost. Else null.
   */
  readonly lost: string | null;
}

/**
 * Something that is ours and should be there: `sk_lookup` on the network namespace; a hook of the
 * root cgroup, as `cgroup/sockops`;
 * `ingress/eth0` or `egress/eth0`; an address of a service on lo.
 */
export type Missing = string;
export const LOOKUP_MISSING: Missing = "sk_lookup";

/** Live decisions. Closing it (or its process dying) ends the cost. */
export interface DecisionStream extends AsyncIterable<ObservedDecision> {
  /** Decisions that the kernel could not hand over because the buffer was full. */
  readonly lost: number;
  close(): void;
}

export interface ObservedDecision extends Decision {
  /** Milliseconds since the epoch. */
  readonly time: number;
}

/** Explained by the loaded program itself. */
export interface Explanation extends Decision {
  /** Cookie of the socket that was selected, decimal; null when none was. */
  readonly cookie: string | null;
}

export interface FlowCount {
  readonly live: number;
  /** There can be no more: the least recently used are forgotten. */
  readonly capacity: number;
}

/**
 * What the kernel side could not do, counted since its registry was made (the first apply, most
 * often).
 */
export interface Faults {
  /** Listeners that found a map full or no memory. */
  readonly untracked: number;
  /** Listeners of a destination that the socket map refused. */
  readonly unplaced: number;
  /** UDP flows that could not be remembered. */
  readonly flows: number;
  /** Datagrams of a mapped UDP daemon to somebody of whom nothing is known (any more). */
  readonly unanswered: number;
  /**
   * Packets for a listener that only ingress can hand over to, which it could not: behind NAT, in
   * fragments, from elsewhere.
   */
  readonly unsteered: number;
}

/** An interface on which programs of others run before ours. */
export interface Overtaken {
  readonly interface: string;
  readonly direction: "ingress" | "egress";
  /** The names that they were loaded with, in their order; without one: their ids. */
  readonly programs: readonly string[];
}

export interface FollowOptions {
  /** Told what ended it; what this throws is uncaught. */
  readonly onError?: (error: unknown) => void;
  /** Told what somebody had taken away, and is back. */
  readonly onRestored?: (missing: readonly Missing[]) => void;
}

export interface DataPlane {
  /** Inode number and cookie (decimal) of the network namespace. */
  readonly netnsInode: number;
  readonly netnsCookie: string;
  /** Where the pins are, e.g. /sys/fs/bpf/ilm/4026531840. */
  readonly pinPath: string;
  /**
   * Null when nothing is loaded. Throws INCOMPATIBLE when rules decide whose state is a newer
   * version's, not whole, or not to be found.
   */
  inForce(): InForce | null;
  /** What `fileDigest` of `inForce` is when this is in force. */
  digestOf(source: string | null, file: RuleSet): string;
  /** What `keepText` keeps. Null: nothing is kept, or nothing of this version is in force. */
  keptText(): KeptText | null;
  /**
   * Keeps something about the text that the file's part of the rules was read from, as long as that
   * part is in force; not when another one is. No lock is needed. What is longer than some 16,000
   * bytes, and half a byte for each mapping, is not kept.
   */
  keepText(rules: Rules, text: string): void;
  /**
   * All that `action` calls looks at the pins that are there when it begins, which are opened once:
   * what is mounted over them meanwhile is noticed by the next look.
   */
  asOne<T>(action: () => T): T;
  /**
   * Puts the rules in force in one atomic step, also in the place of what cannot be read. The
   * caller holds the writer's lock. Throws INCOMPATIBLE when a newer version made what is in force,
   * unless that is asked for.
   */
  apply(rules: Rules, options?: ApplyOptions): ApplyResult;
  /**
   * Finishes a change that was to settle later; the next `apply` does so before anything else. The
   * caller holds the writer's lock.
   */
  settle(): void;
  /**
   * Switches all that decides off, or on again as it was. Changes of the rules while it is off
   * leave it so. The caller holds the writer's lock. False: it was so already. Throws NOT_LOADED.
   */
  setOff(off: boolean): boolean;
  /** UDP and MPTCP are handed over at ingress, as this kernel can. Null when nothing is loaded. */
  steers(): boolean | null;
  /**
   * The families of which the namespace has NAT, or a packet socket, so that ingress hands over
   * nothing. Empty when nothing is loaded.
   */
  nat(): readonly Family[];
  /**
   * The families whose packets a filter at OUTPUT may judge by what conntrack says of them. Empty
   * when nothing is loaded.
   */
  outputFilters(): readonly Family[];
  /**
   * The families of whose packets netfilter asks somebody, on the way to a socket: filters, NAT,
   * conntrack.
   */
  netfilterHooks(): readonly Family[];
  /** Interface indexes of the namespace's VRFs. */
  vrfs(): ReadonlySet<number>;
  /**
   * Inode numbers of network namespaces that ended and of which state is left; the next change
   * removes it.
   */
  endedNamespaces(): number[];
  /** One per mapping, in the order of `allMappings(inForce().rules)`. */
  counters(): CounterList;
  /** Of the mappings with these indexes alone, in their order. */
  countersOf(indexes: readonly number[]): CounterList;
  /** Of all mappings together. */
  counterTotal(): Counters;
  /**
   * Every listener of this network namespace, from the kernel's socket tables; works when nothing
   * is loaded.
   */
  listeners(): Listener[];
  /** The live ones, in no order; empty when nothing is loaded. */
  flows(): Flow[];
  /** Cheaper than all of them. Null when nothing is loaded. */
  flowCount(): FlowCount | null;
  /** Null when nothing is loaded. */
  faults(): Faults | null;
  /**
   * Names of interfaces that came after the rules and that nobody put the programs on yet: what
   * needs the hand-over at ingress does not get it from there.
   */
  uncoveredInterfaces(): string[];
  /**
   * What is not attached although the rules in force need it, but for interfaces. Looks at the
   * links themselves. Empty when nothing is loaded.
   */
  detached(): readonly Missing[];
  /**
   * True: what is in force decides, and its pins are gone or covered, so that no other process
   * finds it; the next `apply` makes them anew.
   */
  isLost(): boolean;
  /** Likewise, with interfaces and with addresses of services that are not on lo. */
  missing(): readonly Missing[];
  /** Puts back what is missing. The caller holds the writer's lock. What it was. */
  repair(): readonly Missing[];
  /** Where programs of others run before ours, on the interfaces; empty when nothing is loaded. */
  overtaken(): Overtaken[];
  explain(packet: Packet): Explanation;
  watch(): DecisionStream;
  /**
   * What somebody has to stay for, until closed: puts the programs on interfaces that come and,
   * where ingress is not to be had, places UDP sockets as they bind. TCP needs nobody.
   */
  follow(options?: FollowOptions): { close(): void };
  /**
   * Resynchronises the registry with the kernel's socket tables, and forgets flows that are over.
   * What was missing and is back.
   */
  resync(): readonly Missing[];
  /**
   * Removes programs, maps, links, files and the addresses that ilm put on lo. True when something
   * was loaded.
   */
  unload(): boolean;
  /** Releases the descriptors this process holds; what is in force stays. */
  close(): void;
}
