/**
 * BPF objects, maps, programs and links as owned handles. Every buffer's length is checked against what the kernel says of
 * the map before native code sees it: a wrong length would be a read or write beyond the buffer, as root.
 */
import koffi from "koffi";
import { IlmError } from "../errors.js";
import {
  type Pointer,
  checkedBpf,
  errnoOf,
  lastErrno,
  libbpfFunction,
  libcFunction,
  syscallError,
} from "./ffi.js";
import type { Folder } from "./folder.js";
import { PROT_READ, PROT_WRITE, close, read, withMapping, withoutSignals } from "./libc.js";
import { makeRoomForTypes } from "./memory.js";

const ENOENT = 2;
const E2BIG = 7;
const ENOMEM = 12;
const ENOSPC = 28;

/** enum bpf_attach_type, include/uapi/linux/bpf.h */
export const AttachType = {
  cgroupInetIngress: 0,
  cgroupInetSockCreate: 2,
  cgroupInet4Connect: 10,
  cgroupInet6Connect: 11,
  cgroupInetPostBind4: 12,
  cgroupInetPostBind6: 13,
  cgroupSockOps: 3,
  cgroupUdp4Sendmsg: 14,
  cgroupUdp6Sendmsg: 15,
  traceIter: 28,
  cgroupInetSockRelease: 34,
  skLookup: 36,
  tcxIngress: 46,
  tcxEgress: 47,
} as const;
export type AttachType = (typeof AttachType)[keyof typeof AttachType];

/** Entries that one look-up by batch asks for; the first asks for less, as most maps have few. */
const BATCH = 4096;
const FIRST_BATCH = 256;
export const UpdateFlag = { any: 0, noExist: 1, exist: 2 } as const;

