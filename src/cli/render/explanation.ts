/** Renders an explanation in words, step by step. Pure. */
import type { Explanation } from "../../dataplane/types.js";
import type { Attempt, Verdict } from "../../model/decision.js";
import type { Holder, Listener } from "../../model/listener.js";
import { type Family, familyOf, prefixContains } from "../../model/address.js";
import { bootSeconds } from "../../kernel/boot-time.js";
import { isRefusal, isWeighted, type Destination, type Mapping } from "../../model/mapping.js";
import { type Rules, allMappings } from "../../model/rules.js";
import { countPorts, formatPorts, portsContain } from "../../model/ports.js";
import { formatOrigin } from "../../api/mapping-shape.js";
import { candidates } from "../../rules/candidates.js";
import type { Judge } from "../../rules/judge.js";
import type { DestinationState } from "../../rules/listening.js";
import { passedOver } from "../../rules/passed-over.js";
import type { ExplainJson } from "../../json/explain.js";
import type { Colours } from "../shell/context.js";
import type { Obstacle } from "../../doctor/obstacle.js";
import type { Entrance } from "../../doctor/way.js";
import { formatEndpoint } from "../../model/endpoint.js";
import { type AbsenceJson, presentJson } from "../../daemon/ended.js";
import { describeAbsence } from "../../words/absence.js";
import { LOAD_MODULE, mptcpRemedy } from "../../words/mptcp.js";
import { describeListener, describeNat, unitOf } from "../../words/listener.js";
import {
  describeOwned,
  describePermitted,
  remedyForStranger,
  whyStranger,
} from "../../words/stranger.js";
import { describeDestination } from "./mapping.js";
import { printable } from "../../words/text.js";

/** What says which mapping decides, and why. */
export interface Matched {
  readonly explanation: Pick<Explanation, "matchedBy" | "packet">;
  readonly rules: Rules;
  readonly mapping: Mapping | null;
  /** The name of the interface that the packet arrives on, or null when none is known. */
  readonly interfaceName: string | null;
}

export interface Explained extends Matched {
  readonly explanation: Explanation;
  readonly obstacles: readonly Obstacle[];
  readonly judge: Judge;
  /** The socket that the program selected; null when the socket tables do not have it. */
  readonly selected: Listener | null;
  /** The listener that the kernel itself takes when the program selects none. */
  readonly kernel: Listener | null;
  /** What the socket tables say of the mapping's destinations. */
  readonly states: readonly DestinationState[];
  /** Returns what is known of a destination, an index into `to`, at which nobody listens. */
  readonly absenceAt: (index: number) => AbsenceJson;
  readonly holderOf: (listener: Listener) => Holder | undefined;
  /** The address families for which NAT is present. */
  readonly nat: readonly Family[];
  /** Why the interface is taken to be the one that the packet comes in on. */
  readonly entranceBy: Entrance["by"];
}

/** The verdict as shown. `blocked` means that the packet never comes to a decision. */
export type ShownVerdict = Verdict | "blocked";

export function explanationShape(
  explained: Explained,
): Omit<ExplainJson, "expected" | "asExpected"> {
  const { explanation, mapping } = explained;
  const destination =
    explanation.destination === null ? undefined : mapping?.to[explanation.destination];
  return {
    verdict: shownVerdict(explained),
    decision: explanation.verdict,
    obstacles: explained.obstacles,
    mapping: mapping?.name ?? null,
    matchedBy: explanation.matchedBy,
    destination: destination === undefined ? null : place(destination, explanation),
    listener: listenerShape(explained),
    packet: explanation.packet,
    attempts: explanation.attempts.flatMap(({ destination: index, outcome }) => {
      const tried = mapping?.to[index];
      const absence = outcome === "absent" ? explained.absenceAt(index) : presentJson;
      return tried === undefined ? [] : { ...place(tried, explanation), outcome, ...absence };
    }),
    generation: explanation.generation,
    strangers: strangersOf(explained).map((one) => strangerShape(explained, one)),
    steps: explanationSteps(explained),
  };
}

export function shownVerdict({ explanation, obstacles }: Explained): ShownVerdict {
  return obstacles.some(({ sure }) => sure) ? "blocked" : explanation.verdict;
}

