/**
 * Puts many entries into a map, in chunks: a million are never in memory twice, and each call stays
 * short.
 */
import type { Layout } from "../../abi/layout.js";
import { tellShare } from "../../progress.js";
import type { BpfMap } from "../../kernel/bpf/map.js";

/**
 * Entries per call, which take the kernel some 100 microseconds to some milliseconds. Progress is
 * reported as often.
 */
const CHUNK = 16384;

export const u32: Layout<number> = {
  size: 4,
  read: (view, at) => view.getUint32(at, true),
  write: (view, at, value) => {
    view.setUint32(at, value, true);
  },
};

export const u64: Layout<bigint> = {
  size: 8,
  read: (view, at) => view.getBigUint64(at, true),
  write: (view, at, value) => {
    view.setBigUint64(at, value, true);
  },
};

/** Puts `count` entries into any map. */
export function putEntries<Key, Value>(
  map: Pick<BpfMap, "updateAll">,
  count: number,
  [keyLayout, key]: readonly [Layout<Key>, (index: number) => Key],
  [valueLayout, value]: readonly [Layout<Value>, (index: number) => Value],
): void {
  const room = Math.min(count, CHUNK);
  const keys = new Uint8Array(room * keyLayout.size);
  const values = new Uint8Array(room * valueLayout.size);
  const keyView = new DataView(keys.buffer);
  const valueView = new DataView(values.buffer);
  for (let start = 0; start < count; start += CHUNK) {
    tellShare(start, count);
    const length = Math.min(CHUNK, count - start);
    for (let i = 0; i < length; i++) {
      keyLayout.write(keyView, i * keyLayout.size, key(start + i));
      valueLayout.write(valueView, i * valueLayout.size, value(start + i));
    }
    map.updateAll(
      keys.subarray(0, length * keyLayout.size),
      values.subarray(0, length * valueLayout.size),
    );
  }
}

/** Puts `count` entries into an array, starting at `first`. */
export function putArray<Value>(
  map: Pick<BpfMap, "writeArray">,
  count: number,
  layout: Layout<Value>,
  value: (index: number) => Value,
  first = 0,
): void {
  map.writeArray(
    count,
    (values, stride) => {
      for (let i = 0; i < count; i++) {
        if (i % CHUNK === 0) tellShare(i, count);
        layout.write(values, i * stride, value(i));
      }
    },
    first,
  );
}
