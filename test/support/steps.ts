/**
 * The steps of a change, which are its system calls that change something, and commands that are
 * killed at one of them.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { python, script } from "./paths.js";
import { Background } from "./process.js";
import type { Random } from "./random.js";

export interface TraceOptions {
  /** 1: the first. The command is killed instead of it. */
  readonly kill?: number;
  /** Steps count from `begin` on. */
  readonly wait?: boolean;
}

/** A command that stops for a moment at each step; see python/steps.py. */
export class Traced extends Background {
  readonly #file: string;
  #begun = 0;

  constructor(command: readonly string[], { kill, wait = false }: TraceOptions = {}) {
    const file = join(mkdtempSync(join(tmpdir(), "ilm-steps-")), "steps.json");
    const options = [
      ...(kill === undefined ? [] : ["--kill", String(kill)]),
      ...(wait ? ["--wait"] : []),
    ];
    super([python, script("steps.py"), file, ...options, ...command]);
    this.#file = file;
  }

  /** The steps until the last `begin`, or until the end. */
  steps(): readonly string[] {
    return JSON.parse(readFileSync(this.#file, "utf8")) as readonly string[];
  }

  /** Restarts the counts. */
  async begin(): Promise<void> {
    this.#begun += 1;
    this.signal("SIGUSR1");
    await this.waitFor(({ stdout }) =>
      stdout.split("counting\n").length > this.#begun ? true : null,
    );
  }

  /** After the end. */
  forget(): void {
    rmSync(join(this.#file, ".."), { recursive: true });
  }
}

export interface Trace {
  /** As of a shell: 137 when it was killed. */
  readonly status: number | null;
  readonly steps: readonly string[];
  readonly text: string;
}

/** Waits for its end. */
export async function traceOf(traced: Traced): Promise<Trace> {
  const { status, stdout, stderr } = await traced.exited;
  const steps = traced.steps();
  traced.forget();
  return { status, steps, text: stdout + stderr };
}

/**
 * `count` of 1 to `total`, in order, one out of each stretch of the same length; all when there are
 * no more.
 */
export function sample(total: number, count: number, { next }: Random): readonly number[] {
  if (count >= total) return Array.from({ length: total }, (_, i) => i + 1);
  const stretch = total / count;
  return Array.from({ length: count }, (_, i) => 1 + Math.floor((i + next()) * stretch));
}
