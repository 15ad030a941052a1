/** `ilm wait`: waits until mappings have a listener. */
import { setTimeout as pause } from "node:timers/promises";
import { judgeOf } from "../../dataplane/judge.js";
import type { DataPlane } from "../../dataplane/types.js";
import { chooseMappings, describeChoice, parseChoice } from "../../daemon/chosen.js";
import { ExitStatus, IlmError } from "../../errors.js";
import { published } from "../../json/published.js";
import type { WaitJson } from "../../json/wait.js";
import { bootSeconds } from "../../kernel/boot-time.js";
import { toLazy } from "../../model/mappings.js";
import { allMappings, readRules } from "../../model/rules.js";
import { type MappingHealth, healthOf, isDown } from "../../rules/health.js";
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
  /** True after `ilm off`, so that nobody gets anything from mappings. */
  readonly off: boolean;
  readonly unserved: readonly Unserved[];
}

interface Unserved {
  readonly mapping: string;
  /** What is missing, in words. */
  readonly what: string;
}

/**
 * Returns status 0 once each of the mappings has a listener, and 1 when the time is over. Throws
 * NOT_FOUND for a name that neither a mapping nor a service has, USAGE for a mapping that refuses
 * on purpose, and NOT_LOADED.
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
  const { waited, off, unserved } = found;
  const served = unserved.length === 0;
  const shape: WaitJson = { served, off, unserved: unserved.map(({ mapping }) => mapping) };
  await print(context, published<WaitJson>()(shape), () => {
    if (served) return `${names.map(printable).join(", ")}: ${describeServed(waited)}\n`;
    const list = unserved.map(({ what }) => what).join(", ");
    const why = off ? "; ilm is off, and mappings have no effect until `ilm on`" : "";
    return `${unserved.length} of ${count(waited, "mapping")} not served after ${seconds} s: ${list}${why}\n`;
  });
  return served ? ExitStatus.done : ExitStatus.failed;
}

function describeServed(waited: number): string {
  return waited === 1 ? "the mapping has a listener" : `all ${waited} mappings have a listener`;
}

/** Rules may change meanwhile, so that each look reads them again. */
function lookAt(dataPlane: DataPlane, names: readonly string[]): Look {
  const { rules: active, off } = needActive(dataPlane);
  const rules = readRules(active);
  const lists = toLazy(allMappings(rules));
  const { selects } = judgeOf(dataPlane, rules);
  const around = { listeners: dataPlane.listeners(), selects, now: bootSeconds() };
  const health = healthOf(rules, around);
  const services = new Set(rules.file.services.map(({ name }) => name));
  const wanted = new Map<number, Unserved | null>();
  for (const name of names) {
    const isService = services.has(name);
    const choice = isService ? parseChoice([], { to: name }) : parseChoice([name], {});
    const healthAt = (index: number): MappingHealth => health.at(index);
    const around = { fromFile: 0, health: () => healthAt, services: rules.file.services };
    const { indexes } = chooseMappings(lists, around, choice);
    const active = indexes.filter((index) => health.at(index).state !== "over");
    if (active.length === 0) {
      const what = isService
        ? `no mapping ${describeChoice(choice)} is active`
        : `${name} has ended`;
      throw new IlmError("NOT_FOUND", what, {
        remedy: "`ilm mappings` lists the active mappings.",
      });
    }
    for (const index of active) {
      const mapping = lists.nameAt(index);
      const what = isService
        ? missingOf(health.listensFor(index, name), `${name} of ${mapping}`)
        : describeMissing(mapping, health.at(index));
      const known = wanted.get(index) ?? null;
      const missing = off ? printable(mapping) : what;
      wanted.set(index, known ?? (missing === null ? null : { mapping, what: missing }));
    }
  }
  const unserved = [...wanted].toSorted(([a], [b]) => a - b).flatMap(([, one]) => one ?? []);
  return { waited: wanted.size, off, unserved };
}

function missingOf(isThere: boolean, what: string): string | null {
  return isThere ? null : printable(what);
}

/** Says what a mapping lacks; null for nothing. Throws USAGE when it never has a listener. */
function describeMissing(name: string, health: MappingHealth): string | null {
  const { state, gaps } = health;
  if (state === "refusal") {
    throw new IlmError("USAGE", `${printable(name)} refuses on purpose: it never has a listener`, {
      remedy: "Name mappings that lead somewhere; `ilm mappings` lists them.",
    });
  }
  if (!isDown(health)) return null;
  if (state === "drained") return `${printable(name)} (drained)`;
  const over = gaps.map(({ family }) => `IPv${family}`).join(", ");
  return printable(name) + (over === "" ? "" : ` (${over})`);
}
