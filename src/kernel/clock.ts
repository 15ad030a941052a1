/** The clock by which the kernel's programs note times: CLOCK_MONOTONIC. */

/** How often the two clocks are compared: the process may be interrupted in between. */
const SAMPLES = 3;
/** For how long a comparison holds, in milliseconds. */
const HOLDS_MS = 10_000;

let known: { readonly start: number; readonly until: number } | undefined;

/**
 * Returns the time at which that clock was 0, in milliseconds since the epoch, and the same one in
 * every process, but for rounding. It does not go on while the machine sleeps: times before that
 * seem later than they were.
 */
export function monotonicStart(): number {
  if (known !== undefined && performance.now() < known.until) return known.start;
  const samples = Array.from({ length: SAMPLES }, startAtTick);
  // An interruption makes it seem earlier.
  const start = Math.round(Math.max(...samples));
  known = { start, until: performance.now() + HOLDS_MS };
  return start;
}

/** Waits for the next millisecond: then both clocks are known to the microsecond. */
function startAtTick(): number {
  const before = Date.now();
  let now = before;
  while (now === before) now = Date.now();
  return now - Number(process.hrtime.bigint()) / 1e6;
}