function listenerShape(explained: Explained): ExplainJson["listener"] {
  const { cookie } = explained.explanation;
  const receiver = receiverOf(explained);
  if (receiver === null && cookie === null) return null;
  const holder = receiver === null ? undefined : explained.holderOf(receiver);
  return {
    ...processShape(holder),
    cookie: cookie ?? receiver?.cookie ?? "0",
    address: receiver?.address ?? null,
    port: receiver?.port ?? null,
  };
}

function processShape(holder: Holder | undefined) {
  return {
    pid: holder?.pid ?? null,
    command: holder?.command ?? null,
    user: holder?.user ?? null,
    unit: unitOf(holder),
  };
}

/** A socket that listens where the packet goes, and gets nothing. */
interface Stranger {
  readonly listener: Listener;
  readonly at: "dialled" | "destination";
  /** Whom the rules permit there, in words. */
  readonly permitted: string;
}

function strangersOf(explained: Explained): Stranger[] {
  const { states, judge, mapping } = explained;
  const dialledBy = strangerOnDialled(explained);
  const there = states.flatMap(({ address, strangers }) => {
    const owned = judge.ownerOf(address);
    const permitted = owned === undefined ? permittedBy(explained, mapping) : describeOwned(owned);
    return strangers.map((listener) => ({ listener, at: "destination" as const, permitted }));
  });
  if (dialledBy === null) return there;
  return [
    { listener: dialledBy, at: "dialled", permitted: permittedOnDialled(explained) },
    ...there,
  ];
}

function strangerShape({ holderOf }: Explained, { listener, at, permitted }: Stranger) {
  const { cookie, address, port } = listener;
  return { ...processShape(holderOf(listener)), cookie, address, port, at, permitted };
}

/**
 * Returns the stranger that listens on what was dialled, if it is on that very address or the
 * program found that nobody else would get the packet.
 */
function strangerOnDialled({ explanation, kernel, judge, mapping }: Explained): Listener | null {
  if (kernel === null) return null;
  const { strangers, packet } = explanation;
  if (strangers) return kernel;
  if (mapping === null || kernel.wildcard || judge.strangers !== "refuse") return null;
  return kernel.address !== packet.local || judge.permits(kernel, mapping) ? null : kernel;
}

function permittedBy({ judge }: Explained, mapping: Mapping | null): string {
  return mapping === null ? "nobody" : describePermitted(mapping, (at) => judge.ownerOf(at));
}

function permittedOnDialled(explained: Explained): string {
  const { explanation, judge, mapping } = explained;
  const owned = mapping === null ? judge.ownerOf(explanation.packet.local) : undefined;
  return owned === undefined ? permittedBy(explained, mapping) : describeOwned(owned);
}

function receiverOf({ explanation, selected, kernel }: Explained): Listener | null {
  switch (explanation.verdict) {
    case "selected":
      return selected;
    case "rejected":
      return null;
    case "existing":
    case "missed":
    case "unmanaged":
      return explanation.strangers ? null : kernel;
  }
}

/**
 * Returns the endpoint of a destination. Its port is the dialled one when the destination says so.
 */
function place(destination: Destination, { packet }: Explanation) {
  const port = destination.port === "same" ? packet.localPort : destination.port;
  return { address: destination.address, port };
}

export function renderExplanation(explained: Explained, colours: Colours): string {
  return renderSteps(explanationSteps(explained), shownVerdict(explained), colours);
}

/** Renders the steps of an answer. The first is the question, and the last the verdict. */
export function renderSteps(
  steps: readonly string[],
  verdict: ShownVerdict | null,
  colours: Colours,
): string {
  const last = steps.length - 1;
  return steps
    .map((step, index) => {
      if (index === 0) return `${colours.bold(step)}\n`;
      const text = index === last ? paintVerdict(verdict, colours)(step) : step;
      return `  ${index}. ${text}\n`;
    })
    .join("");
}

export function paintVerdict(
  verdict: ShownVerdict | null,
  colours: Colours,
): (text: string) => string {
  switch (verdict) {
    case "selected":
      return colours.green;
    case "rejected":
    case "missed":
    case "blocked":
      return colours.yellow;
    case "existing":
    case "unmanaged":
    case null:
      return (text) => text;
  }
}

