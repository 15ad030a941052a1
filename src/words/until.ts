/** When a mapping ends, in words. */
import { formatAge } from "./text.js";

/** Describes a time as `ends in 12 min`, or `has ended`. */
export function describeUntil(until: string, now: number): string {
  const left = Date.parse(until) - now;
  return left > 0 ? `ends in ${formatAge(left)}` : "has ended";
}
