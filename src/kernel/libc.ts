/** The few libc calls that node lacks. All are synchronous, on the caller's thread. */
import { Errno } from "./errno.js";
import { type Pointer, checked, lastErrno, libcFunction, memoryAt, syscallError } from "./ffi.js";

const nativeClose = libcFunction<[number], number>("int close(int fd)");
const nativeRead = libcFunction<[number, Uint8Array, number], number | bigint>(
  "int64_t read(int fd, void *buffer, size_t count)",
);
const nativeFlock = libcFunction<[number, number], number>("int flock(int fd, int operation)");
const nativeSetns = libcFunction<[number, number], number>("int setns(int fd, int type)");
const nativeUmask = libcFunction<[number], number>("uint32_t umask(uint32_t mask)");
const nativeSocket = libcFunction<[number, number, number], number>(
  "int socket(int domain, int type, int protocol)",
);
const nativeGetsockopt = libcFunction<[number, number, number, Uint8Array, Uint32Array], number>(
  "int getsockopt(int fd, int level, int name, void *value, void *length)",
);
const nativeLsetxattr = libcFunction<[string, string, Uint8Array, number, number], number>(
  "int lsetxattr(const char *path, const char *name, const void *value, size_t size, int flags)",
);
const nativeSendto = libcFunction<
  [number, Uint8Array, number, number, Uint8Array, number],
  number | bigint
>(
  "int64_t sendto(int fd, const void *buffer, size_t length, int flags, const void *address, uint32_t address_length)",
);
const nativeRecv = libcFunction<[number, Uint8Array, number, number], number | bigint>(
  "int64_t recv(int fd, void *buffer, size_t length, int flags)",
);
const nativeBind = libcFunction<[number, Uint8Array, number], number>(
  "int bind(int fd, const void *address, uint32_t length)",
);
const nativeListen = libcFunction<[number, number], number>("int listen(int fd, int backlog)");
const nativeSetsockopt = libcFunction<[number, number, number, Uint8Array, number], number>(
  "int setsockopt(int fd, int level, int name, const void *value, uint32_t length)",
);
const nativeMount = libcFunction<[string, string, string, number, string], number>(
  "int mount(const char *source, const char *target, const char *type, unsigned long flags, const char *options)",
);
const nativeMmap = libcFunction<[null, number, number, number, number, number], Pointer | null>(
  "void *mmap(void *address, size_t length, int protection, int flags, int fd, int64_t offset)",
);
const nativeMunmap = libcFunction<[Pointer, number], number>(
  "int munmap(void *address, size_t length)",
);
const nativeClockGettime = libcFunction<[number, BigInt64Array], number>(
  "int clock_gettime(int clock, void *time)",
);

/** Returns an errno. `old` is null when the previous mask does not matter. */
const nativeSigmask = libcFunction<[number, Uint8Array, Uint8Array | null], number>(
  "int pthread_sigmask(int how, const void *set, void *old)",
);

const SIG_SETMASK = 2;
/**
 * The size of a sigset_t in bytes (include/uapi/asm-generic/signal.h has 8; glibc and musl pass
 * 128).
 */
const SIGSET_SIZE = 128;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
export const AF_UNIX = 1;
export const AF_INET = 2;
export const AF_INET6 = 10;
export const AF_NETLINK = 16;
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_RAW = 3;
export const SOCK_CLOEXEC = 0o2000000;
export const SOL_SOCKET = 1;
export const SO_PEERCRED = 17;
export const SO_PEERGROUPS = 59;
/**
 * The socket option for the kernel's cookie of its network namespace, 64 bits; since Linux 5.14.
 */
export const SO_NETNS_COOKIE = 71;
export const CLOCK_BOOTTIME = 7;
export const CLONE_NEWNET = 0x40000000;
export const LOCK_EX = 2;
export const LOCK_NB = 4;
export const PROT_READ = 1;
export const PROT_WRITE = 2;
const MAP_SHARED = 1;
/** (void *)-1 */
const MAP_FAILED = 0xffffffffffffffffn;

/**
 * Blocks signals for this thread until `action` is done, except SIGKILL and SIGSTOP. Other threads
 * take the signals that they can.
 */
export function withoutSignals<T>(action: () => T): T {
  const before = new Uint8Array(SIGSET_SIZE);
  setSignalMask(new Uint8Array(SIGSET_SIZE).fill(0xff), before);
  try {
    return action();
  } finally {
    setSignalMask(before, null);
  }
}

function setSignalMask(mask: Uint8Array, old: Uint8Array | null): void {
  const errno = nativeSigmask(SIG_SETMASK, mask, old);
  if (errno !== 0) throw syscallError("pthread_sigmask", errno);
}

/** Returns the clock's time in nanoseconds, as this process sees it. */
export function clockNs(clock: number): bigint {
  // struct timespec, on 64-bit hosts.
  const time = new BigInt64Array(2);
  checked("clock_gettime", nativeClockGettime(clock, time));
  const [seconds = 0n, nanoseconds = 0n] = time;
  return seconds * 1_000_000_000n + nanoseconds;
}

