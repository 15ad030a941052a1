/** What `ilm check --json` prints. */
import { errorBody, problem } from "./common.js";
import { boolean, field, integer, list, object, type Of } from "./shape.js";

const verdict = {
  valid: field(boolean, "True when there is no error; there may be warnings."),
  problems: field(list(problem), "All errors and warnings."),
} as const;

export const valid = object({
  ...verdict,
  services: field(integer, "How many services the configuration has."),
  mappings: field(integer, "How many mappings it has; one of both protocols counts twice."),
});

export const invalid = object({
  ...verdict,
  error: field(errorBody, "The same as every command prints it."),
});

export type CheckJson = Of<typeof valid>;
export type InvalidJson = Of<typeof invalid>;
