/** Opens the data plane for the length of one piece of work. */
import type { DataPlane, InForce } from "../dataplane/types.js";
import { IlmError } from "../errors.js";
import { beginStep } from "../progress.js";

export async function withDataPlane<T>(work: (dataPlane: DataPlane) => T | Promise<T>): Promise<T> {
  beginStep("opening the data plane");
  const { openDataPlane } = await import("../dataplane/open.js");
  const dataPlane = openDataPlane();
  try {
    return await work(dataPlane);
  } finally {
    dataPlane.close();
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
