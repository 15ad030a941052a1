/** BPF objects as owned handles: what maps, programs and links have in common. */
import { IlmError } from "../../errors.js";
import { libbpfFunction, checkedBpf, libcFunction, syscallError, lastErrno } from "../ffi.js";
import type { Folder } from "../folder.js";
import { close } from "../libc.js";

const objGet = libbpfFunction<[string], number>("int bpf_obj_get(const char *path)");

const objPin = libbpfFunction<[number, string], number>(
  "int bpf_obj_pin(int fd, const char *path)",
);

export const objInfo = libbpfFunction<[number, Uint8Array, Uint32Array], number>(
  "int bpf_obj_get_info_by_fd(int fd, void *info, void *length)",
);

export const mapUpdate = libbpfFunction<[number, Uint8Array, Uint8Array, number], number>(
  "int bpf_map_update_elem(int fd, const void *key, const void *value, uint64_t flags)",
);

export const mapCreate = libbpfFunction<
  [number, string, number, number, number, Uint8Array | null],
  number
>(
  "int bpf_map_create(int type, const char *name, uint32_t key_size, uint32_t value_size, uint32_t entries, const void *options)",
);

/** A file descriptor that is closed once and unusable afterwards. */
export class Handle {
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

  /** Pins the object in a folder of the BPF file system. */
  pin(folder: Folder, name: string): void {
    checkedBpf(`pin ${folder.path}/${name}`, objPin(this.fd, folder.at(name)));
  }
}

/** Reads a char[BPF_OBJ_NAME_LEN]. */
export function textAt(view: DataView, at: number): string {
  const bytes = Buffer.from(view.buffer, view.byteOffset + at, 16);
  return bytes.toString("utf8", 0, bytes.indexOf(0));
}

export function info(fd: number, size: number): DataView {
  const bytes = new Uint8Array(size);
  checkedBpf("bpf_obj_get_info_by_fd", objInfo(fd, bytes, Uint32Array.of(size)));
  return new DataView(bytes.buffer);
}

/**
 * Explains that memory ran out for a map. The kernel charges BPF memory to the cgroup of the
 * caller.
 */
export function noMemory(map: string, entries: number, cause: IlmError): IlmError {
  return new IlmError(
    "LIMIT",
    `no memory for the map ${map} of ${entries.toLocaleString("en")} entries`,
    {
      cause: cause.cause,
      remedy:
        "Give this cgroup more (MemoryMax= of the unit), free memory, or use fewer mappings. The active rules are unchanged.",
    },
  );
}

/**
 * Opens a pinned object. Returns undefined when nothing has the name. Throws UNSAFE_PATH, as
 * bpf(BPF_OBJ_GET) itself would follow a link.
 */
export function open(folder: Folder, name: string): number | undefined {
  const place = folder.openFile(name);
  if (place === undefined) return undefined;
  try {
    return checkedBpf(`open ${folder.path}/${name}`, objGet(`/proc/self/fd/${place}`));
  } finally {
    close(place);
  }
}

export const BPF_MAP_TYPE_ARRAY = 2;

const F_DUPFD_CLOEXEC = 1030;

const nativeFcntl = libcFunction<[number, number, number], number>(
  "int fcntl(int fd, int command, int argument)",
);

export function duplicate(fd: number): number {
  const copy = nativeFcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) throw syscallError("fcntl", lastErrno());
  return copy;
}
