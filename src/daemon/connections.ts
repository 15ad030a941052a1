/**
 * Who is connected to the API, so that nobody keeps others out by being idle or slow: a request has
 * to arrive in time, and when there are too many that have not arrived, those that have shown no
 * progress for longest give way to whoever comes.
 */
import type { Socket } from "node:net";

/** Connections whose request has not arrived as a whole, or whose answer has not been taken. */
const WAITING_MAX = 64;
/**
 * Above this many there is no waiting for what the kernel holds of them; the files that a process
 * may open are the bound.
 */
const WAITING_MAX_EVER = 4 * WAITING_MAX;
/**
 * The clock goes by so much at each tick, however late the tick is: while the daemon is at work it
 * does not read.
 */
const TICK_MS = 250;
/** So much has to come in so much time, or the rest of the request. */
const PROGRESS_BYTES = 64 * 1024;
const PROGRESS_MS = 5_000;
/** The whole of a request has so much time, and so has the one who reads the answer. */
const WHOLE_MS = 60_000;

/** Times are of the clock of ticks. */
interface Connection {
  readonly since: number;
  readonly patienceMs: number;
  /** When it last made progress, and how much of its request had come by then. */
  progressAt: number;
  progressBytes: number;
}

export class Connections {
  /** In the order of their last progress, which a connection itself is too. */
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

  /** A connection whose request is to come. */
  awaitRequest(socket: Socket): void {
    this.#wait(socket, PROGRESS_MS);
  }

  /** The request has arrived: from now on it is the daemon that takes its time. */
  work(socket: Socket): void {
    this.#waiting.delete(socket);
  }

  /** The answer is to be taken. */
  awaitReader(socket: Socket): void {
    this.#wait(socket, WHOLE_MS);
  }

  #wait(socket: Socket, patienceMs: number): void {
    if (socket.destroyed) return;
    // First, so that it comes at the end of the order.
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
    // One that goes to the end of the order is met there again, without progress.
    for (const [socket, connection] of this.#waiting) {
      if (socket.bytesRead - connection.progressBytes < PROGRESS_BYTES) continue;
      connection.progressAt = this.#now;
      connection.progressBytes = socket.bytesRead;
      this.#waiting.delete(socket);
      this.#waiting.set(socket, connection);
    }
  }

  /** When what has come by now was read once: whoever connected and asked at once is not idle. */
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
