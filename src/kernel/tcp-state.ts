/** How busy TCP ports are, as /proc/net shows it (net/ipv4/tcp_ipv4.c, tcp4_seq_show). */
import { readFileSync } from "node:fs";
import { unless } from "./folder.js";

export interface PortState {
  /** Connections that are established, those that wait for accept() included. */
  readonly established: number;
  /** Connections that wait for accept(), or have not finished their handshake. */
  readonly waiting: number;
}

const ESTABLISHED = "01";
const SYN_RECEIVED = "03";
const LISTEN = "0A";

/** Sums up over the ports of this network namespace. */
export function portState(ports: ReadonlySet<number>): PortState {
  return ["tcp", "tcp6"]
    .map((name) =>
      // Without IPv6, its file does not exist.
      portStateIn(
        unless(["ENOENT"], () => readFileSync(`/proc/self/net/${name}`, "utf8")) ?? "",
        ports,
      ),
    )
    .reduce((sum, one) => ({
      established: sum.established + one.established,
      waiting: sum.waiting + one.waiting,
    }));
}

/** Parses the text of one such file. */
export function portStateIn(text: string, ports: ReadonlySet<number>): PortState {
  let established = 0;
  let waiting = 0;
  // The second number of a queue is what was received; of a listener, its accept queue.
  const line = /^\s*[0-9]+: [0-9A-F]+:([0-9A-F]{4}) \S+ ([0-9A-F]{2}) [0-9A-F]+:([0-9A-F]+) /gm;
  for (const [, port = "", state, queue = ""] of text.matchAll(line)) {
    if (!ports.has(Number.parseInt(port, 16))) continue;
    if (state === ESTABLISHED) established += 1;
    else if (state === SYN_RECEIVED) waiting += 1;
    else if (state === LISTEN) waiting += Number.parseInt(queue, 16);
  }
  return { established, waiting };
}
