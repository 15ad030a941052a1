/**
 * Reads a BPF ring buffer without a native callback per record: the pages are mapped and parsed
 * here (kernel/bpf/ringbuf.c). The consumer's page is ours to write; the producer's and the data's
 * are read-only.
 */
import type { BpfMap } from "./bpf/map.js";
import { type Pointer, checked, libcFunction, libcFunctionAsync, memoryAt } from "./ffi.js";
import { PROT_READ, PROT_WRITE, close, mmap, munmap } from "./libc.js";

const PAGE = 4096;
const BUSY = 0x80000000;
const DISCARDED = 0x40000000;
const LENGTH = 0x3fffffff;
const RECORD_HEADER = 8;

export class RingBuffer {
  readonly #map: BpfMap;
  readonly #size: number;
  readonly #pointers: { pointer: Pointer; length: number }[] = [];
  readonly #consumer: BigUint64Array;
  readonly #producer: BigUint64Array;
  /** The data, mapped twice in a row: a record that wraps is contiguous in the second mapping. */
  readonly #data: Uint8Array;
  readonly #headers: Uint32Array;
  #closed = false;

  /** The caller keeps the map and closes it. */
  constructor(map: BpfMap) {
    this.#map = map;
    this.#size = map.maxEntries;
    this.#consumer = new BigUint64Array(this.#mapPages(PAGE, PROT_READ | PROT_WRITE, 0), 0, 1);
    const rest = this.#mapPages(PAGE + 2 * this.#size, PROT_READ, PAGE);
    this.#producer = new BigUint64Array(rest, 0, 1);
    this.#data = new Uint8Array(rest, PAGE);
    this.#headers = new Uint32Array(rest, PAGE);
  }

  #mapPages(length: number, protection: number, offset: number): ArrayBuffer {
    const pointer = mmap(this.#map.fd, length, protection, offset);
    this.#pointers.push({ pointer, length });
    return memoryAt(pointer, length);
  }

  /**
   * Passes the records to `take`, oldest first, at most `limit`: a kernel that writes as fast as we
   * read would keep us here for good. `record` is valid during the call only. Returns the number of
   * records.
   */
  drain(take: (record: Uint8Array) => void, limit = Infinity): number {
    if (this.#closed) return 0;
    let taken = 0;
    let at = Atomics.load(this.#consumer, 0);
    while (taken < limit && at < Atomics.load(this.#producer, 0)) {
      const offset = Number(at % BigInt(this.#size));
      const header = Atomics.load(this.#headers, offset / 4);
      // The record is reserved, and its writer is still at it.
      if ((header & BUSY) !== 0) break;
      const length = header & LENGTH;
      if ((header & DISCARDED) === 0) {
        const start = offset + RECORD_HEADER;
        take(this.#data.subarray(start, start + length));
        taken++;
      }
      at += BigInt((RECORD_HEADER + length + 7) & ~7);
      Atomics.store(this.#consumer, 0, at);
    }
    return taken;
  }

  /** Discards what is there. */
  skip(): void {
    if (this.#closed) return;
    Atomics.store(this.#consumer, 0, Atomics.load(this.#producer, 0));
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const { pointer, length } of this.#pointers) munmap(pointer, length);
  }
}

const epollWaitNative = libcFunctionAsync<number>(
  "int epoll_wait(int epoll, void *events, int count, int timeout)",
);

/** Returns how many descriptors are ready; negative when a signal came. */
async function epollWait(epoll: number, timeoutMs: number): Promise<number> {
  return await epollWaitNative(epoll, new Uint8Array(16), 1, timeoutMs);
}

const epollCreate = libcFunction<[number], number>("int epoll_create1(int flags)");
const epollCtl = libcFunction<[number, number, number, Uint8Array], number>(
  "int epoll_ctl(int epoll, int operation, int fd, const void *event)",
);
const EPOLL_CLOEXEC = 0o2000000;
const EPOLL_CTL_ADD = 1;
const EPOLLIN = 1;

/**
 * Waits until one of some descriptors can be read; node's own loop refuses ring buffers. A wait
 * takes one of node's few pool threads and delays the end of the process, so it has to be short.
 */
export class Readiness {
  readonly #epoll: number;
  #closed = false;

  constructor(fds: readonly number[]) {
    this.#epoll = checked("epoll_create1", epollCreate(EPOLL_CLOEXEC));
    for (const fd of fds) {
      // struct epoll_event is packed on x86-64 (12 bytes) but not elsewhere (16): the events come
      // first in both.
      const event = new Uint8Array(16);
      new DataView(event.buffer).setUint32(0, EPOLLIN, true);
      checked("epoll_ctl", epollCtl(this.#epoll, EPOLL_CTL_ADD, fd, event));
    }
  }

  /**
   * Resolves to true when something can be read, or to false after `timeoutMs`. Runs on a thread of
   * node's pool.
   */
  async wait(timeoutMs: number): Promise<boolean> {
    if (this.#closed) return false;
    return (await epollWait(this.#epoll, timeoutMs)) > 0;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    close(this.#epoll);
  }
}
