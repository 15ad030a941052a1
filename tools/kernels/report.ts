/**
 * What a guest says on its console, one line each, and how it comes to say it. The host reads these
 * lines (table.ts).
 */

import { IlmError } from "../../src/errors.js";

/**
 * ok: works. refused: ilm says clearly that this kernel cannot, and what to do. absent: not in this
 * kernel or not built for it. failed: anything else. `timeout` is the host's word for a guest that
 * fell silent.
 */
type Verdict = "ok" | "refused" | "absent" | "failed";

export const MARK = "@ilm";

/** Thrown by a capability that this kernel does not have. */
export class Absent extends Error {
  override readonly name = "Absent";
}

/** Thrown by a capability that ilm refuses on this kernel. */
export class Refused extends Error {
  override readonly name = "Refused";
}

function sayResult(name: string, verdict: Verdict, detail: string): void {
  say(["result", name, verdict, detail]);
}

function say(words: readonly string[]): void {
  const clean = words.map((word) => word.replaceAll(/\s+/g, " ").replaceAll("|", "/").trim());
  process.stdout.write(`\n${MARK}|${clean.join("|")}\n`);
}

export function note(name: string, text: string): void {
  say(["note", name, text]);
}

/** A row of the table that says how much, and not whether. */
export function figure(name: string, value: string): void {
  say(["figure", name, value]);
}

export async function capability(
  name: string,
  prove: () => string | void | Promise<string | void>,
): Promise<void> {
  say(["start", name]);
  const started = performance.now();
  try {
    const detail = (await prove()) ?? "";
    sayResult(name, "ok", `${detail} (${((performance.now() - started) / 1000).toFixed(1)} s)`);
  } catch (error) {
    if (error instanceof Absent) sayResult(name, "absent", error.message);
    else if (error instanceof Refused) sayResult(name, "refused", error.message);
    else if (error instanceof Error) {
      const where = /guest-\w+\.js:\d+/.exec(error.stack ?? "")?.[0] ?? "";
      // libbpf's and the verifier's words.
      const why = error instanceof IlmError ? (error.remedy ?? "").slice(-800) : "";
      sayResult(name, "failed", `${error.message} ${where} ${why}`);
    } else throw error;
  }
}

export function expectEqual(what: string, found: unknown, wanted: unknown): void {
  const [a, b] = [JSON.stringify(found), JSON.stringify(wanted)];
  if (a !== b) throw new Error(`${what}: ${a} instead of ${b}`);
}
