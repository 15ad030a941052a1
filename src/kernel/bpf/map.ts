/**
 * Maps. The length of every buffer is checked against the kernel's description of the map before
 * native code sees it: a wrong length would mean reading or writing beyond the buffer, as root.
 */
import { Errno } from "../errno.js";
import { IlmError } from "../../errors.js";
import { libbpfFunction, checkedBpf, syscallError } from "../ffi.js";
import type { Folder } from "../folder.js";
import { PROT_READ, withMapping, PROT_WRITE, close } from "../libc.js";
import {
  info,
  textAt,
  Handle,
  mapUpdate,
  duplicate,
  noMemory,
  open,
  mapCreate,
  BPF_MAP_TYPE_ARRAY,
} from "./handle.js";

/** The number of entries in a batched look-up. The first asks for fewer, as most maps have few. */
const BATCH = 4096;

const FIRST_BATCH = 256;

export const UpdateFlag = { any: 0, noExist: 1, exist: 2 } as const;

const mapLookup = libbpfFunction<[number, Uint8Array, Uint8Array], number>(
  "int bpf_map_lookup_elem(int fd, const void *key, void *value)",
);

const mapDelete = libbpfFunction<[number, Uint8Array], number>(
  "int bpf_map_delete_elem(int fd, const void *key)",
);

const mapNextKey = libbpfFunction<[number, Uint8Array | null, Uint8Array], number>(
  "int bpf_map_get_next_key(int fd, const void *key, void *next)",
);

const mapUpdateBatch = libbpfFunction<[number, Uint8Array, Uint8Array, Uint32Array, null], number>(
  "int bpf_map_update_batch(int fd, const void *keys, const void *values, void *count, const void *options)",
);

const mapLookupBatch = libbpfFunction<
  [number, Uint8Array | null, Uint8Array, Uint8Array, Uint8Array, Uint32Array, null],
  number
>(
  "int bpf_map_lookup_batch(int fd, const void *in, void *out, void *keys, void *values, void *count, const void *options)",
);

const possibleCpus = libbpfFunction<[], number>("int libbpf_num_possible_cpus()");

/**
 * The number of possible CPUs. A per-CPU map's value is that many values, each rounded up to 8
 * bytes.
 */
let cpuCount: number | undefined;

export function cpus(): number {
  cpuCount ??= checkedBpf("libbpf_num_possible_cpus", possibleCpus());
  return cpuCount;
}

const BPF_MAP_TYPE_PERCPU_ARRAY = 6;

/** A flag of map_flags, from include/uapi/linux/bpf.h. */
const BPF_F_MMAPABLE = 1 << 10;

/** The properties of a map that never change. */
interface MapShape {
  readonly keySize: number;
  /** The size of one value in user space, in bytes; for a per-CPU map, of all CPUs together. */
  readonly valueSize: number;
  readonly maxEntries: number;
  /** The name from the object file, of which the kernel keeps 15 characters. */
  readonly name: string;
  /** True for an array whose values can be read and written as memory. */
  readonly isMappable: boolean;
}

/** How many values are read at a time where they cannot be mapped. */
const ARRAY_PART = 16_384;

/** The least size to map, in bytes: copying less by the kernel is faster. */
const MAPPED_FROM = 65_536;

/** The alignment of mappings, in bytes: a multiple of every machine's page size. */
const MAPPING_STEP = 65_536;

/**
 * Writes values of an array into a buffer, `stride` bytes apart; it is the map's own memory where
 * that can be mapped.
 */
export type PutValues = (values: DataView, stride: number) => void;

/**
 * Reads struct bpf_map_info: type 0, key_size 8, value_size 12, max_entries 16, map_flags 20, name
 * 24.
 */
function shapeOf(fd: number): MapShape {
  const view = info(fd, 80);
  const perCpu = view.getUint32(0, true) === BPF_MAP_TYPE_PERCPU_ARRAY;
  const valueSize = view.getUint32(12, true);
  return {
    keySize: view.getUint32(8, true),
    valueSize: perCpu ? Math.ceil(valueSize / 8) * 8 * cpus() : valueSize,
    maxEntries: view.getUint32(16, true),
    name: textAt(view, 24),
    isMappable: (view.getUint32(20, true) & BPF_F_MMAPABLE) !== 0,
  };
}

