/** Answers of `ilm explain` to questions about rules of a file, and to lists. Pure. */
import type { AnswerJson } from "../../json/answer.js";
import { familyOf } from "../../model/address.js";
import type { MatchedBy, Verdict } from "../../model/decision.js";
import { formatEndpoint } from "../../model/endpoint.js";
import { isRefusal, isWeighted, type Destination, type Mapping } from "../../model/mapping.js";
import type { Rules } from "../../model/rules.js";
import { candidates } from "../../rules/candidates.js";
import { printable } from "../../words/text.js";
import type { Question } from "../shell/question.js";
import { describeNoFamily, passedOverSteps, whyThisMapping, whyUnmanaged } from "./explanation.js";
import { describeDestination } from "./mapping.js";

/** What became of a question. */
export interface Answer {
  readonly question: Question;
  /** The name of the interface that the packet comes in on; null when it is unknown. */
  readonly interfaceName: string | null;
  readonly mapping: Mapping | null;
  readonly matchedBy: MatchedBy;
  readonly listeners: AnswerJson["listeners"];
  /** Null when it depends on who listens, which is unknown. */
  readonly verdict: Verdict | null;
  /** The destinations that may get it, as indexes into `to`; several when a draw decides. */
  readonly destinations: readonly number[];
  /** True when something on this host surely keeps the packet from the decision. */
  readonly blocked: boolean;
}

/**
 * Returns the destinations that get the packet when all of them listen: the first one, or all that
 * a draw may choose.
 */
export function firstChoice(mapping: Mapping, { packet }: Question): number[] {
  const all = triedBy(mapping, packet.local);
  return isWeighted(mapping) ? all : all.slice(0, 1);
}

/**
 * Returns the destinations in the order in which new packets to the address try them: not those
 * with weight 0.
 */
function triedBy(mapping: Mapping, local: Question["packet"]["local"]): number[] {
  const all = candidates(mapping, familyOf(local)).map(({ destination }) => destination);
  return [...new Set(all)].filter((index) => mapping.to[index]?.weight !== 0);
}

/** Returns the port of a destination, for the packet that was asked about. */
export function portOf({ port }: Destination, { packet }: Question): number {
  return port === "same" ? packet.localPort : port;
}

/** What goes with an answer in its JSON. */
interface AnswerPlace {
  /** The line of the list; null without a list. */
  readonly line: number | null;
  readonly steps: readonly string[];
  readonly asExpected: boolean | null;
}

export function answerShape(answer: Answer, { line, steps, asExpected }: AnswerPlace) {
  const { question, interfaceName, mapping, matchedBy, listeners, verdict, destinations } = answer;
  const { packet, expect: expected } = question;
  const [only] = destinations.length === 1 ? destinations : [];
  const known = verdict === "selected" && only !== undefined ? mapping?.to[only] : undefined;
  const tried = mapping === null ? [] : triedBy(mapping, packet.local);
  return {
    line,
    packet: { ...packet, interface: interfaceName },
    mapping: mapping?.name ?? null,
    matchedBy,
    listeners,
    verdict,
    destination:
      known === undefined ? null : { address: known.address, port: portOf(known, question) },
    candidates: tried.flatMap((index) => {
      const to = mapping?.to[index];
      if (to === undefined) return [];
      return {
        address: to.address,
        port: portOf(to, question),
        service: to.service ?? null,
        weight: to.weight ?? null,
        mayGet: verdict === null || destinations.includes(index),
      };
    }),
    unserved: mapping === null ? null : whenUnserved(mapping),
    expected,
    asExpected,
    steps,
  };
}

function whenUnserved({ miss }: Mapping): "missed" | "rejected" {
  return miss === "reject" ? "rejected" : "missed";
}

/** Describes a question as `tcp 203.0.113.5:443 from 198.51.100.7:5555 by eth0`. */
export function describeQuestion({ question, interfaceName }: Answer): string {
  const { protocol, local, localPort, remote, remotePort } = question.packet;
  const from = question.isFromGiven ? ` from ${formatEndpoint(remote, remotePort)}` : "";
  const by = interfaceName === null ? "" : ` by ${printable(interfaceName)}`;
  return `${protocol} ${formatEndpoint(local, localPort)}${from}${by}`;
}

/** Describes an answer as `web -> 127.0.1.10:443 (web)`, with the verdict where it is known. */
export function describeAnswer(answer: Answer): string {
  const { question, mapping, matchedBy, verdict, destinations, blocked } = answer;
  if (mapping === null) {
    return matchedBy === "owned" ? "no mapping (an address of a service)" : "no mapping";
  }
  const name = printable(mapping.name);
  if (blocked) return `${name}: blocked`;
  if (isRefusal(mapping) && verdict !== "existing") return `${name}: refused on purpose`;
  if (verdict !== null && verdict !== "selected") return `${name}: ${verdict}`;
  const all = verdict === null ? triedBy(mapping, question.packet.local) : destinations;
  if (all.length === 0) {
    return `${name}: no destination takes IPv${familyOf(question.packet.local)}`;
  }
  const between = isWeighted(mapping) ? " or " : ", else ";
  const list = all.flatMap((index) => describeAt(answer, index)).join(between);
  return `${name}${verdict === null ? "" : ": selected"} -> ${list}`;
}

