/**
 * State of its own for the process and all that it starts: a BPF file system, a folder of locks and
 * sockets, and one of what lasts, in which nothing is of other suites and other users of this
 * machine, also where a namespace's inode number is used again. It goes when the last process does.
 * As built, because it calls native code.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { stateFolder } from "../../src/kernel/state-folder.js";
import { checked, libcFunction } from "../../src/kernel/ffi.js";
import { runtimePath } from "../../src/kernel/runtime-folder.js";

const CLONE_NEWNS = 0x00020000;
const unshare = libcFunction<[number], number>("int unshare(int flags)");

function mount(...words: readonly string[]): void {
  execFileSync("mount", words);
}

/** Gives the main thread a mount namespace of its own; node's other threads stay where they are. */
export function useOwnState(): void {
  checked("unshare", unshare(CLONE_NEWNS));
  mount("--make-rprivate", "/sys");
  mount("-t", "bpf", "-o", "mode=700", "bpf", "/sys/fs/bpf");
  for (const path of [runtimePath, stateFolder()]) {
    mkdirSync(path, { recursive: true, mode: 0o755 });
    const around = execFileSync("findmnt", ["-n", "-o", "TARGET", "--target", path], {
      encoding: "utf8",
    });
    // Not what is mounted below: the names of network namespaces stay shared with the machine, so
    // that the next run finds those that a killed one leaves.
    mount("--make-private", around.trim());
    mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", path);
  }
}
