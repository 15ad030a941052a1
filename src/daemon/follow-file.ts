/**
 * Notices that a configuration file, or a folder of them, is another one than before. The folder is watched and not the file:
 * an editor renames a new file over the old one, and a watch on the old one would be deaf from then on.
 */
import { readdirSync, realpathSync, statSync, watch, type FSWatcher } from "node:fs";
import { dirname, join, resolve } from "node:path";

/** Editors write, rename and touch in quick succession; this gathers it into one change. Milliseconds. */
const DEBOUNCE_MS = 50;
/** In a folder that never rests, a change is looked at after this many milliseconds all the same. */
const PATIENCE_MS = 500;

export interface FileFollower {
  /** Looks now, for file systems that send no events and folders that were replaced. */
  check(): void;
  close(): void;
}

/** Calls `onChange` some 50 ms after the last of a burst of events that left the file different. */
export function followFile(
  path: string,
  onChange: () => void,
  debounceMs: number = DEBOUNCE_MS,
): FileFollower {
  const file = resolve(path);
  let watchers: FSWatcher[] = [];
  let watched = "";
  let seen = fingerprint(file);
  let timer: NodeJS.Timeout | null = null;
  let firstEvent = 0;
  let closed = false;

  function check(): void {
    if (closed) return;
    rewatch();
    const now = fingerprint(file);
    if (now === seen) return;
    seen = now;
    onChange();
  }

  function onEvent(): void {
    if (timer === null) firstEvent = Date.now();
    else if (Date.now() - firstEvent >= PATIENCE_MS) return;
    else clearTimeout(timer);
    timer = setTimeout(() => {
      timer = null;
      check();
    }, debounceMs);
  }

  /** Watches anew when the folders are not those that are watched already. */
  function rewatch(): void {
    const folders = foldersToWatch(file);
    const wanted = folders.map(({ path: folder, identity }) => `${folder} ${identity}`).join("\n");
    if (wanted === watched) return;
    for (const watcher of watchers) watcher.close();
    watched = wanted;
    watchers = folders.flatMap(({ path: folder }) => {
      const watcher = orNull(() => watch(folder, onEvent));
      // The folder went away: the next check finds what took its place.
      watcher?.on("error", onEvent);
      return watcher ?? [];
    });
  }

  rewatch();
  return {
    check,
    close() {
      closed = true;
      if (timer !== null) clearTimeout(timer);
      for (const watcher of watchers) watcher.close();
    },
  };
}

interface Folder {
  readonly path: string;
  readonly identity: string;
}

/** The folder that names the file, the folder it really is in when links lead there, and the file itself when it is a folder. */
function foldersToWatch(file: string): Folder[] {
  const paths = new Set([dirname(file)]);
  const real = orNull(() => realpathSync(file));
  if (real !== null) {
    paths.add(dirname(real));
    if (statSync(real, { throwIfNoEntry: false })?.isDirectory() === true) paths.add(real);
  }
  return [...paths].flatMap((path) => {
    const stat = orNull(() => statSync(path, { bigint: true }));
    return stat === null ? [] : [{ path, identity: `${stat.dev}:${stat.ino}` }];
  });
}

/** Differs whenever the content may differ: a file's identity, size and times, or those of all files in a folder. */
function fingerprint(path: string): string {
  const stat = orNull(() => statSync(path, { bigint: true }));
  if (stat === null) return "absent";
  if (!stat.isDirectory()) return stamp(stat);
  const names = orNull(() => readdirSync(path)) ?? [];
  return names
    .sort()
    .map((name) => {
      const entry = orNull(() => statSync(join(path, name), { bigint: true }));
      return `${name} ${entry === null ? "absent" : stamp(entry)}`;
    })
    .join("\n");
}

function stamp(stat: { dev: bigint; ino: bigint; size: bigint; mtimeNs: bigint; ctimeNs: bigint }) {
  return `${stat.dev}:${stat.ino}:${stat.size}:${stat.mtimeNs}:${stat.ctimeNs}`;
}

/** A file that cannot be looked at is a state like any other; reading it will say why. */
function orNull<T>(look: () => T): T | null {
  try {
    return look();
  } catch (error) {
    if (error instanceof Error && "code" in error) return null;
    throw error;
  }
}
