/**
 * A change that waits for its confirmation: its rules decide until a time, and then those before
 * them again, which are on the other side of the same tables. The programs see to that by
 * themselves (bpf/generation.h, active_side). What is not on a side stays as both need it, and is
 * put right here, once it is known which of the two stay.
 */
import { compile } from "../../compile/compile.js";
import { IlmError } from "../../errors.js";
import { timeAt } from "../../kernel/boot-time.js";
import { waitForPrograms } from "../../kernel/bpf/grace.js";
import { formatMoment } from "../../model/moment.js";
import type { PendingChange } from "../../model/pending.js";
import { allMappings, countMappings, readRules } from "../../model/rules.js";
import { beginStep } from "../../progress.js";
import { ownersOf } from "../../rules/permits.js";
import { steer } from "./hooks.js";
import { removeLeftovers } from "./leftovers.js";
import { heldBy, lookAtHost, release, unusedOn } from "./loopback.js";
import { needsOf } from "./needs.js";
import { PermitNumbers, findAccounts } from "./permits.js";
import { policyEntries, rewriteEntries } from "./policies.js";
import type { Programs } from "./programs.js";
import { otherSide } from "./sides.js";
import { type Loaded, type State, isOff } from "./state.js";

/** Returns the change that waits for its confirmation; null when none does, or it has gone back. */
export function pendingOf(programs: Programs): PendingChange | null {
  const { side, pending } = programs.active;
  if (pending === null || pending.over) return null;
  return {
    until: timeAt(pending.until_s),
    backTo: programs.generationOn(otherSide(side)),
  };
}

/** Returns when the last change went back: ISO 8601, UTC; null when it did not. */
export function wentBackAt(programs: Programs): string | null {
  const { pending } = programs.active;
  const at = pending?.over === true ? pending.until_s : programs.wentBackAt;
  return at === null ? null : timeAt(at);
}

/** Makes a change permanent (see DataPlane.confirm). */
export function confirm(state: State): void {
  state.settle();
  const loaded = state.require();
  const { programs } = loaded.generation;
  const { side, off, pending } = programs.active;
  if (pending === null || pending.over) {
    throw nothingWaits(state, loaded, "Make the change again, and confirm it sooner.");
  }
  programs.activate({ side, off });
  settleDecided(state, loaded);
}

/** Returns the error for whoever decides too late, or about nothing. */
function nothingWaits(state: State, { generation }: Loaded, remedy: string): IlmError {
  const at = wentBackAt(generation.programs);
  settleBack(state);
  return at === null
    ? new IlmError("NOT_FOUND", "no change waits for a confirmation", {
        remedy: "`ilm apply --confirm TIME` makes one that does.",
      })
    : new IlmError(
        "NOT_FOUND",
        `no change waits for a confirmation: the last one went back at ${formatMoment(at)}, and generation ${generation.number} decides again`,
        { remedy },
      );
}

/** Goes back at once (see DataPlane.goBack). */
export function goBack(state: State): void {
  state.settle();
  const loaded = state.require();
  const { programs } = loaded.generation;
  const { pending } = programs.active;
  if (pending === null || pending.over) {
    throw nothingWaits(state, loaded, "`ilm status` shows the active rules.");
  }
  if (loaded.beside === null) {
    throw new IlmError("INCOMPATIBLE", "the rules to go back to are incomplete", {
      remedy: "Keep these with `ilm confirm`, then apply the ones you want.",
    });
  }
  programs.endWait();
  // Those that began before count by the rules that are taken back.
  waitForPrograms();
  settleBack(state);
}

/** Tidies up after a change that went back (see DataPlane.settleBack). */
export function settleBack(state: State): number | null {
  const loaded = state.ownReadable();
  if (loaded === undefined) return null;
  const { generation, beside } = loaded;
  const { programs } = generation;
  if (programs.active.pending?.over !== true) return null;
  if (beside !== null) generation.takeCounts(beside);
  programs.leaveBack();
  try {
    settleDecided(state, loaded);
  } catch (error) {
    // An account of these rules is gone since. Who is permitted stays as it is until other rules
    // are applied, which may not fail for what these say.
    if (!(error instanceof IlmError) || error.code !== "CONFIGURATION") throw error;
  }
  return generation.number;
}

/** Removes what only the other rules needed. */
function settleDecided(state: State, before: Loaded): void {
  beginStep("cleaning up");
  waitForPrograms();
  const loaded = state.decided(before);
  const { registry, generation, description } = loaded;
  const { rules, strangerPolicy, layers } = description;
  const { head } = rules.file;
  generation.programs.writeHeader(description, countMappings(rules), null);
  steer(state, loaded, needsOf(loaded, isOff(loaded)));
  state.withPins((pins) => {
    if (pins !== undefined) removeLeftovers(pins, loaded);
  });
  for (const one of unusedOn(lookAtHost(), heldBy(rules))) release(one);
  // Over the same tables, the services are the same, and places stay.
  if (layers !== null) return;
  const whole = readRules(rules);
  const mappings = allMappings(whole);
  const accounts = findAccounts(head, mappings, rules.sources);
  const permits = new PermitNumbers(registry.map("permits"), accounts, strangerPolicy);
  const { endpoints } = compile(whole);
  registry.setMappedPorts(mappings, true);
  registry.reserve(endpoints, permits, true);
  registry.setRewrites(rewriteEntries(head, accounts));
  registry.setPolicies(policyEntries(head, accounts));
  const owners = ownersOf(head.services);
  registry.permit(owners, permits);
  registry.retain(endpoints);
  registry.retainOwners(owners);
}