export class BpfMap extends Handle implements MapShape {
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly name: string;
  readonly isMappable: boolean;

  /** Asks the kernel for the `shape` unless it is known. */
  constructor(fd: number, shape: MapShape = shapeOf(fd)) {
    super(fd);
    this.keySize = shape.keySize;
    this.valueSize = shape.valueSize;
    this.maxEntries = shape.maxEntries;
    this.name = shape.name;
    this.isMappable = shape.isMappable;
  }

  #key(key: Uint8Array): Uint8Array {
    if (key.byteLength !== this.keySize) {
      throw new RangeError(`key of ${key.byteLength} bytes for a map with ${this.keySize}`);
    }
    return key;
  }

  #value(value: Uint8Array): Uint8Array {
    if (value.byteLength !== this.valueSize) {
      throw new RangeError(`value of ${value.byteLength} bytes for a map with ${this.valueSize}`);
    }
    return value;
  }

  /** Returns the value of the key, or undefined when there is no such entry. */
  lookup(key: Uint8Array): Uint8Array | undefined {
    const value = new Uint8Array(this.valueSize);
    const result = mapLookup(this.fd, this.#key(key), value);
    if (result === -Errno.ENOENT) return undefined;
    checkedBpf("bpf_map_lookup_elem", result);
    return value;
  }

  update(key: Uint8Array, value: Uint8Array, flag: number = UpdateFlag.any): void {
    checkedBpf("bpf_map_update_elem", mapUpdate(this.fd, this.#key(key), this.#value(value), flag));
  }

  /** Deletes an entry. Returns false when there was none. */
  delete(key: Uint8Array): boolean {
    const result = mapDelete(this.fd, this.#key(key));
    // A sockmap returns EINVAL for an empty place (net/core/sock_map.c, __sock_map_delete).
    if (result === -Errno.ENOENT || result === -Errno.EINVAL) return false;
    checkedBpf("bpf_map_delete_elem", result);
    return true;
  }

  nextKey(key: Uint8Array | null): Uint8Array | undefined {
    const next = new Uint8Array(this.keySize);
    const result = mapNextKey(this.fd, key === null ? null : this.#key(key), next);
    if (result === -Errno.ENOENT) return undefined;
    checkedBpf("bpf_map_get_next_key", result);
    return next;
  }

  /** Returns the same map with a descriptor of its own. */
  duplicate(): BpfMap {
    return new BpfMap(duplicate(this.fd), this);
  }

  /** Writes entries whose keys follow one another in `keys`, and their values in `values`. */
  updateAll(keys: Uint8Array, values: Uint8Array): void {
    const count = keys.byteLength / this.keySize;
    if (!Number.isInteger(count) || values.byteLength !== count * this.valueSize) {
      throw new RangeError(
        `${keys.byteLength} bytes of keys and ${values.byteLength} of values do not fit together`,
      );
    }
    if (count === 0) return;
    const done = Uint32Array.of(count);
    const called = mapUpdateBatch(this.fd, keys, values, done, null);
    if (called === 0 && done[0] === count) return;
    const result = called === 0 ? -Errno.ENOSPC : called;
    const error = syscallError("bpf_map_update_batch", -result);
    if (result === -Errno.ENOMEM) throw noMemory(this.name, this.maxEntries, error);
    // A full hash returns the one, a full trie the other (kernel/bpf/hashtab.c, lpm_trie.c).
    if (result === -Errno.E2BIG || result === -Errno.ENOSPC) {
      const size = this.maxEntries.toLocaleString("en");
      throw new IlmError("LIMIT", `the map ${this.name} is full: it has ${size} entries`, {
        cause: error.cause,
        remedy: "Use fewer mappings. The active rules are unchanged.",
      });
    }
    throw error;
  }

  /**
   * Reads `count` consecutive values of an array (whose keys are 0, 1, 2 ...) from the place
   * `first` on.
   */
  readArray(count: number, first = 0): Uint8Array {
    const values = new Uint8Array(count * this.valueSize);
    this.#readInto(values, new Uint8Array(count * this.keySize), count, first);
    return values;
  }

  /**
   * Reads `count` values of an array in parts. `look` gets the number of values before each part,
   * and the part, in memory that belongs to the map or is reused for the next part: fresh memory
   * for a million values costs more than reading them. Concurrent writes by programs may be
   * visible.
   */
  readParts(
    count: number,
    first: number,
    look: (before: number, values: Uint8Array) => void,
  ): void {
    if (this.#isWorthMapping(count) && this.#stride === this.valueSize) {
      this.#withValues(first, count, PROT_READ, (values) => {
        look(0, values);
      });
      return;
    }
    const room = Math.min(count, ARRAY_PART);
    const values = new Uint8Array(room * this.valueSize);
    const keys = new Uint8Array(room * this.keySize);
    for (let before = 0; before < count; before += room) {
      const part = Math.min(room, count - before);
      this.#readInto(values, keys, part, first + before);
      look(before, values.subarray(0, part * this.valueSize));
    }
  }

  #readInto(values: Uint8Array, keys: Uint8Array, count: number, first: number): void {
    if (count === 0) return;
    if (this.#isWorthMapping(count) && this.#stride === this.valueSize) {
      this.#withValues(first, count, PROT_READ, (bytes) => {
        values.set(bytes);
      });
      return;
    }
    const done = Uint32Array.of(count);
    // The kernel continues after the key that it is given (kernel/bpf/syscall.c,
    // generic_map_lookup_batch).
    const before = first === 0 ? null : new Uint8Array(Uint32Array.of(first - 1).buffer);
    const result = mapLookupBatch(this.fd, before, new Uint8Array(8), keys, values, done, null);
    // ENOENT means that this was the last batch.
    if (result !== -Errno.ENOENT) checkedBpf("bpf_map_lookup_batch", result);
  }

  /** The distance between values in the kernel (kernel/bpf/arraymap.c, elem_size). */
  get #stride(): number {
    return Math.ceil(this.valueSize / 8) * 8;
  }

  #isWorthMapping(count: number): boolean {
    return this.isMappable && count * this.#stride >= MAPPED_FROM;
  }

  /** Maps `count` values from `first` on for `action`. The memory is gone afterwards. */
  #withValues<T>(
    first: number,
    count: number,
    protection: number,
    action: (bytes: Uint8Array) => T,
  ): T {
    const stride = this.#stride;
    // The kernel would also map what lies behind the last value, up to the end of its page.
    if (first < 0 || count < 0 || first + count > this.maxEntries) {
      throw new RangeError(`${count} values from ${first} on in a map of ${this.maxEntries}`);
    }
    const start = first * stride;
    const offset = start - (start % MAPPING_STEP);
    const length = count * stride;
    return withMapping(this.fd, start - offset + length, protection, offset, (memory) =>
      action(new Uint8Array(memory, start - offset, length)),
    );
  }

  /**
   * Writes `count` values of an array from the place `first` on. `put` writes each value in full,
   * as the memory may hold old ones.
   */
  writeArray(count: number, put: PutValues, first = 0): void {
    if (this.#isWorthMapping(count)) {
      this.#withValues(first, count, PROT_READ | PROT_WRITE, (bytes) => {
        put(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), this.#stride);
      });
      return;
    }
    const values = new Uint8Array(count * this.valueSize);
    put(new DataView(values.buffer), this.valueSize);
    const keys = Uint32Array.from({ length: count }, (_, i) => first + i);
    this.updateAll(new Uint8Array(keys.buffer), values);
  }

  /** Yields all entries. Entries that come or go meanwhile may or may not be seen. */
  *entries(): Generator<[Uint8Array, Uint8Array]> {
    let key = this.nextKey(null);
    while (key !== undefined) {
      const value = this.lookup(key);
      if (value !== undefined) yield [key, value];
      key = this.nextKey(key);
    }
  }

  /** Yields all entries of a hash, thousands at a time: consecutive keys, and their values. */
  *batches(): Generator<[Uint8Array, Uint8Array]> {
    let room = FIRST_BATCH;
    let keys = new Uint8Array(room * this.keySize);
    let values = new Uint8Array(room * this.valueSize);
    let position: Uint8Array | null = null;
    for (;;) {
      const next = new Uint8Array(Math.max(this.keySize, 4));
      const count = Uint32Array.of(room);
      const result = mapLookupBatch(this.fd, position, next, keys, values, count, null);
      // ENOENT means that this was the last batch.
      if (result !== -Errno.ENOENT) checkedBpf("bpf_map_lookup_batch", result);
      const [found = 0] = count;
      yield [keys.slice(0, found * this.keySize), values.slice(0, found * this.valueSize)];
      if (result === -Errno.ENOENT) return;
      position = next;
      if (room === BATCH) continue;
      room = BATCH;
      keys = new Uint8Array(room * this.keySize);
      values = new Uint8Array(room * this.valueSize);
    }
  }

  /**
   * Returns all entries at once, for a walk that deletes: after a deleted key, the kernel starts
   * over.
   */
  snapshot(): [Uint8Array, Uint8Array][] {
    return [...this.entries()];
  }
}

