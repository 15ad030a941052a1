/** What `ilm wait --json` prints. */
import { boolean, field, list, object, text, type Of } from "./shape.js";

export const waited = object({
  served: field(boolean, "True when each of the mappings has a listener."),
  unserved: field(list(text), "The names of those that had none when the time was over."),
});

export type WaitJson = Of<typeof waited>;
