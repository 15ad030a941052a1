/** Switches all decisions off, and on again unchanged. */
import { waitForPrograms } from "../../kernel/bpf/grace.js";
import { Earlier } from "../earlier.js";
import { apply } from "./apply.js";
import { steer } from "./hooks.js";
import { needsOf } from "./needs.js";
import { settleBack } from "./pending.js";
import type { State } from "./state.js";

export function setOff(state: State, off: boolean): boolean {
  const current = state.current();
  if (current instanceof Earlier) apply(state, current.description.rules, {});
  settleBack(state);
  const { programs } = state.require().generation;
  const { off: before } = programs.active;
  if (before === off) return false;
  const attachNeeds = (): void => {
    const loaded = state.ownReadable();
    if (loaded !== undefined) steer(state, loaded, needsOf(loaded, off));
  };
  // On again: what ingress gives is given from the first decision on.
  if (!off) attachNeeds();
  programs.switchOff(off);
  if (!off) return true;
  // What has been handed over is counted only when it reaches its socket.
  waitForPrograms();
  attachNeeds();
  return true;
}
