/**
 * A document after validation, of one file: plain values that mean something, not yet looked at
 * beside other documents.
 */
import type { Settings } from "../model/rules.js";
import type { Configuration, MappingEntry, ServiceEntry } from "./schema.js";
import type { Source } from "./source.js";

/** An array, or what reads each when it is asked for. */
export interface Entries {
  readonly length: number;
  /** Null where an entry has errors. */
  at(index: number): MappingEntry | null | undefined;
}

/** What could be used of a document; entries with errors, all reported, are left out. */
export interface Valid {
  readonly services: readonly (readonly [name: string, entry: ServiceEntry])[];
  readonly settings: Settings;
  readonly mappings: Entries;
}

export interface Document extends Valid {
  readonly source: Source;
  /** Names of services that have errors. */
  readonly unsound: readonly string[];
}

/** What is said of a file with nothing, or comments only. */
export const emptyDocument = {
  message: "the file is empty",
  hint: 'write "version: 1" and "mappings: []" to say nothing',
} as const;

/** Keys of a document that are one for all files. */
export const settingNames = ["engine", "mptcp"] as const satisfies readonly (keyof Settings)[];

export function validOf(document: Configuration): Valid {
  return {
    services: Object.entries(document.services ?? {}),
    mappings: document.mappings ?? [],
    settings: Object.fromEntries(
      settingNames.flatMap((name) =>
        document[name] === undefined ? [] : [[name, document[name]]],
      ),
    ),
  };
}

/** One item or a list of them, as a list. */
export function listOf<Item>(value: Item | readonly Item[]): readonly Item[] {
  return isList(value) ? value : [value];
}

function isList<Item>(value: Item | readonly Item[]): value is readonly Item[] {
  return Array.isArray(value);
}
