/**
 * Where a daemon serves the API. In the host's own network namespace that is a stable name, and the
 * one by number is a link to it: by that, commands find the daemon of any namespace, also users who
 * may not see which one is the host's, and earlier versions of ilm.
 */
import { hostSocketName, leadsToHostSocket, numberedSocketName } from "../api/socket-path.js";
import { isHostNetns } from "../kernel/netns.js";
import { openRuntimeFolder, runtimePath } from "../kernel/runtime-folder.js";

export interface OwnSocket {
  /** The path of the socket. */
  readonly path: string;
  /** Puts the link to it in place, if there is to be one. Throws UNSAFE_PATH, UNAVAILABLE. */
  keepLink(): void;
  /** Removes the link. */
  removeLink(): void;
}

/** Returns where the daemon of this network namespace serves. Call it in the main thread. */
export function ownSocket(netnsInode: number): OwnSocket {
  const numbered = numberedSocketName(netnsInode);
  if (!isHostNetns()) {
    const nothing = (): void => undefined;
    return { path: `${runtimePath}/${numbered}`, keepLink: nothing, removeLink: nothing };
  }
  return {
    path: `${runtimePath}/${hostSocketName}`,
    keepLink() {
      const folder = openRuntimeFolder();
      try {
        if (folder === undefined || leadsToHostSocket(folder.at(numbered))) return;
        folder.replaceLink(numbered, hostSocketName);
      } finally {
        folder?.close();
      }
    },
    removeLink() {
      const folder = openRuntimeFolder();
      try {
        if (folder !== undefined && leadsToHostSocket(folder.at(numbered))) folder.remove(numbered);
      } finally {
        folder?.close();
      }
    },
  };
}
