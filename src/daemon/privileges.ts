/** Gives up, at the start of the daemon, the capabilities that it does not need. */
import {
  capabilitiesBeyond,
  neededCapabilities,
  startAgainWith,
  type Capability,
} from "../kernel/capabilities.js";
import { removeAllEnded } from "../dataplane/install/ended.js";
import { IlmError } from "../errors.js";

/** Says in the environment which process was started again, so that it happens once. */
const STARTED_AGAIN = "ILM_STARTED_AGAIN";

/**
 * Starts this program again, as the same process, when it has capabilities beyond those that it
 * needs and `kept`. Returns the names of those that could not be given up: that takes CAP_SETPCAP.
 */
export function keepOnly(kept: readonly Capability[]): readonly string[] {
  const needed = [...neededCapabilities, ...kept];
  const more = capabilitiesBeyond(needed);
  const isSecond = process.env[STARTED_AGAIN] === String(process.pid);
  // Not for what we start.
  delete process.env[STARTED_AGAIN];
  if (more.length === 0 || isSecond) return more;
  // It takes a look at processes of others, which is not possible any more afterwards.
  try {
    removeAllEnded();
  } catch (error) {
    // What is in the way will be met again.
    if (!(error instanceof IlmError)) throw error;
  }
  startAgainWith(needed, { ...process.env, [STARTED_AGAIN]: String(process.pid) });
}
