/** What `ilm metrics --json` prints. */
import { field, foreign, list, nullable, number, object, text, type Of } from "./shape.js";

export const samples = list(
  object({
    name: field(text, "The name of the metric; docs/daemon.md says what it means."),
    labels: field(foreign("an object of texts"), "The labels, by name."),
    value: field(nullable(number), "The value; null for one without bound."),
  }),
);

export type MetricsJson = Of<typeof samples>;
