/** Turns a decision as the program records it into the one that users see. */
import {
  AttemptCode,
  type Decision as Record,
  ILM_MAPPING_NONE,
  MatchedCode,
  VerdictCode,
} from "../../abi/generated.js";
import { candidates } from "../../rules/candidates.js";
import { IlmError } from "../../errors.js";
import { addressFromBytes } from "../../model/address.js";
import type { Attempt, Decision, MatchedBy, Verdict } from "../../model/decision.js";
import { allMappings, readRules } from "../../model/rules.js";
import { type Placed, indexOfPlace } from "../install/places.js";
import { placeOfCounter } from "../install/tables.js";

const AF_INET = 2;
const IPPROTO_UDP = 17;

const verdicts = new Map<number, Verdict>([
  [VerdictCode.UNMANAGED, "unmanaged"],
  [VerdictCode.EXISTING, "existing"],
  [VerdictCode.SELECTED, "selected"],
  [VerdictCode.MISSED, "missed"],
  [VerdictCode.REJECTED, "rejected"],
]);
const matches = new Map<number, MatchedBy>([
  [MatchedCode.NONE, "none"],
  [MatchedCode.OWNED, "owned"],
  [MatchedCode.DEFAULT, "default"],
  [MatchedCode.EXACT, "exact"],
  [MatchedCode.PREFIX, "prefix"],
]);
const outcomes = new Map<number, Attempt>([
  [AttemptCode.SELECTED, "selected"],
  [AttemptCode.ABSENT, "absent"],
  [AttemptCode.WRONG_FAMILY, "wrong-family"],
  [AttemptCode.FAILED, "failed"],
  [AttemptCode.STEERED, "unreached"],
  [AttemptCode.DRAINED, "drained"],
]);

function known<T>(names: ReadonlyMap<number, T>, code: number): T {
  const name = names.get(code);
  if (name === undefined) throw new IlmError("INCOMPATIBLE", `the program says ${code}`);
  return name;
}

/** Decodes a record. `placed` describes the generation that decided. */
export function toDecision(record: Record, placed: Placed): Decision {
  const index =
    record.mapping === ILM_MAPPING_NONE
      ? null
      : indexOfPlace(placed, placeOfCounter(placed.layers, record.mapping));
  const mapping = index === null ? undefined : allMappings(readRules(placed.rules)).at(index);
  const family = record.family === AF_INET ? 4 : 6;
  const order = mapping === undefined ? [] : candidates(mapping, family);
  const attempts: { destination: number; outcome: Attempt }[] = [];
  const verdict = known(verdicts, record.verdict);
  order.forEach(({ destination }, i) => {
    const code = record.attempts[i] ?? AttemptCode.UNTRIED;
    if (code === AttemptCode.UNTRIED) return;
    // Ingress gives what sk_lookup cannot, unless sk_lookup met the packet all the same.
    const selected = verdict === "selected" && i === record.selected;
    attempts.push({ destination, outcome: selected ? "selected" : known(outcomes, code) });
  });
  return {
    verdict,
    packet: {
      protocol: record.protocol === IPPROTO_UDP ? "udp" : "tcp",
      local: addressFromBytes(record.local),
      localPort: record.localPort,
      remote: addressFromBytes(record.remote),
      remotePort: record.remotePort,
      interfaceIndex: record.interface,
    },
    mapping: index,
    matchedBy: known(matches, record.matched),
    strangers: record.strangers === 1,
    destination: verdict === "selected" ? (order[record.selected]?.destination ?? null) : null,
    attempts,
    generation: record.generation,
  };
}
