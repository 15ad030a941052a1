/** `--expect`: what is expected of answers, and how a command ends by them. */
import { NAME, NONE, parseTarget, type Target } from "../../config/target.js";
import { ExitStatus } from "../../errors.js";
import { isRefusal } from "../../model/mapping.js";
import { toLazy } from "../../model/mappings.js";
import { allMappings, type Rules } from "../../model/rules.js";
import { printable } from "../../words/text.js";
import { describeAnswer, portOf, type Answer } from "../render/answer.js";
import type { Context } from "./context.js";

/** Expected of a packet that a mapping refuses on purpose (`to: none`). */
const REFUSED = "refused";
/** What precedes a word that is to be the name of a mapping, or a destination. */
const MAPPING = "mapping:";
const SERVICE = "service:";

/** Compares answers with what is expected of them, by the names in these rules. */
export class Expectations {
  readonly #rules: Rules;
  #names: ReadonlySet<string> | null = null;

  constructor(rules: Rules) {
    this.#rules = rules;
  }

  /** Reports whether the answer is as its question expects; null when that expects nothing. */
  asExpected(answer: Answer): boolean | null {
    const { expect } = answer.question;
    return expect === null ? null : this.#isMet(answer, expect);
  }

  /** Says what was expected, and what was found instead. Null when the answer is as expected. */
  describeUnexpected(answer: Answer): string | null {
    if (this.asExpected(answer) !== false) return null;
    const expected = answer.question.expect ?? "";
    return `expected ${printable(expected)}, got ${describeAnswer(answer)}${this.#unknownName(expected)}`;
  }

  #isMet(answer: Answer, expected: string): boolean {
    const { mapping } = answer;
    if (expected === NONE) return mapping === null;
    if (expected === REFUSED) {
      const { verdict, blocked } = answer;
      return mapping !== null && isRefusal(mapping) && verdict !== "existing" && !blocked;
    }
    if (expected.startsWith(MAPPING)) return isOf(answer, expected.slice(MAPPING.length));
    if (expected.startsWith(SERVICE)) return goesTo(answer, expected.slice(SERVICE.length));
    // A word that is both has to be true of both: a mapping keeps its name when it leads elsewhere.
    const isMapping = this.#mappingNames().has(expected);
    const isDestination = !isMapping || this.#isPlace(expected);
    return (!isMapping || isOf(answer, expected)) && (!isDestination || goesTo(answer, expected));
  }

  /** Reports whether the word names an address, or a service that there is. */
  #isPlace(word: string): boolean {
    const parsed = parseTarget(word);
    if (!parsed.ok) return false;
    const { target } = parsed;
    return target.kind === "service" ? this.#hasService(target.service) : target.kind === "address";
  }

  #hasService(service: string): boolean {
    return this.#rules.file.services.some(({ name }) => name === service);
  }

  #mappingNames(): ReadonlySet<string> {
    if (this.#names === null) {
      const all = toLazy(allMappings(this.#rules));
      this.#names = new Set(Array.from({ length: all.length }, (_, index) => all.nameAt(index)));
    }
    return this.#names;
  }

  /** Says so when what was expected cannot be, whatever the packet. */
  #unknownName(expected: string): string {
    const hasMapping = (name: string): boolean => this.#mappingNames().has(name);
    const none = (what: string, name: string): string =>
      ` (there is no ${what} named ${printable(name)})`;
    if (expected.startsWith(MAPPING)) {
      const name = expected.slice(MAPPING.length);
      return hasMapping(name) ? "" : none("mapping", name);
    }
    const isService = expected.startsWith(SERVICE);
    const name = isService ? expected.slice(SERVICE.length) : expected;
    if ([NONE, REFUSED].includes(expected) || !NAME.test(name)) return "";
    if (this.#hasService(name) || (!isService && hasMapping(name))) return "";
    return none(isService ? "service" : "mapping or service", name);
  }
}

/**
 * Reports whether the mapping of this name decides, and one of its destinations gets the packet, or
 * may while it is unknown who listens; or it refuses the packet on purpose.
 */
function isOf({ mapping, verdict, destinations, blocked }: Answer, name: string): boolean {
  if (mapping?.name !== name || blocked) return false;
  if (isRefusal(mapping)) return verdict !== "existing";
  return destinations.length > 0;
}

/** Reports whether the destination gets the packet: each that may, while a draw decides. */
function goesTo({ question, mapping, destinations, blocked }: Answer, expected: string): boolean {
  const parsed = parseTarget(expected);
  if (!parsed.ok || mapping === null || destinations.length === 0 || blocked) return false;
  const { target } = parsed;
  return destinations.every((index) => {
    const to = mapping.to[index];
    return to !== undefined && isThere(to, target) && hasPort(portOf(to, question), target);
  });
}

function isThere(
  { address, service }: { readonly address: string; readonly service?: string | undefined },
  target: Target,
): boolean {
  return (
    (target.kind === "address" && address === target.address) ||
    (target.kind === "service" && service === target.service)
  );
}

function hasPort(port: number, target: Target): boolean {
  return target.port === "same" || target.port === port;
}

/** Says it when the answer is not as expected, and returns 1 then. */
export function concludeOne(
  context: Context,
  answer: Answer,
  expectations: Expectations,
): ExitStatus {
  const wrong = expectations.describeUnexpected(answer);
  if (wrong === null) return ExitStatus.done;
  if (!context.json) context.note(`ilm: ${wrong}\n`);
  return ExitStatus.failed;
}
