/** What it means that destinations are drained, in words. */
import { type Drained, formatDrained } from "../model/drained.js";
import { printable } from "./text.js";

/** The number of names shown. */
const SHOWN = 5;

/** Says that mappings lead to drained destinations only. */
export function describeLeftAlone(names: readonly string[]): string {
  const shown = names.slice(0, SHOWN).map((name) => printable(name));
  const list = [...shown, ...(names.length > SHOWN ? ["others"] : [])].join(", ");
  return `nobody is left for new connections to ${list}: all destinations are drained`;
}

export function remedyForLeftAlone(drained: readonly Drained[]): string {
  return `\`ilm undrain\` ends that; drained: ${drained.map(formatDrained).join(", ")}.`;
}
