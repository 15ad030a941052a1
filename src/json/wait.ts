/** What `ilm wait --json` prints. */
import { boolean, field, list, object, text, type Of } from "./shape.js";

export const waited = object({
  served: field(
    boolean,
    "True when each of the mappings has a listener, over each family that it has addresses of; of a service, when each of its addresses has one.",
  ),
  off: field(boolean, "True when ilm was switched off when the time was over."),
  unserved: field(
    list(text),
    "The names of the mappings for which that was not so when the time was over.",
  ),
});

export type WaitJson = Of<typeof waited>;
