/**
 * The closed catalogue of everything that `ilm` refuses or fails at. One code, one exit status, one
 * place. A message says what is wrong and where; `remedy` says what would be right.
 */

/** Exit statuses that scripts may rely on (see `ilm --help`). */
export const ExitStatus = {
  done: 0,
  failed: 1,
  usage: 2,
  configuration: 3,
  notPossible: 4,
} as const;
export type ExitStatus = (typeof ExitStatus)[keyof typeof ExitStatus];

/** Error code -> exit status. Codes are stable: scripts see them in `--json`. */
export const errorCatalogue = {
  /** A bug or a condition that nobody foresaw. */
  INTERNAL: ExitStatus.failed,
  /** A system call or libbpf call failed; the message names the call, `cause` keeps the errno. */
  SYSCALL: ExitStatus.failed,
  /** Nothing is loaded for this network namespace, and the command needs it. */
  NOT_LOADED: ExitStatus.failed,
  /** The thing that was named (a mapping, a generation) does not exist. */
  NOT_FOUND: ExitStatus.failed,
  /** `check`, `audit` or `doctor` found what they look for. */
  FINDINGS: ExitStatus.failed,
  /** The command line is wrong. */
  USAGE: ExitStatus.usage,
  /** The configuration is wrong; nothing was changed. `problems` holds every one. */
  CONFIGURATION: ExitStatus.configuration,
  /** Root (CAP_BPF, CAP_NET_ADMIN, CAP_SYS_ADMIN) is needed. */
  NOT_PERMITTED: ExitStatus.notPossible,
  /** This kernel has no BPF, or lacks the program type, map type or helper that is needed. */
  NO_BPF: ExitStatus.notPossible,
  /** This kernel has no BTF (/sys/kernel/btf/vmlinux). */
  NO_BTF: ExitStatus.notPossible,
  /** No cgroup v2 hierarchy is mounted. */
  NO_CGROUP2: ExitStatus.notPossible,
  /** The BPF file system is not mounted and could not be mounted. */
  NO_BPFFS: ExitStatus.notPossible,
  /**
   * Another user could have put there, or could replace, what stands at a path that ilm relies on.
   */
  UNSAFE_PATH: ExitStatus.notPossible,
  /** libbpf.so.1 is not installed, or too old. */
  NO_LIBBPF: ExitStatus.notPossible,
  /** Another writer holds the lock of this network namespace. */
  LOCKED: ExitStatus.notPossible,
  /**
   * A limit of the data plane or of the daemon is reached; the message says which and how large it
   * is.
   */
  LIMIT: ExitStatus.notPossible,
  /** The state in the kernel was made by an incompatible version of ilm. */
  INCOMPATIBLE: ExitStatus.notPossible,
  /** The network namespace that was named cannot be entered. */
  NETNS: ExitStatus.notPossible,
  /** The daemon did not answer, or answered nonsense. */
  DAEMON: ExitStatus.failed,
  /**
   * The host is short of descriptors, memory or room, or a file system cannot be written to, or
   * does not answer. It may pass.
   */
  UNAVAILABLE: ExitStatus.notPossible,
} as const satisfies Record<string, ExitStatus>;
export type ErrorCode = keyof typeof errorCatalogue;

/** One thing that is wrong (or doubtful) in a configuration, at its place. */
export interface Problem {
  readonly severity: "error" | "warning";
  /**
   * File name as given, `<argument>` for a mapping on the command line, `<stdin>`, or `<runtime>`.
   */
  readonly file: string;
  /** 1-based; 0 when the problem is with the file as a whole. */
  readonly line: number;
  /** 1-based, in UTF-16 code units; 0 when the problem is with the file as a whole. */
  readonly column: number;
  /** Where in the document, e.g. `mappings[2].on[0]`; empty for the document itself. */
  readonly path: string;
  /** What is wrong. */
  readonly message: string;
  /** What would be right. */
  readonly hint: string;
}

export interface IlmErrorOptions {
  readonly cause?: unknown;
  /** What the user can do about it, a full sentence. */
  readonly remedy?: string;
  /** For CONFIGURATION: every problem found. */
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
 * What the host is short of, by errno: what is wrong, and what would be right. All of these may
 * pass by themselves.
 */
const shortages: Readonly<Record<string, readonly [what: string, remedy: string]>> = {
  EMFILE: [
    "this process has as many open files as it may have",
    "Allow it more: LimitNOFILE= in a unit, `ulimit -n` in a shell.",
  ],
  ENFILE: [
    "all processes together have as many open files as the host allows",
    "Raise the sysctl fs.file-max, or end what holds them: `lsof` shows who.",
  ],
  ENOSPC: [
    "its file system is full, or has no inodes left",
    "Make room: `df -h` and `df -i` show which one is full.",
  ],
  EDQUOT: ["the quota of its file system is used up", "Raise the quota, or remove files."],
  EROFS: [
    "its file system is read-only",
    "Mount it writable: `mount -o remount,rw MOUNTPOINT`; in a unit, ReadWritePaths= allows it.",
  ],
  ENOMEM: [
    "there is no memory for it",
    "Free some, or give this cgroup more: MemoryMax= in a unit.",
  ],
  EIO: ["its disk or file system reports an error", "See what the kernel says: `dmesg`."],
  ESTALE: ["the server of its file system has forgotten it", "Mount that file system again."],
  ETIMEDOUT: ["its server does not answer", "See whether the server of that file system is there."],
};

/** The error for what failed with this errno; undefined when the errno says nothing of the host. */
export function unavailable(what: string, errno: string, cause: unknown): IlmError | undefined {
  const shortage = shortages[errno];
  if (shortage === undefined) return undefined;
  const [why, remedy] = shortage;
  return new IlmError("UNAVAILABLE", `${what}: ${why} (${errno})`, { cause, remedy });
}

/** The errno that the words of the dynamic loader, and of who calls it, stand for. */
export function shortageInWords(error: unknown): "EMFILE" | "ENFILE" | "ENOMEM" | undefined {
  const words = error instanceof Error ? error.message : "";
  if (/too many open files in system/i.test(words)) return "ENFILE";
  if (/too many open files/i.test(words)) return "EMFILE";
  return /cannot allocate memory/i.test(words) ? "ENOMEM" : undefined;
}

/** The errno of a failed call of node:fs, node:net and the like; undefined for other errors. */
export function nodeErrno(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("code" in error)) return undefined;
  const { code } = error;
  return typeof code === "string" && /^E[A-Z0-9]+$/.test(code) ? code : undefined;
}

/** `file:line:column: path: what is wrong; what would be right` */
export function formatProblem(problem: Problem): string {
  const place =
    problem.line > 0 ? `${problem.file}:${problem.line}:${problem.column}` : problem.file;
  const path = problem.path === "" ? "" : ` ${problem.path}:`;
  const severity = problem.severity === "warning" ? " warning:" : "";
  const hint = problem.hint === "" ? "" : `; ${problem.hint}`;
  return `${place}:${severity}${path} ${problem.message}${hint}`;
}

/** A configuration error that carries every problem found; warnings ride along. */
export function configurationError(problems: readonly Problem[]): IlmError {
  const errors = problems.filter((problem) => problem.severity === "error").length;
  return new IlmError(
    "CONFIGURATION",
    `the configuration has ${errors} ${errors === 1 ? "error" : "errors"}; nothing was changed`,
    { problems },
  );
}

/** A hint as a remedy: `write 443` -> `Write 443.` */
export function asSentence(hint: string): string {
  return `${hint.charAt(0).toUpperCase()}${hint.slice(1)}.`;
}
