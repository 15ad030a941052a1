/** What `ilm doctor --json` prints. */
import { boolean, field, integer, list, object, oneOf, optional, text, type Of } from "./shape.js";

export const diagnosis = object({
  ok: field(boolean, "True when there is no error; there may be warnings."),
  errors: field(integer, "How many checks found an error."),
  warnings: field(integer, "How many checks found a reason for a warning."),
  checks: field(
    list(
      object({
        name: field(text, "What was checked."),
        ok: field(boolean, "True when nothing has to be done."),
        severity: field(oneOf("ok", "warning", "error"), "How bad it is."),
        found: field(text, "What was found."),
        remedy: field(
          text,
          "What to do about it, or about what may be in the way; empty when nothing has to be done.",
        ),
        about: optional(
          list(text),
          "The names of the first 100 mappings, or of the service or socket, that it is about; absent for other checks.",
        ),
      }),
    ),
    "All checks, in their order.",
  ),
});

export type DoctorJson = Of<typeof diagnosis>;
