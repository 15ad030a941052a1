/** The daemons of the demo, and the results of dialling them. */
import type { DialResult } from "./messages.js";
import { publicAddresses } from "./network.js";
import type { StockName } from "./stock.js";

/** The daemons of examples/demo.yaml, and one that needs no mapping. */
export const daemons = {
  web: { style: "http", endpoints: ["tcp:127.0.1.10:80", "tcp:[fd5e:ed00::10]:80"] },
  dns: {
    style: "echo",
    endpoints: [
      "tcp:127.0.1.53:53",
      "tcp:[fd5e:ed00::53]:53",
      "udp:127.0.1.53:53",
      "udp:[fd5e:ed00::53]:53",
    ],
  },
  ssh: { style: "banner", endpoints: ["tcp:127.0.1.22:22"] },
  admin: { style: "http", endpoints: [`tcp:${publicAddresses.server4}:8080`] },
} as const;
export type DaemonName = keyof typeof daemons;
/** Who may answer: one of the demo's own daemons, or a stock server. */
export type ServerName = DaemonName | StockName;

/** One dial of a scene: what was expected, and what happened. */
export interface Dial {
  readonly protocol: "tcp" | "udp";
  /** The endpoint that the client dialled, as `address:port`. */
  readonly dialled: string;
  readonly expected: ServerName | "refused";
  readonly why: string;
  readonly result: DialResult;
  /** Says what is not as expected; null when all is. */
  readonly problem: string | null;
}
