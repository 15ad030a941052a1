/**
 * What long work is at, for whoever watches: at most one, the command line. The work does not wait
 * for anything in between, so it tells from where it is; to nobody it costs next to nothing.
 */

/** `share`: of the step, 0 to 1; null: not known. */
type Watcher = (step: string, share: number | null) => void;

let watcher: Watcher | null = null;
let current = "";

export function watchProgress(next: Watcher | null): void {
  watcher = next;
}

/**
 * A step begins, e.g. "reading rules.ndjson". `group`: what its time is counted as, where there are
 * many like it.
 */
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

/**
 * From now on `stepTimes` knows how long each step takes; what was since the process began is
 * "starting".
 */
export function recordSteps(): void {
  begun = [{ step: "starting", at: 0 }];
}

/** What `work` did step by step, for a process that goes on after it. One at a time. */
export function timed<Result>(work: () => Result): { result: Result; steps: StepTime[] } {
  begun = [{ step: "looking at what is in force", at: performance.now() }];
  try {
    return { result: work(), steps: stepTimes() };
  } finally {
    begun = null;
  }
}

/** What another process did meanwhile, as a part of the step at work. */
export function tellSteps(whose: string, steps: readonly StepTime[]): void {
  theirs.set(
    current,
    steps.map(({ step, milliseconds }) => ({ step: `${whose}: ${step}`, milliseconds })),
  );
}

const theirs = new Map<string, readonly StepTime[]>();

/** In the order in which they began, those of one name as one; the last one ends now. */
export function stepTimes(): StepTime[] {
  const times = new Map<string, number>();
  const now = performance.now();
  for (const [index, { step, at }] of (begun ?? []).entries()) {
    const end = begun?.[index + 1]?.at ?? now;
    times.set(step, (times.get(step) ?? 0) + end - at);
  }
  return [...times].flatMap(([step, time]) => {
    const others = theirs.get(step) ?? [];
    const own = others.reduce((left, { milliseconds }) => left - milliseconds, time);
    return [...others, { step, milliseconds: Math.round(Math.max(0, own) * 10) / 10 }];
  });
}

let waitWatcher: ((what: string) => void) | null = null;

/** Told what the command line waits for, also where no progress is shown. */
export function watchWaits(next: ((what: string) => void) | null): void {
  waitWatcher = next;
}

/**
 * Nothing goes on for a while, and somebody else is the reason: "waiting for ..., at most 30 s".
 */
export function tellWait(what: string): void {
  waitWatcher?.(what);
}
