/** What there is to hand over with, as the data plane has it now. */
import type { DataPlane } from "../dataplane/types.js";
import type { Means } from "../rules/listening.js";

export function meansOf(dataPlane: DataPlane): Means {
  return {
    kfunc: dataPlane.inForce()?.engine === "kfunc",
    steers: dataPlane.steers() ?? false,
    nat: dataPlane.nat(),
    vrfs: dataPlane.vrfs(),
  };
}