export function explanationSteps(explained: Explained): string[] {
  const { explanation, mapping } = explained;
  const { packet, generation } = explanation;
  const steps = [
    `${packet.protocol} ${dialled(explained)} from ${formatEndpoint(packet.remote, packet.remotePort)}${arrival(explained)}, generation ${generation}`,
    ...explained.obstacles.map(
      ({ sure, message, remedy }) =>
        `${sure ? "in the way" : "may be in the way"}: ${message}. ${remedy}`,
    ),
  ];
  if (mapping === null) {
    if (explanation.matchedBy !== "owned") steps.push(...passedOverSteps(explained));
    steps.push(whyUnmanaged(explained));
  } else {
    steps.push(...passedOverSteps(explained));
    steps.push(whyThisMapping(explained, mapping));
    const existing = existingStep(explained, mapping);
    if (existing !== "") steps.push(existing);
    steps.push(...attemptSteps(explained, mapping));
  }
  steps.push(outcome(explained));
  return steps;
}

const entranceReasons: Readonly<Record<Entrance["by"], string>> = {
  address: " (which has the address; another: --interface)",
  network: " (in whose network it is; another: --interface)",
  client: " (by which clients come; another: --interface)",
  user: "",
};

function arrival({ interfaceName, entranceBy }: Explained): string {
  if (interfaceName === null) return "";
  return `, in on ${printable(interfaceName)}${entranceReasons[entranceBy]}`;
}

function dialled({ explanation: { packet } }: Explained): string {
  return formatEndpoint(packet.local, packet.localPort);
}

/** The number of skipped mappings to list. More would not help. */
const PASSED_SHOWN = 5;

export function passedOverSteps({ explanation, rules, mapping, interfaceName }: Matched): string[] {
  const { packet } = explanation;
  const passed = passedOver(
    rules,
    { ...packet, interface: interfaceName, now: bootSeconds() },
    mapping,
  );
  const steps = passed.slice(0, PASSED_SHOWN).map(({ mapping: other, why }) => {
    const name = `the mapping ${printable(other.name)} (${printable(formatOrigin(other))}) is passed over`;
    if (why === "until") return `${name}: it has ended, and the next change removes it`;
    return why === "from"
      ? `${name}: ${packet.remote} is not in ${(other.from ?? []).join(", ")}`
      : `${name}: it is for ${(other.interfaces ?? []).map(printable).join(", ")}, and the packet comes in on ${interfaceName === null ? "no known interface (--interface)" : printable(interfaceName)}`;
  });
  const rest = passed.length - PASSED_SHOWN;
  return rest > 0 ? [...steps, `and ${rest} more mappings are passed over`] : steps;
}

export function whyUnmanaged({ explanation, rules }: Matched): string {
  const { packet, matchedBy } = explanation;
  if (matchedBy === "owned") {
    const service = rules.file.services.find((one) => one.addresses.includes(packet.local));
    return `${packet.local} is an address of the service ${service?.name ?? "?"} itself: dialled directly, it is never mapped`;
  }
  const onPort = allMappings(rules).filter(
    (mapping) =>
      mapping.protocol === packet.protocol && portsContain(mapping.ports, packet.localPort),
  );
  if (onPort.length === 0) return `no mapping has ${packet.protocol} port ${packet.localPort}`;
  const here = onPort.filter(
    ({ on }) => on.length === 0 || on.some((prefix) => prefixContains(prefix, packet.local)),
  );
  if (here.length > 0) return "no other mapping takes it";
  const names = onPort.slice(0, 5).map((mapping) => printable(mapping.name));
  return `${onPort.length > 5 ? `${onPort.length} mappings have` : names.join(", ")}${onPort.length > 5 ? "" : onPort.length === 1 ? " has" : " have"} ${packet.protocol} port ${packet.localPort}, but not for ${packet.local}`;
}

