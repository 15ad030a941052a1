/** `ilm demo`: everything at once, in private network namespaces. */
import { runDemo } from "../../demo/demo.js";
import { ExitStatus, IlmError } from "../../errors.js";
import type { Context } from "../shell/context.js";

export interface DemoOptions {
  /** Stay until Ctrl-C, to play with it. */
  readonly keep?: boolean;
}

/** Status 1 when something did not go as it should. */
export async function demo(context: Context, options: DemoOptions): Promise<ExitStatus> {
  const { json, colours } = context;
  try {
    await runDemo({ keep: options.keep === true, json, color: colours.isColorSupported });
    return ExitStatus.done;
  } catch (error) {
    // The findings are in the document that the demo has written already.
    if (json && error instanceof IlmError && error.code === "FINDINGS") return error.exitStatus;
    throw error;
  }
}
