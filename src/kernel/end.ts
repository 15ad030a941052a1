/**
 * The end of a process that has a thread in a call that does not return. Node joins its threads
 * first, and would never end.
 */
import { libcFunction } from "./ffi.js";

const exitGroup = libcFunction<[number], void>("void _exit(int status)");

/** Writes nothing any more: what was printed to pipes, files and terminals is out already. */
export function endAtOnce(status: number): void {
  exitGroup(status);
}
