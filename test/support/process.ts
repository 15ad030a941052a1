/** Child processes of the suites: run to the end, or in the background, and never left behind. */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";

export interface RunOptions {
  /** Written to standard input, which is then closed. */
  readonly input?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** The process is killed after this time, and `run` rejects. */
  readonly timeout_ms?: number;
}

export interface RunResult {
  readonly command: string;
  /** Null when a signal ended it. */
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

const alive = new Set<ChildProcessWithoutNullStreams>();
process.on("exit", () => {
  for (const child of alive) {
    child.kill("SIGKILL");
  }
});

/** A process in the background with everything that it has printed so far. */
export class Background {
  readonly exited: Promise<RunResult>;
  readonly command: string;
  stdout = "";
  stderr = "";
  #child: ChildProcessWithoutNullStreams;
  #ended: RunResult | null = null;
  #watchers = new Set<() => void>();

  constructor(command: readonly string[], options: RunOptions = {}) {
    const [file, ...args] = command;
    if (file === undefined) {
      throw new Error("an empty command cannot be started");
    }
    this.command = command.join(" ");
    const child = spawn(file, args, {
      stdio: "pipe",
      env: { ...process.env, ...options.env },
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    });
    this.#child = child;
    alive.add(child);
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      this.stdout += text;
      this.#tell();
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.stderr += text;
      this.#tell();
    });
    // A process that ends without reading its input is no fault of the harness.
    child.stdin.on("error", () => undefined);
    this.exited = new Promise((resolve, reject) => {
      child.on("error", (error) => {
        alive.delete(child);
        reject(error);
      });
      child.on("close", (status, signal) => {
        alive.delete(child);
        this.#ended = {
          command: this.command,
          status,
          signal,
          stdout: this.stdout,
          stderr: this.stderr,
        };
        this.#tell();
        resolve(this.#ended);
      });
    });
    this.exited.catch(() => undefined);
    if (options.input !== undefined) {
      child.stdin.end(options.input);
    }
  }

  get pid(): number {
    const pid = this.#child.pid;
    if (pid === undefined) {
      throw new Error(`${this.command} could not be started`);
    }
    return pid;
  }

  get running(): boolean {
    return this.#ended === null;
  }

  write(text: string): void {
    this.#child.stdin.write(text);
  }

  closeInput(): void {
    this.#child.stdin.end();
  }

  /**
   * Resolves as soon as `test` gives something; rejects when the process ends before, or the time
   * is up.
   */
  async waitFor<Value>(
    test: (self: this) => Value | null | undefined,
    timeout_ms = 120_000,
  ): Promise<Value> {
    return await new Promise<Value>((resolve, reject) => {
      const done = (action: () => void): void => {
        clearTimeout(timer);
        this.#watchers.delete(look);
        action();
      };
      const look = (): void => {
        const value = test(this);
        if (value !== null && value !== undefined) {
          done(() => resolve(value));
        } else if (this.#ended !== null) {
          done(() => reject(new Error(`ended before it was ready: ${this.#describe()}`)));
        }
      };
      const timer = setTimeout(
        () =>
          done(() => reject(new Error(`not ready after ${timeout_ms} ms: ${this.#describe()}`))),
        timeout_ms,
      );
      this.#watchers.add(look);
      look();
    });
  }

  async waitForOutput(pattern: RegExp, timeout_ms?: number): Promise<RegExpExecArray> {
    return await this.waitFor(
      (self) => pattern.exec(self.stdout) ?? pattern.exec(self.stderr),
      timeout_ms,
    );
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Ends it, by default at once, and waits until it is gone. */
  async stop(signal: NodeJS.Signals = "SIGKILL", timeout_ms = 60_000): Promise<RunResult> {
    this.#child.kill(signal);
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), timeout_ms);
    try {
      return await this.exited;
    } finally {
      clearTimeout(timer);
    }
  }

  #tell(): void {
    for (const look of this.#watchers) {
      look();
    }
  }

  #describe(): string {
    const end =
      this.#ended === null ? "still running" : `exit ${this.#ended.status ?? this.#ended.signal}`;
    return `${this.command} (${end})\n${this.stdout}${this.stderr}`;
  }
}

/** A command line without quoting, as its words. */
export function words(commandLine: string): readonly string[] {
  return commandLine.trim().split(/\s+/);
}

/**
 * Runs a command to its end. Any exit status is a result; only a command that cannot be run or
 * hangs is an error.
 */
export async function run(
  command: readonly string[],
  options: RunOptions = {},
): Promise<RunResult> {
  const timeout_ms = options.timeout_ms ?? 120_000;
  const child = new Background(command, { ...options, input: options.input ?? "" });
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.signal("SIGKILL");
  }, timeout_ms);
  try {
    const result = await child.exited;
    if (late) {
      throw new Error(
        `${result.command} did not end in ${timeout_ms} ms\n${result.stdout}${result.stderr}`,
      );
    }
    return result;
  } finally {
    clearTimeout(timer);
  }
}

/** Runs a command that has to succeed, and gives what it printed. */
export async function must(command: readonly string[], options: RunOptions = {}): Promise<string> {
  const result = await run(command, options);
  if (result.status !== 0) {
    throw new Error(
      `${result.command}: exit ${result.status ?? result.signal}\n${result.stdout}${result.stderr}`,
    );
  }
  return result.stdout;
}

/** Asks again until `look` gives something else than null; for what no process announces. */
export async function eventually<Value>(
  what: string,
  look: () => Promise<Value | null> | Value | null,
  timeout_ms = 60_000,
): Promise<Value> {
  const deadline = Date.now() + timeout_ms;
  for (;;) {
    const value = await look();
    if (value !== null) {
      return value;
    }
    if (Date.now() > deadline) {
      throw new Error(`not seen within ${timeout_ms} ms: ${what}`);
    }
    await pause(20);
  }
}

export async function pause(duration_ms: number): Promise<void> {
  await new Promise((resolve) => {
    setTimeout(resolve, duration_ms);
  });
}
