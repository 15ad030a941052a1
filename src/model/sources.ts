/** The files and folders that rules come from, in words and as arguments. */

/** Formats paths for a sentence: `/etc/a.yaml, /etc/b.yaml`. */
export function listSources(paths: readonly string[]): string {
  return paths.join(", ");
}

/** Formats paths as arguments of a command: `-f /etc/a.yaml -f /etc/b.yaml`. */
export function fileArguments(paths: readonly string[]): string {
  return paths.map((path) => `-f ${path}`).join(" ");
}

/** Reports whether both are the same paths in the same order. */
export function areSameSources(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((path, index) => path === other[index]);
}
