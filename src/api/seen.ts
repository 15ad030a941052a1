/**
 * What a client sees at the paths that it asks the daemon to follow. In a mount namespace of its
 * own, as that of a unit with PrivateTmp=yes, the daemon may see another file there, or none.
 */
import { promises } from "node:fs";
import { dirname } from "node:path";

/** The header of a request in which the client says it, with a word for each path. */
export const SEEN_HEADER = "ilm-seen";

/** What is at a path, as device and inode numbers. */
export interface Seen {
  readonly itself: string;
  /**
   * The folder in which a file really is: it stays the same when an editor replaces the file. A
   * folder of files stands for itself.
   */
  readonly folder: string;
}

/** Returns what is at the path. Throws what node:fs throws. */
export async function seenAt(path: string): Promise<Seen> {
  const real = await promises.realpath(path);
  const stats = await promises.stat(real, { bigint: true });
  const itself = identity(stats);
  if (stats.isDirectory()) return { itself, folder: itself };
  return { itself, folder: identity(await promises.stat(dirname(real), { bigint: true })) };
}

function identity({ dev, ino }: { readonly dev: bigint; readonly ino: bigint }): string {
  return `${dev}:${ino}`;
}

/** Writes the header's word for a path; undefined when it is not known what is there. */
export function seenWord(seen: Seen | undefined): string {
  return seen === undefined ? "-" : `${seen.itself}/${seen.folder}`;
}

/** Reads the header: undefined for each path of which it is not known. */
export function readSeen(header: string): readonly (Seen | undefined)[] {
  return header.split(" ").map((word) => {
    const [, itself, folder] = /^(\d+:\d+)\/(\d+:\d+)$/.exec(word) ?? [];
    return itself === undefined || folder === undefined ? undefined : { itself, folder };
  });
}
