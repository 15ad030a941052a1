/** What mappings have counted, also while another process changes what is in force. */
import { Earlier } from "../earlier.js";
import type { Generation } from "../install/generation.js";
import type { State } from "../install/state.js";

/**
 * `read` gives undefined of what is not in force any more: then what is in force by now is read.
 */
export function countedIn<Read>(
  state: State,
  read: (one: Earlier | Generation) => Read | undefined,
): Read {
  for (;;) {
    const current = state.current();
    const counted = read(current instanceof Earlier ? current : state.require().generation);
    if (counted !== undefined) return counted;
  }
}
