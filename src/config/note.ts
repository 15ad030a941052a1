/** Notes problems of a document that has been read, at their places. */
import type { Origin } from "../model/mapping.js";
import type { Problems } from "./problems.js";
import { formatPath, type Path, type Source } from "./source.js";

/** Formats `file:line:column`, like the messages themselves. */
export function formatOrigin({ file, line, column }: Origin): string {
  return line > 0 ? `${file}:${line}:${column}` : file;
}

/** Returns the path of an item, which may have been written alone instead of in a list. */
export function itemPath(source: Source, path: Path, index: number): Path {
  return Array.isArray(source.valueAt(path)) ? [...path, index] : path;
}

export function note(
  problems: Problems,
  source: Source,
  path: Path,
  message: string,
  hint: string,
  of: "key" | "value" = "value",
  severity: "error" | "warning" = "error",
): void {
  problems.add({
    severity,
    file: source.name,
    ...source.place(path, of),
    path: formatPath(path),
    message,
    hint,
  });
}
