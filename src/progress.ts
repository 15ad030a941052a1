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

/** A step begins, e.g. "reading rules.ndjson". `group`: what its time is counted as, where there are many like it. */
export function beginStep(step: string, group = step): void {
  current = step;
  begun?.push({ step: group, at: performance.now() });
  watcher?.(step, null);
}

export function tellShare(done: number, total: number): void {
  watcher?.(current, total > 0 ? done / total : null);
}

export interface StepTime {
  readonly step: string;
  readonly milliseconds: number;
}

/** `at`: milliseconds since the process began. */
let begun: { readonly step: string; readonly at: number }[] | null = null;

/** From now on `stepTimes` knows how long each step takes; what was since the process began is "starting". */
export function recordSteps(): void {
  begun = [{ step: "starting", at: 0 }];
}

/** In the order in which they began, those of one name as one; the last one ends now. */
export function stepTimes(): StepTime[] {
  const times = new Map<string, number>();
  const now = performance.now();
  for (const [index, { step, at }] of (begun ?? []).entries()) {
    const end = begun?.[index + 1]?.at ?? now;
    times.set(step, (times.get(step) ?? 0) + end - at);
  }
  return [...times].map(([step, time]) => ({ step, milliseconds: Math.round(time * 10) / 10 }));
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
