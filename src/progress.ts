/**
 * Reports what long work is doing to at most one watcher, the command line. The work does not yield
 * in between, so it reports from where it is; without a watcher, a report costs next to nothing.
 */

/**
 * Receives a step and the share of it that is done, from 0 to 1; null when the share is unknown.
 */
type Watcher = (step: string, share: number | null) => void;

let watcher: Watcher | null = null;
let current = "";

export function watchProgress(next: Watcher | null): void {
  watcher = next;
}

/**
 * Begins a step, e.g. "reading rules.ndjson". Its time is counted under `group`, which similar
 * steps share.
 */
export function beginStep(step: string, group = step): void {
  current = step;
  // A step that goes on begins once, however often it is told.
  if (begun?.at(-1)?.step !== group) begun?.push({ step: group, at: performance.now() });
  watcher?.(step, null);
}

export function tellShare(done: number, total: number): void {
  watcher?.(current, total > 0 ? done / total : null);
}

export interface StepTime {
  readonly step: string;
  readonly milliseconds: number;
}

/** The steps since recording began. `at` is in milliseconds since the process began. */
let begun: { readonly step: string; readonly at: number }[] | null = null;

/**
 * Starts recording how long each step takes, for `stepTimes`. The time since the process began is
 * the step "starting".
 */
export function recordSteps(): void {
  begun = [{ step: "starting", at: 0 }];
}

/**
 * Returns the result of `work` and its step times, in a process that goes on afterwards. Calls must
 * not overlap.
 */
export function timed<Result>(work: () => Result): { result: Result; steps: StepTime[] } {
  begun = [{ step: "looking for active rules", at: performance.now() }];
  try {
    return { result: work(), steps: stepTimes() };
  } finally {
    begun = null;
  }
}

/** Records the step times that another process reported, as parts of the current step. */
export function tellSteps(whose: string, steps: readonly StepTime[]): void {
  theirs.set(
    current,
    steps.map(({ step, milliseconds }) => ({ step: `${whose}: ${step}`, milliseconds })),
  );
}

const theirs = new Map<string, readonly StepTime[]>();

/**
 * Returns the step times in the order in which the steps began, those of one name added up. The
 * last step ends now.
 */
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

/** Sets who is told what the command line waits for, also where no progress is shown. */
export function watchWaits(next: ((what: string) => void) | null): void {
  waitWatcher = next;
}

/**
 * Tells the watcher that nothing goes on for a while because of another process: "waiting for ...,
 * at most 30 s".
 */
export function tellWait(what: string): void {
  waitWatcher?.(what);
}
