/** An entry of the history of changes, as its file has it. */
import type { Author } from "../../kernel/author.js";
import type { Boot } from "../../kernel/boot-time.js";
import type { CauseKind } from "../../model/causes.js";
import type { Drained } from "../../model/drained.js";
import type { Mapping } from "../../model/mapping.js";
import type { FileHead } from "../../model/rules.js";
import type { ChangeSummary } from "../../rules/summary.js";

/** The version of the form of an entry. Fields are only added to it. */
export const ENTRY_VERSION = 1;

/** The rules after a change, but for the file's mappings, which lie in a file of their own. */
export interface KeptRules {
  /** The paths that the file's part was read from. */
  readonly sources: readonly string[];
  readonly head: FileHead;
  readonly runtime: readonly Mapping[];
  /** By which boot the ends of mappings (`until`) count; absent when none of them ends. */
  readonly boot?: Boot;
  /** What is drained; absent for nothing. */
  readonly drained?: readonly Drained[];
  /** The number of the file's mappings. */
  readonly count: number;
  /** The digest of the file's part, by which its mappings are found. */
  readonly fileDigest: string;
}

/** Files whose text was turned away: it is not applied again by itself. */
export interface HeldText {
  readonly sources: readonly string[];
  readonly digest: string;
  /** The entry of the rules that are active in its place. */
  readonly to: number;
}

export type UnheldText = Omit<HeldText, "to">;

/** How the rules after a change go back, while they wait for their confirmation. */
export interface Wait {
  /** When they go back, as known at that time: ISO 8601, UTC. */
  readonly until: string;
  /** The entry of the rules that decide again from then on; null when there were none. */
  readonly to: number | null;
  /** The entry of the change that waits; null for the entry that has this. */
  readonly change: number | null;
  /** What is turned away when they go back. */
  readonly held: readonly HeldText[];
}

export interface Entry {
  readonly version: number;
  /** From 1 on; a number is never given twice. */
  readonly number: number;
  /** When the change was made: ISO 8601, UTC. */
  readonly time: string;
  readonly cause: CauseKind;
  readonly author: Author;
  /** The cookie of the network namespace, in decimal: numbers of namespaces are given again. */
  readonly netns: string;
  /** The generation after the change; null when nothing is active. */
  readonly generation: number | null;
  readonly appliedAt: string | null;
  /** The state format of the version of ilm that made it. */
  readonly format: number;
  /** The entry of what was active before; null when there was nothing. */
  readonly before: number | null;
  /** For a rollback, and for a change that went back: the entry whose rules became active again. */
  readonly to: number | null;
  readonly difference: ChangeSummary | null;
  /** The number of mappings after the change. */
  readonly mappings: number;
  readonly off: boolean;
  /** The digest of all rules; null when nothing is active. */
  readonly digest: string | null;
  readonly rules: KeptRules | null;
  /**
   * What a rollback turned away, or a change that went back; changes beside the file keep it turned
   * away.
   */
  readonly held: readonly HeldText[];
  /** Set when the rules after it waited for their confirmation. */
  readonly wait?: Wait;
  /**
   * Set when the file's part comes from the copy of a configuration that was right at that time:
   * ISO 8601, UTC. Changes beside the file keep it.
   */
  readonly copiedAt?: string;
}
