/** Holding addresses: what comes there while a daemon is restarted is dropped, and sent again. */
import { IlmError } from "../errors.js";
import { Errno } from "../kernel/errno.js";
import { errnoOf } from "../kernel/ffi.js";
import { openSilentSocket, type SilentSocket } from "../kernel/silent-socket.js";
import { HOLD_PORT, type HoldAddresses } from "./text.js";

export interface Hold {
  close(): void;
}

export function openHold(addresses: HoldAddresses): Hold {
  const sockets: SilentSocket[] = [];
  const close = (): void => {
    for (const socket of sockets.splice(0)) socket.close();
  };
  try {
    for (const address of Object.values(addresses)) {
      for (const protocol of ["tcp", "udp"] as const) {
        sockets.push(openSilentSocket(protocol, address, HOLD_PORT));
      }
    }
  } catch (error) {
    close();
    if (errnoOf(error) !== Errno.EADDRINUSE) throw error;
    throw new IlmError("LOCKED", "another `ilm adopt` is at work on this host", {
      cause: error,
      remedy: "Wait until it has ended, then run the command again.",
    });
  }
  return { close };
}
