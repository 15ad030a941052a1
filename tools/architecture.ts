/** Finds the files and folders that ARCHITECTURE.md names, and those of them that do not exist. */
import { findCodeSpans } from "./markdown.js";

export interface NamedFile {
  readonly name: string;
  /** The line of the name, from 1. */
  readonly line: number;
  /** The folder that the map's row is about, such as `src/rules/`; null outside of the map. */
  readonly row: string | null;
}

/** Matches a file by its ending, and a folder by its slash. What the kernel names has neither. */
const path = /^[\w-][\w./-]*(?:\/|\.(?:c|h|ts|md|sh|yaml|json|py))$/;
/** Matches a row of the map. */
const rowOf = /^\| `([\w/-]+\/)` \|/;
/** What this section names does not exist, and that is its point. */
const ABSENT = "\n## Deliberately absent";

/** Where a name is looked for, besides the folder of its row. */
const roots = ["", "src/", "src/dataplane/", "bpf/"];

export function findNamedFiles(document: string): NamedFile[] {
  const [text = ""] = document.split(ABSENT);
  const lines = text.split("\n");
  return findCodeSpans(text)
    .filter(({ code }) => path.test(code))
    .map(({ code, line }) => ({
      name: code,
      line,
      row: rowOf.exec(lines[line - 1] ?? "")?.[1] ?? null,
    }));
}

/** Reports whether a name means one of `files`, which are paths from the top of the repository. */
export function isThere({ name, row }: NamedFile, files: readonly string[]): boolean {
  return [...(row === null ? [] : [row]), ...roots].some((root) => {
    const whole = root + name;
    return files.some((file) => (whole.endsWith("/") ? file.startsWith(whole) : file === whole));
  });
}
