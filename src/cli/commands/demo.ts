/** `ilm demo`: shows everything at once, in private network namespaces. */
import type { Report } from "../../demo/demo.js";
import { ExitStatus, IlmError } from "../../errors.js";
import type { DemoJson } from "../../json/demo.js";
import { published } from "../../json/published.js";
import type { Context } from "../shell/context.js";

export interface DemoOptions {
  /** True to stay until Ctrl-C, so that the user can play with it. */
  readonly keep?: boolean;
}

/** Runs the demo. Returns status 1 when something did not go as it should. */
export async function demo(context: Context, options: DemoOptions): Promise<ExitStatus> {
  const { json, colours, reach } = context;
  const write = (report: Report): void => {
    context.write(`${JSON.stringify(published<DemoJson>()(report))}\n`);
  };
  try {
    await reach.runDemo({
      keep: options.keep === true,
      report: json ? write : null,
      color: colours.isColorSupported,
    });
    return ExitStatus.done;
  } catch (error) {
    // The document that the demo has already written contains the findings.
    if (json && error instanceof IlmError && error.code === "FINDINGS") return error.exitStatus;
    throw error;
  }
}
