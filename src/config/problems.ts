/**
 * Collects everything that is wrong, so that one run shows it all, in the order of the files'
 * lines.
 */
import { configurationError, IlmError, type Problem } from "../errors.js";

/** The maximum number of errors to show. The rest are counted. */
export const MAX_PROBLEMS = 100;
/** The same for warnings, of which commands show those that are alike as one. */
export const MAX_WARNINGS = 1000;

export class Problems {
  readonly #problems: Problem[] = [];
  readonly #places = new Set<string>();

  add(problem: Problem): void {
    this.#problems.push(problem);
    this.#places.add(placeKey(problem));
  }

  get isEmpty(): boolean {
    return this.#problems.length === 0;
  }

  /**
   * Reports whether a problem was noted at this very place. If so, the validator's view of the same
   * value adds nothing.
   */
  hasAt(place: Pick<Problem, "file" | "line" | "column" | "path">): boolean {
    return this.#places.has(placeKey(place));
  }

  /** Returns the warnings in order, at most MAX_WARNINGS and a line that counts the rest. */
  warnings(files: readonly string[]): Problem[] {
    return cap(
      inOrder(
        this.#problems.filter(({ severity }) => severity === "warning"),
        files,
      ),
      MAX_WARNINGS,
    );
  }

  /** Throws if there is an error: CONFIGURATION with all errors in order, then the warnings. */
  throwIfErrors(files: readonly string[]): void {
    const errors = inOrder(
      this.#problems.filter(({ severity }) => severity === "error"),
      files,
    );
    if (errors.length === 0) return;
    if (errors.length > MAX_PROBLEMS) throw tooMany(errors);
    throw configurationError([...errors, ...this.warnings(files)]);
  }
}

function placeKey({
  file,
  line,
  column,
  path,
}: Pick<Problem, "file" | "line" | "column" | "path">): string {
  return JSON.stringify([file, line, column, path]);
}

function tooMany(errors: readonly Problem[]): IlmError {
  return new IlmError(
    "CONFIGURATION",
    `the configuration has ${errors.length} errors; nothing was changed`,
    { problems: cap(errors, MAX_PROBLEMS) },
  );
}

function cap(problems: readonly Problem[], most: number): Problem[] {
  const first = problems[0];
  const rest = problems.length - most;
  if (first === undefined || rest <= 0) return [...problems];
  const place = { file: problems[most]?.file ?? first.file, line: 0, column: 0, path: "" };
  return [
    ...problems.slice(0, most),
    { severity: first.severity, ...place, message: `and ${rest} more`, hint: "" },
  ];
}

/** Sorts by file as given, line and column. Keeps equal messages at the same place once. */
function inOrder(problems: readonly Problem[], files: readonly string[]): Problem[] {
  const order = new Map(files.map((name, index) => [name, index]));
  const position = ({ file }: Problem): number => order.get(file) ?? files.length;
  const sorted = problems.toSorted(
    (left, right) =>
      position(left) - position(right) || left.line - right.line || left.column - right.column,
  );
  const seen = new Set<string>();
  return sorted.filter((problem) => {
    const key = `${placeKey(problem)} ${problem.message}`;
    return !seen.has(key) && seen.add(key);
  });
}
