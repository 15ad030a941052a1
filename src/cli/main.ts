/**
 * Runs the command line once: parses it, enters the namespace, runs the task, reports an error.
 * Returns the exit status.
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

/** Runs a command line and returns its exit status. `argv` excludes node and the script. */
export async function runCommandLine(argv: readonly string[]): Promise<ExitStatus> {
  let status: ExitStatus = ExitStatus.done;

  async function execute(options: GlobalOptions, task: Task): Promise<void> {
    const context = processContext(options);
    if (options.netns !== undefined) {
      // Threads stay in the namespace they were created in, so this comes before the task loads
      // anything.
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
    const error = translateParserError(thrown, program);
    return error === null ? ExitStatus.done : reportError(processContext(globals(argv)), error);
  }
  return status;
}

/**
 * Returns what ends the process although calls that node would wait for have not returned;
 * undefined when there are none, and node ends by itself.
 */
export async function enderOfPendingCalls(): Promise<((status: ExitStatus) => void) | undefined> {
  if (!hasPendingCalls()) return undefined;
  return (await import("../kernel/end.js")).endAtOnce;
}

/** Shows the error and returns the exit status. */
export function reportUncaught(argv: readonly string[], error: unknown): ExitStatus {
  return reportError(processContext(globals(argv)), error);
}

/**
 * Returns the global options that decide how an error is shown. Reads them from `argv`, because the
 * parser may have failed before it came to them.
 */
function globals(argv: readonly string[]): GlobalOptions {
  const end = argv.indexOf("--");
  const options = end < 0 ? argv : argv.slice(0, end);
  return { json: options.includes("--json"), color: !options.includes("--no-color") };
}
