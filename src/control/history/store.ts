/**
 * The files of the history: one for each change, and one for each different set of a file's
 * mappings, which changes share. A file is written under another name and renamed, so that a killed
 * writer leaves all of it or nothing. The writer holds the namespace's lock.
 */
import type { Folder } from "../../kernel/folder.js";
import {
  isHostsNetns,
  makeHistoryFolder,
  openHistoryFolder,
  removeRuntimeHistory,
  stateError,
} from "../../kernel/state-folder.js";
import { type ChangeSummary, type NamedMappings, noDifference } from "../../rules/summary.js";
import { ENTRY_VERSION, type Entry } from "./entry.js";

/** Which history it is: that of a network namespace, by its inode number and its cookie. */
export interface Place {
  readonly netnsInode: number;
  readonly netnsCookie: string;
}

interface Limits {
  /** The maximum number of entries. */
  readonly entries: number;
  /** The maximum size of all files, in bytes. */
  readonly bytes: number;
}

/** A hundred entries, and 64 MiB of files. */
const usual: Limits = { entries: 100, bytes: 64 * 1024 * 1024 };

const NONE = "none";

/** Names an entry's file, so that its name tells which mappings it needs. */
function entryName({ number, rules }: Pick<Entry, "number" | "rules">): string {
  return `change-${number}-${rules === null ? NONE : idOf(rules.fileDigest)}.json`;
}

function idOf(fileDigest: string): string {
  return fileDigest.slice(0, 32);
}

/** The name of the file with the mappings of a file's part. */
function mappingsName(fileDigest: string): string {
  return `mappings-${idOf(fileDigest)}`;
}

/** What the name of an entry's file tells. */
interface Named {
  readonly number: number;
  readonly name: string;
  /** The name of the file with its mappings; null when it has none. */
  readonly mappings: string | null;
}

function readName(name: string): Named | null {
  const [, digits, id] = /^change-([1-9]\d{0,14})-([0-9a-f]{32}|none)\.json$/.exec(name) ?? [];
  if (digits === undefined || id === undefined) return null;
  return { number: Number(digits), name, mappings: id === NONE ? null : `mappings-${id}` };
}

/** An opened history. */
export class HistoryStore {
  readonly #folder: Folder;
  readonly #limits: Limits;
  /** The entries' files, the latest first. */
  #named: readonly Named[];

  private constructor(folder: Folder, limits: Limits) {
    this.#folder = folder;
    this.#limits = limits;
    this.#named = folder
      .names()
      .flatMap((name) => readName(name) ?? [])
      .sort((a, b) => b.number - a.number);
  }

  /** Opens the history to read it; undefined when there is none. Throws UNSAFE_PATH, SYSCALL. */
  static open(place: Place): HistoryStore | undefined {
    const folder = openHistoryFolder(place.netnsInode);
    const store = folder && new HistoryStore(folder, usual);
    if (store === undefined || store.#isOf(place)) return store;
    store.close();
    return undefined;
  }

  /** Opens the history to write it, and begins one when there is none. */
  static make(place: Place): HistoryStore {
    const store = new HistoryStore(makeHistoryFolder(place.netnsInode), usual);
    if (store.#isOf(place)) return store;
    store.close();
    removeRuntimeHistory(place.netnsInode);
    return new HistoryStore(makeHistoryFolder(place.netnsInode), usual);
  }

  /** Opens the history in a folder, which it closes. */
  static in(folder: Folder, limits: Limits): HistoryStore {
    return new HistoryStore(folder, limits);
  }

  /** Reports whether it is not that of an earlier namespace with the same number. */
  #isOf({ netnsInode, netnsCookie }: Place): boolean {
    if (isHostsNetns(netnsInode)) return true;
    const [last] = this.entries();
    return last === undefined || last.netns === netnsCookie;
  }

  /** Runs `use` with an opened history, or with none, and closes it. */
  static read<T>(place: Place, use: (store: HistoryStore | undefined) => T): T {
    const store = HistoryStore.open(place);
    try {
      return use(store);
    } finally {
      store?.close();
    }
  }

  /** Reads an entry. Returns null for none, an incomplete one, and one of another version. */
  entry(number: number): Entry | null {
    const named = this.#named.find((one) => one.number === number);
    return named === undefined ? null : this.#read(named);
  }

  #read({ number, name }: Named): Entry | null {
    const text = this.#folder.readText(name);
    const entry = text === undefined ? null : completed(parse(text));
    return entry?.version === ENTRY_VERSION && entry.number === number ? entry : null;
  }

