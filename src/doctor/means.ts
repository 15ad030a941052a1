/** The means of handing over that the data plane currently has. */
import type { DataPlane } from "../dataplane/types.js";
import type { Means } from "../rules/listening.js";

export function meansOf(dataPlane: DataPlane): Means {
  return {
    kfunc: dataPlane.active()?.engine === "kfunc",
    steers: dataPlane.steers() ?? false,
    nat: dataPlane.nat(),
    vrfs: dataPlane.vrfs(),
  };
}
