/** `ilm demo`: everything at once, in private network namespaces. */
import { runDemo, type Report } from "../../demo/demo.js";
import { ExitStatus, IlmError } from "../../errors.js";
import type { DemoJson } from "../../json/demo.js";
import { published } from "../../json/published.js";
import type { Context } from "../shell/context.js";

export interface DemoOptions {
  /** Stay until Ctrl-C, to play with it. */
  readonly keep?: boolean;
}

/** Status 1 when something did not go as it should. */
export async function demo(context: Context, options: DemoOptions): Promise<ExitStatus> {
  const { json, colours } = context;
  const write = (report: Report): void => {
    context.write(`${JSON.stringify(published<DemoJson>()(report))}\n`);
  };
  try {
    await runDemo({
      keep: options.keep === true,
      report: json ? write : null,
      color: colours.isColorSupported,
    });
    return ExitStatus.done;
  } catch (error) {
    // The findings are in the document that the demo has written already.
    if (json && error instanceof IlmError && error.code === "FINDINGS") return error.exitStatus;
    throw error;
  }
}
