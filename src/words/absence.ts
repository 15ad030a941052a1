/** Since when there is no listener, in words. */
import { formatTime } from "./text.js";

/** Returns `ended 14:02`, or `none yet since 13:58`; nothing where nothing is known. */
export function describeAbsence({
  ended,
  neverSince,
}: {
  readonly ended: { readonly at: string } | null;
  readonly neverSince: string | null;
}): string[] {
  if (ended !== null) return [`ended ${formatTime(new Date(ended.at))}`];
  return neverSince === null ? [] : [`none yet since ${formatTime(new Date(neverSince))}`];
}