  /** Reads the entries, the latest first. */
  *entries(): Generator<Entry> {
    for (const named of this.#named) {
      const entry = this.#read(named);
      if (entry !== null) yield entry;
    }
  }

  /** Returns the packed mappings of a file's part; undefined when they are not kept. */
  packed(fileDigest: string): Uint8Array | undefined {
    return this.#folder.readBytes(mappingsName(fileDigest));
  }

  has(fileDigest: string): boolean {
    return this.#folder.has(mappingsName(fileDigest));
  }

  /**
   * Adds an entry under the next number, and returns it. `packed` is asked for the file's mappings
   * when no entry has had the same. `lasts`: it must survive a power failure from now on.
   */
  add(fields: Omit<Entry, "version" | "number">, packed: () => Uint8Array, lasts = false): Entry {
    const number = (this.#named[0]?.number ?? 0) + 1;
    const entry: Entry = { version: ENTRY_VERSION, number, ...fields };
    const name = entryName(entry);
    const { rules } = entry;
    try {
      // The mappings first: an entry never names mappings that are not there yet.
      if (rules !== null && !this.has(rules.fileDigest)) {
        this.#folder.replaceNow(mappingsName(rules.fileDigest), packed(), lasts);
      }
      this.#folder.replaceNow(name, JSON.stringify(entry), lasts);
    } catch (cause) {
      throw stateError("written", this.#folder.path, cause);
    }
    const mappings = rules === null ? null : mappingsName(rules.fileDigest);
    this.#named = [{ number, name, mappings }, ...this.#named];
    this.#prune(entry.wait?.to ?? null);
    return entry;
  }

  /**
   * Removes what is beyond the limits: the oldest entries, mappings that no entry needs any more,
   * and then the oldest mappings. The latest entry keeps its own, however large they are, and so
   * does the one that it goes back to.
   */
  #prune(backTo: number | null): void {
    for (const { name } of this.#named.slice(this.#limits.entries)) this.#folder.remove(name);
    this.#named = this.#named.slice(0, this.#limits.entries);
    const needed = [...new Set(this.#named.flatMap(({ mappings }) => mappings ?? []))];
    const names = this.#folder.names();
    for (const name of names) {
      if (name.startsWith("mappings-") && !needed.includes(name)) this.#folder.remove(name);
    }
    const back = this.#named.find(({ number }) => number === backTo);
    const oldest = [...needed.slice(1).toReversed(), ...this.#oldestNames()].filter(
      (name) => name !== back?.name && name !== back?.mappings,
    );
    let total = names.reduce((sum, name) => sum + this.#folder.sizeOf(name), 0);
    for (const name of oldest) {
      if (total <= this.#limits.bytes) break;
      total -= this.#folder.sizeOf(name);
      this.#folder.remove(name);
    }
    this.#named = this.#named.filter(({ name }) => this.#folder.has(name));
  }

  #oldestNames(): string[] {
    return this.#named
      .slice(1)
      .map(({ name }) => name)
      .toReversed();
  }

  close(): void {
    this.#folder.close();
  }
}

/** An entry that was cut short is none. */
function parse(text: string): Entry | null {
  try {
    return JSON.parse(text) as Entry | null;
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}

/** Completes what an earlier version wrote of what a change did. */
function completed(entry: Entry | null): Entry | null {
  if (entry === null || !entry.difference) return entry;
  const written: Partial<ChangeSummary> = entry.difference;
  const whole = (named: Partial<NamedMappings> = {}): NamedMappings => ({
    ...noDifference.added,
    ...named,
  });
  const [added, removed] = [whole(written.added), whole(written.removed)];
  const mappings = { added, removed, changed: whole(written.changed) };
  return { ...entry, difference: { ...noDifference, ...written, ...mappings } };
}
