/** What `ilm run --json` writes for each entry of its log. */
import { errorCode, problem } from "./common.js";
import { boolean, field, integer, list, object, oneOf, optional, text, type Of } from "./shape.js";

export const entry = object({
  time: field(text, "When it was: ISO 8601, UTC."),
  level: field(oneOf("error", "warning", "info"), "How bad it is."),
  message: field(text, "What happened."),
  generation: optional(integer, "For applied rules: their number."),
  changed: optional(boolean, "For applied rules: false when they were already active."),
  code: optional(errorCode, "For errors: which kind it is; see docs/troubleshooting.md."),
  problems: optional(list(problem), "For a configuration that is refused: all its problems."),
});

export type LogJson = Of<typeof entry>;
