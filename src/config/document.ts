/**
 * One file's document after validation: plain values with a meaning, not yet checked against other
 * documents.
 */
import type { Settings } from "../model/rules.js";
import type { Configuration, MappingEntry, ServiceEntry } from "./schema.js";
import type { Source } from "./source.js";

/** Entries as an array, or as something that reads each on demand. */
export interface Entries {
  readonly length: number;
  /** Returns the entry at an index, or null when it has errors. */
  at(index: number): MappingEntry | null | undefined;
}

/** The usable parts of a document. Entries with errors, all reported, are left out. */
export interface Valid {
  readonly services: readonly (readonly [name: string, entry: ServiceEntry])[];
  readonly settings: Settings;
  readonly mappings: Entries;
}

export interface Document extends Valid {
  readonly source: Source;
  /** The names of services that have errors. */
  readonly unsound: readonly string[];
}

/** The problem of a file that has nothing, or only comments. */
export const emptyDocument = {
  message: "the file is empty",
  hint: 'write "version: 1" and "mappings: []" to say nothing',
} as const;

/** The keys of a document that hold for all files together. */
export const settingNames = Object.keys({
  engine: true,
  mptcp: true,
  strangers: true,
  wildcard: true,
  ula: true,
  anyip: true,
  floating: true,
} satisfies Record<keyof Settings, true>) as (keyof Settings)[];

/**
 * Reports whether the document has something of its own. Settings alone are as likely the beginning
 * of a file that was cut short.
 */
export function hasContent({ services, mappings, anyip }: Configuration): boolean {
  return services !== undefined || mappings !== undefined || anyip !== undefined;
}

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

/** Returns one item or a list of them as a list. */
export function listOf<Item>(value: Item | readonly Item[]): readonly Item[] {
  return isList(value) ? value : [value];
}

function isList<Item>(value: Item | readonly Item[]): value is readonly Item[] {
  return Array.isArray(value);
}
