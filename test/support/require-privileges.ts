/** Runs before each privileged suite: fails it, with the reason, on a machine that cannot run it; else gives it a place to pin. */
import { inject } from "vitest";
import type * as OwnBpffs from "./own-bpffs.js";
import { builtRoot } from "./paths.js";

const obstacle = inject("obstacle");
if (obstacle !== "") {
  throw new Error(obstacle);
}
const { useOwnBpffs } = (await import(`${builtRoot}test/support/own-bpffs.js`)) as typeof OwnBpffs;
useOwnBpffs();
