/** The daemon of this network namespace, for users who may not use BPF themselves. */
import type { ApiChange, DaemonState, DaemonStatus, MappingList } from "../api/api.js";
import {
  requestChange,
  requestMappings,
  requestMetrics,
  requestServices,
  requestState,
  requestStatus,
} from "../api/client.js";
import { socketExists, socketPath } from "../api/socket-path.js";
import { IlmError } from "../errors.js";
import { netnsInode } from "../kernel/netns.js";
import type { Service } from "../model/mapping.js";
import { beginStep, tellSteps } from "../progress.js";
import { followedSince, mayFollow, type Performed } from "./perform.js";

/** What a daemon can be asked. All throw its own errors, such as NOT_PERMITTED, and DAEMON. */
export interface DaemonAccess {
  status(): Promise<DaemonStatus>;
  state(): Promise<DaemonState>;
  services(): Promise<readonly Service[]>;
  /** The daemon measures so many seconds, if the query asks for rates. */
  mappings(query: URLSearchParams, measureSeconds?: number): Promise<MappingList>;
  /** Returns the metrics page; null when the daemon is gone. */
  metrics(): Promise<string | null>;
  change(change: ApiChange): Promise<Performed>;
}

/**
 * Returns the daemon of the network namespace that the process is in, or null when there is none.
 * Throws UNSAFE_PATH.
 */
export function accessDaemon(): DaemonAccess | null {
  const inode = netnsInode();
  const path = socketPath(inode);
  if (!socketExists(path)) return null;
  const there = <T>(answer: T | null): T => {
    if (answer !== null) return answer;
    throw new IlmError("DAEMON", `no daemon answers on ${path}`, {
      remedy: "Start it again: `systemctl restart ilm`, or `ilm run`, as root.",
    });
  };
  return {
    status: async () => there(await requestStatus(inode)),
    state: async () => there(await requestState(inode)),
    services: async () => there(await requestServices(inode)),
    mappings: async (query, seconds) => there(await requestMappings(inode, query, seconds)),
    metrics: async () => await requestMetrics(inode),
    async change(change) {
      beginStep("waiting for the daemon");
      const before = mayFollow(change) ? await requestStatus(inode) : null;
      const { steps, ...result } = there(await requestChange(inode, change));
      tellSteps("run", steps);
      const follows = before && followedSince(before, await requestStatus(inode));
      return { ...result, by: "daemon", follows };
    },
  };
}
