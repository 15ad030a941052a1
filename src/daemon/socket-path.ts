/** Where a daemon is to be found. Apart from all else, so that asking whether there is one costs nothing. */

/** The socket of the `run` that works in the network namespace of this inode number. */
export function socketPath(netnsInode: number): string {
  return `/run/ilm/${netnsInode}.sock`;
}
