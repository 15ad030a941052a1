/**
 * `ilm explain`: asks the loaded program itself what it does with a packet, and shows each step.
 * Rules of a file, which are loaded nowhere, are evaluated (shell/explain-apart.ts).
 */
import { judgeOf } from "../../dataplane/judge.js";
import { describesAbsence, presentJson, readEndings } from "../../daemon/ended.js";
import type { DataPlane, Explanation } from "../../dataplane/types.js";
import { type ExitStatus, IlmError } from "../../errors.js";
import { familyOf } from "../../model/address.js";
import type { Packet } from "../../model/decision.js";
import type { Listener } from "../../model/listener.js";
import type { Mapping } from "../../model/mapping.js";
import { allMappings, readRules, type Rules } from "../../model/rules.js";
import type { Judge } from "../../rules/judge.js";
import {
  destinationStates,
  handoverOf,
  joinListeners,
  type DestinationState,
} from "../../rules/listening.js";
import { print, type Context } from "../shell/context.js";
import type { ExplainJson } from "../../json/explain.js";
import { published } from "../../json/published.js";
import { concludeOne, Expectations } from "../shell/expectation.js";
import type { ApartOptions } from "../shell/explain-apart.js";
import { explainList } from "../shell/explain-list.js";
import { stdinLines } from "../shell/input-lines.js";
import { parseQuestion, type Question } from "../shell/question.js";
import type { Answer } from "../render/answer.js";
import { kernelChoice } from "../../doctor/kernel-choice.js";
import { meansOf } from "../../doctor/means.js";
import { findObstacles } from "../../doctor/obstacles.js";
import {
  explanationShape,
  renderExplanation,
  shownVerdict,
  type Explained,
} from "../render/explanation.js";
import { entranceOf, wayOf, type Entrance, type Places } from "../../doctor/way.js";
import { needActive, withDataPlane } from "../shell/with-data-plane.js";

export interface ExplainOptions extends ApartOptions {
  readonly from?: string;
  readonly interface?: string;
  /** What is expected: a mapping, a service, a destination, or `none`. */
  readonly expect?: string;
}

/** What stands in the place of the protocol for a list on standard input. */
const LIST = "-";

/** Returns 1 when an answer is not as expected. */
export async function explain(
  context: Context,
  protocol: string,
  dialled: string | undefined,
  options: ExplainOptions,
): Promise<ExitStatus> {
  const { from, interface: name, expect = null, file, listening } = options;
  if (file === undefined && listening !== undefined) {
    throw new IlmError("USAGE", "--listening: the loaded program looks who listens", {
      remedy: "Add `-f FILE` to ask about rules that are not active.",
    });
  }
  if (protocol === LIST) {
    refuseBesideList({ "ADDRESS:PORT": dialled, "--from": from, "--interface": name });
    if (file === undefined) return await listActive(context, expect);
    const { explainListApart } = await import("../shell/explain-apart.js");
    return await explainListApart(context, options, expect);
  }
  if (dialled === undefined) {
    throw new IlmError("USAGE", "what the client dials is missing", {
      remedy: "Write for example `ilm explain tcp 203.0.113.5:443`.",
    });
  }
  const words = { protocol, dialled, from, interface: name, expect: options.expect };
  const question = parseQuestion(words);
  if (file === undefined) return await explainActive(context, question);
  const { explainApart } = await import("../shell/explain-apart.js");
  return await explainApart(context, question, options);
}

/** Throws USAGE for what each line of a list says itself. */
function refuseBesideList(given: Readonly<Record<string, string | undefined>>): void {
  const [name] = Object.entries(given).find(([, value]) => value !== undefined) ?? [];
  if (name === undefined) return;
  throw new IlmError("USAGE", `${name}: each line of the list has its own`, {
    remedy: "Write lines such as: tcp 203.0.113.5:443 from 198.51.100.7:5555 by eth0 expect web",
  });
}

async function explainActive(context: Context, question: Question): Promise<ExitStatus> {
  const places = await context.reach.lookForPlaces();
  const packet = packetOf(question, places);
  const explained = await withDataPlane(context, (dataPlane) =>
    ask(context, dataPlane, packet, places, question),
  );
  const blocked = shownVerdict(explained) === "blocked";
  const found = answerOf(question, explained.explanation, explained.rules, places);
  const answer = { ...found, blocked };
  const expectations = new Expectations(explained.rules);
  const expectation = {
    expected: question.expect,
    asExpected: expectations.asExpected(answer),
  };
  await print(
    context,
    published<ExplainJson>()({ ...explanationShape(explained), ...expectation }),
    () => renderExplanation(explained, context.colours),
  );
  return concludeOne(context, answer, expectations);
}