function describeAt({ mapping, question }: Answer, index: number): string[] {
  const to = mapping?.to[index];
  return to === undefined ? [] : [describeDestination({ ...to, port: portOf(to, question) })];
}

/** The answer in full, for rules of a file. `source` is what they were read from. */
export function answerSteps(answer: Answer, rules: Rules, source: string): string[] {
  const { question, interfaceName, mapping, matchedBy } = answer;
  const packet = { ...question.packet, interfaceIndex: 0 };
  const matched = { explanation: { packet, matchedBy }, rules, mapping, interfaceName };
  const { protocol, local, localPort, remote, remotePort } = packet;
  const inOn = interfaceName === null ? "" : `, in on ${printable(interfaceName)}`;
  const steps = [
    `${protocol} ${formatEndpoint(local, localPort)} from ${formatEndpoint(remote, remotePort)}${inOn}, by the rules of ${printable(source)}`,
    ...(matchedBy === "owned" ? [] : passedOverSteps(matched)),
  ];
  if (mapping === null) return [...steps, whyUnmanaged(matched), lastStep(answer)];
  return [
    ...steps,
    whyThisMapping(matched, mapping),
    ...existingStep(answer, mapping),
    ...(isRefusal(mapping)
      ? ["it has no destination: what it takes is refused on purpose (to: none)"]
      : [...orderSteps(answer, mapping), ...unservedStep(answer, mapping)]),
    lastStep(answer),
  ];
}

function existingStep({ listeners, verdict, question }: Answer, mapping: Mapping): string[] {
  if (verdict === "existing") return [];
  const { existing } = mapping;
  const { local, localPort } = question.packet;
  const at = formatEndpoint(local, localPort);
  if (existing === "never") {
    return [`a socket that already listens is passed over (existing: never)`];
  }
  const where = existing === "exact" ? `exactly ${at}` : `${at} or on every address`;
  return listeners === "unknown"
    ? [`a socket that already listens on ${where} would keep it (existing: ${existing})`]
    : [`nothing listens on ${where} (existing: ${existing})`];
}

function orderSteps(answer: Answer, mapping: Mapping): string[] {
  if (answer.verdict === "existing") return [];
  const all = triedBy(mapping, answer.question.packet.local);
  const list = all.flatMap((index) => describeAt(answer, index));
  if (!isWeighted(mapping)) {
    if (list.length === 0) return [];
    const text = list.length === 1 ? "the destination is" : "the destinations, in their order, are";
    return [`${text} ${list.join(", ")}`];
  }
  const total = all.reduce((sum, index) => sum + (mapping.to[index]?.weight ?? 0), 0);
  const shares = all.flatMap((index) => {
    const percent = Math.round((1000 * (mapping.to[index]?.weight ?? 0)) / total) / 10;
    return describeAt(answer, index).map((text) => `${text}: ${percent} % of the clients`);
  });
  return [
    `the destinations have weights: ${shares.join(", ")}. Which one this client falls to depends on a secret of the host`,
  ];
}

/** Says what becomes of the packet when nobody listens, while that is unknown. */
function unservedStep({ listeners }: Answer, mapping: Mapping): string[] {
  if (listeners !== "unknown") return [];
  return mapping.miss === "reject"
    ? ["if no destination listens, it is refused (miss: reject)"]
    : [
        "if no destination listens, the kernel goes on: a listener on every address may get it (miss: pass)",
      ];
}

function lastStep(answer: Answer): string {
  const { mapping, verdict, destinations, question } = answer;
  const family = familyOf(question.packet.local);
  if (mapping === null) return "unmanaged: the kernel goes on as without ilm";
  const name = printable(mapping.name);
  if (isRefusal(mapping) && verdict !== "existing") {
    return `rejected: refused on purpose by the mapping ${name} (to: none)`;
  }
  const all = destinations.flatMap((index) => describeAt(answer, index));
  const why =
    candidates(mapping, family).length === 0
      ? describeNoFamily(family)
      : "no destination is among --listening";
  switch (verdict) {
    case null:
      return all.length === 0
        ? `${name} decides, and ${describeNoFamily(family)}`
        : `${name} decides: ${all.join(" or ")} gets it if it listens (who listens was not looked at: --listening)`;
    case "selected":
      return `selected: ${all.join(" or ")} gets it, if only those of --listening listen`;
    case "existing":
      return "existing: the socket of --listening that already listens keeps it";
    case "missed":
      return `missed: ${why}, and the kernel goes on`;
    case "rejected":
      return `rejected: ${why}, and the mapping says miss: reject`;
    case "unmanaged":
      return "unmanaged: the kernel goes on as without ilm";
  }
}
