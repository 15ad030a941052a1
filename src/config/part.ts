/** Some lines of a file of which the others are known. */
import type { RuleSet } from "../model/rules.js";
import type { Mappings } from "../model/mappings.js";
import { isSameBeside } from "../model/revision.js";
import { Unusual, streamNdjson } from "./ndjson.js";
import { Problems } from "./problems.js";
import { decodeFile, type File } from "./read.js";
import { buildPart, buildRuleSet } from "./rules.js";

const BYTE_ORDER_MARK = Buffer.from("\uFEFF");

/** Where lines are. */
export interface Whole {
  /** What all files say together. */
  readonly rules: RuleSet;
  /** There is no other file. */
  readonly isOnly: boolean;
}

/**
 * The mappings that lines of NDJSON say in a file. Null: something is wrong with them or doubtful,
 * or they need a closer look, or the file may have other services or settings now; who reads the
 * file finds out which. `firstLine`: the number of the first.
 */
export function readPart(file: File, firstLine: number, whole: Whole): Mappings | null {
  const decoded = decodeFile(file);
  // A byte order mark is one at the beginning of a file only, and the decoder takes it away.
  const hasMark = file.bytes.subarray(0, 3).equals(BYTE_ORDER_MARK);
  if (typeof decoded !== "string" || (hasMark && firstLine > 1)) return null;
  const stream = streamNdjson(file.name, decoded, firstLine);
  if (stream === null) return null;
  const document = { source: stream.source, unsound: [], ...stream.quick };
  const problems = new Problems();
  try {
    if (firstLine > 1) {
      const mappings = buildPart(document, whole.rules.services, problems);
      return problems.isEmpty ? mappings : null;
    }
    const head = buildRuleSet([{ ...document, mappings: [] }], true, problems);
    if (!isSameHead(head, file.name, whole)) return null;
    const mappings = buildPart(document, whole.rules.services, problems);
    return problems.isEmpty ? mappings : null;
  } catch (error) {
    if (error instanceof Unusual) return null;
    throw error;
  }
}

/** Can the file have had no other head before? */
function isSameHead(head: RuleSet, name: string, { rules, isOnly }: Whole): boolean {
  if (isOnly) return isSameBeside(head, rules);
  const { engine = "auto", mptcp = "on", services } = rules;
  // Of a setting that is not what it is without a word, it is not known which of the files said it.
  if (engine !== "auto" || mptcp !== "on") return false;
  return isSameBeside(head, { services: services.filter(({ origin }) => origin.file === name) });
}