export function close(fd: number): void {
  checked("close", nativeClose(fd));
}

/** Returns the number of bytes read; 0 at the end. */
export function read(fd: number, buffer: Uint8Array): number {
  return checked("read", Number(nativeRead(fd, buffer, buffer.byteLength)));
}

export function flock(fd: number, operation: number): void {
  checked("flock", nativeFlock(fd, operation));
}

/** Moves the calling thread only: call it on the main thread, before anything creates others. */
export function setns(fd: number, type: number): void {
  checked("setns", nativeSetns(fd, type));
}

export function umask(mask: number): number {
  return nativeUmask(mask);
}

export function socket(domain: number, type: number, protocol: number): number {
  return checked("socket", nativeSocket(domain, type | SOCK_CLOEXEC, protocol));
}

export function getsockopt(fd: number, level: number, name: number, size: number): Uint8Array {
  const value = new Uint8Array(size);
  checked("getsockopt", nativeGetsockopt(fd, level, name, value, Uint32Array.of(size)));
  return value;
}

/**
 * Returns a socket option whose size only the kernel knows. `size` is what is tried first, in
 * bytes; the kernel says with ERANGE when it needs more.
 */
export function getsockoptOfAnySize(
  fd: number,
  level: number,
  name: number,
  size: number,
): Uint8Array {
  const value = new Uint8Array(size);
  const length = Uint32Array.of(size);
  const result = nativeGetsockopt(fd, level, name, value, length);
  const needed = length[0] ?? 0;
  if (result < 0 && lastErrno() === Errno.ERANGE && needed > size) {
    return getsockoptOfAnySize(fd, level, name, needed);
  }
  checked("getsockopt", result);
  return value.subarray(0, needed);
}

/** Sets an extended attribute of what has this name; of a link, not of what it leads to. */
export function lsetxattr(path: string, name: string, value: Uint8Array): void {
  checked(`setxattr ${name}`, nativeLsetxattr(path, name, value, value.byteLength, 0));
}

export function sendto(fd: number, message: Uint8Array, address: Uint8Array): void {
  checked(
    "sendto",
    Number(nativeSendto(fd, message, message.byteLength, 0, address, address.byteLength)),
  );
}

/** Sends a datagram without waiting for room. Returns 0 when it was sent, otherwise the errno. */
export function sendNow(fd: number, message: Uint8Array, address: Uint8Array): number {
  const flags = MSG_DONTWAIT | MSG_NOSIGNAL;
  const sent = nativeSendto(fd, message, message.byteLength, flags, address, address.byteLength);
  return Number(sent) < 0 ? lastErrno() : 0;
}

export function recv(fd: number, buffer: Uint8Array): number {
  return checked("recv", Number(nativeRecv(fd, buffer, buffer.byteLength, 0)));
}

/**
 * Takes one message without waiting. Returns false when there is none, and true also when messages
 * were lost (ENOBUFS).
 */
export function recvNow(fd: number, buffer: Uint8Array): boolean {
  const result = Number(nativeRecv(fd, buffer, buffer.byteLength, MSG_DONTWAIT));
  if (result >= 0) return true;
  const errno = lastErrno();
  if (errno === Errno.EAGAIN) return false;
  if (errno === Errno.ENOBUFS) return true;
  throw syscallError("recv", errno);
}

export function bind(fd: number, address: Uint8Array): void {
  checked("bind", nativeBind(fd, address, address.byteLength));
}

export function listen(fd: number, backlog: number): void {
  checked("listen", nativeListen(fd, backlog));
}

export function setsockopt(fd: number, level: number, name: number, value: Uint8Array): void {
  checked("setsockopt", nativeSetsockopt(fd, level, name, value, value.byteLength));
}

/** Mounts a file system. `options` are the file system's own, separated by commas. */
export function mount(source: string, target: string, type: string, options: string): void {
  checked(`mount ${target}`, nativeMount(source, target, type, 0, options));
}

export function mmap(fd: number, length: number, protection: number, offset: number): Pointer {
  const pointer = nativeMmap(null, length, protection, MAP_SHARED, fd, offset);
  if (pointer === null || pointer === MAP_FAILED) throw syscallError("mmap", lastErrno());
  return pointer;
}

export function munmap(pointer: Pointer, length: number): void {
  checked("munmap", nativeMunmap(pointer, length));
}

/**
 * Maps the memory behind a descriptor for as long as `action` runs. No caller may keep the buffer:
 * it is unmapped afterwards.
 */
export function withMapping<T>(
  fd: number,
  length: number,
  protection: number,
  offset: number,
  action: (memory: ArrayBuffer) => T,
): T {
  const pointer = mmap(fd, length, protection, offset);
  try {
    return action(memoryAt(pointer, length));
  } finally {
    munmap(pointer, length);
  }
}
