/** `--names`: lists of names alone, for scripts and completion. */
import { IlmError } from "../../errors.js";
import type { Context } from "./context.js";

/** Throws USAGE for --names beside --json, which prints each whole. */
export function refuseNamesAsJson({ json }: Context, names: boolean | undefined): void {
  if (!json || names !== true) return;
  throw new IlmError("USAGE", "--names: with --json, each is printed whole", {
    remedy: "Leave one of them out; each object of --json has its name.",
  });
}
