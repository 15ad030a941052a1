/** Opens the data plane for the length of one piece of work. */
import type { DataPlane, InForce, KeptText } from "../../dataplane/types.js";
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
 * For a command that reads a configuration first, which says more of what is wrong than a data
 * plane that cannot be opened: `read` may ask what is in force all the same, and gets null where
 * that cannot be seen. `work` then throws why.
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

/** Throws NOT_LOADED when nothing is in force. */
export function needInForce(dataPlane: DataPlane): InForce {
  const inForce = dataPlane.inForce();
  if (inForce !== null) return inForce;
  throw new IlmError(
    "NOT_LOADED",
    `nothing is loaded for this network namespace (${dataPlane.netnsInode})`,
    { remedy: "Load rules with `ilm apply -f FILE` or `ilm run -f FILE`." },
  );
}