const objGet = libbpfFunction<[string], number>("int bpf_obj_get(const char *path)");
const objPin = libbpfFunction<[number, string], number>(
  "int bpf_obj_pin(int fd, const char *path)",
);
const objInfo = libbpfFunction<[number, Uint8Array, Uint32Array], number>(
  "int bpf_obj_get_info_by_fd(int fd, void *info, void *length)",
);
const mapLookup = libbpfFunction<[number, Uint8Array, Uint8Array], number>(
  "int bpf_map_lookup_elem(int fd, const void *key, void *value)",
);
const mapUpdate = libbpfFunction<[number, Uint8Array, Uint8Array, number], number>(
  "int bpf_map_update_elem(int fd, const void *key, const void *value, uint64_t flags)",
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
const mapCreate = libbpfFunction<
  [number, string, number, number, number, Uint8Array | null],
  number
>(
  "int bpf_map_create(int type, const char *name, uint32_t key_size, uint32_t value_size, uint32_t entries, const void *options)",
);
const linkCreate = libbpfFunction<[number, number, number, Uint8Array | null], number>(
  "int bpf_link_create(int program, int target, int type, const void *options)",
);
const linkUpdate = libbpfFunction<[number, number, null], number>(
  "int bpf_link_update(int link, int program, const void *options)",
);
const progQuery = libbpfFunction<
  [number, number, number, Uint32Array, Uint32Array, Uint32Array],
  number
>(
  "int bpf_prog_query(int target, int type, uint32_t flags, void *attach_flags, void *ids, void *count)",
);
const iterCreate = libbpfFunction<[number], number>("int bpf_iter_create(int link)");
const linkNextId = libbpfFunction<[number, Uint32Array], number>(
  "int bpf_link_get_next_id(uint32_t start, void *next)",
);
const linkDetach = libbpfFunction<[number], number>("int bpf_link_detach(int fd)");
const linkFdById = libbpfFunction<[number], number>("int bpf_link_get_fd_by_id(uint32_t id)");
const mapFdById = libbpfFunction<[number], number>("int bpf_map_get_fd_by_id(uint32_t id)");
const progFdById = libbpfFunction<[number], number>("int bpf_prog_get_fd_by_id(uint32_t id)");
const progBindMap = libbpfFunction<[number, number, null], number>(
  "int bpf_prog_bind_map(int program, int map, const void *options)",
);
const testRun = libbpfFunction<[number, Uint8Array], number>(
  "int bpf_prog_test_run_opts(int program, void *options)",
);
const possibleCpus = libbpfFunction<[], number>("int libbpf_num_possible_cpus()");

const objectOpen = libbpfFunction<[string, null], Pointer | null>(
  "void *bpf_object__open_file(const char *path, const void *options)",
);
const objectLoad = libbpfFunction<[Pointer], number>("int bpf_object__load(void *object)");
const objectClose = libbpfFunction<[Pointer], void>("void bpf_object__close(void *object)");
const objectFindMap = libbpfFunction<[Pointer, string], Pointer | null>(
  "void *bpf_object__find_map_by_name(void *object, const char *name)",
);
const objectFindProgram = libbpfFunction<[Pointer, string], Pointer | null>(
  "void *bpf_object__find_program_by_name(void *object, const char *name)",
);
const objectMapFd = libbpfFunction<[Pointer], number>("int bpf_map__fd(void *map)");
const objectMapReuse = libbpfFunction<[Pointer, number], number>(
  "int bpf_map__reuse_fd(void *map, int fd)",
);
const objectMapResize = libbpfFunction<[Pointer, number], number>(
  "int bpf_map__set_max_entries(void *map, uint32_t entries)",
);
const objectMapEntries = libbpfFunction<[Pointer], number>(
  "uint32_t bpf_map__max_entries(const void *map)",
);
const objectMapInitial = libbpfFunction<[Pointer, Uint8Array, number], number>(
  "int bpf_map__set_initial_value(void *map, const void *data, size_t size)",
);
const objectProgramAutoload = libbpfFunction<[Pointer, boolean], number>(
  "int bpf_program__set_autoload(void *program, bool autoload)",
);
const objectProgramFd = libbpfFunction<[Pointer], number>("int bpf_program__fd(void *program)");

const vsnprintf = libcFunction<[Uint8Array, number, Pointer, Pointer], number>(
  "int vsnprintf(void *buffer, size_t size, void *format, void *arguments)",
);

/** The newest warnings of libbpf, with the verifier's words: what a failed load is explained by. */
const libbpfLog: string[] = [];
const LIBBPF_LOG_LINES = 40;
const PRINT_PROTOTYPE = "int ilm_libbpf_print(int level, void *format, void *arguments)";
let printing = false;

/** Keeps libbpf off our stderr, and its words for the error message. Level 0 is a warning. */
function captureLibbpfOutput(): void {
  if (printing) return;
  printing = true;
  const prototype = koffi.proto(PRINT_PROTOTYPE);
  const setPrint = libbpfFunction<[unknown], Pointer | null>(
    "void *libbpf_set_print(ilm_libbpf_print *print)",
  );
  // va_list is passed as a pointer to it on x86-64 and arm64, so it can be handed on as one.
  const print = (level: number, format: Pointer, args: Pointer): number => {
    if (level !== 0) return 0;
    const buffer = new Uint8Array(16384);
    const length = Math.min(vsnprintf(buffer, buffer.length, format, args), buffer.length - 1);
    const text = Buffer.from(buffer.subarray(0, Math.max(length, 0))).toString("utf8");
    libbpfLog.push(...text.split("\n").filter((line) => line.trim() !== ""));
    libbpfLog.splice(0, Math.max(0, libbpfLog.length - LIBBPF_LOG_LINES));
    return 0;
  };
  setPrint(koffi.register(print, koffi.pointer(prototype)));
}

/** A file descriptor that is closed once and unusable afterwards. */
class Handle {
  #fd: number;

  constructor(fd: number) {
    this.#fd = fd;
  }

  get fd(): number {
    if (this.#fd < 0) throw new IlmError("INTERNAL", "a closed BPF handle was used");
    return this.#fd;
  }

  close(): void {
    if (this.#fd < 0) return;
    const fd = this.#fd;
    this.#fd = -1;
    close(fd);
  }

  /** In a folder of the BPF file system. */
  pin(folder: Folder, name: string): void {
    checkedBpf(`pin ${folder.path}/${name}`, objPin(this.fd, folder.at(name)));
  }
}

/** char[BPF_OBJ_NAME_LEN] */
function textAt(view: DataView, at: number): string {
  const bytes = Buffer.from(view.buffer, view.byteOffset + at, 16);
  return bytes.toString("utf8", 0, bytes.indexOf(0));
}

function info(fd: number, size: number): DataView {
  const bytes = new Uint8Array(size);
  checkedBpf("bpf_obj_get_info_by_fd", objInfo(fd, bytes, Uint32Array.of(size)));
  return new DataView(bytes.buffer);
}

/** Of maps and programs, among others: the kernel counts it to the cgroup of who asks. */
function noMemory(map: string, entries: number, cause: IlmError): IlmError {
  return new IlmError(
    "LIMIT",
    `no memory for the map ${map} of ${entries.toLocaleString("en")} entries`,
    {
      cause: cause.cause,
      remedy:
        "Give this cgroup more (MemoryMax= of the unit), free memory, or use fewer mappings. What was in force stays.",
    },
  );
}

/** Possible CPUs: a per-CPU map's value is that many values, each rounded up to 8 bytes. */
let cpuCount: number | undefined;
export function cpus(): number {
  cpuCount ??= checkedBpf("libbpf_num_possible_cpus", possibleCpus());
  return cpuCount;
}

const BPF_MAP_TYPE_PERCPU_ARRAY = 6;
/** include/uapi/linux/bpf.h, of map_flags */
const BPF_F_MMAPABLE = 1 << 10;

/** What is the same of a map for good. */
interface MapShape {
  readonly keySize: number;
  /** What one value takes in user space; of all CPUs for a per-CPU map. */
  readonly valueSize: number;
  readonly maxEntries: number;
  /** As in the object file; the kernel keeps 15 characters. */
  readonly name: string;
  /** An array whose values can be read and written as memory. */
  readonly isMappable: boolean;
}

/** Values that are read at a time where they cannot be mapped. */
const ARRAY_PART = 16_384;
/** Bytes: to map fewer takes longer than to have the kernel copy them. */
const MAPPED_FROM = 65_536;
/** Bytes: a multiple of every machine's pages, on which a mapping has to begin. */
const MAPPING_STEP = 65_536;

/** Puts values of an array into a buffer, `stride` bytes from one to the next; of the map itself, where it can be mapped. */
export type PutValues = (values: DataView, stride: number) => void;

/** struct bpf_map_info: type 0, key_size 8, value_size 12, max_entries 16, map_flags 20, name 24. */
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

  /** `shape`: where it is known; otherwise the kernel is asked. */
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

  /** Undefined when there is no such entry. */
  lookup(key: Uint8Array): Uint8Array | undefined {
    const value = new Uint8Array(this.valueSize);
    const result = mapLookup(this.fd, this.#key(key), value);
    if (result === -ENOENT) return undefined;
    checkedBpf("bpf_map_lookup_elem", result);
    return value;
  }

  update(key: Uint8Array, value: Uint8Array, flag: number = UpdateFlag.any): void {
    checkedBpf("bpf_map_update_elem", mapUpdate(this.fd, this.#key(key), this.#value(value), flag));
  }

  /** False when there was no such entry. */
  delete(key: Uint8Array): boolean {
    const result = mapDelete(this.fd, this.#key(key));
    // A sockmap says EINVAL for an empty place (net/core/sock_map.c, __sock_map_delete).
    if (result === -ENOENT || result === -22) return false;
    checkedBpf("bpf_map_delete_elem", result);
    return true;
  }

  nextKey(key: Uint8Array | null): Uint8Array | undefined {
    const next = new Uint8Array(this.keySize);
    const result = mapNextKey(this.fd, key === null ? null : this.#key(key), next);
    if (result === -ENOENT) return undefined;
    checkedBpf("bpf_map_get_next_key", result);
    return next;
  }

  /** The same map by a descriptor of its own. */
  duplicate(): BpfMap {
    return new BpfMap(duplicate(this.fd), this);
  }

  /** Keys one after the other, values likewise. */
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
    const result = called === 0 ? -ENOSPC : called;
    const error = syscallError("bpf_map_update_batch", -result);
    if (result === -ENOMEM) throw noMemory(this.name, this.maxEntries, error);
    // A full hash says the one, a full trie the other (kernel/bpf/hashtab.c, lpm_trie.c).
    if (result === -E2BIG || result === -ENOSPC) {
      const size = this.maxEntries.toLocaleString("en");
      throw new IlmError("LIMIT", `the map ${this.name} is full: it has ${size} entries`, {
        cause: error.cause,
        remedy: "Use fewer mappings. What was in force stays.",
      });
    }
    throw error;
  }

  /** `count` values of an array (whose keys are 0, 1, 2 ...) from the place `first` on, one after the other. */
  readArray(count: number, first = 0): Uint8Array {
    const values = new Uint8Array(count * this.valueSize);
    this.#readInto(values, new Uint8Array(count * this.keySize), count, first);
    return values;
  }

  /**
   * The same in parts: how many values came before, and some, in memory that is the map's or is used again for the next: a million values
   * in fresh memory cost more than to read them. What programs write meanwhile may be seen.
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
    // The kernel goes on behind the key that it is given (kernel/bpf/syscall.c, generic_map_lookup_batch).
    const before = first === 0 ? null : new Uint8Array(Uint32Array.of(first - 1).buffer);
    const result = mapLookupBatch(this.fd, before, new Uint8Array(8), keys, values, done, null);
    // ENOENT: that was the last batch.
    if (result !== -ENOENT) checkedBpf("bpf_map_lookup_batch", result);
  }

  /** As the kernel lays values out (kernel/bpf/arraymap.c, elem_size). */
  get #stride(): number {
    return Math.ceil(this.valueSize / 8) * 8;
  }

  #isWorthMapping(count: number): boolean {
    return this.isMappable && count * this.#stride >= MAPPED_FROM;
  }

  /** With the memory of `count` values from `first` on, which is gone afterwards. */
  #withValues<T>(
    first: number,
    count: number,
    protection: number,
    action: (bytes: Uint8Array) => T,
  ): T {
    const stride = this.#stride;
    // The kernel would map what lies behind the last value up to the end of its page.
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

  /** `count` values of an array from the place `first` on: all of each, where the kernel has something already. */
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

  /** All entries. Entries that come or go meanwhile may or may not be seen. */
  *entries(): Generator<[Uint8Array, Uint8Array]> {
    let key = this.nextKey(null);
    while (key !== undefined) {
      const value = this.lookup(key);
      if (value !== undefined) yield [key, value];
      key = this.nextKey(key);
    }
  }

  /** All entries of a hash, thousands at a time: keys one after the other, and their values likewise. */
  *batches(): Generator<[Uint8Array, Uint8Array]> {
    let room = FIRST_BATCH;
    let keys = new Uint8Array(room * this.keySize);
    let values = new Uint8Array(room * this.valueSize);
    let position: Uint8Array | null = null;
    for (;;) {
      const next = new Uint8Array(Math.max(this.keySize, 4));
      const count = Uint32Array.of(room);
      const result = mapLookupBatch(this.fd, position, next, keys, values, count, null);
      // ENOENT: that was the last batch.
      if (result !== -ENOENT) checkedBpf("bpf_map_lookup_batch", result);
      const [found = 0] = count;
      yield [keys.slice(0, found * this.keySize), values.slice(0, found * this.valueSize)];
      if (result === -ENOENT) return;
      position = next;
      if (room === BATCH) continue;
      room = BATCH;
      keys = new Uint8Array(room * this.keySize);
      values = new Uint8Array(room * this.valueSize);
    }
  }

  /** All entries at once, for a walk that deletes: the kernel starts anew from a key that is gone. */
  snapshot(): [Uint8Array, Uint8Array][] {
    return [...this.entries()];
  }
}

/** struct bpf_prog_info: type 0, id 4. */
export class BpfProgram extends Handle {
  /** The same program by a descriptor of its own. */
  duplicate(): BpfProgram {
    return new BpfProgram(duplicate(this.fd));
  }

  get id(): number {
    return info(this.fd, 232).getUint32(4, true);
  }

  /**
   * BPF_PROG_TEST_RUN with a context and no data: what the program returned, and the context afterwards.
   * `averageNs` is the mean of `repeat` runs as the kernel measured it.
   */
  testRun(
    context: Uint8Array,
    repeat = 0,
  ): { result: number; context: Uint8Array; averageNs: number } {
    // struct bpf_test_run_opts (bpf.h of libbpf): sz 0, data_in 8, data_out 16, sizes 24 28, ctx_in 32, ctx_out 40,
    // sizes 48 52, retval 56, repeat 60, duration 64, flags 68, cpu 72, batch_size 76.
    const options = new Uint8Array(80);
    const view = new DataView(options.buffer);
    const out = new Uint8Array(context.byteLength);
    const input = context.slice();
    view.setBigUint64(0, 80n, true);
    view.setBigUint64(32, koffi.address(input), true);
    view.setBigUint64(40, koffi.address(out), true);
    view.setUint32(48, context.byteLength, true);
    view.setUint32(52, out.byteLength, true);
    view.setInt32(60, repeat, true);
    checkedBpf("bpf_prog_test_run", testRun(this.fd, options));
    return {
      result: view.getUint32(56, true),
      context: out,
      averageNs: view.getUint32(64, true),
    };
  }

  /** Likewise with a packet, from its link header on, as if it were on lo of this network namespace: what the program returned. */
  testRunOn(packet: Uint8Array): number {
    const options = new Uint8Array(80);
    const view = new DataView(options.buffer);
    view.setBigUint64(0, 80n, true);
    view.setBigUint64(8, koffi.address(packet), true);
    view.setUint32(24, packet.byteLength, true);
    checkedBpf("bpf_prog_test_run", testRun(this.fd, options));
    return view.getUint32(56, true);
  }
}

export interface LinkInfo {
  readonly type: number;
  readonly id: number;
  readonly programId: number;
  /** For links on a network namespace. */
  readonly netnsInode: number;
  /** For links on an interface; 0 when it is gone. */
  readonly interfaceIndex: number;
  readonly attachType: number;
  /** False: somebody detached it, or what it was on is gone; it only keeps its program. Of links on cgroups, namespaces, interfaces. */
  readonly isAttached: boolean;
  readonly isOnCgroup: boolean;
}

const BPF_LINK_TYPE_CGROUP = 3;
const BPF_LINK_TYPE_NETNS = 5;

export class BpfLink extends Handle {
  /**
   * struct bpf_link_info: type 0, id 4, prog_id 8; netns: netns_ino 16, attach_type 20; tcx: ifindex 16, attach_type 20; cgroup:
   * cgroup_id 16 (64 bits). What a detached one was on is 0.
   */
  info(): LinkInfo {
    const view = info(this.fd, 64);
    const type = view.getUint32(0, true);
    return {
      type,
      id: view.getUint32(4, true),
      programId: view.getUint32(8, true),
      netnsInode: view.getUint32(16, true),
      interfaceIndex: view.getUint32(16, true),
      attachType: view.getUint32(20, true),
      isOnCgroup: type === BPF_LINK_TYPE_CGROUP,
      isAttached:
        type === BPF_LINK_TYPE_CGROUP
          ? view.getBigUint64(16, true) !== 0n
          : view.getUint32(16, true) !== 0,
    };
  }

  /** Takes it off what it is on; whoever holds it keeps only its program. */
  detach(): void {
    checkedBpf("bpf_link_detach", linkDetach(this.fd));
  }

  /** Swaps the program, atomically. */
  update(program: BpfProgram): void {
    checkedBpf("bpf_link_update", linkUpdate(this.fd, program.fd, null));
  }
}

/** A pinned object; undefined when nothing has the name. Throws UNSAFE_PATH: bpf(BPF_OBJ_GET) itself would follow a link. */
function open(folder: Folder, name: string): number | undefined {
  const place = folder.openFile(name);
  if (place === undefined) return undefined;
  try {
    return checkedBpf(`open ${folder.path}/${name}`, objGet(`/proc/self/fd/${place}`));
  } finally {
    close(place);
  }
}

export function openMap(folder: Folder, name: string): BpfMap | undefined {
  const fd = open(folder, name);
  return fd === undefined ? undefined : new BpfMap(fd);
}

export function openProgram(folder: Folder, name: string): BpfProgram | undefined {
  const fd = open(folder, name);
  return fd === undefined ? undefined : new BpfProgram(fd);
}

export function openLink(folder: Folder, name: string): BpfLink | undefined {
  const fd = open(folder, name);
  return fd === undefined ? undefined : new BpfLink(fd);
}

/** Pinned links that are looked at again and again: one that was there is found by its id, in half of the calls. */
export class KnownLinks {
  readonly #ids = new Map<string, number>();

  /** `names`: what is in the folder. Undefined when it is not there. */
  info(folder: Folder, names: readonly string[], name: string): LinkInfo | undefined {
    const id = this.#ids.get(name);
    const known = id !== undefined && names.includes(name) ? infoOf(linkById(id)) : undefined;
    if (known?.isAttached === true) return known;
    // It is another one by now, or this process may not ask by ids.
    const found = infoOf(openLink(folder, name));
    if (found?.isAttached === true) this.#ids.set(name, found.id);
    else this.#ids.delete(name);
    return found;
  }
}

function infoOf(link: BpfLink | undefined): LinkInfo | undefined {
  try {
    return link?.info();
  } finally {
    link?.close();
  }
}

/** `target`: descriptor of the cgroup or the network namespace; interface index for tcx; 0 for iterators. */
export function attach(program: BpfProgram, target: number, type: AttachType): BpfLink {
  return new BpfLink(checkedBpf("bpf_link_create", linkCreate(program.fd, target, type, null)));
}

/** include/uapi/linux/bpf.h */
const BPF_F_BEFORE = 8;

/** Before all others on the interface, in that direction (kernel/bpf/mprog.c): what they let pass would not come to a later one. */
export function attachFirst(
  program: BpfProgram,
  interfaceIndex: number,
  type: typeof AttachType.tcxIngress | typeof AttachType.tcxEgress,
): BpfLink {
  // struct bpf_link_create_opts (bpf.h of libbpf): sz 0, flags 8.
  const options = new Uint8Array(16);
  const view = new DataView(options.buffer);
  view.setBigUint64(0, 16n, true);
  view.setUint32(8, BPF_F_BEFORE, true);
  const fd = linkCreate(program.fd, interfaceIndex, type, options);
  return new BpfLink(checkedBpf("bpf_link_create", fd));
}

/** BPF_MPROG_MAX, include/linux/bpf_mprog.h */
const CHAIN_MAX = 64;

/** The ids of the programs on an interface, in the order in which they run. */
export function chainOf(
  interfaceIndex: number,
  type: typeof AttachType.tcxIngress | typeof AttachType.tcxEgress,
): number[] {
  const ids = new Uint32Array(CHAIN_MAX);
  const number = Uint32Array.of(CHAIN_MAX);
  checkedBpf("bpf_prog_query", progQuery(interfaceIndex, type, 0, new Uint32Array(1), ids, number));
  return [...ids.subarray(0, number[0])];
}

const BPF_MAP_TYPE_ARRAY = 2;
const BPF_MAP_TYPE_ARRAY_OF_MAPS = 12;

/**
 * Returns when every BPF program that was running at the time of the call has ended; some milliseconds. An update of a map of maps
 * waits for just that before it returns (kernel/bpf/syscall.c, maybe_wait_bpf_programs), and is the only call that promises it.
 */
export function waitForPrograms(): void {
  const inner = checkedBpf("bpf_map_create", mapCreate(BPF_MAP_TYPE_ARRAY, "", 4, 4, 1, null));
  try {
    // struct bpf_map_create_opts (bpf.h of libbpf): sz 0, BTF 8 to 23, inner_map_fd 24.
    const options = new Uint8Array(48);
    const view = new DataView(options.buffer);
    view.setBigUint64(0, 48n, true);
    view.setUint32(24, inner, true);
    const outer = checkedBpf(
      "bpf_map_create",
      mapCreate(BPF_MAP_TYPE_ARRAY_OF_MAPS, "", 4, 4, 1, options),
    );
    try {
      const value = new Uint8Array(Uint32Array.of(inner).buffer);
      checkedBpf("bpf_map_update_elem", mapUpdate(outer, new Uint8Array(4), value, UpdateFlag.any));
    } finally {
      close(outer);
    }
  } finally {
    close(inner);
  }
}

/** An array that no program reads: state of the control plane's own. */
export function createArray(name: string, valueSize: number, entries: number): BpfMap {
  // One that can be mapped has pages of its own.
  const isMappable = valueSize * entries >= MAPPED_FROM;
  // struct bpf_map_create_opts (bpf.h of libbpf): sz 0, map_flags 28.
  const options = new Uint8Array(48);
  const view = new DataView(options.buffer);
  view.setBigUint64(0, 48n, true);
  view.setUint32(28, isMappable ? BPF_F_MMAPABLE : 0, true);
  const fd = mapCreate(BPF_MAP_TYPE_ARRAY, name, 4, valueSize, entries, options);
  if (fd === -ENOMEM) throw noMemory(name, entries, syscallError("bpf_map_create", ENOMEM));
  checkedBpf("bpf_map_create", fd);
  return new BpfMap(fd, { keySize: 4, valueSize, maxEntries: entries, name, isMappable });
}

/** Socket maps, and what a daemon's own SO_REUSEPORT program selects from. */
const socketMaps = { sockmap: 15, reuseportSockarray: 20 } as const;

/** A map of sockets of its own, which nobody else sees. */
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

/** All links of the machine, in no order; each is closed when the next is asked for. */
export function* allLinks(): Generator<BpfLink> {
  const next = new Uint32Array(1);
  for (let id = 0; linkNextId(id, next) === 0; id = next[0] ?? 0) {
    const fd = linkFdById(next[0] ?? 0);
    // Gone meanwhile.
    if (fd < 0) continue;
    const link = new BpfLink(fd);
    try {
      yield link;
    } finally {
      link.close();
    }
  }
}

/** Takes these programs off whatever they are attached to by a link. */
export function detachPrograms(programIds: ReadonlySet<number>): void {
  for (const link of allLinks()) {
    const { programId, isAttached } = link.info();
    if (isAttached && programIds.has(programId)) link.detach();
  }
}

/** A link of the machine by its id, which is another descriptor of it; undefined when it is gone. */
export function linkById(id: number): BpfLink | undefined {
  const fd = linkFdById(id);
  return fd < 0 ? undefined : new BpfLink(fd);
}

/** All sk_lookup links of a network namespace, in no order. */
export function skLookupLinks(netnsInode: number): LinkInfo[] {
  const found: LinkInfo[] = [];
  for (const link of allLinks()) {
    const entry = link.info();
    if (entry.type !== BPF_LINK_TYPE_NETNS || entry.attachType !== AttachType.skLookup) continue;
    if (entry.netnsInode === netnsInode) found.push(entry);
  }
  return found;
}

/** More than any program of ours has. */
const PROGRAM_MAPS_MAX = 64;

/** The first map of the program whose name ends so, to be closed; undefined when it has none, or is gone. */
export function mapOfProgram(programId: number, ending: string): BpfMap | undefined {
  const fd = progFdById(programId);
  if (fd < 0) return undefined;
  const ids = new Uint32Array(PROGRAM_MAPS_MAX);
  // struct bpf_prog_info: nr_map_ids 52, map_ids 56. What is asked for is said in the structure itself.
  const bytes = new Uint8Array(232);
  const view = new DataView(bytes.buffer);
  view.setUint32(52, ids.length, true);
  view.setBigUint64(56, koffi.address(ids), true);
  try {
    checkedBpf("bpf_obj_get_info_by_fd", objInfo(fd, bytes, Uint32Array.of(bytes.length)));
  } finally {
    close(fd);
  }
  for (const id of ids.subarray(0, Math.min(view.getUint32(52, true), ids.length))) {
    const mapFd = mapFdById(id);
    if (mapFd < 0) continue;
    const map = new BpfMap(mapFd);
    if (map.name.endsWith(ending)) return map;
    map.close();
  }
  return undefined;
}

/** The constants that the program was loaded with (its map .rodata); undefined when it has none, or is gone. */
export function constantsOf(programId: number): Uint8Array | undefined {
  const map = mapOfProgram(programId, ".rodata");
  try {
    return map?.lookup(new Uint8Array(4));
  } finally {
    map?.close();
  }
}

/** The map lives as long as the program, which need not read it, and is found by the program (BPF_PROG_BIND_MAP). */
export function bindMap(program: BpfProgram, map: BpfMap): void {
  checkedBpf("bpf_prog_bind_map", progBindMap(program.fd, map.fd, null));
}

/** To be closed; undefined when it is gone. */
export function programById(id: number): BpfProgram | undefined {
  const fd = progFdById(id);
  return fd < 0 ? undefined : new BpfProgram(fd);
}

/** The name the program was loaded with (at most 15 characters); empty when it is gone. struct bpf_prog_info: name 64. */
export function programName(id: number): string {
  const program = programById(id);
  if (program === undefined) return "";
  const view = info(program.fd, 232);
  program.close();
  return textAt(view, 64);
}

/** Runs an iterator program to its end and returns what it wrote. */
export function runIterator(program: BpfProgram): Uint8Array {
  const link = attach(program, 0, AttachType.traceIter);
  try {
    const fd = checkedBpf("bpf_iter_create", iterCreate(link.fd));
    try {
      return readAll(fd);
    } finally {
      close(fd);
    }
  } finally {
    link.close();
  }
}

const EAGAIN = 11;

let readBuffer: Uint8Array | undefined;

function readAll(fd: number): Uint8Array {
  const chunks: Uint8Array[] = [];
  const buffer = (readBuffer ??= new Uint8Array(65536));
  for (;;) {
    let length: number;
    try {
      length = read(fd, buffer);
    } catch (error) {
      // The iterator worked through a million sockets without writing (kernel/bpf/bpf_iter.c); it goes on.
      if (errnoOf(error) === EAGAIN) continue;
      throw error;
    }
    if (length === 0) return Buffer.concat(chunks);
    chunks.push(buffer.slice(0, length));
  }
}

/** The verifier gives up when a signal is pending (kernel/bpf/verifier.c), libbpf after five such tries, this after so many of libbpf's. */
const LOADS_MAX = 20;

/** An object file that is opened, adjusted, and loaded once. Close it when its maps and programs are pinned or in hand. */
export class BpfObject {
  #object: Pointer | null;
  readonly #path: string;
  readonly #name: string;
  /** What was adjusted, to be done again when a load has to be. */
  readonly #adjustments: (() => void)[] = [];

  constructor(path: string) {
    captureLibbpfOutput();
    this.#path = path;
    this.#name = path.replace(/^.*\//, "");
    this.#object = this.#open();
  }

  #open(): Pointer {
    const object = objectOpen(this.#path, null);
    if (object === null) throw this.#failure("open", lastErrno());
    return object;
  }

  #adjust(adjustment: () => void): void {
    adjustment();
    this.#adjustments.push(adjustment);
  }

  #failure(what: string, errno: number): IlmError {
    const log = libbpfLog.splice(0).join("\n");
    const error = syscallError(`${what} of ${this.#name}`, errno);
    const map = /map '(\w+)': failed to create/.exec(log)?.[1];
    if (errno === ENOMEM && map !== undefined) {
      return noMemory(map, objectMapEntries(this.#mapPointer(map)), error);
    }
    if (log === "" || error.code === "UNAVAILABLE") return error;
    return new IlmError("SYSCALL", error.message, { cause: error.cause, remedy: log });
  }

  #pointer(): Pointer {
    if (this.#object === null) throw new IlmError("INTERNAL", "a closed BPF object was used");
    return this.#object;
  }

  #mapPointer(name: string): Pointer {
    const map = objectFindMap(this.#pointer(), name);
    if (map === null) throw new IlmError("INTERNAL", `${this.#name} has no map ${name}`);
    return map;
  }

  /** Before load: use an existing map, which stays open until then. It must be of the same shape. */
  reuse(name: string, map: BpfMap): void {
    this.#adjust(() => {
      checkedBpf(`reuse of map ${name}`, objectMapReuse(this.#mapPointer(name), map.fd));
    });
  }

  /** Before load. */
  resize(name: string, entries: number): void {
    this.#adjust(() => {
      checkedBpf(`resize of map ${name}`, objectMapResize(this.#mapPointer(name), entries));
    });
  }

  /** Before load: the constants of the programs. */
  setConstants(bytes: Uint8Array): void {
    this.#adjust(() => {
      const map = this.#mapPointer(".rodata");
      checkedBpf("set of the constants", objectMapInitial(map, bytes, bytes.byteLength));
    });
  }

  /** Before load: a program of an optional section ("?...") is loaded too. */
  include(name: string): void {
    this.#adjust(() => {
      const program = objectFindProgram(this.#pointer(), name);
      if (program === null) throw new IlmError("INTERNAL", `${this.#name} has no program ${name}`);
      checkedBpf(`include program ${name}`, objectProgramAutoload(program, true));
    });
  }

  /** Throws UNAVAILABLE when signals interrupt it each time. */
  load(): void {
    makeRoomForTypes();
    for (let loads = 1; ; loads++) {
      libbpfLog.splice(0);
      const result = withoutSignals(() => objectLoad(this.#pointer()));
      if (result >= 0) return;
      if (result !== -EAGAIN) throw this.#failure("load", -result);
      if (loads === LOADS_MAX) {
        throw new IlmError(
          "UNAVAILABLE",
          `the kernel's verifier was interrupted by signals ${LOADS_MAX} times (${this.#name})`,
          { remedy: "Try again when nobody stops and continues this process all the time." },
        );
      }
      // One that failed to load cannot be loaded.
      this.close();
      this.#object = this.#open();
      for (const adjustment of this.#adjustments) adjustment();
    }
  }

  /** A descriptor of its own: it outlives the object. */
  map(name: string): BpfMap {
    return new BpfMap(duplicate(objectMapFd(this.#mapPointer(name))));
  }

  program(name: string): BpfProgram {
    const program = objectFindProgram(this.#pointer(), name);
    if (program === null) throw new IlmError("INTERNAL", `${this.#name} has no program ${name}`);
    return new BpfProgram(duplicate(objectProgramFd(program)));
  }

  close(): void {
    if (this.#object !== null) objectClose(this.#object);
    this.#object = null;
  }
}

const F_DUPFD_CLOEXEC = 1030;
const nativeFcntl = libcFunction<[number, number, number], number>(
  "int fcntl(int fd, int command, int argument)",
);

function duplicate(fd: number): number {
  const copy = nativeFcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) throw syscallError("fcntl", lastErrno());
  return copy;
}
