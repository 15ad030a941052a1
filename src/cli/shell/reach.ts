/** Gives commands access to the host. It is passed in, so that tests can replace it. */
import type { Host } from "../../config/import-nft.js";
import type { NftSources } from "../../config/nft/sources.js";
import type { DaemonAccess } from "../../control/over-api.js";
import type { PerformOptions, Performed } from "../../control/perform.js";
import type { DaemonOptions } from "../../daemon/daemon.js";
import type { DataPlane } from "../../dataplane/types.js";
import type { DemoOptions } from "../../demo/demo.js";
import type { Places, Surroundings } from "../../doctor/way.js";
import type { AskedDaemon } from "../../doctor/writer.js";
import type { Capability } from "../../kernel/capabilities.js";
import type { HostReport } from "../../kernel/features.js";
import type { FionreadAnswer } from "../../kernel/fionread.js";
import type { Family } from "../../model/address.js";
import type { Holder, Listener } from "../../model/listener.js";
import type { Change } from "../../rules/change.js";

export interface Reach {
  /** Opens the data plane of the network namespace that the process is in. The caller closes it. */
  openDataPlane(): Promise<DataPlane>;
  /** Makes a change, through the daemon when one is running. */
  performChange(dataPlane: DataPlane, change: Change, options?: PerformOptions): Promise<Performed>;
  /** Returns the daemon for a user who may not open the data plane, or null without a daemon. */
  accessDaemon(): Promise<DaemonAccess | null>;
  /** Finds the processes that hold the listeners' sockets. */
  holdersOf(listeners: readonly Listener[]): Promise<(listener: Listener) => Holder | undefined>;
  /** Asks the daemon for its status. Without one, finds who holds the writer's lock. */
  askDaemon(netnsInode: number): Promise<AskedDaemon>;
  /** Checks kernel, privileges, mounts and neighbours. */
  probeHost(): Promise<HostReport>;
  /** Tries whether a daemon can see what is waiting for a UDP socket in a socket map. */
  tryFionread(): Promise<FionreadAnswer>;
  /** Finds where the host has its addresses. */
  lookForPlaces(): Promise<Places>;
  /** Finds what is on the way of packets of these families. */
  lookAround(
    dataPlane: DataPlane,
    places: Places,
    families: readonly Family[],
  ): Promise<Surroundings>;
  /** Returns the host's NAT rules. */
  askNat(): Promise<NftSources>;
  /** Finds what decides, beside NAT, where the host's packets go. */
  importingHost(): Promise<Host>;
  /** Returns the id of a group by its name, or undefined when the host has none of that name. */
  findGroup(name: string): Promise<number | undefined>;
  /**
   * Gives up all capabilities but those that a daemon needs and these; the program then starts
   * again. Returns the names of those that could not be given up.
   */
  keepOnly(kept: readonly Capability[]): Promise<readonly string[]>;
  /** Runs the daemon until it is told to end. */
  runDaemon(options: DaemonOptions): Promise<void>;
  /** Runs the demo in network namespaces of its own. */
  runDemo(options: DemoOptions): Promise<void>;
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
  accessDaemon: async () => {
    const { accessDaemon } = await import("../../control/over-api.js");
    return accessDaemon();
  },
  holdersOf: async (listeners) => {
    const { holdersOf } = await import("../../doctor/holders.js");
    return await holdersOf(listeners);
  },
  askDaemon: async (netnsInode) => {
    const { askDaemon } = await import("../../doctor/writer.js");
    return await askDaemon(netnsInode);
  },
  probeHost: async () => (await import("../../kernel/features.js")).probeHost(),
  tryFionread: async () => (await import("../../kernel/fionread.js")).tryFionread(),
  lookForPlaces: async () => (await import("../../doctor/way.js")).lookForPlaces(),
  lookAround: async (dataPlane, places, families) => {
    const { lookAround } = await import("../../doctor/way.js");
    return lookAround(dataPlane, places, families);
  },
  askNat: async () => (await import("../../doctor/neighbours.js")).askHost(),
  importingHost: async () => (await import("../../doctor/neighbours.js")).importingHost(),
  findGroup: async (name) => {
    const { findAccount } = await import("../../kernel/accounts.js");
    return findAccount("group", name);
  },
  keepOnly: async (kept) => {
    const { keepOnly } = await import("../../daemon/privileges.js");
    return keepOnly(kept);
  },
  runDaemon: async (options) => {
    const { runDaemon } = await import("../../daemon/daemon.js");
    await runDaemon(options);
  },
  runDemo: async (options) => {
    const { runDemo } = await import("../../demo/demo.js");
    await runDemo(options);
  },
  machineId: async () => {
    const { readMachineId } = await import("../../config/machine-id.js");
    return readMachineId();
  },
};
