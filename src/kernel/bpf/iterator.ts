/** Iterators: programs that walk the kernel's objects and write about them. */
import { Errno } from "../errno.js";
import { libbpfFunction, checkedBpf, errnoOf } from "../ffi.js";
import { close, read } from "../libc.js";
import { attach, AttachType } from "./link.js";
import type { BpfProgram } from "./program.js";

const iterCreate = libbpfFunction<[number], number>("int bpf_iter_create(int link)");

/** Runs an iterator program to its end and returns what it wrote. */
export function runIterator(program: BpfProgram): Uint8Array {
  const link = attach(program, 0, AttachType.traceIter);
  try {
    const fd = checkedBpf("bpf_iter_create", iterCreate(link.fd));
    try {
      return readAll(fd);
    } finally {
      close(fd);
    }
  } finally {
    link.close();
  }
}

let readBuffer: Uint8Array | undefined;

function readAll(fd: number): Uint8Array {
  const chunks: Uint8Array[] = [];
  const buffer = (readBuffer ??= new Uint8Array(65536));
  for (;;) {
    let length: number;
    try {
      length = read(fd, buffer);
    } catch (error) {
      // The iterator went through a million sockets without writing (kernel/bpf/bpf_iter.c); the
      // next read continues.
      if (errnoOf(error) === Errno.EAGAIN) continue;
      throw error;
    }
    if (length === 0) return Buffer.concat(chunks);
    chunks.push(buffer.slice(0, length));
  }
}
