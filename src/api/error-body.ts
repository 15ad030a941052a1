/** Errors as plain data, over the socket and in `--json`. */
import {
  IlmError,
  nodeErrno,
  shortageInWords,
  unavailable,
  type ErrorCode,
  type Problem,
} from "../errors.js";

export interface ErrorBody {
  readonly code: ErrorCode;
  readonly message: string;
  readonly remedy: string | null;
  readonly problems: readonly Problem[];
}

/**
 * Returns any error as plain data. What is neither an IlmError nor a shortage of the host is a bug
 * and becomes INTERNAL.
 */
export function errorBody(error: unknown): ErrorBody {
  const known = foreseen(error);
  if (known !== undefined) {
    return {
      code: known.code,
      message: known.message,
      remedy: known.remedy ?? null,
      problems: known.problems,
    };
  }
  const message = error instanceof Error ? error.message : String(error);
  return { code: "INTERNAL", message, remedy: null, problems: [] };
}

/**
 * Returns the error as one of the catalogue: any call may find that the host runs short of
 * something. Returns undefined for a bug.
 */
export function foreseen(error: unknown): IlmError | undefined {
  if (error instanceof IlmError) return error;
  if (!(error instanceof Error)) return undefined;
  const errno = nodeErrno(error) ?? shortageInWords(error);
  return errno === undefined ? undefined : unavailable(describeCall(error), errno, error);
}

/**
 * Describes the failed call of a node:fs error, such as `open /run/ilm`; for others, returns the
 * first line of the message.
 */
function describeCall(error: Error): string {
  const { syscall, path } = error as { readonly syscall?: unknown; readonly path?: unknown };
  if (typeof syscall === "string") return `${syscall}${typeof path === "string" ? ` ${path}` : ""}`;
  return error.message.split("\n")[0] ?? "";
}

export function errorFromBody(body: ErrorBody): IlmError {
  return new IlmError(body.code, body.message, {
    problems: body.problems,
    ...(body.remedy === null ? {} : { remedy: body.remedy }),
  });
}