export function openMap(folder: Folder, name: string): BpfMap | undefined {
  const fd = open(folder, name);
  return fd === undefined ? undefined : new BpfMap(fd);
}

/** Creates an array that no program reads, for the control plane's own state. */
export function createArray(name: string, valueSize: number, entries: number): BpfMap {
  // A map that can be mapped takes pages of its own.
  const isMappable = valueSize * entries >= MAPPED_FROM;
  // struct bpf_map_create_opts (bpf.h of libbpf): sz 0, map_flags 28.
  const options = new Uint8Array(48);
  const view = new DataView(options.buffer);
  view.setBigUint64(0, 48n, true);
  view.setUint32(28, isMappable ? BPF_F_MMAPABLE : 0, true);
  const fd = mapCreate(BPF_MAP_TYPE_ARRAY, name, 4, valueSize, entries, options);
  if (fd === -Errno.ENOMEM) {
    throw noMemory(name, entries, syscallError("bpf_map_create", Errno.ENOMEM));
  }
  checkedBpf("bpf_map_create", fd);
  return new BpfMap(fd, { keySize: 4, valueSize, maxEntries: entries, name, isMappable });
}

const BPF_MAP_TYPE_RINGBUF = 27;

/** Creates a ring buffer; `size` in bytes is a power of two, and whole pages. */
export function createRing(name: string, size: number): BpfMap {
  const fd = mapCreate(BPF_MAP_TYPE_RINGBUF, name, 0, 0, size, null);
  if (fd === -Errno.ENOMEM) {
    const { cause } = syscallError("bpf_map_create", Errno.ENOMEM);
    throw new IlmError("LIMIT", `no memory for a ring buffer of ${size} bytes`, {
      cause,
      remedy: "Give this cgroup more (MemoryMax= of the unit), or ask for fewer a second.",
    });
  }
  return new BpfMap(checkedBpf("bpf_map_create", fd));
}

/** Socket maps, and what a daemon's own SO_REUSEPORT program selects from. */
const socketMaps = { sockmap: 15, reuseportSockarray: 20 } as const;

/** Creates a private map of sockets. */
export function createSocketMap(
  type: keyof typeof socketMaps,
  entries: number,
): {
  put(index: number, socket: number): void;
  close(): void;
} {
  const fd = checkedBpf("bpf_map_create", mapCreate(socketMaps[type], "", 4, 4, entries, null));
  return {
    put: (index, socket) => {
      const [key, value] = [index, socket].map(
        (number) => new Uint8Array(Uint32Array.of(number).buffer),
      ) as [Uint8Array, Uint8Array];
      checkedBpf("bpf_map_update_elem", mapUpdate(fd, key, value, UpdateFlag.any));
    },
    close: () => {
      close(fd);
    },
  };
}
