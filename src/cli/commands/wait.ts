/** `ilm wait`: waits until mappings have a listener. */
import { setTimeout as pause } from "node:timers/promises";
import type { ListedMapping } from "../../api/api.js";
import type { DaemonAccess } from "../../control/over-api.js";
import { judgeOf } from "../../dataplane/judge.js";
import type { DataPlane } from "../../dataplane/types.js";
import { chooseMappings, describeChoice, parseChoice } from "../../daemon/chosen.js";
import { nearest } from "../../config/suggest.js";
import { ExitStatus, IlmError } from "../../errors.js";
import { published } from "../../json/published.js";
import type { WaitJson } from "../../json/wait.js";
import { bootSeconds } from "../../kernel/boot-time.js";
import { type LazyMappings, toLazy } from "../../model/mappings.js";
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
/** How often to ask the daemon, which does nothing else while it answers. */
const ASK_PAUSE_MS = 500;

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
 * USAGE for a name that neither a mapping nor a service has, and for a mapping that refuses on
 * purpose; and NOT_LOADED.
 */
export async function wait(
  context: Context,
  { timeout }: TimeoutOptions,
  names: readonly string[],
): Promise<ExitStatus> {
  const seconds = parseSeconds("--timeout", timeout) ?? DEFAULT_SECONDS;
  const until = async (look: () => Look | Promise<Look>, pause_ms: number): Promise<Look> => {
    const end = performance.now() + seconds * 1000;
    for (;;) {
      const found = await look();
      if (found.unserved.length === 0 || performance.now() >= end) return found;
      await pause(Math.min(pause_ms, Math.max(0, end - performance.now())));
    }
  };
  const found = await withDataPlane(
    context,
    (dataPlane) => until(() => lookAt(dataPlane, names), PAUSE_MS),
    (daemon) => until(() => askDaemon(daemon, names), ASK_PAUSE_MS),
  );
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
  refuseUnknown(names, lists, services);
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
      throw noneActive(what);
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

/**
 * Throws USAGE for a name that neither a mapping nor a service has, so that a typing error does not
 * end as a wait in vain does.
 */
function refuseUnknown(
  names: readonly string[],
  lists: LazyMappings,
  services: ReadonlySet<string>,
): void {
  const unknown = new Set(names.filter((name) => !services.has(name)));
  for (let index = 0; index < lists.length && unknown.size > 0; index++) {
    unknown.delete(lists.nameAt(index));
  }
  const [first] = unknown;
  if (first === undefined) return;
  const mappings = Array.from({ length: lists.length }, (_, index) => lists.nameAt(index));
  throw unknownName(first, [...services, ...new Set(mappings)]);
}

function unknownName(name: string, known: readonly string[]): IlmError {
  const meant = nearest(name, known);
  const didYouMean = meant === null ? "" : `Did you mean ${meant}? `;
  const what = `there is neither a mapping nor a service named ${printable(name)}`;
  return new IlmError("USAGE", what, {
    remedy: `${didYouMean}\`ilm mappings\` lists the active mappings.`,
  });
}

function noneActive(what: string): IlmError {
  return new IlmError("USAGE", what, { remedy: "`ilm mappings` lists the active mappings." });
}

/** Looks over the API, which tells what is down as `ilm mappings --down` does. */
async function askDaemon(daemon: DaemonAccess, names: readonly string[]): Promise<Look> {
  const { loaded, off } = await daemon.state();
  if (!loaded) {
    throw new IlmError("NOT_LOADED", "nothing is loaded for this network namespace", {
      remedy: "Load rules with `ilm apply -f FILE` or `ilm run -f FILE`.",
    });
  }
  const services = (await daemon.services()).map(({ name }) => name);
  const list = async (query: Readonly<Record<string, string>>): Promise<ListedMapping[]> => {
    const { mappings } = await daemon.mappings(new URLSearchParams(query));
    return mappings.filter(({ until }) => until === null || Date.parse(until) > Date.now());
  };
  const named = async (name: string): Promise<ListedMapping[]> => {
    try {
      return await list({ name });
    } catch (error) {
      if (!(error instanceof IlmError) || error.code !== "NOT_FOUND") throw error;
      throw unknownName(name, services);
    }
  };
  const wanted = new Map<string, Unserved | null>();
  for (const name of names) {
    const isService = services.includes(name);
    const all = isService ? await list({ to: name }) : await named(name);
    if (all.length === 0) {
      throw noneActive(isService ? `no mapping to ${name} is active` : `${name} has ended`);
    }
    const down = isService ? [] : await list({ name, down: "true" });
    for (const { name: mapping, protocol, to } of all) {
      if (!isService && to.length === 0) throw refusesOnPurpose(mapping);
      const isMissing = isService
        ? !listensForService(to, name)
        : down.some((one) => one.protocol === protocol);
      const what = isService && !off ? `${name} of ${mapping}` : mapping;
      const key = `${protocol} ${mapping}`;
      const missing = off || isMissing ? { mapping, what: printable(what) } : null;
      wanted.set(key, wanted.get(key) ?? missing);
    }
  }
  return { waited: wanted.size, off, unserved: [...wanted.values()].flatMap((one) => one ?? []) };
}

/** Reports whether somebody listens at each address of the service, drained or not. */
function listensForService(to: ListedMapping["to"], service: string): boolean {
  const own = to.filter((one) => one.service === service);
  return own.every(
    (one) =>
      one.listening ||
      own.some((other) => other.port === one.port && other.listening && other.dualStack),
  );
}

function missingOf(isThere: boolean, what: string): string | null {
  return isThere ? null : printable(what);
}

function refusesOnPurpose(name: string): IlmError {
  return new IlmError("USAGE", `${printable(name)} refuses on purpose: it never has a listener`, {
    remedy: "Name mappings that lead somewhere; `ilm mappings` lists them.",
  });
}

/** Says what a mapping lacks; null for nothing. Throws USAGE when it never has a listener. */
function describeMissing(name: string, health: MappingHealth): string | null {
  const { state, gaps } = health;
  if (state === "refusal") {
    throw refusesOnPurpose(name);
  }
  if (!isDown(health)) return null;
  if (state === "drained") return `${printable(name)} (drained)`;
  const over = gaps.map(({ family }) => `IPv${family}`).join(", ");
  return printable(name) + (over === "" ? "" : ` (${over})`);
}
