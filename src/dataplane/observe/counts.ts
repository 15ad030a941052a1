/** Reads what mappings have counted, even while another process changes the rules. */
import { Earlier } from "../earlier.js";
import type { Generation } from "../install/generation.js";
import type { State } from "../install/state.js";

/**
 * Calls `read` with the active state, and again with its successor when `read` returns undefined,
 * which means that the state it got is no longer active.
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
