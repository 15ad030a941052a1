/**
 * The product runs on several versions of Node. Each suite starts its commands with one of them,
 * chosen by the suite's name, so that one run of all suites has every version at work, and takes no
 * longer than with one. ILM_NODE chooses one for all of them: "22", or "own" for the one in PATH.
 */
import { createHash } from "node:crypto";
import { resolve } from "node:path";
import { fetchTestedNodes } from "../../tools/package/fetched.js";
import { machines } from "../../tools/package/machine.js";

/** Version and folder of each Node, oldest first. */
export type Nodes = readonly (readonly [version: string, folder: string])[];

/** Those of this machine; fetched once. */
export function fetchNodes(): Nodes {
  const machine = machines.find(({ node }) => node === process.arch);
  if (machine === undefined) throw new Error(`there is no package for ${process.arch}`);
  return [...fetchTestedNodes(machine)].map(([version, folder]) => [version, resolve(folder)]);
}

/** The one for a suite; null for the one in PATH. */
export function nodeFor(suite: string, nodes: Nodes): Nodes[number] | null {
  const wanted = process.env["ILM_NODE"];
  if (wanted === "own") return null;
  if (wanted === undefined) {
    const number = createHash("sha256").update(suite).digest().readUInt32BE();
    return nodes[number % nodes.length] ?? null;
  }
  const one = nodes.find(([version]) => version === wanted || version.startsWith(`${wanted}.`));
  const all = nodes.map(([version]) => version).join(", ");
  if (one === undefined) throw new Error(`ILM_NODE is one of ${all}, or "own"; not "${wanted}"`);
  return one;
}
