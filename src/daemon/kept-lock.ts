/**
 * A daemon's writer's lock, renewed when its file is removed: a lock on a removed file would let
 * other writers in.
 */
import { acquireWriterLock, type WriterLock } from "../kernel/lock.js";
import type { Logger } from "./log.js";

export class KeptLock {
  readonly #netnsInode: number;
  readonly #log: Logger;
  #lock: WriterLock;

  constructor(netnsInode: number, lock: WriterLock, log: Logger) {
    this.#netnsInode = netnsInode;
    this.#lock = lock;
    this.#log = log;
  }

  /**
   * Recreates the file if it was removed. Throws LOCKED while another writer has the new one, and
   * UNAVAILABLE.
   */
  keep(): void {
    if (this.#lock.isCurrent()) return;
    const again = acquireWriterLock(this.#netnsInode, { waitMs: 0 });
    this.#lock.release();
    this.#lock = again;
    this.#log.log("warning", "the lock file was removed: recreating it");
  }

  release(): void {
    this.#lock.release();
  }
}