async function listActive(context: Context, expect: string | null): Promise<ExitStatus> {
  const places = await context.reach.lookForPlaces();
  return await withDataPlane(context, async (dataPlane) => {
    const rules = readRules(needActive(dataPlane).rules);
    const answer = (question: Question): Answer =>
      answerOf(question, dataPlane.explain(packetOf(question, places)), rules, places);
    return await explainList(context, stdinLines(), { rules, answer, expect });
  });
}

/** Returns the packet that is asked about. Throws NOT_FOUND for an interface that is not there. */
function packetOf(question: Question, places: Places): Packet {
  return { ...question.packet, interfaceIndex: entranceFor(question, places).interfaceIndex };
}

function entranceFor({ packet, interface: name }: Question, places: Places): Entrance {
  return name === null
    ? entranceOf(places, packet.local, packet.remote)
    : { interfaceIndex: findInterface(name, places.names), by: "user" };
}

function answerOf(
  question: Question,
  explanation: Explanation,
  rules: Rules,
  places: Places,
): Answer {
  const { mapping, matchedBy, verdict, destination, packet } = explanation;
  return {
    question,
    interfaceName: places.names.get(packet.interfaceIndex) ?? null,
    mapping: mapping === null ? null : (allMappings(rules).at(mapping) ?? null),
    matchedBy,
    listeners: "asked",
    verdict,
    destinations: destination === null ? [] : [destination],
    blocked: false,
  };
}

async function ask(
  context: Context,
  dataPlane: DataPlane,
  packet: Packet,
  places: Places,
  question: Question,
): Promise<Explained> {
  const rules = readRules(needActive(dataPlane).rules);
  const explanation = dataPlane.explain(packet);
  const listeners = dataPlane.listeners();
  const mapping =
    explanation.mapping === null ? null : (allMappings(rules).at(explanation.mapping) ?? null);
  const kernel = kernelChoice(packet, listeners);
  const selected = listeners.find((listener) => listener.cookie === explanation.cookie) ?? null;
  const judge = judgeOf(dataPlane, rules);
  const states = statesFor(mapping, packet, listeners, judge);
  const named = [
    kernel,
    selected,
    ...states.flatMap((state) => [
      state.wildcardWouldAnswer,
      ...state.listeners,
      ...state.strangers,
    ]),
  ].filter((listener) => listener !== null);
  const means = meansOf(dataPlane);
  const view = selected && joinListeners(rules, [selected], judge.selects)[0];
  const atIngress = view !== undefined && view !== null && handoverOf(view, means) === "ingress";
  const ingress = atIngress
    ? { overtaken: dataPlane.overtaken(), uncovered: dataPlane.uncoveredInterfaces() }
    : null;
  const surroundings = await context.reach.lookAround(dataPlane, places, [familyOf(packet.local)]);
  const way = wayOf(packet, surroundings, {
    source: question.isFromGiven ? "asked about" : "made up",
    isLinkOnly: question.interface !== null,
    floating: rules.file.floating,
  });
  return {
    explanation,
    obstacles: findObstacles(packet, way, ingress),
    rules,
    judge,
    mapping,
    selected,
    kernel,
    states,
    absenceAt: absenceIn(dataPlane, rules, mapping, packet),
    holderOf: await context.reach.holdersOf(named),
    nat: means.nat,
    interfaceName: places.names.get(packet.interfaceIndex) ?? null,
    entranceBy: entranceFor(question, places).by,
  };
}

/** Returns what tells of a destination at which nobody listens, for the port of this packet. */
function absenceIn(
  dataPlane: DataPlane,
  rules: Rules,
  mapping: Mapping | null,
  { localPort }: Packet,
): Explained["absenceAt"] {
  if (mapping === null) return () => presentJson;
  const ports = [{ first: localPort, last: localPort }];
  const endings = readEndings(dataPlane);
  const describe = describesAbsence(rules.file.services);
  // Read now: the data plane is closed when they are shown.
  const absences = mapping.to.map((_, index) => describe(endings.at({ ...mapping, ports }, index)));
  return (index) => absences[index] ?? presentJson;
}

/** Returns what the socket tables say of each destination, for the port of this packet. */
function statesFor(
  mapping: Mapping | null,
  packet: Packet,
  listeners: readonly Listener[],
  { selects }: Judge,
): DestinationState[] {
  if (mapping === null) return [];
  const port = { first: packet.localPort, last: packet.localPort };
  return destinationStates({ ...mapping, ports: [port] }, listeners, selects);
}

function findInterface(name: string, names: ReadonlyMap<number, string>): number {
  for (const [index, known] of names) {
    if (known === name) return index;
  }
  throw new IlmError("NOT_FOUND", `there is no interface named ${JSON.stringify(name)}`, {
    remedy: `There are: ${[...names.values()].join(", ")}.`,
  });
}
