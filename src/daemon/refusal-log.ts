/** Tells of each attempt that was refused or reported, with who tried, and what it was for. */
import { activeIfReadable } from "../control/active.js";
import type { DataPlane } from "../dataplane/types.js";
import type { Holder } from "../model/listener.js";
import type { Mapping } from "../model/mapping.js";
import type { RefusedAttempt } from "../model/refusal.js";
import { countMappings, readRules } from "../model/rules.js";
import { coveringMappings } from "../rules/covered.js";
import { unitOf } from "../words/listener.js";
import { type Belonging, describeRefused } from "../words/refusal.js";
import type { Tell } from "./events.js";
import type { Logger } from "./log.js";
import { LISTED_MAPPINGS_MAX } from "./metrics.js";

export interface Processes {
  /** Finds the process, if it is still there and has a thread of that name. */
  readonly find: (pid: number, command: string) => Holder | undefined;
  readonly userName: (uid: number) => string;
}

/**
 * The most lines in that time. Whoever tries one port after the other fills neither the log nor the
 * daemon's time.
 */
const LINES_MAX = 100;
const LINES_MS = 10_000;

/** Calls `tell` for the first attempts of a while, and says at its end how many more there were. */
function atMost(
  log: Logger,
  tell: (attempt: RefusedAttempt) => void,
): (attempt: RefusedAttempt) => void {
  let seen = 0;
  const end = (): void => {
    const more = seen - LINES_MAX;
    seen = 0;
    if (more <= 0) return;
    log.log("warning", `${more} more were refused or reported meanwhile: \`ilm audit\` lists them`);
  };
  return (attempt) => {
    if (seen === 0) setTimeout(end, LINES_MS).unref();
    seen += 1;
    if (seen <= LINES_MAX) tell(attempt);
  };
}

/**
 * Returns a function that tells of an attempt. Names are those of the rules that are active then.
 * The log has how many more there were.
 */
export function refusalLog(
  dataPlane: Pick<DataPlane, "active">,
  { log, tell }: { readonly log: Logger; readonly tell: Tell },
  { find, userName }: Processes,
): (attempt: RefusedAttempt) => void {
  return atMost(log, (attempt) => {
    const { reason, protocol, address, port, uid, gid, pid, command } = attempt;
    const holder = pid === null || command === null ? undefined : find(pid, command);
    const user = uid === null ? null : userName(uid);
    const unit = unitOf(holder);
    const to = belonging(dataPlane, attempt);
    const message = describeRefused(attempt, { command, pid, user, unit }, to);
    tell({
      event: "refused",
      message: `${message} (\`ilm audit\` has the remedy)`,
      refusal: {
        reason,
        protocol,
        address,
        port,
        uid,
        gid,
        user,
        pid,
        command,
        unit,
        service: to.service?.name ?? null,
        mapping: to.mapping?.name ?? null,
      },
    });
  });
}

/** A daemon with very many mappings does not read them all to name one. */
function belonging(dataPlane: Pick<DataPlane, "active">, attempt: RefusedAttempt): Belonging {
  const rules = activeIfReadable(dataPlane)?.rules;
  if (rules === undefined) return { services: [] };
  const { services } = rules.file.head;
  const service = services.find(({ addresses }) => addresses.includes(attempt.address));
  let mapping: Mapping | undefined;
  if (countMappings(rules) <= LISTED_MAPPINGS_MAX) {
    mapping = coveringMappings(readRules(rules), [attempt]).get(attempt);
  }
  return { services, service, mapping };
}
