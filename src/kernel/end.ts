/**
 * Ends a process that has a thread in a call that does not return. Node would first join its
 * threads, and never end.
 */
import { libcFunction } from "./ffi.js";

const exitGroup = libcFunction<[number], void>("void _exit(int status)");

/**
 * Ends the process without flushing anything: what was printed to pipes, files and terminals is out
 * already.
 */
export function endAtOnce(status: number): void {
  exitGroup(status);
}
