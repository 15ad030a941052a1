/** Some lines of a file of which the others are known. */
import type { RuleSet } from "../model/mapping.js";
import type { Mappings } from "../model/mappings.js";
import { Unusual, streamNdjson } from "./ndjson.js";
import { Problems } from "./problems.js";
import { decodeFile, type File } from "./read.js";
import { buildPart, buildRuleSet } from "./rules.js";

const BYTE_ORDER_MARK = Buffer.from("\uFEFF");

/**
 * The mappings that lines of NDJSON say in a file with the services and settings of `whole`. Null: something is wrong with them or
 * doubtful, or they need a closer look, or the file has other services or settings now; who reads the file finds out which.
 * `firstLine`: the number of the first.
 */
export function readPart(file: File, firstLine: number, whole: RuleSet): Mappings | null {
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
      const mappings = buildPart(document, whole.services, problems);
      return problems.isEmpty ? mappings : null;
    }
    const { mappings, ...others } = buildRuleSet([document], true, problems);
    return problems.isEmpty && saysSame(others, whole) ? mappings : null;
  } catch (error) {
    if (error instanceof Unusual) return null;
    throw error;
  }
}

type Head = Omit<RuleSet, "mappings">;

function saysSame(head: Head, whole: RuleSet): boolean {
  const text = ({ engine = "auto", mptcp = "on", services }: Head): string =>
    JSON.stringify([engine, mptcp, services]);
  return text(head) === text(whole);
}
