/** What the daemon's process itself uses, as Prometheus' client libraries name it. */
import { readdirSync, readFileSync } from "node:fs";

export interface OwnProcess {
  readonly cpuSeconds: number;
  readonly residentBytes: number;
  readonly virtualBytes: number;
  readonly openFiles: number;
  /** The limit on open files; Infinity for none. */
  readonly openFilesMax: number;
  /** When it started, in seconds since the epoch. */
  readonly startedAt: number;
}

const startedAt = Date.now() / 1000 - process.uptime();
const PAGE_BYTES = 4096;

export function ownProcess(): OwnProcess {
  const { user, system } = process.cpuUsage();
  const [pages = "0"] = readFileSync("/proc/self/statm", "utf8").split(" ");
  const limit = /^Max open files\s+(\S+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1];
  return {
    cpuSeconds: (user + system) / 1e6,
    residentBytes: process.memoryUsage.rss(),
    virtualBytes: Number(pages) * PAGE_BYTES,
    openFiles: readdirSync("/proc/self/fd").length,
    openFilesMax: limit === undefined || limit === "unlimited" ? Infinity : Number(limit),
    startedAt,
  };
}
