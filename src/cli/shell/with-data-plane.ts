/** Opens the data plane for the length of one piece of work. */
import type { DataPlane, Active, KeptText } from "../../dataplane/types.js";
import { IlmError } from "../../errors.js";
import type { Context } from "./context.js";
import { beginStep } from "../../progress.js";

export async function withDataPlane<T>(
  context: Context,
  work: (dataPlane: DataPlane) => T | Promise<T>,
): Promise<T> {
  const dataPlane = await open(context);
  try {
    return await work(dataPlane);
  } finally {
    dataPlane.close();
  }
}

async function open({ reach }: Context): Promise<DataPlane> {
  beginStep("opening the data plane");
  return await reach.openDataPlane();
}

/**
 * Runs `read`, opens the data plane, and runs `work`. It is for commands that read a configuration
 * first, because errors in that say more than a data plane that cannot be opened. `read` may ask
 * for the kept text of the active rules, and gets null when the data plane cannot be opened;
 * opening it for `work` then throws why.
 */
export async function withDataPlaneAfter<Read, T>(
  context: Context,
  read: (kept: () => Promise<KeptText | null>) => Promise<Read>,
  work: (dataPlane: DataPlane, read: Read) => T | Promise<T>,
): Promise<T> {
  let dataPlane: DataPlane | undefined;
  try {
    const done = await read(async () => {
      try {
        dataPlane = await open(context);
        return dataPlane.keptText();
      } catch (error) {
        if (error instanceof IlmError) return null;
        throw error;
      }
    });
    dataPlane ??= await open(context);
    return await work(dataPlane, done);
  } finally {
    dataPlane?.close();
  }
}

/** Returns the active rules. Throws NOT_LOADED when there are none. */
export function needActive(dataPlane: DataPlane): Active {
  const active = dataPlane.active();
  if (active !== null) return active;
  throw new IlmError(
    "NOT_LOADED",
    `nothing is loaded for this network namespace (${dataPlane.netnsInode})`,
    { remedy: "Load rules with `ilm apply -f FILE` or `ilm run -f FILE`." },
  );
}
