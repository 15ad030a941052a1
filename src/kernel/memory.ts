/** Manages the memory that the C library keeps for libbpf, and gives it back to the kernel. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { type Pointer, libcFunction } from "./ffi.js";

const mallocTrim = libcFunction<[number], number>("int malloc_trim(size_t pad)");
const mallopt = libcFunction<[number, number], number>("int mallopt(int parameter, int value)");
const malloc = libcFunction<[number], Pointer | null>("void *malloc(size_t size)");
const free = libcFunction<[Pointer], void>("void free(void *memory)");
const madvise = libcFunction<[Pointer, number, number], number>(
  "int madvise(void *address, size_t length, int advice)",
);

/** From glibc's malloc.h. */
const M_TRIM_THRESHOLD = -1;
const M_MMAP_THRESHOLD = -3;
const MADV_HUGEPAGE = 14;
/** The most that glibc before 2.35 accepts as M_MMAP_THRESHOLD, in bytes. */
const MMAP_THRESHOLD = 32 << 20;
/**
 * What libbpf needs to read a kernel's types (15 MB for 5.5 MB of them) and some to spare, in
 * bytes. Untouched memory costs nothing.
 */
const ROOM_SIZE = 30 << 20;
const HUGE_PAGE_SIZE = 2n << 20n;

let hasRoom = false;

/**
 * Prepares the heap; call it before libbpf loads an object. libbpf reads the kernel's types again
 * for each object, into buffers that glibc would map, fault in page by page, and unmap again: on a
 * virtual machine that takes as long as the rest of the load. So the heap keeps its memory, in huge
 * pages where the kernel has them. A failure here only costs time.
 */
export function makeRoomForTypes(): void {
  if (hasRoom) return;
  hasRoom = true;
  mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD);
  mallopt(M_TRIM_THRESHOLD, 2 * ROOM_SIZE);
  const room = malloc(ROOM_SIZE);
  if (room === null) return;
  const start = (room + HUGE_PAGE_SIZE - 1n) & ~(HUGE_PAGE_SIZE - 1n);
  madvise(start, ROOM_SIZE - Number(start - room), MADV_HUGEPAGE);
  free(room);
}

/**
 * Collects garbage, and gives back the free pages of V8 and of the C library, where libbpf's
 * objects were. Takes some ten milliseconds, plus a second per gigabyte in use.
 */
export function giveBackMemory(): void {
  // Node offers no other way to V8's collector. V8 reads the flag when a context is created.
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  setFlagsFromString("--no-expose-gc");
  collect();
  trimMemory();
}

/** Gives back the free pages of the C library. */
export function trimMemory(): void {
  mallocTrim(0);
}
