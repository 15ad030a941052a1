/**
 * What long work is at, for whoever watches: at most one, the command line. The work does not wait for anything in between, so
 * it tells from where it is; to nobody it costs next to nothing.
 */

/** `share`: of the step, 0 to 1; null: not known. */
type Watcher = (step: string, share: number | null) => void;

let watcher: Watcher | null = null;
let current = "";

export function watchProgress(next: Watcher | null): void {
  watcher = next;
}

/** A step begins, e.g. "reading rules.ndjson". */
export function beginStep(step: string): void {
  current = step;
  watcher?.(step, null);
}

export function tellShare(done: number, total: number): void {
  watcher?.(current, total > 0 ? done / total : null);
}

let waitWatcher: ((what: string) => void) | null = null;

/** Told what the command line waits for, also where no progress is shown. */
export function watchWaits(next: ((what: string) => void) | null): void {
  waitWatcher = next;
}

/** Nothing goes on for a while, and somebody else is the reason: "waiting for ..., at most 30 s". */
export function tellWait(what: string): void {
  waitWatcher?.(what);
}
