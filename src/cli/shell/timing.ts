/** Shows how long a change took, step by step: in JSON always, and for a person with `--timing`. */
import type { StepTime } from "../../progress.js";
import { printable } from "../../words/text.js";

export interface TimingOptions {
  readonly timing?: boolean;
}

/** Returns the step times and their sum as lines of text; empty without `--timing`. */
export function describeTiming({ timing }: TimingOptions, times: readonly StepTime[]): string {
  if (timing !== true) return "";
  const total = times.reduce((sum, { milliseconds }) => sum + milliseconds, 0);
  return [...times, { step: "all of it", milliseconds: total }]
    .map(
      ({ step, milliseconds }) => `${milliseconds.toFixed(1).padStart(8)} ms  ${printable(step)}\n`,
    )
    .join("");
}
