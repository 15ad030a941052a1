/**
 * The closed catalogue of everything that `ilm` refuses or fails at. One code, one exit status, one place.
 * A message says what is wrong and where; `remedy` says what would be right.
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
  /** Another user could have put there, or could replace, what stands at a path that ilm relies on. */
  UNSAFE_PATH: ExitStatus.notPossible,
  /** libbpf.so.1 is not installed, or too old. */
  NO_LIBBPF: ExitStatus.notPossible,
  /** Another writer holds the lock of this network namespace. */
  LOCKED: ExitStatus.notPossible,
  /** A limit of the data plane or of the daemon is reached; the message says which and how large it is. */
  LIMIT: ExitStatus.notPossible,
  /** The state in the kernel was made by an incompatible version of ilm. */
  INCOMPATIBLE: ExitStatus.notPossible,
  /** The network namespace that was named cannot be entered. */
  NETNS: ExitStatus.notPossible,
  /** The daemon did not answer, or answered nonsense. */
  DAEMON: ExitStatus.failed,
} as const satisfies Record<string, ExitStatus>;
export type ErrorCode = keyof typeof errorCatalogue;

/** One thing that is wrong (or doubtful) in a configuration, at its place. */
export interface Problem {
  readonly severity: "error" | "warning";
  /** File name as given, `<argument>` for a mapping on the command line, `<stdin>`, or `<runtime>`. */
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