export function whyThisMapping({ explanation }: Matched, mapping: Mapping): string {
  const { packet, matchedBy } = explanation;
  const words =
    mapping.description === undefined ? "" : `, ${JSON.stringify(mapping.description)},`;
  const chosen = `the mapping ${printable(mapping.name)} (${printable(formatOrigin(mapping))})${words} is chosen`;
  const ports = countPorts(mapping.ports);
  const portPart =
    ports === 1
      ? `port ${packet.localPort}`
      : `port ${packet.localPort} of ${formatPorts(mapping.ports)}`;
  const covering = mapping.on
    .filter((prefix) => prefixContains(prefix, packet.local))
    .toSorted((left, right) => lengthOf(right) - lengthOf(left));
  switch (matchedBy) {
    case "exact":
      return `${chosen}: it has ${portPart} on exactly ${packet.local}`;
    case "prefix":
      return `${chosen}: it has ${portPart}, and ${covering[0] ?? "its prefix"} is the longest prefix that ${packet.local} lies in`;
    case "default":
    case "none":
    case "owned":
      return `${chosen}: it has ${portPart} on every local address`;
  }
}

function lengthOf(prefix: string): number {
  return Number(prefix.slice(prefix.indexOf("/") + 1));
}

function existingStep(explained: Explained, mapping: Mapping): string {
  const at = dialled(explained);
  if (explained.explanation.verdict === "existing") {
    const { kernel } = explained;
    const who = kernel === null ? "a socket" : describeListener(kernel, explained.holderOf(kernel));
    return `already listening: ${who} (existing: ${mapping.existing})`;
  }
  const stranger = strangerOnDialled(explained);
  if (stranger !== null && mapping.existing !== "never") {
    const who = describeListener(stranger, explained.holderOf(stranger));
    return `${who} listens, and is passed over, because the mapping permits only ${permittedBy(explained, mapping)} (existing: ${mapping.existing})`;
  }
  switch (mapping.existing) {
    case "exact":
      return `nothing listens on exactly ${at} (existing: exact)`;
    case "any":
      return `nothing listens on ${at} or on every address (existing: any)`;
    case "never":
      return "an existing listener is passed over (existing: never)";
  }
}

function attemptSteps(explained: Explained, mapping: Mapping): string[] {
  const { explanation } = explained;
  const { remote, remotePort } = explanation.packet;
  const order = isWeighted(mapping)
    ? [
        `the destinations have weights: the order is what ${formatEndpoint(remote, remotePort)} falls to, always the same for it`,
      ]
    : [];
  const attempts = explanation.attempts.flatMap(({ destination: index, outcome: became }) => {
    const destination = mapping.to[index];
    if (destination === undefined) return [];
    const { address, port } = place(destination, explanation);
    const name =
      address === "*"
        ? `the listener on every address, port ${port}`
        : describeDestination({ ...destination, port });
    const why = describeAttempt(explained, became, index, formatEndpoint(address, port));
    return `destination ${name}: ${why}`;
  });
  const family = familyOf(explanation.packet.local);
  if (
    explanation.verdict !== "existing" &&
    !isRefusal(mapping) &&
    candidates(mapping, family).length === 0
  ) {
    return [describeNoFamily(family)];
  }
  return [...order, ...attempts];
}

/** Says that a mapping leads packets of the family nowhere. */
export function describeNoFamily(family: Family): string {
  return `no destination of it takes IPv${family}`;
}

function describeAttempt(
  explained: Explained,
  became: Attempt,
  index: number,
  endpoint: string,
): string {
  const { explanation, selected, holderOf } = explained;
  switch (became) {
    case "absent":
      return whyAbsent(explained, index, endpoint);
    case "unreached": {
      const there = explained.states.find((one) => one.destination === index)?.listeners[0];
      const who = there === undefined ? "a socket" : describeListener(there, holderOf(there));
      const why = `${who} listens, and is not reached: ${describeNat(explained.nat)} prevents hand-over at ingress`;
      return there?.kind === "mptcp"
        ? `${why}, and a socket map takes no MPTCP listener. ${mptcpRemedy(explained.rules)}; or ${LOAD_MODULE}`
        : `${why}, and it is in no socket map (\`ilm status\` shows the remedy)`;
    }
    case "selected":
      return selected === null
        ? `socket ${explanation.cookie ?? "?"} listens`
        : `${describeListener(selected, holderOf(selected))} listens`;
    case "wrong-family":
      return `its listener takes no IPv${familyOf(explanation.packet.local)}`;
    case "drained":
      return explained.mapping?.to[index]?.weight === 0
        ? "it gets nobody new (weight 0)"
        : "it is drained, and gets nobody new (`ilm undrain` ends that)";
    case "failed":
      return "the kernel refused the socket (counted as an error)";
  }
}

