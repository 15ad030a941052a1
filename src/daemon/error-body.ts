/** Errors as plain data: over the socket, and in `--json`. */
import { IlmError, type ErrorCode, type Problem } from "../errors.js";

export interface ErrorBody {
  readonly code: ErrorCode;
  readonly message: string;
  readonly remedy: string | null;
  readonly problems: readonly Problem[];
}

/** Any error as plain data; what is not an IlmError is a bug and becomes INTERNAL. */
export function errorBody(error: unknown): ErrorBody {
  if (error instanceof IlmError) {
    return {
      code: error.code,
      message: error.message,
      remedy: error.remedy ?? null,
      problems: error.problems,
    };
  }
  const message = error instanceof Error ? error.message : String(error);
  return { code: "INTERNAL", message, remedy: null, problems: [] };
}

export function errorFromBody(body: ErrorBody): IlmError {
  return new IlmError(body.code, body.message, {
    problems: body.problems,
    ...(body.remedy === null ? {} : { remedy: body.remedy }),
  });
}
