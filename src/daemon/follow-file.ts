/**
 * Notices when a configuration file, or a folder of them, changes. It watches the folder and not
 * the file: an editor renames a new file over the old one, and a watch on the old one would then
 * see nothing. A file system that does not answer blocks nothing else.
 */
import { promises, watch, type FSWatcher } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { isConfigurationName } from "../config/read.js";
import { nodeErrno } from "../errors.js";
import { withPatience } from "../patience.js";

/**
 * The time, in milliseconds, in which events are merged into one change: editors write, rename and
 * touch in quick succession.
 */
const DEBOUNCE_MS = 50;
/** The time, in milliseconds, after which a change is noticed even in a folder that never rests. */
const PATIENCE_MS = 500;
/** The time limit for a check, in milliseconds. The next one may succeed. */
const LOOK_MS = 30_000;

export interface FileFollower {
  /** Settles after the first check of the file: later changes are noticed. */
  readonly ready: Promise<void>;
  /** Checks now, for file systems that send no events and folders that were replaced. */
  check(): void;
  close(): void;
}

/**
 * Calls `onChange` some 50 ms after the last of a burst of events that changed the file, and
 * `onSilence` once when its file system stops answering, so that changes go unnoticed.
 */
export function followFile(
  path: string,
  onChange: () => void,
  onSilence: () => void = () => undefined,
): FileFollower {
  const file = resolve(path);
  let watchers: FSWatcher[] = [];
  let watched = "";
  let seen: string | null = null;
  let timer: NodeJS.Timeout | null = null;
  let firstEvent = 0;
  let closed = false;
  /** The check in progress; `again` says whether another was requested meanwhile. */
  let looking: Promise<void> | null = null;
  let again = false;
  let silent = false;

  function check(): void {
    if (looking !== null) {
      again = true;
      return;
    }
    looking = look().finally(() => {
      looking = null;
      if (!again) return;
      again = false;
      check();
    });
  }

  async function look(): Promise<void> {
    // Watch before checking, so that no change falls between the two.
    const now = await withPatience(
      LOOK_MS,
      () => watchAndLook(),
      () => new LookTooLong(),
    ).catch((error: unknown) => {
      if (error instanceof LookTooLong) return null;
      throw error;
    });
    if (closed) return;
    if (now === null && !silent) onSilence();
    silent = now === null;
    if (now === null || now === seen) return;
    const first = seen === null;
    seen = now;
    if (!first) onChange();
  }

  async function watchAndLook(): Promise<string> {
    watchAnew(await foldersToWatch(file));
    return await fingerprint(file);
  }

  function onEvent(): void {
    if (timer === null) firstEvent = performance.now();
    else if (performance.now() - firstEvent >= PATIENCE_MS) return;
    else clearTimeout(timer);
    timer = setTimeout(() => {
      timer = null;
      check();
    }, DEBOUNCE_MS);
  }

  /** Watches the folders, unless they are those already watched. */
  function watchAnew(folders: readonly Folder[]): void {
    const wanted = folders.map(({ path: folder, identity }) => `${folder} ${identity}`).join("\n");
    if (wanted === watched || closed) return;
    for (const watcher of watchers) watcher.close();
    watched = wanted;
    watchers = folders.flatMap(({ path: folder }) => {
      const watcher = startWatching(folder, onEvent);
      // The folder went away: the next check finds what replaced it.
      watcher?.on("error", onEvent);
      return watcher ?? [];
    });
  }

  check();
  return {
    ready: looking ?? Promise.resolve(),
    check,
    close() {
      closed = true;
      again = false;
      if (timer !== null) clearTimeout(timer);
      for (const watcher of watchers) watcher.close();
    },
  };
}

class LookTooLong extends Error {}

/**
 * Watches a folder. Returns null when the kernel has no more watches, or the folder does not exist;
 * the clock checks too.
 */
function startWatching(folder: string, onEvent: () => void): FSWatcher | null {
  try {
    return watch(folder, onEvent);
  } catch (error) {
    if (nodeErrno(error) !== undefined) return null;
    throw error;
  }
}

interface Folder {
  readonly path: string;
  readonly identity: string;
}

/**
 * Returns the folder that names the file, the folder it is really in when links lead there, and the
 * file itself when it is a folder.
 */
async function foldersToWatch(file: string): Promise<Folder[]> {
  const paths = new Set([dirname(file)]);
  const real = await orNull(promises.realpath(file));
  if (real !== null) {
    paths.add(dirname(real));
    if ((await orNull(promises.stat(real)))?.isDirectory() === true) paths.add(real);
  }
  const folders: Folder[] = [];
  // One at a time: a file system that hangs then blocks only one of node's threads.
  for (const path of paths) {
    const stat = await orNull(promises.stat(path, { bigint: true }));
    if (stat !== null) folders.push({ path, identity: `${stat.dev}:${stat.ino}` });
  }
  return folders;
}

/**
 * Returns a text that differs whenever the content may differ: a file's identity, size and times,
 * or those of all files of a folder that are read.
 */
async function fingerprint(path: string): Promise<string> {
  const stat = await orNull(promises.stat(path, { bigint: true }));
  if (stat === null) return "absent";
  if (!stat.isDirectory()) return stamp(stat);
  const names = ((await orNull(promises.readdir(path))) ?? []).filter(isConfigurationName);
  const stamps: string[] = [];
  for (const name of names.sort()) {
    const entry = await orNull(promises.stat(join(path, name), { bigint: true }));
    stamps.push(`${name} ${entry === null ? "absent" : stamp(entry)}`);
  }
  return stamps.join("\n");
}

function stamp(stat: { dev: bigint; ino: bigint; size: bigint; mtimeNs: bigint; ctimeNs: bigint }) {
  return `${stat.dev}:${stat.ino}:${stat.size}:${stat.mtimeNs}:${stat.ctimeNs}`;
}

/** A file that cannot be examined is a state like any other; reading it will say why. */
async function orNull<T>(look: Promise<T>): Promise<T | null> {
  try {
    return await look;
  } catch (error) {
    if (nodeErrno(error) !== undefined) return null;
    throw error;
  }
}
