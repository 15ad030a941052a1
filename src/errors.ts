/**
 * The closed catalogue of everything that `ilm` refuses or fails at. One code, one exit status, one
 * place. The message says what is wrong and where; `remedy` says what to do.
 */

/** The exit statuses that scripts may rely on (see `ilm --help`). */
export const ExitStatus = {
  done: 0,
  failed: 1,
  usage: 2,
  configuration: 3,
  notPossible: 4,
} as const;
export type ExitStatus = (typeof ExitStatus)[keyof typeof ExitStatus];

/** Maps each error code to its exit status. Codes are stable: scripts see them in `--json`. */
export const errorCatalogue = {
  /** ilm has a bug, or met a condition that was not foreseen. */
  INTERNAL: ExitStatus.failed,
  /** A system call or libbpf call failed. The message names the call; `cause` keeps the errno. */
  SYSCALL: ExitStatus.failed,
  /** The command needs loaded rules, and this network namespace has none. */
  NOT_LOADED: ExitStatus.failed,
  /** A change waits for its confirmation (`ilm confirm`), so no other can be made. */
  PENDING: ExitStatus.failed,
  /** What the user named (a mapping, a generation) does not exist. */
  NOT_FOUND: ExitStatus.failed,
  /** The daemon sees another file than the command at a path that it is to follow, or none. */
  UNSEEN: ExitStatus.failed,
  /** `demo` found something that is not as it expects. */
  FINDINGS: ExitStatus.failed,
  /** The command line is wrong. */
  USAGE: ExitStatus.usage,
  /** The configuration is wrong; nothing was changed. `problems` lists every problem. */
  CONFIGURATION: ExitStatus.configuration,
  /** The command needs root (CAP_NET_ADMIN, CAP_SYS_ADMIN), or a right over the daemon's API. */
  NOT_PERMITTED: ExitStatus.notPossible,
  /** This kernel has no BPF, or lacks a program type, map type or helper that ilm needs. */
  NO_BPF: ExitStatus.notPossible,
  /** This kernel has no BTF (/sys/kernel/btf/vmlinux). */
  NO_BTF: ExitStatus.notPossible,
  /** No cgroup v2 hierarchy is mounted. */
  NO_CGROUP2: ExitStatus.notPossible,
  /** The BPF file system is not mounted and could not be mounted. */
  NO_BPFFS: ExitStatus.notPossible,
  /** Another user could have created, or could replace, what is at a path that ilm relies on. */
  UNSAFE_PATH: ExitStatus.notPossible,
  /** libbpf.so.1 is not installed, or is too old. */
  NO_LIBBPF: ExitStatus.notPossible,
  /** koffi's native code, a package of npm's, is not installed or cannot be loaded. */
  NO_KOFFI: ExitStatus.notPossible,
  /** Another writer holds the lock of this network namespace. */
  LOCKED: ExitStatus.notPossible,
  /**
   * A limit of the data plane or of the daemon is reached. The message says which, and how large it
   * is.
   */
  LIMIT: ExitStatus.notPossible,
  /** An incompatible version of ilm made the state in the kernel. */
  INCOMPATIBLE: ExitStatus.notPossible,
  /** ilm cannot enter the network namespace that the user named. */
  NETNS: ExitStatus.notPossible,
  /** The daemon did not answer, or sent an invalid answer. */
  DAEMON: ExitStatus.failed,
  /**
   * The host is short of descriptors, memory or disk space, or a file system is read-only or does
   * not answer. The condition may pass.
   */
  UNAVAILABLE: ExitStatus.notPossible,
} as const satisfies Record<string, ExitStatus>;
export type ErrorCode = keyof typeof errorCatalogue;

/** One error or warning about a configuration, with its position. */
export interface Problem {
  readonly severity: "error" | "warning";
  /**
   * The file name as given, `<argument>` for a mapping on the command line, `<stdin>`, or
   * `<runtime>`.
   */
  readonly file: string;
  /** The line, from 1; 0 when the problem concerns the file as a whole. */
  readonly line: number;
  /** The column, from 1, in UTF-16 code units; 0 when the problem concerns the file as a whole. */
  readonly column: number;
  /** The path in the document, e.g. `mappings[2].on[0]`; empty for the document itself. */
  readonly path: string;
  /** Says what is wrong. */
  readonly message: string;
  /** Says what would be right; may be empty. */
  readonly hint: string;
}

