/** What waits for a daemon, in words. */
import type { Listener } from "../model/listener.js";

/** Describes a queue as `129 of 128 connections wait`. */
export function describeQueue({ protocol, queue }: Pick<Listener, "protocol" | "queue">): string {
  const what = protocol === "tcp" ? "connections" : "bytes";
  return `${queue.waiting} of ${queue.limit} ${what} wait`;
}
