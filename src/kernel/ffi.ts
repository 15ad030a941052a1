/**
 * The one place that loads native code: libc and libbpf through koffi. Nothing above this folder
 * sees a pointer. Symbols are bound when first used, so that an older libbpf is no trouble until
 * something that it lacks is asked for.
 */
import { constants } from "node:os";
import koffi from "koffi";
import { IlmError, shortageInWords, unavailable } from "../errors.js";

/** A C pointer, as koffi gives it. Only this folder holds any. */
export type Pointer = bigint;

type Library = ReturnType<typeof koffi.load>;

let libcLibrary: Library | undefined;
let libbpfLibrary: Library | undefined;

function libc(): Library {
  libcLibrary ??= load("libc.so.6", (cause) => cause);
  return libcLibrary;
}

/**
 * Throws what `missing` makes of the loader's error, which says only in words that it was short of
 * something.
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
 * A libc function that is bound at its first call. On failure these return -1 and set errno: pass
 * the result to `checked` before anything else runs.
 */
export function libcFunction<A extends readonly unknown[], R>(prototype: string): Callable<A, R> {
  let bound: Callable<A, R> | undefined;
  return (...args) => {
    bound ??= libc().func(prototype) as unknown as Callable<A, R>;
    return bound(...args);
  };
}

/**
 * A libbpf function that is bound at its first call. Those that return int return -errno on
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
// Which has EWOULDBLOCK for a second name.
errorNames.set(constants.errno.EAGAIN, "EAGAIN");
// Kernel-internal, but some BPF calls return it (ENOTSUPP).
errorNames.set(524, "ENOTSUPP");

export function errnoName(errno: number): string {
  return errorNames.get(errno) ?? `errno ${errno}`;
}

/**
 * Like libcFunction, but the call runs on one of node's pool threads, with a finite time of its
 * own.
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

/** The memory at `pointer`; lives only as long as whoever owns that memory keeps it. */
export function memoryAt(pointer: Pointer, length: number): ArrayBuffer {
  return koffi.view(pointer, length);
}

/** The errno of the libc call just made. */
export function lastErrno(): number {
  return koffi.errno();
}

/** What `IlmError.cause` holds for a failed call, so that a caller can tell errors apart. */
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

/** These mean the same from every call; ENOSPC of bpf(2) is a limit of the kernel. */
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

/** The errno behind an error of this folder; undefined when it is not one. */
export function errnoOf(error: unknown): number | undefined {
  if (error instanceof IlmError && error.cause instanceof SyscallFailure) return error.cause.errno;
  return undefined;
}

/** The result of a libc call; throws when it is -1. */
export function checked(call: string, result: number): number {
  if (result >= 0) return result;
  throw syscallError(call, lastErrno());
}

/** The result of a libbpf call; throws when it is negative. */
export function checkedBpf(call: string, result: number): number {
  if (result >= 0) return result;
  throw syscallError(call, -result);
}
