/** Reads what mappings have counted, even while another process changes the rules. */
import { Earlier } from "../earlier.js";
import type { Generation } from "../install/generation.js";
import type { State } from "../install/state.js";

/**
 * Calls `read` with the active state, and again with its successor when `read` returns undefined,
 * which means that the state it got is no longer active. `back` is a generation that went back and
 * that nobody has settled yet: what it has counted counts here, so that no counter decreases.
 */
export function countedIn<Read>(
  state: State,
  read: (one: Earlier | Generation, back: Generation | null) => Read | undefined,
): Read {
  for (;;) {
    const current = state.current();
    if (current instanceof Earlier) {
      const counted = read(current, null);
      if (counted !== undefined) return counted;
      continue;
    }
    const { generation, beside } = state.require();
    const isBack = generation.programs.active.pending?.over === true;
    const counted = read(generation, isBack ? beside : null);
    if (counted !== undefined) return counted;
  }
}
