/** What `ilm import --json` prints. */
import { field, foreign, list, object, text, type Of } from "./shape.js";

const rule = {
  place: field(text, "Where the rule is, such as the table and chain."),
  rule: field(text, "The rule as its program shows it."),
} as const;

export const imported = object({
  mappings: field(list(foreign("mapping of a configuration")), "Mappings that do the same."),
  unsaid: field(list(text), "What was left out or needs a decision, in words."),
  taken: field(
    list(
      object({
        ...rule,
        remove: field(text, "The command that removes the rule, or what to remove, in words."),
      }),
    ),
    "Rules that the mappings replace.",
  ),
  left: field(
    list(object({ ...rule, reason: field(text, "Why the mappings do not replace it.") })),
    "Rules that stay.",
  ),
  notes: field(list(text), "What to know before the mappings are applied."),
});

export type ImportJson = Of<typeof imported>;
