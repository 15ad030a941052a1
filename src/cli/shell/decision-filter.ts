/** Reads which decisions `ilm monitor` is asked to show. */
import { parseFrom, parseOn } from "../../config/prefix.js";
import { parsePorts } from "../../config/port.js";
import { familyOf, type Prefix } from "../../model/address.js";
import type { DecisionFilter, Verdict } from "../../model/decision.js";
import type { Protocol } from "../../model/mapping.js";
import { usageError } from "./usage-error.js";

/** The verdicts that a watched program reports. */
export const shownVerdicts = [
  "existing",
  "selected",
  "missed",
  "rejected",
] as const satisfies readonly Verdict[];

export interface FilterOptions {
  readonly protocol?: Protocol;
  /** An address or a prefix that was dialled. */
  readonly on?: string;
  /** The port that was dialled, or a range. */
  readonly port?: string;
  /** An address or a prefix of clients. */
  readonly from?: string;
  readonly mapping?: readonly string[];
  readonly verdict?: readonly Verdict[];
}

/** Returns the filter that the options describe, of any number of decisions. Throws USAGE. */
export function decisionFilter(
  options: FilterOptions,
): Omit<DecisionFilter, "every" | "perSecond"> {
  const { protocol = null, on, port, from, mapping = null, verdict = null } = options;
  const local = on === undefined ? null : prefixOf("--on", parseOn(on));
  const remote = from === undefined ? null : prefixOf("--from", parseFrom(from));
  if (local !== null && remote !== null && familyOf(local) !== familyOf(remote)) {
    throw usageError(
      "--from",
      `an IPv${familyOf(remote)} client does not dial an IPv${familyOf(local)} address`,
      "give both options addresses of one family",
    );
  }
  const ports = port === undefined ? null : portsOf(port);
  return { protocol, local, ports, remote, mappings: mapping, verdicts: verdict };
}

function portsOf(text: string): DecisionFilter["ports"] {
  const parsed = parsePorts(text);
  if (!parsed.ok) throw usageError("--port", parsed.reason, parsed.hint);
  return parsed.range;
}

function prefixOf(option: string, parsed: ReturnType<typeof parseOn>): Prefix {
  if (!parsed.ok) throw usageError(option, parsed.reason, parsed.hint);
  return parsed.prefix;
}
