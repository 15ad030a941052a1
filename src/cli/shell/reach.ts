/** Gives commands access to the host. It is passed in, so that tests can replace it. */
import type { PerformOptions, Performed } from "../../control/perform.js";
import type { DataPlane } from "../../dataplane/types.js";
import type { Listener, Owner } from "../../model/listener.js";
import type { Change } from "../../rules/change.js";

export interface Reach {
  /** Opens the data plane of the network namespace that the process is in. The caller closes it. */
  openDataPlane(): Promise<DataPlane>;
  /** Makes a change, through the daemon when one is running. */
  performChange(dataPlane: DataPlane, change: Change, options?: PerformOptions): Promise<Performed>;
  /** Finds the processes that hold the listeners' sockets. */
  ownersOf(listeners: readonly Listener[]): Promise<(listener: Listener) => Owner | undefined>;
  /** Returns the id of the machine, or null when it has none. */
  machineId(): Promise<string | null>;
}

/** The real host. Each function loads its code when a command first calls it. */
export const hostReach: Reach = {
  openDataPlane: async () => {
    const { openDataPlane } = await import("../../dataplane/open.js");
    return openDataPlane();
  },
  performChange: async (dataPlane, change, options) => {
    const { performChange } = await import("../../control/perform.js");
    return await performChange(dataPlane, change, options);
  },
  ownersOf: async (listeners) => {
    const { ownersOf } = await import("../../doctor/owners.js");
    return await ownersOf(listeners);
  },
  machineId: async () => {
    const { readMachineId } = await import("../../config/machine-id.js");
    return readMachineId();
  },
};
