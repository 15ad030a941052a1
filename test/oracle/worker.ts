/**
 * Lives in the network namespace under test and asks the loaded program: requests and answers are
 * lines of JSON. {apply: Rules, layered} -> Applied; {runtime: Mapping[]} -> Applied, of these
 * beside the file's that are active; {revise: Mapping[]} -> Applied, of these as the file's, as
 * what became of those active; {off: boolean} -> {off}; {explain: Packet[]} -> {explained:
 * Answer[]}; {unload: true} -> {unloaded}.
 */
import { createInterface } from "node:readline";
import { openDataPlane } from "../../src/dataplane/open.js";
import type { DataPlane } from "../../src/dataplane/types.js";
import type { Packet } from "../../src/model/decision.js";
import { changedFields } from "../../src/rules/diff.js";
import { type Mapping, mappingKey } from "../../src/model/mapping.js";
import { type Rules, inMemory, noActiveRules, toBeActive } from "../../src/model/rules.js";
import { toColumns } from "../../src/model/mapping-columns.js";
import { type Piece, revise } from "../../src/model/revision.js";
import { drawSeed } from "./oracle.js";

export type Request =
  | { readonly apply: Rules; readonly layered: boolean }
  | { readonly runtime: readonly Mapping[] }
  | { readonly revise: readonly Mapping[] }
  | { readonly explain: readonly Packet[] }
  | { readonly off: boolean }
  | { readonly unload: true };

export interface Applied {
  readonly incremental: boolean;
}

export interface Answer {
  readonly verdict: string;
  readonly mapping: number | null;
  readonly destination: number | null;
  readonly cookie: string | null;
}

// The generator's rule sets are small, and overlays are for large ones: here they are for all, or
// for none.
const layered = openDataPlane({ layeredFrom: 0, drawSeed });
const plain = openDataPlane({ drawSeed });
let dataPlane: DataPlane = plain;

/** What is the same stays, in any order. */
function piecesOf(before: readonly Mapping[], after: readonly Mapping[]): Piece[] {
  return after.map((mapping) => {
    const first = before.findIndex(
      (old) => mappingKey(old) === mappingKey(mapping) && changedFields(old, mapping).length === 0,
    );
    return first < 0 ? [mapping] : { first, count: 1, lines: 0 };
  });
}

function answer(request: Request): unknown {
  if ("apply" in request) {
    dataPlane = request.layered ? layered : plain;
    return dataPlane.apply(toBeActive(request.apply)) satisfies Applied;
  }
  if ("runtime" in request) {
    const { rules = noActiveRules } = dataPlane.active() ?? {};
    return dataPlane.apply({ ...rules, runtime: request.runtime }) satisfies Applied;
  }
  if ("revise" in request) {
    const { rules = noActiveRules } = dataPlane.active() ?? {};
    const before = toColumns(rules.file.read().mappings);
    const pieces = piecesOf([...before], request.revise);
    const revision = { of: rules.file, pieces, name: null };
    const file = inMemory(revise(revision));
    return dataPlane.apply({ ...rules, file }, { revision }) satisfies Applied;
  }
  if ("off" in request) {
    return { off: dataPlane.active() !== null && dataPlane.setOff(request.off) };
  }
  if ("unload" in request) return { unloaded: dataPlane.unload() };
  return {
    explained: request.explain.map((packet): Answer => {
      const { verdict, mapping, destination, cookie } = dataPlane.explain(packet);
      return { verdict, mapping, destination, cookie };
    }),
  };
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(answer(JSON.parse(line) as Request))}\n`);
}
layered.close();
plain.close();
