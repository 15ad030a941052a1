/**
 * Runs before each privileged suite: fails it, with the reason, on a machine that cannot run it;
 * else gives it a place to pin, and a Node for its commands.
 */
import { basename, delimiter } from "node:path";
import { afterEach, expect, inject } from "vitest";
import { nodeFor } from "./nodes.js";
import type * as OwnState from "./own-state.js";
import { builtRoot } from "./paths.js";

const obstacle = inject("obstacle");
if (obstacle !== "") {
  throw new Error(obstacle);
}
const { useOwnState } = (await import(`${builtRoot}test/support/own-state.js`)) as typeof OwnState;
useOwnState();

const suite = basename(expect.getState().testPath ?? "");
const chosen = nodeFor(suite, inject("nodes"));
if (chosen !== null) {
  const [version, folder] = chosen;
  process.env["PATH"] = [folder, process.env["PATH"]].join(delimiter);
  afterEach(({ task }) => {
    if (task.result?.state !== "fail") return;
    process.stdout.write(`${suite} ran its commands on Node ${version} (ILM_NODE chooses)\n`);
  });
}