export interface IlmErrorOptions {
  readonly cause?: unknown;
  /** Says in a full sentence what the user can do about the error. */
  readonly remedy?: string;
  /** Lists every problem found, for CONFIGURATION. */
  readonly problems?: readonly Problem[];
}

/** The only error class that crosses a layer. */
export class IlmError extends Error {
  override readonly name = "IlmError";
  readonly code: ErrorCode;
  readonly remedy: string | undefined;
  readonly problems: readonly Problem[];

  constructor(code: ErrorCode, message: string, options: IlmErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.remedy = options.remedy;
    this.problems = options.problems ?? [];
  }

  get exitStatus(): ExitStatus {
    return errorCatalogue[this.code];
  }
}

/**
 * Says by errno what the host is short of, and what to do. All of these conditions may pass by
 * themselves.
 */
const shortages: Readonly<Record<string, readonly [what: string, remedy: string]>> = {
  EMFILE: [
    "this process has reached its limit of open files",
    "Raise the limit: LimitNOFILE= in a unit, `ulimit -n` in a shell.",
  ],
  ENFILE: [
    "the host has reached its limit of open files",
    "Raise the sysctl fs.file-max, or end the processes that hold them: `lsof` shows them.",
  ],
  ENOSPC: [
    "its file system is full, or has no inodes left",
    "Free space: `df -h` and `df -i` show which one is full.",
  ],
  EDQUOT: ["the quota of its file system is used up", "Raise the quota, or remove files."],
  EROFS: [
    "its file system is read-only",
    "Mount it writable: `mount -o remount,rw MOUNTPOINT`; in a unit, ReadWritePaths= allows it.",
  ],
  ENOMEM: [
    "there is not enough memory",
    "Free memory, or raise the limit of this cgroup: MemoryMax= in a unit.",
  ],
  EIO: ["its disk or file system reports an error", "Check the kernel log: `dmesg`."],
  ESTALE: [
    "the server of its file system no longer knows it (a stale handle)",
    "Mount that file system again.",
  ],
  ETIMEDOUT: [
    "its server does not answer",
    "Check that the server of that file system is reachable.",
  ],
};

/**
 * Returns the error for `what` failing with this errno, or undefined when the errno does not mean
 * that the host is short of something.
 */
export function unavailable(what: string, errno: string, cause: unknown): IlmError | undefined {
  const shortage = shortages[errno];
  if (shortage === undefined) return undefined;
  const [why, remedy] = shortage;
  return new IlmError("UNAVAILABLE", `${what}: ${why} (${errno})`, { cause, remedy });
}

/** Returns the errno that an error message of the dynamic loader, or of its caller, stands for. */
export function shortageInWords(error: unknown): "EMFILE" | "ENFILE" | "ENOMEM" | undefined {
  const words = error instanceof Error ? error.message : "";
  if (/too many open files in system/i.test(words)) return "ENFILE";
  if (/too many open files/i.test(words)) return "EMFILE";
  return /cannot allocate memory/i.test(words) ? "ENOMEM" : undefined;
}

/**
 * Returns the errno of a failed call of node:fs, node:net and the like; undefined for other errors.
 */
export function nodeErrno(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("code" in error)) return undefined;
  const { code } = error;
  return typeof code === "string" && /^E[A-Z0-9]+$/.test(code) ? code : undefined;
}

/** Formats a problem as `file:line:column: path: what is wrong; what would be right`. */
export function formatProblem(problem: Problem): string {
  const place =
    problem.line > 0 ? `${problem.file}:${problem.line}:${problem.column}` : problem.file;
  const path = problem.path === "" ? "" : ` ${problem.path}:`;
  const severity = problem.severity === "warning" ? " warning:" : "";
  const hint = problem.hint === "" ? "" : `; ${problem.hint}`;
  return `${place}:${severity}${path} ${problem.message}${hint}`;
}

/** Returns the CONFIGURATION error that carries every problem found, warnings included. */
export function configurationError(problems: readonly Problem[]): IlmError {
  const errors = problems.filter((problem) => problem.severity === "error").length;
  return new IlmError(
    "CONFIGURATION",
    `the configuration has ${errors} ${errors === 1 ? "error" : "errors"}; nothing was changed`,
    { problems },
  );
}

/** Turns a hint into a remedy: `write 443` becomes `Write 443.` */
export function asSentence(hint: string): string {
  return `${hint.charAt(0).toUpperCase()}${hint.slice(1)}.`;
}
