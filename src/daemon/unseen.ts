/**
 * Whether the daemon sees the files that it is asked to follow. A path says nothing about that: the
 * client may be in another mount namespace, and may read what the daemon may not.
 */
import { constants, promises } from "node:fs";
import { readSeen, seenAt, type Seen } from "../api/seen.js";
import { IlmError, nodeErrno } from "../errors.js";
import { withPatience } from "../patience.js";

/** How long to wait for a file system. One that is slower does not decide about the change. */
const LOOK_MS = 5_000;

class LookTooLong extends Error {}

/**
 * Refuses a change after which the daemon would follow these paths, unless it can read them and
 * they are the files that the client sees, as the header says. Throws UNSEEN.
 */
export async function refuseUnseen(paths: readonly string[], header: string): Promise<void> {
  const theirs = readSeen(header);
  for (const [index, path] of paths.entries()) {
    const wrong = await lookAt(path, theirs[index]);
    if (wrong !== null) throw wrong;
  }
}

async function lookAt(path: string, theirs: Seen | undefined): Promise<IlmError | null> {
  try {
    const ours = await withPatience(
      LOOK_MS,
      () => readable(path),
      () => new LookTooLong(),
    );
    if (theirs === undefined) return null;
    const isSame = ours.itself === theirs.itself || ours.folder === theirs.folder;
    return isSame ? null : unseen(`sees another file at ${path}`, ELSEWHERE);
  } catch (error) {
    if (error instanceof LookTooLong) return null;
    const code = nodeErrno(error);
    if (code === undefined) throw error;
    if (code === "ENOENT" || code === "ENOTDIR") return unseen(`sees no ${path}`, ELSEWHERE);
    if (code === "EACCES" || code === "EPERM") return unseen(`may not read ${path}`, UNREADABLE);
    // Whatever else is wrong may pass, or says nothing about what is there.
    return null;
  }
}

/** Returns what is at the path, of which more than its existence has to be seen. */
async function readable(path: string): Promise<Seen> {
  const file = await promises.open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  await file.close();
  return await seenAt(path);
}

const ELSEWHERE =
  "It runs in a mount namespace of its own: a unit with PrivateTmp=yes has another /tmp, one with ProtectHome=yes no /home. Put the configuration where both see it, such as /etc/ilm, and apply it from there.";
const UNREADABLE =
  "Give it to root, with the folders that lead to it, or start the daemon with `--keep CAP_DAC_READ_SEARCH`.";

function unseen(how: string, remedy: string): IlmError {
  return new IlmError(
    "UNSEEN",
    `the daemon (process ${process.pid}) ${how}, and so could not follow it; nothing was changed`,
    { remedy },
  );
}
