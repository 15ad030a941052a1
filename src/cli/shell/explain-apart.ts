/** `ilm explain -f FILE`: answers by rules that are active nowhere, as far as is known. */
import { asSentence, type ExitStatus, IlmError } from "../../errors.js";
import type { AnswerJson } from "../../json/answer.js";
import { published } from "../../json/published.js";
import { familyOf, isUnspecified, type Address } from "../../model/address.js";
import { type Listener, noQueue } from "../../model/listener.js";
import { protocols } from "../../model/mapping.js";
import { parseOnePort } from "../../config/port.js";
import { Evaluator, outcomeOf } from "../../rules/evaluate.js";
import { Judge } from "../../rules/judge.js";
import { listSources } from "../../model/sources.js";
import { answerShape, answerSteps, firstChoice, type Answer } from "../render/answer.js";
import { renderSteps } from "../render/explanation.js";
import { print, type Context } from "./context.js";
import { parseEndpoint } from "./endpoint.js";
import { concludeOne, Expectations } from "./expectation.js";
import { explainList } from "./explain-list.js";
import { stdinLines } from "./input-lines.js";
import { loadApart, type SourceOptions } from "./load.js";
import type { Question } from "./question.js";

export interface ApartOptions extends SourceOptions {
  /** Endpoints at which somebody is to be taken to listen; absent when that is to stay open. */
  readonly listening?: readonly string[];
}

/** Answers one question. Returns 1 when the answer is not as expected. */
export async function explainApart(
  context: Context,
  question: Question,
  options: ApartOptions,
): Promise<ExitStatus> {
  const evaluator = await load(options);
  const { rules } = evaluator;
  const answer = answerBy(evaluator, options)(question);
  const steps = answerSteps(answer, rules, describeSource(options));
  const expectations = new Expectations(rules);
  const asExpected = expectations.asExpected(answer);
  const shape = answerShape(answer, { line: null, steps, asExpected });
  await print(context, published<AnswerJson>()(shape), () =>
    renderSteps(steps, answer.verdict, context.colours),
  );
  return concludeOne(context, answer, expectations);
}

/** Answers the list on standard input. */
export async function explainListApart(
  context: Context,
  options: ApartOptions,
  expect: string | null,
): Promise<ExitStatus> {
  if (options.file?.includes("-") === true) {
    throw new IlmError("USAGE", "-f: standard input is read once, and the list is there", {
      remedy: "Write the configuration to a file.",
    });
  }
  const evaluator = await load(options);
  const answer = answerBy(evaluator, options);
  return await explainList(context, stdinLines(), { rules: evaluator.rules, answer, expect });
}

async function load(options: SourceOptions): Promise<Evaluator> {
  return new Evaluator((await loadApart(options)).rules);
}

function describeSource({ file = ["-"] }: SourceOptions): string {
  return listSources(file.map((path) => (path === "-" ? "standard input" : path)));
}

function answerBy(
  evaluator: Evaluator,
  { listening }: ApartOptions,
): (question: Question) => Answer {
  const { rules } = evaluator;
  const listeners = listening?.flatMap(parseListening);
  // Whose sockets there will be is as open as which: they are taken to be the right ones.
  const judge = new Judge(rules, "allow", () => true);
  return (question) => {
    const interfaceName = question.interface;
    const dialled = { ...question.packet, interface: interfaceName };
    const chosen = evaluator.choose(dialled);
    const { mapping, matchedBy } = chosen;
    const outcome =
      mapping === null || listeners !== undefined
        ? outcomeOf(chosen, dialled, listeners ?? [], judge)
        : { verdict: null, destinations: firstChoice(mapping, question) };
    return {
      question,
      interfaceName,
      mapping,
      matchedBy,
      listeners: listeners === undefined ? ("unknown" as const) : ("assumed" as const),
      ...outcome,
      blocked: false,
    };
  };
}

/** Parses an endpoint of `--listening` as listeners of both protocols. Throws USAGE. */
function parseListening(text: string): Listener[] {
  const [, everyPort] = /^\*:(.*)$/.exec(text) ?? [];
  const { address, port } =
    everyPort === undefined
      ? parseEndpoint(text, "--listening")
      : { address: "::" as Address, port: parseEveryPort(everyPort) };
  return protocols.map((protocol) => ({
    protocol,
    kind: protocol,
    // An IPv6 socket may be bound to an IPv4 address, as rewritten ones are, and takes both.
    family: 6,
    address,
    port,
    wildcard: isUnspecified(address),
    v6only: familyOf(address) === 6 && address !== "::",
    reuseport: false,
    groupSize: 0,
    groupProgram: false,
    device: 0,
    deviceName: "",
    placed: true,
    since: null,
    queue: noQueue,
    cookie: "0",
    inode: 0,
    cgroup: "0",
    identity: { uid: 0, gid: 0, unit: "0" },
  }));
}

function parseEveryPort(text: string): number {
  const port = parseOnePort(text);
  if (port.ok) return port.port;
  throw new IlmError("USAGE", `--listening: ${port.reason}`, { remedy: asSentence(port.hint) });
}
