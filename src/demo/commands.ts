/**
 * Runs other programs for the demo: `ip` to build its network, and `ilm` itself, as a user would.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

import { IlmError } from "../errors.js";

const launcher = fileURLToPath(new URL("../../../bin/ilm", import.meta.url));

export interface CommandResult {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

function run(
  program: string,
  argv: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<CommandResult> {
  return new Promise((resolve, reject) => {
    // The child gets a process group of its own: Ctrl-C asks the demo to clean up, and must not cut
    // short one of its commands.
    const child = spawn(program, argv, { env, stdio: ["ignore", "pipe", "pipe"], detached: true });
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
    child.once("error", reject);
    child.once("close", (code, signal) =>
      resolve({
        status: code ?? 1,
        stdout,
        stderr: signal === null ? stderr : `${stderr}${signal}`,
      }),
    );
  });
}

/** Runs `ip` and returns its output. Throws SYSCALL, with what `ip` said, when it fails. */
export async function ip(...argv: string[]): Promise<string> {
  let result: CommandResult;
  try {
    result = await run("ip", argv, process.env);
  } catch (error) {
    throw new IlmError("SYSCALL", "the program ip, which makes the demo's network, did not start", {
      cause: error,
      remedy: "Install iproute2 (apt-get install iproute2).",
    });
  }
  if (result.status === 0) return result.stdout;
  throw new IlmError("SYSCALL", `ip ${argv.join(" ")}: ${result.stderr.trim()}`, {
    remedy: "The demo needs root and network namespaces; see docs/troubleshooting.md.",
  });
}

function environment(color: boolean): NodeJS.ProcessEnv {
  const { NO_COLOR: _noColor, FORCE_COLOR: _forceColor, ...env } = process.env;
  return { ...env, ...(color ? { FORCE_COLOR: "1" } : { NO_COLOR: "1" }) };
}

/** Runs this very ilm. A failure is a result, not an error. */
export function ilm(argv: readonly string[], color: boolean): Promise<CommandResult> {
  return run(process.execPath, [launcher, ...argv], environment(color));
}

/** An `ilm run` in the background. */
export class RunningIlm {
  /** What `ilm run` logged until it was ready. */
  readonly log: string;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, log: string) {
    this.#child = child;
    this.log = log;
  }

  /**
   * Starts `ilm run` and resolves when it says that it is ready. Throws FINDINGS when it does not
   * get ready.
   */
  static async start(netns: string, color: boolean): Promise<RunningIlm> {
    const child = spawn(process.execPath, [launcher, "--netns", netns, "run"], {
      env: environment(color),
      stdio: ["ignore", "ignore", "pipe"],
      detached: true,
    });
    let log = "";
    const ready = await new Promise<boolean>((resolve) => {
      child.stderr.setEncoding("utf8").on("data", (text: string) => {
        log += text;
        if (/\bready\b.*\n/.test(log)) resolve(true);
      });
      child.once("error", () => resolve(false));
      child.once("close", () => resolve(false));
    });
    if (ready) return new RunningIlm(child, log);
    throw new IlmError("FINDINGS", `ilm run did not get ready: ${log.trim()}`);
  }

  /** Resolves when `ilm run` has ended, also when it had ended already. */
  async stop(): Promise<void> {
    await endProcess(this.#child);
  }
}

/** Asks a process to end and waits until it has; one that is gone already is fine. */
export async function endProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, "exit");
  child.kill("SIGTERM");
  await gone;
}
