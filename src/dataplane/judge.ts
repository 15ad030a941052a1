/** Makes the judge of what is active. */
import type { Rules } from "../model/rules.js";
import { Judge } from "../rules/judge.js";
import type { DataPlane } from "./types.js";

/** Returns the judge of the active rules, which `rules` are; without any, nobody is a stranger. */
export function judgeOf(
  dataPlane: Pick<DataPlane, "active" | "permits" | "firstUnprivileged">,
  rules: Rules,
): Judge {
  const strangers = dataPlane.active()?.strangerPolicy ?? "allow";
  return new Judge(rules, strangers, dataPlane.permits(), dataPlane.firstUnprivileged());
}
