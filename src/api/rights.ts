/** Who may read and who may change over the API. */
import { IlmError } from "../errors.js";
import type { Right } from "./api.js";

/** A group of users, by its id and as it was named. */
export interface Group {
  readonly name: string;
  readonly gid: number;
}

/** The groups whose members have rights; null for none. */
export interface ApiGroups {
  readonly readers: Group | null;
  readonly writers: Group | null;
}

export const noGroups: ApiGroups = { readers: null, writers: null };

/** Who is at the other end of a connection, as the kernel says. */
export interface Peer {
  readonly pid: number;
  readonly uid: number;
  readonly gids: readonly number[];
}

/**
 * Returns what the peer may do, or null for nothing. Root and the user of the daemon itself may do
 * all.
 */
export function rightOf(peer: Peer, { readers, writers }: ApiGroups, ownUid: number): Right | null {
  const isIn = (group: Group | null): boolean => group !== null && peer.gids.includes(group.gid);
  if (peer.uid === 0 || peer.uid === ownUid || isIn(writers)) return "change";
  return isIn(readers) ? "read" : null;
}

/**
 * Reports whether the daemon may be told to follow any file: it reads it as root, and quotes it in
 * errors. Others than root have it follow the file that it follows already, or none.
 */
export function mayChooseFile({ uid }: Peer, ownUid: number): boolean {
  return uid === 0 || uid === ownUid;
}

export function allows(right: Right | null, needed: Right): boolean {
  return right === "change" || right === needed;
}

/** The refusal of what the peer may not do. */
export class Forbidden extends IlmError {
  constructor({ pid, uid }: Peer, action: string, remedy: string) {
    super("NOT_PERMITTED", `user ${uid} (process ${pid}) may not ${action}`, { remedy });
  }
}

/** Returns the refusal of a request that takes this right. */
export function lacksRight(peer: Peer, needed: Right, groups: ApiGroups): Forbidden {
  const action = needed === "read" ? "read from the daemon" : "change anything";
  return new Forbidden(peer, action, remedyFor(needed, groups));
}

/** Returns the refusal of a change after which the daemon would follow another file. */
export function choosesFile(peer: Peer, file: string): Forbidden {
  return new Forbidden(
    peer,
    `have the daemon follow ${file}`,
    "Give it the contents instead (`ilm apply -f - < FILE`), after which it follows no file; or run the command as root.",
  );
}

function remedyFor(needed: Right, { readers, writers }: ApiGroups): string {
  const named = [...(needed === "read" ? [readers] : []), writers].filter((one) => one !== null);
  const [first] = named;
  if (first === undefined) {
    const options =
      needed === "read" ? "`--readers GROUP` or `--writers GROUP`" : "`--writers GROUP`";
    return `Run the command as root, or start the daemon with ${options}.`;
  }
  const names = [...new Set(named.map(({ name }) => name))].join(" or ");
  return `Run the command as root, or as a member of the group ${names}: \`usermod -aG ${first.name} USER\`, then log in again.`;
}
