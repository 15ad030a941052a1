/**
 * Lives in the network namespace under test and asks the loaded program: requests and answers are lines of JSON.
 * {apply: Rules} -> Applied; {runtime: Mapping[]} -> Applied, of these beside the file's that are in force;
 * {explain: Packet[]} -> {explained: Answer[]}; {unload: true} -> {unloaded}.
 */
import { createInterface } from "node:readline";
import { openDataPlane } from "../../src/dataplane/open.js";
import type { DataPlane } from "../../src/dataplane/types.js";
import type { Packet } from "../../src/model/decision.js";
import { type Mapping, type Rules, emptyRules } from "../../src/model/mapping.js";
import { drawSeed } from "./oracle.js";

export type Request =
  | { readonly apply: Rules }
  | { readonly runtime: readonly Mapping[] }
  | { readonly explain: readonly Packet[] }
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

function answer(dataPlane: DataPlane, request: Request): unknown {
  if ("apply" in request) return dataPlane.apply(request.apply) satisfies Applied;
  if ("runtime" in request) {
    const { rules = emptyRules } = dataPlane.inForce() ?? {};
    return dataPlane.apply({ ...rules, runtime: request.runtime }) satisfies Applied;
  }
  if ("unload" in request) return { unloaded: dataPlane.unload() };
  return {
    explained: request.explain.map((packet): Answer => {
      const { verdict, mapping, destination, cookie } = dataPlane.explain(packet);
      return { verdict, mapping, destination, cookie };
    }),
  };
}

// The generator's rule sets are small, and overlays are for large ones.
const dataPlane = openDataPlane({ layeredFrom: 0, drawSeed });
for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(answer(dataPlane, JSON.parse(line) as Request))}\n`);
}
dataPlane.close();