/**
 * Says why no listener was found at a destination. When the socket tables have one that the program
 * does not know, says so, because the user has to act on it.
 */
function whyAbsent(
  { states, holderOf, judge, absenceAt }: Explained,
  index: number,
  endpoint: string,
): string {
  const state = states.find((one) => one.destination === index);
  const stranger = state?.strangers[0];
  if (state !== undefined && stranger !== undefined && !state.listening) {
    const who = describeListener(stranger, holderOf(stranger));
    const owned = judge.ownerOf(state.address);
    return `${who} listens, but gets nothing: ${whyStranger(owned)}. ${remedyForStranger(owned)}`;
  }
  const there = state?.listeners[0];
  if (there !== undefined) {
    const who = describeListener(there, holderOf(there));
    return `${who} listens, but ilm does not know it: apply the configuration again`;
  }
  const wildcard = state?.wildcardWouldAnswer ?? null;
  if (wildcard === null) {
    return ["nothing listens", ...describeAbsence(absenceAt(index))].join(", ");
  }
  return `nothing listens; but ${describeListener(wildcard, holderOf(wildcard))} would answer there: let it listen on ${endpoint} itself, or write the destination as "*:${wildcard.port}"`;
}

function outcome(explained: Explained): string {
  const { explanation, kernel, holderOf } = explained;
  const goesOn =
    kernel === null
      ? "the kernel goes on and rejects it, because nothing listens there"
      : `the kernel goes on and gives it to ${describeListener(kernel, holderOf(kernel))}`;
  if (shownVerdict(explained) === "blocked") {
    return `blocked: it reaches no socket; if it did, ilm's decision would be: ${explanation.verdict}`;
  }
  if (isRefusedOnPurpose(explained)) {
    return `rejected: refused on purpose by the mapping ${printable(explained.mapping?.name ?? "")} (to: none)`;
  }
  if (explanation.strangers) return outcomeOfStrangers(explained);
  const perhaps = explained.obstacles.length === 0 ? "" : ", if it comes so far";
  switch (explanation.verdict) {
    case "selected":
      return `selected: ${explained.selected === null ? `socket ${explanation.cookie ?? "?"}` : describeListener(explained.selected, holderOf(explained.selected))} gets the connection${perhaps}`;
    case "existing":
      return `existing: ${goesOn}`;
    case "missed":
      return `missed: ${goesOn}`;
    case "rejected":
      return explanation.attempts.some(({ outcome: became }) => became === "unreached")
        ? "rejected: the listener is not reached, and no other socket gets it"
        : "rejected: no destination listens, and the mapping says miss: reject";
    case "unmanaged":
      return `unmanaged: ${goesOn}`;
  }
}

function isRefusedOnPurpose({ explanation, mapping }: Explained): boolean {
  return mapping !== null && isRefusal(mapping) && explanation.verdict === "rejected";
}

/** Says that nobody gets the packet, because only a stranger listens on what was dialled. */
function outcomeOfStrangers(explained: Explained): string {
  const { explanation, mapping, judge, holderOf } = explained;
  const stranger = strangerOnDialled(explained);
  const who = stranger === null ? "a stranger" : describeListener(stranger, holderOf(stranger));
  if (mapping !== null) {
    return `${explanation.verdict}: no destination listens, and ${who}, which listens on what was dialled, is a stranger: the mapping permits only ${permittedBy(explained, mapping)}. Stop it, or name its unit, user or group in \`listeners\` of the mapping`;
  }
  const owned = judge.ownerOf(explanation.packet.local);
  return `${explanation.verdict}: nobody gets it, as only ${who} listens, and ${whyStranger(owned)}. ${remedyForStranger(owned)}`;
}
