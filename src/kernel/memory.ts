/** What this process no longer needs, given back to the kernel. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { libcFunction } from "./ffi.js";

const mallocTrim = libcFunction<[number], number>("int malloc_trim(size_t pad)");

/**
 * Collects garbage, and gives back the free pages of V8 and of the C library, where libbpf's objects were. Takes some ten
 * milliseconds, and a second for each gigabyte that is in use.
 */
export function giveBackMemory(): void {
  // Node has no other way to V8's collector. V8 reads the flag when a context is made.
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  setFlagsFromString("--no-expose-gc");
  collect();
  mallocTrim(0);
}
