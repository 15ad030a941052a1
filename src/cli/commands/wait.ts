/** `ilm wait`: waits until mappings have a listener. */
import { setTimeout as pause } from "node:timers/promises";
import { judgeOf } from "../../dataplane/judge.js";
import type { DataPlane } from "../../dataplane/types.js";
import { chooseMappings, describeChoice, parseChoice } from "../../daemon/chosen.js";
import { ExitStatus, IlmError } from "../../errors.js";
import { published } from "../../json/published.js";
import type { WaitJson } from "../../json/wait.js";
import { allMappings, readRules } from "../../model/rules.js";
import { JoinedListeners } from "../../rules/listening.js";
import { count, printable } from "../../words/text.js";
import { print, type Context } from "../shell/context.js";
import { parseSeconds } from "../shell/seconds.js";
import { needActive, withDataPlane } from "../shell/with-data-plane.js";

export interface TimeoutOptions {
  readonly timeout?: string;
}

const DEFAULT_SECONDS = 30;
/** How often to look. A look takes some milliseconds. */
const PAUSE_MS = 50;

interface Look {
  readonly waited: number;
  /** The names of those that have no listener. */
  readonly unserved: readonly string[];
}

/**
 * Returns status 0 once each of the mappings has a listener, and 1 when the time is over. Throws
 * NOT_FOUND for a name that neither a mapping nor a service has, and NOT_LOADED.
 */
export async function wait(
  context: Context,
  { timeout }: TimeoutOptions,
  names: readonly string[],
): Promise<ExitStatus> {
  const seconds = parseSeconds("--timeout", timeout) ?? DEFAULT_SECONDS;
  const found = await withDataPlane(context, async (dataPlane) => {
    const end = performance.now() + seconds * 1000;
    for (;;) {
      const look = lookAt(dataPlane, names);
      if (look.unserved.length === 0 || performance.now() >= end) return look;
      await pause(Math.min(PAUSE_MS, Math.max(0, end - performance.now())));
    }
  });
  const { waited, unserved } = found;
  await print(context, published<WaitJson>()({ served: unserved.length === 0, unserved }), () =>
    unserved.length === 0
      ? `${waited === 1 ? "the mapping has" : `all ${waited} mappings have`} a listener\n`
      : `${unserved.length} of ${count(waited, "mapping")} without a listener after ${seconds} s: ${unserved.map(printable).join(", ")}\n`,
  );
  return unserved.length === 0 ? ExitStatus.done : ExitStatus.failed;
}

/** Rules may change meanwhile, so that each look reads them again. */
function lookAt(dataPlane: DataPlane, names: readonly string[]): Look {
  const rules = readRules(needActive(dataPlane).rules);
  const all = allMappings(rules);
  const services = new Set(rules.file.services.map(({ name }) => name));
  const wanted = new Set<number>();
  const choose = (chosen: readonly string[], to?: string): void => {
    const choice = parseChoice(chosen, to === undefined ? {} : { to });
    const { indexes } = chooseMappings(all, { fromFile: 0, served: () => () => true }, choice);
    if (indexes.length === 0) {
      throw new IlmError("NOT_FOUND", `no mapping ${describeChoice(choice)} is active`, {
        remedy: "`ilm mappings` lists the active mappings.",
      });
    }
    for (const index of indexes) wanted.add(index);
  };
  const ofMappings = names.filter((name) => !services.has(name));
  if (ofMappings.length > 0) choose(ofMappings);
  for (const name of names.filter((one) => services.has(one))) choose([], name);
  const indexes = [...wanted].toSorted((a, b) => a - b);
  const chosen = indexes.flatMap((index) => all.at(index) ?? []);
  const { selects } = judgeOf(dataPlane, rules);
  const joined = new JoinedListeners(chosen, dataPlane.listeners(), selects);
  return {
    waited: chosen.length,
    unserved: chosen.filter((_, index) => !joined.isServed(index)).map(({ name }) => name),
  };
}
