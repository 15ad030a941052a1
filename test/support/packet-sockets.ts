/** Packet sockets, which take away what ingress gives. */
import { release } from "node:os";
import type { Namespace } from "./namespace.js";
import type { Family } from "./matrix.js";
import type { Background } from "./process.js";

const [major = 0, minor = 0] = release().split(".").map(Number);

/**
 * Those that are bound to no interface too: since Linux 6.15, where a network namespace has a list
 * of its own.
 */
export const unboundTapsTake = major > 6 || (major === 6 && minor >= 15);

const protocols: Readonly<Record<Family | "all", string>> = {
  4: "0x0800",
  6: "0x86dd",
  all: "0x0003",
};

/** Holds a packet socket until it is stopped. `device`: it is bound to; null: to none. */
export async function holdPacketSocket(
  namespace: Namespace,
  protocol: Family | "all",
  device: string | null,
): Promise<Background> {
  const args = [protocols[protocol], ...(device === null ? [] : [device])];
  const holder = namespace.startPython("packet_socket.py", args);
  await holder.waitForOutput(/open/);
  return holder;
}
