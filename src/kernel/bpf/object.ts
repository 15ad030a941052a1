/** Object files from the build, loaded by libbpf. */
import { readFileSync } from "node:fs";
import { Errno } from "../errno.js";
import koffi from "koffi";
import { IlmError } from "../../errors.js";
import {
  libbpfFunction,
  type Pointer,
  addressOf,
  libcFunction,
  lastErrno,
  syscallError,
  checkedBpf,
} from "../ffi.js";
import { withoutSignals } from "../libc.js";
import { makeRoomForTypes } from "../memory.js";
import { noMemory, duplicate } from "./handle.js";
import { BpfMap } from "./map.js";
import { BpfProgram } from "./program.js";
import { renameUnresolvable } from "./symbols.js";

const objectOpen = libbpfFunction<[Uint8Array, number, Uint8Array], Pointer | null>(
  "void *bpf_object__open_mem(const void *bytes, size_t size, const void *options)",
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

/** The latest warnings of libbpf, with the verifier's messages, to explain a failed load. */
const libbpfLog: string[] = [];

const LIBBPF_LOG_LINES = 40;

const PRINT_PROTOTYPE = "int ilm_libbpf_print(int level, void *format, void *arguments)";

let printing = false;

/** Keeps libbpf's output off our stderr and stores it for error messages. Level 0 is a warning. */
function captureLibbpfOutput(): void {
  if (printing) return;
  printing = true;
  const prototype = koffi.proto(PRINT_PROTOTYPE);
  const setPrint = libbpfFunction<[unknown], Pointer | null>(
    "void *libbpf_set_print(ilm_libbpf_print *print)",
  );
  // On x86-64 and arm64, a va_list is passed as a pointer, so it can be passed on as one.
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

/**
 * How often to retry a load. The verifier gives up when a signal is pending
 * (kernel/bpf/verifier.c), libbpf after five such attempts, and we after this many of libbpf's.
 */
const LOADS_MAX = 20;

/**
 * An object file that is opened, adjusted, and loaded once. The caller closes it once its maps and
 * programs are pinned or in hand.
 */
export class BpfObject {
  #object: Pointer | null;
  readonly #path: string;
  readonly #name: string;
  /** The name that libbpf would take from the path, ending in NUL; libbpf is given its address. */
  readonly #title: Uint8Array;
  /** The adjustments, to repeat when a load has to be repeated. */
  readonly #adjustments: (() => void)[] = [];

  constructor(path: string) {
    captureLibbpfOutput();
    this.#path = path;
    this.#name = path.replace(/^.*\//, "");
    this.#title = Buffer.from(`${this.#name.replace(/\..*$/, "")}\0`);
    this.#object = this.#open();
  }

  #open(): Pointer {
    const bytes = this.#read();
    renameUnresolvable(bytes);
    // struct bpf_object_open_opts (libbpf.h of libbpf): sz 0, object_name 8.
    const options = new Uint8Array(16);
    const view = new DataView(options.buffer);
    view.setBigUint64(0, 16n, true);
    view.setBigUint64(8, addressOf(this.#title), true);
    const object = objectOpen(bytes, bytes.byteLength, options);
    if (object === null) throw this.#failure("open", lastErrno());
    return object;
  }

  #read(): Buffer {
    try {
      return readFileSync(this.#path);
    } catch (error) {
      const { errno } = error as NodeJS.ErrnoException;
      if (errno === undefined) throw error;
      throw this.#failure("open", -errno);
    }
  }

  #adjust(adjustment: () => void): void {
    adjustment();
    this.#adjustments.push(adjustment);
  }

  #failure(what: string, errno: number): IlmError {
    const log = libbpfLog.splice(0).join("\n");
    const error = syscallError(`${what} of ${this.#name}`, errno);
    const map = /map '(\w+)': failed to create/.exec(log)?.[1];
    if (errno === Errno.ENOMEM && map !== undefined) {
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

  /**
   * Uses an existing map of the same shape, which must stay open until the load. Call before
   * `load`.
   */
  reuse(name: string, map: BpfMap): void {
    this.#adjust(() => {
      checkedBpf(`reuse of map ${name}`, objectMapReuse(this.#mapPointer(name), map.fd));
    });
  }

  /** Sets the number of a map's entries. Call before `load`. */
  resize(name: string, entries: number): void {
    this.#adjust(() => {
      checkedBpf(`resize of map ${name}`, objectMapResize(this.#mapPointer(name), entries));
    });
  }

  /** Sets the constants of the programs. Call before `load`. */
  setConstants(bytes: Uint8Array): void {
    this.#adjust(() => {
      const map = this.#mapPointer(".rodata");
      checkedBpf("set of the constants", objectMapInitial(map, bytes, bytes.byteLength));
    });
  }

  /** Also loads a program of an optional section ("?..."). Call before `load`. */
  include(name: string): void {
    this.#adjust(() => {
      const program = objectFindProgram(this.#pointer(), name);
      if (program === null) throw new IlmError("INTERNAL", `${this.#name} has no program ${name}`);
      checkedBpf(`include program ${name}`, objectProgramAutoload(program, true));
    });
  }

  /** Loads the object. Throws UNAVAILABLE when signals interrupt every attempt. */
  load(): void {
    makeRoomForTypes();
    for (let loads = 1; ; loads++) {
      libbpfLog.splice(0);
      const result = withoutSignals(() => objectLoad(this.#pointer()));
      if (result >= 0) return;
      if (result !== -Errno.EAGAIN) throw this.#failure("load", -result);
      if (loads === LOADS_MAX) {
        throw new IlmError(
          "UNAVAILABLE",
          `the kernel's verifier was interrupted by signals ${LOADS_MAX} times (${this.#name})`,
          { remedy: "Try again once nothing keeps stopping and resuming this process." },
        );
      }
      // An object that failed to load cannot be loaded again.
      this.close();
      this.#object = this.#open();
      for (const adjustment of this.#adjustments) adjustment();
    }
  }

  /** Returns the map with a descriptor of its own, which outlives the object. */
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
