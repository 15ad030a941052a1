/**
 * One connection or one datagram, with client and daemon in this process, waited for so long that
 * what does not come is lost, and not late. The next one begins when it is over, so no queue can
 * overflow.
 */
import { errnoOf } from "../../src/kernel/ffi.js";
import type { Exchange, Outcome } from "./loss.js";
import { expectEqual } from "./report.js";
import { type Name, Socket } from "./sockets.js";
import { pause } from "./stage.js";

const ECONNREFUSED = 111;
/** connect() ran into the socket's timeout. */
const EINPROGRESS = 115;
/** On a machine that is so slow nothing can be said. */
const GRACE_MS = 60_000;
const POLL_MS = 5;

function timed(run: (over: () => boolean) => Outcome): Exchange {
  const started = performance.now();
  const elapsed = (): number => performance.now() - started;
  const outcome = run(() => elapsed() > GRACE_MS);
  return { outcome, took_ms: elapsed() };
}

/** A connection, closed as soon as the daemon has it. */
export function exchangeConnection(to: Name, daemon: Socket): Exchange {
  return timed((over) => {
    let client: Socket;
    try {
      client = Socket.connected(to, { timeout: GRACE_MS });
    } catch (error) {
      if (errnoOf(error) === ECONNREFUSED) return "refused";
      if (errnoOf(error) === EINPROGRESS) return "not received";
      throw error;
    }
    try {
      let connection = daemon.accept();
      while (connection === undefined && !over()) {
        pause(POLL_MS);
        connection = daemon.accept();
      }
      if (connection === undefined) return "not received";
      const { name } = connection;
      connection.close();
      expectEqual("the daemon's own address", name, to);
      return "served";
    } finally {
      client.close();
    }
  });
}

/**
 * A datagram from a new port and its answer. `text` is its sequence number: what the daemon gets of
 * an earlier one that was given up counts for nothing.
 */
export function exchangeDatagram(to: Name, daemon: Socket, text: string): Exchange {
  return timed((over) => {
    const client = Socket.connected(to, { kind: "udp" });
    let received = false;
    try {
      client.send(text, to);
      while (!over()) {
        const got = daemon.receive(false);
        if (got?.text === text) {
          received = true;
          daemon.send(text, got.from);
        }
        // Says so too when the kernel refused the datagram, by ICMP.
        if (client.receive(false)?.text === text) return "served";
        if (got === undefined) pause(POLL_MS);
      }
      return received ? "not answered" : "not received";
    } catch (error) {
      if (errnoOf(error) === ECONNREFUSED) return "refused";
      throw error;
    } finally {
      client.close();
    }
  });
}
