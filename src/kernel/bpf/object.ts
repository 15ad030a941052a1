/** Objects: what the build made, loaded by libbpf. */
import { Errno } from "../errno.js";
import koffi from "koffi";
import { IlmError } from "../../errors.js";
import {
  libbpfFunction,
  type Pointer,
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

/**
 * The verifier gives up when a signal is pending (kernel/bpf/verifier.c), libbpf after five such
 * tries, this after so many of libbpf's.
 */
const LOADS_MAX = 20;

/**
 * An object file that is opened, adjusted, and loaded once. Close it when its maps and programs are
 * pinned or in hand.
 */
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
   * Before load: use an existing map, which stays open until then. It must be of the same shape.
   */
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
      if (result !== -Errno.EAGAIN) throw this.#failure("load", -result);
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
