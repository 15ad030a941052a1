/** Reads some lines of a file whose others are known. */
import { type RuleSet, settingsOf } from "../model/rules.js";
import type { Mappings } from "../model/mappings.js";
import { isSameBeside } from "../model/revision.js";
import type { MachineId } from "./machine-id.js";
import { Unusual, streamNdjson } from "./ndjson.js";
import { Problems } from "./problems.js";
import { decodeFile, type File } from "./read.js";
import { buildPart, buildRuleSet } from "./rules.js";

const BYTE_ORDER_MARK = Buffer.from("\uFEFF");

/** What surrounds the lines. */
export interface Whole {
  /** The rules of all files together. */
  readonly rules: RuleSet;
  /** True when there is no other file. */
  readonly isOnly: boolean;
  /** Called when an address depends on the host. */
  readonly machineId: MachineId;
}

/**
 * Returns the mappings on lines of NDJSON. Returns null when something is wrong or doubtful, when
 * they need a closer look, or when the file's services or settings may have changed; reading the
 * whole file finds out which. `firstLine` is the number of the first line.
 */
export function readPart(file: File, firstLine: number, whole: Whole): Mappings | null {
  const decoded = decodeFile(file);
  // Only at the beginning of a file is it a byte order mark, which the decoder removes.
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
    const head = buildRuleSet([{ ...document, mappings: [] }], true, problems, whole.machineId);
    if (!isSameHead(head, file.name, whole)) return null;
    const mappings = buildPart(document, whole.rules.services, problems);
    return problems.isEmpty ? mappings : null;
  } catch (error) {
    if (error instanceof Unusual) return null;
    throw error;
  }
}

/** Reports whether the file is certain to have had the same head before. */
function isSameHead(head: RuleSet, name: string, { rules, isOnly }: Whole): boolean {
  if (isOnly) return isSameBeside(head, rules);
  const { services } = rules;
  // It is unknown which file made a setting that is not the default.
  if (JSON.stringify(settingsOf(rules)) !== JSON.stringify(settingsOf({}))) return false;
  return isSameBeside(head, { services: services.filter(({ origin }) => origin.file === name) });
}
