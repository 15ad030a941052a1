/**
 * One run of the command line: parse, enter the namespace, do the task, tell the error. Says with
 * which status to end.
 */
import { ExitStatus } from "../errors.js";
import { processContext, type GlobalOptions } from "./shell/context.js";
import type { Task } from "./shell/define.js";
import { buildProgram } from "./shell/program.js";
import { hasPendingCalls } from "../patience.js";
import { watchWaits } from "../progress.js";
import { clearProgress, showProgress } from "./shell/progress.js";
import { reportError } from "./render/error.js";
import { translateParserError } from "./shell/usage-error.js";

/** @param argv without node and the script. */
export async function runCommandLine(argv: readonly string[]): Promise<ExitStatus> {
  let status: ExitStatus = ExitStatus.done;

  async function execute(options: GlobalOptions, task: Task): Promise<void> {
    const context = processContext(options);
    if (options.netns !== undefined) {
      // Before the task loads anything: threads made before would stay in the old namespace.
      const { enterNetns } = await import("../kernel/netns.js");
      enterNetns(options.netns);
    }
    showProgress();
    watchWaits((what) => {
      context.note(`ilm: ${what}\n`);
    });
    try {
      status = (await task(context)) ?? ExitStatus.done;
    } finally {
      clearProgress();
    }
  }

  const program = buildProgram(execute);
  for (const command of [program, ...program.commands]) {
    command.exitOverride().configureOutput({ outputError: () => undefined });
  }
  try {
    if (argv.length === 0) {
      process.stderr.write(program.helpInformation());
      return ExitStatus.usage;
    }
    await program.parseAsync(argv, { from: "user" });
  } catch (thrown) {
    const error = translateParserError(thrown);
    return error === null ? ExitStatus.done : reportError(processContext(globals(argv)), error);
  }
  return status;
}

/**
 * Ends the process although calls have not returned that node would wait for; undefined when there
 * are none, and it ends by itself.
 */
export async function enderOfPendingCalls(): Promise<((status: ExitStatus) => void) | undefined> {
  if (!hasPendingCalls()) return undefined;
  return (await import("../kernel/end.js")).endAtOnce;
}

/** Tells the error and says with which status to end. */
export function reportUncaught(argv: readonly string[], error: unknown): ExitStatus {
  return reportError(processContext(globals(argv)), error);
}

/** The parser may have failed before it came to these. */
function globals(argv: readonly string[]): GlobalOptions {
  const end = argv.indexOf("--");
  const options = end < 0 ? argv : argv.slice(0, end);
  return { json: options.includes("--json"), color: !options.includes("--no-color") };
}
