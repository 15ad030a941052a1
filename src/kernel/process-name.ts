/** The name of this process, as `ps`, `top` and `pgrep` show it: Node names all programs alike. */
import { libcFunction } from "./ffi.js";

const PR_SET_NAME = 15;

const prctl = libcFunction<[option: number, name: string], number>(
  "int prctl(int option, const char *name)",
);

/** Names this process, with the first 15 bytes of `name`: the kernel keeps no more. */
export function nameProcess(name: string): void {
  // Only people look at it: without it all works.
  prctl(PR_SET_NAME, name);
}
