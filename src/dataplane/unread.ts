/** The mappings in the kernel that nobody has read yet, and the descriptors to read them by. */
import { IlmError } from "../errors.js";
import type { BpfMap } from "../kernel/bpf/map.js";

/**
 * How many maps stay open. Whoever makes a change holds the rules before it, and perhaps those that
 * another writer has activated meanwhile; a process that stays must not collect all there were.
 */
const KEPT = 4;

/** A map whose whole content is read at once. */
type ReadOnce = Pick<BpfMap, "readArray" | "maxEntries" | "close">;

/** Owned by an opened data plane, and closed with it. */
export class UnreadMaps {
  readonly #open = new Set<ReadOnce>();

  /** Takes over the map and returns what reads it, once: reading closes the map. */
  keep(map: ReadOnce): () => Uint8Array {
    this.#open.add(map);
    for (const oldest of this.#open) {
      if (this.#open.size <= KEPT) break;
      this.#drop(oldest);
    }
    return () => {
      if (!this.#open.has(map)) {
        throw new IlmError("INTERNAL", "the rules were closed before they were read");
      }
      const bytes = map.readArray(map.maxEntries);
      this.#drop(map);
      return bytes;
    };
  }

  #drop(map: ReadOnce): void {
    if (this.#open.delete(map)) map.close();
  }

  close(): void {
    for (const map of this.#open) this.#drop(map);
  }
}
