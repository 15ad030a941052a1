/** Chooses which decisions `ilm monitor` shows, by what its options say. */
import { parseFrom, parseOn } from "../../config/prefix.js";
import { parseOnePort } from "../../config/port.js";
import { type Address, type Prefix, prefixContains } from "../../model/address.js";
import type { Decision, Verdict } from "../../model/decision.js";
import type { Mapping, Protocol } from "../../model/mapping.js";
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
  /** The port that was dialled. */
  readonly port?: string;
  /** An address or a prefix of clients. */
  readonly from?: string;
  readonly mapping?: readonly string[];
  readonly verdict?: readonly Verdict[];
}

export type Shows = (decision: Decision, mapping: Mapping | null) => boolean;

/** Returns what tells whether a decision is shown. Throws USAGE. */
export function decisionFilter(options: FilterOptions): Shows {
  const { protocol, on, port, from, mapping, verdict } = options;
  const wanted: Shows[] = [];
  if (protocol !== undefined) wanted.push(({ packet }) => packet.protocol === protocol);
  if (verdict !== undefined) wanted.push((decision) => verdict.includes(decision.verdict));
  if (port !== undefined) {
    const parsed = parseOnePort(port);
    if (!parsed.ok) throw usageError("--port", parsed.reason, parsed.hint);
    wanted.push(({ packet }) => packet.localPort === parsed.port);
  }
  if (on !== undefined) {
    const isIn = within("--on", parseOn(on));
    wanted.push(({ packet }) => isIn(packet.local));
  }
  if (from !== undefined) {
    const isIn = within("--from", parseFrom(from));
    wanted.push(({ packet }) => isIn(packet.remote));
  }
  if (mapping !== undefined) {
    wanted.push((_, decided) => decided !== null && mapping.includes(decided.name));
  }
  return (decision, decided) => wanted.every((shows) => shows(decision, decided));
}

function within(option: string, parsed: ReturnType<typeof parseOn>): (address: Address) => boolean {
  if (!parsed.ok) throw usageError(option, parsed.reason, parsed.hint);
  const prefix: Prefix = parsed.prefix;
  return (address) => prefixContains(prefix, address);
}
