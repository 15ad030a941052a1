/** What waits for a daemon, in words. */
import { type Listener, isFull } from "../model/listener.js";

/**
 * Describes a queue: `6 of 511 connections wait`; `full: 3 connections wait, 7 dropped`. One more
 * than its limit may wait, which reads like a mistake, so a full queue has no limit there.
 */
export function describeQueue({ protocol, queue }: Pick<Listener, "protocol" | "queue">): string {
  const { waiting, limit, drops } = queue;
  const what = protocol === "tcp" ? "connections" : "bytes";
  const wait = isFull({ protocol, queue })
    ? `full: ${waiting} ${what} wait`
    : `${waiting} of ${limit} ${what} wait`;
  return drops === 0 ? wait : `${wait}, ${drops} dropped`;
}
