/**
 * Tracks connections to the API, so that no client keeps others out by being idle or slow. A
 * request has to arrive in time; when too many have not arrived, those without progress for longest
 * give way to newcomers.
 */
import type { Socket } from "node:net";

/**
 * The maximum number of connections whose request has not fully arrived, or whose answer has not
 * been read.
 */
const WAITING_MAX = 64;
/**
 * Above this many, connections are closed without first reading what the kernel holds of them. The
 * bound is the number of files that a process may open.
 */
const WAITING_MAX_EVER = 4 * WAITING_MAX;
/**
 * How far the clock advances at each tick, however late the tick is: a busy daemon does not read.
 */
const TICK_MS = 250;
/** A request has to make this much progress in this time, or arrive in full. */
const PROGRESS_BYTES = 64 * 1024;
const PROGRESS_MS = 5_000;
/** The time limit for a whole request, and for reading the answer. */
const WHOLE_MS = 60_000;

/** Times are in milliseconds of the clock of ticks. */
interface Connection {
  readonly since: number;
  readonly patienceMs: number;
  /** When it last made progress, and how many bytes had arrived by then. */
  progressAt: number;
  progressBytes: number;
}

export class Connections {
  /** The connections, ordered by their last progress; connecting counts as progress. */
  readonly #waiting = new Map<Socket, Connection>();
  readonly #clock: NodeJS.Timeout;
  #now = 0;
  #isTrimming = false;

  constructor() {
    this.#clock = setInterval(() => {
      this.#now += TICK_MS;
      this.#endLate();
    }, TICK_MS).unref();
  }

  /** Starts waiting for a connection's request. */
  awaitRequest(socket: Socket): void {
    this.#wait(socket, PROGRESS_MS);
  }

  /** Stops the clock for a connection: from now on, it is the daemon that takes its time. */
  work(socket: Socket): void {
    this.#waiting.delete(socket);
  }

  /** Starts waiting for the answer to be read. */
  awaitReader(socket: Socket): void {
    this.#wait(socket, WHOLE_MS);
  }

  #wait(socket: Socket, patienceMs: number): void {
    if (socket.destroyed) return;
    // Delete it first, so that it moves to the end of the order.
    this.#waiting.delete(socket);
    this.#waiting.set(socket, {
      since: this.#now,
      patienceMs,
      progressAt: this.#now,
      progressBytes: socket.bytesRead,
    });
    socket.once("close", () => this.#waiting.delete(socket));
    if (this.#waiting.size > WAITING_MAX_EVER) this.#trim();
    else if (this.#waiting.size > WAITING_MAX) this.#trimSoon();
  }

  close(): void {
    clearInterval(this.#clock);
  }

  #endLate(): void {
    this.#measure();
    for (const [socket, connection] of this.#waiting) {
      if (
        this.#now - connection.progressAt > connection.patienceMs ||
        this.#now - connection.since > WHOLE_MS
      ) {
        this.#end(socket, "408 Request Timeout");
      }
    }
  }

  #measure(): void {
    // One that moves to the end of the order is visited there again, without progress.
    for (const [socket, connection] of this.#waiting) {
      if (socket.bytesRead - connection.progressBytes < PROGRESS_BYTES) continue;
      connection.progressAt = this.#now;
      connection.progressBytes = socket.bytesRead;
      this.#waiting.delete(socket);
      this.#waiting.set(socket, connection);
    }
  }

  /**
   * Trims once everything that has arrived was read: whoever connected and asked at once is not
   * idle.
   */
  #trimSoon(): void {
    if (this.#isTrimming) return;
    this.#isTrimming = true;
    setImmediate(() => {
      setImmediate(() => {
        this.#isTrimming = false;
        this.#trim();
      });
    });
  }

  #trim(): void {
    this.#measure();
    const surplus = Math.max(0, this.#waiting.size - WAITING_MAX);
    for (const socket of [...this.#waiting.keys()].slice(0, surplus)) {
      this.#end(socket, "503 Service Unavailable");
    }
  }

  #end(socket: Socket, status: string): void {
    this.#waiting.delete(socket);
    socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\n\r\n`);
    socket.destroySoon();
  }
}
