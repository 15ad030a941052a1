/** Runs other programs for the demo: `ip` to build its network, and `ilm` itself, as a user would. */
import { spawn } from "node:child_process";
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
    // A group of its own: Ctrl-C asks the demo to clean up, and must not cut short a command of it.
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

/** @throws IlmError SYSCALL with what `ip` said. */
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

/** Runs this very ilm. A failure is a result, not an error. */
export function ilm(argv: readonly string[], color: boolean): Promise<CommandResult> {
  const { NO_COLOR: _noColor, FORCE_COLOR: _forceColor, ...env } = process.env;
  return run(process.execPath, [launcher, ...argv], {
    ...env,
    ...(color ? { FORCE_COLOR: "1" } : { NO_COLOR: "1" }),
  });
}
