/**
 * Renders the demo. `textReporter` prints as it goes; `silentReporter` is for --json, where stdout
 * carries only the result.
 */
import pc from "picocolors";

import type { Dial } from "./dials.js";

export interface Reporter {
  readonly title: (text: string) => void;
  /** Prints a numbered heading. */
  readonly act: (text: string) => void;
  readonly say: (text: string) => void;
  /** Prints a command as the user would type it, and its output. */
  readonly command: (line: string, output: string) => void;
  readonly dials: (dials: readonly Dial[]) => void;
  readonly verdict: (problems: readonly string[], dials: number) => void;
}

export const silentReporter: Reporter = {
  title: () => undefined,
  act: () => undefined,
  say: () => undefined,
  command: () => undefined,
  dials: () => undefined,
  verdict: () => undefined,
};

/** Describes the result of a dial. */
function outcomeWords(dial: Dial): string {
  switch (dial.result.outcome) {
    case "answered":
      return `${dial.result.answer.daemon} (pid ${dial.result.answer.pid})`;
    case "refused":
      return "refused at once";
    case "failed":
      return dial.result.reason;
  }
}

/** Describes what the daemon saw; empty when no daemon was reached. */
function witnessWords(dial: Dial): string {
  if (dial.result.outcome !== "answered") return "";
  const { answer, from } = dial.result;
  return answer.dialled === null
    ? `client ${answer.client}, replied from ${from}`
    : `client ${answer.client}, dialled ${answer.dialled}`;
}

function pad(cells: readonly string[], widths: readonly number[]): string {
  return cells.map((cell, index) => cell.padEnd(widths[index] ?? 0)).join("  ");
}

export function textReporter(color: boolean, write: (text: string) => void): Reporter {
  const paint = pc.createColors(color);
  let acts = 0;
  return {
    title: (text) => write(`${paint.bold(text)}\n`),
    act: (text) => {
      acts += 1;
      write(`\n${paint.bold(`${acts}. ${text}`)}\n`);
    },
    say: (text) => write(`   ${text}\n`),
    command: (line, output) => {
      write(`\n   ${paint.cyan(`$ ${line}`)}\n`);
      for (const row of output.trimEnd().split("\n")) write(`     ${row}\n`);
    },
    dials: (dials) => {
      const rows = dials.map((dial) => [
        `${dial.protocol} ${dial.dialled}`,
        outcomeWords(dial),
        witnessWords(dial),
      ]);
      const heading = ["the client dials", "answered by", "what the daemon sees"];
      const widths = heading.map((title, column) =>
        Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)),
      );
      write(`\n     ${paint.dim(pad(heading, widths).trimEnd())}\n`);
      rows.forEach((row, index) => {
        const dial = dials[index];
        const mark = dial?.problem === null ? paint.green("✓") : paint.red("✗");
        write(`   ${mark} ${pad(row, widths).trimEnd()}\n`);
        if (dial !== undefined) write(`       ${paint.dim(dial.why)}\n`);
        if (dial !== undefined && dial.problem !== null) {
          write(`       ${paint.red(dial.problem)}\n`);
        }
      });
    },
    verdict: (problems, dials) => {
      write("\n");
      if (problems.length === 0) {
        write(`${paint.green(paint.bold(`All ${dials} dials ended where they should.`))}\n`);
      } else {
        for (const problem of problems) write(`${paint.red(`✗ ${problem}`)}\n`);
      }
    },
  };
}
