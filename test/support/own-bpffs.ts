/**
 * A BPF file system of its own for the process and all that it starts: what other suites and other users of this machine
 * pin, is not there, and what is pinned here goes when the last process does. As built, because it calls native code.
 */
import { execFileSync } from "node:child_process";
import { checked, libcFunction } from "../../src/kernel/ffi.js";

const CLONE_NEWNS = 0x00020000;
const unshare = libcFunction<[number], number>("int unshare(int flags)");

/** Of the main thread: node's others go on in the mount namespace that they are in. */
export function useOwnBpffs(): void {
  checked("unshare", unshare(CLONE_NEWNS));
  // The names of network namespaces stay shared with the machine: those that a killed run leaves are found by the next.
  execFileSync("mount", ["--make-rprivate", "/sys"]);
  execFileSync("mount", ["-t", "bpf", "-o", "mode=700", "bpf", "/sys/fs/bpf"]);
}
