/**
 * Runs before each privileged suite: fails it, with the reason, on a machine that cannot run it;
 * else gives it a place to pin.
 */
import { inject } from "vitest";
import type * as OwnState from "./own-state.js";
import { builtRoot } from "./paths.js";

const obstacle = inject("obstacle");
if (obstacle !== "") {
  throw new Error(obstacle);
}
const { useOwnState } = (await import(`${builtRoot}test/support/own-state.js`)) as typeof OwnState;
useOwnState();
