/**
 * The one place that loads native code: libc and libbpf through koffi. Nothing above this folder
 * sees a pointer. Symbols are bound on first use, so an older libbpf is fine until something that
 * it lacks is needed.
 */
import { constants } from "node:os";
// First, as koffi itself fails when it is imported without its native code.
import "./native.js";
import koffi from "koffi";
import { IlmError, shortageInWords, unavailable } from "../errors.js";

/** A C pointer as koffi returns it. Only this folder holds any. */
export type Pointer = bigint;

type Library = ReturnType<typeof koffi.load>;

let libcLibrary: Library | undefined;
let libbpfLibrary: Library | undefined;

function libc(): Library {
  libcLibrary ??= load("libc.so.6", (cause) => cause);
  return libcLibrary;
}

/**
 * Loads a library. Throws UNAVAILABLE when resources ran short, which the loader says only in
 * words; otherwise, throws what `missing` makes of the loader's error.
 */
function load(name: string, missing: (cause: unknown) => unknown): Library {
  try {
    return koffi.load(name);
  } catch (cause) {
    const errno = shortageInWords(cause);
    throw (errno && unavailable(`${name} cannot be loaded`, errno, cause)) ?? missing(cause);
  }
}

function libbpf(): Library {
  libbpfLibrary ??= load(
    "libbpf.so.1",
    (cause) =>
      new IlmError("NO_LIBBPF", "libbpf.so.1 is not installed", {
        cause,
        remedy: "Install it: apt-get install libbpf1",
      }),
  );
  return libbpfLibrary;
}

type Callable<A extends readonly unknown[], R> = (...args: A) => R;

/**
 * Returns a libc function that is bound on its first call. On failure these return -1 and set
 * errno: pass the result to `checked` before anything else runs.
 */
export function libcFunction<A extends readonly unknown[], R>(prototype: string): Callable<A, R> {
  let bound: Callable<A, R> | undefined;
  return (...args) => {
    bound ??= libc().func(prototype) as unknown as Callable<A, R>;
    return bound(...args);
  };
}

/**
 * Returns a libbpf function that is bound on its first call. Those that return int return -errno on
 * failure.
 */
export function libbpfFunction<A extends readonly unknown[], R>(prototype: string): Callable<A, R> {
  let bound: Callable<A, R> | undefined;
  return (...args) => {
    bound ??= libbpf().func(prototype) as unknown as Callable<A, R>;
    return bound(...args);
  };
}

const errorNames = new Map<number, string>(
  Object.entries(constants.errno).map(([name, number]) => [number, name]),
);
// EWOULDBLOCK is another name for it.
errorNames.set(constants.errno.EAGAIN, "EAGAIN");
// Kernel-internal, but some BPF calls return it (ENOTSUPP).
errorNames.set(524, "ENOTSUPP");

export function errnoName(errno: number): string {
  return errorNames.get(errno) ?? `errno ${errno}`;
}

/**
 * Returns a libc function that runs on one of node's pool threads. The caller makes sure that the
 * call ends in finite time.
 */
export function libcFunctionAsync<R>(prototype: string): (...args: unknown[]) => Promise<R> {
  let bound: { async: (...args: unknown[]) => void } | undefined;
  return (...args) =>
    new Promise((resolve, reject) => {
      bound ??= libc().func(prototype) as unknown as typeof bound;
      bound?.async(...args, (error: Error | null, result: R) => {
        if (error === null) resolve(result);
        else reject(error);
      });
    });
}

/** Returns the memory at `pointer`, which is valid only while its owner keeps it. */
export function memoryAt(pointer: Pointer, length: number): ArrayBuffer {
  return koffi.view(pointer, length);
}

/** Returns where a buffer is, for structures that point to it. The caller keeps the buffer. */
export function addressOf(buffer: Uint8Array): Pointer {
  return koffi.address(buffer);
}

/** Returns the errno of the libc call just made. */
export function lastErrno(): number {
  return koffi.errno();
}

/** The `IlmError.cause` of a failed call, so that callers can tell errors apart. */
export class SyscallFailure extends Error {
  override readonly name = "SyscallFailure";
  readonly errno: number;
  readonly call: string;

  constructor(call: string, errno: number) {
    super(`${call}: ${errnoName(errno)}`);
    this.call = call;
    this.errno = errno;
  }
}

/**
 * Errors that mean the same from every call. ENOSPC is not among them: from bpf(2), it is a limit
 * of the kernel.
 */
const shortageOfAnyCall: readonly string[] = ["EMFILE", "ENFILE", "ENOMEM", "EROFS", "EDQUOT"];

export function syscallError(call: string, errno: number, remedy?: string): IlmError {
  const cause = new SyscallFailure(call, errno);
  const name = errnoName(errno);
  const short = shortageOfAnyCall.includes(name) ? unavailable(call, name, cause) : undefined;
  if (short !== undefined) return short;
  return new IlmError(
    "SYSCALL",
    cause.message,
    remedy === undefined ? { cause } : { cause, remedy },
  );
}

/** Returns the errno behind an error of this folder, or undefined for any other error. */
export function errnoOf(error: unknown): number | undefined {
  if (error instanceof IlmError && error.cause instanceof SyscallFailure) return error.cause.errno;
  return undefined;
}

/** Returns the result of a libc call; throws when it is negative. */
export function checked(call: string, result: number): number {
  if (result >= 0) return result;
  throw syscallError(call, lastErrno());
}

/** Returns the result of a libbpf call; throws when it is negative. */
export function checkedBpf(call: string, result: number): number {
  if (result >= 0) return result;
  throw syscallError(call, -result);
}
