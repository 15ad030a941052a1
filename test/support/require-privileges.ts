/** Runs before each privileged suite: fails it, with the reason, on a machine that cannot run it. */
import { inject } from "vitest";

const obstacle = inject("obstacle");
if (obstacle !== "") {
  throw new Error(obstacle);
}
