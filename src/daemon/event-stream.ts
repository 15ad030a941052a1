/**
 * Sends events to those who asked for them. Each reader has a buffer of its own: one that does not
 * read loses events, hears how many, and keeps neither the daemon nor other readers waiting.
 */
import type { Writable } from "node:stream";
import type { DaemonEvent, SentEvent, StreamEvent } from "../api/events.js";
import { IlmError } from "../errors.js";
import { printableJson } from "../printable.js";
import type { Events } from "./events.js";

/** How many may read at the same time. */
const READERS_MAX = 64;
/** How much may wait for one reader, in characters, beside what the kernel holds for it. */
const WAITING_MAX = 256 * 1024;
const HEARTBEAT_MS = 10_000;
/** A reader that has not read for so many heartbeats is gone for good. */
const BEATS_MAX = 12;

/** What a reader is told first. */
export type Hello = Omit<StreamEvent & { event: "connected" }, "event">;

export interface EventStreamOptions {
  readonly hello: () => Hello;
  readonly now?: () => Date;
  readonly heartbeatMs?: number;
}

interface Reader {
  readonly to: Writable;
  /** Events that it did not get since it was told so last. */
  lost: number;
  /** Heartbeats that found it behind, one after the other. */
  beatsBehind: number;
}

export class EventStreams {
  readonly #hello: () => Hello;
  readonly #now: () => Date;
  readonly #readers = new Set<Reader>();
  readonly #unsubscribe: () => void;
  readonly #clock: NodeJS.Timeout;
  #lost = 0;

  constructor(
    events: Events,
    { hello, now = () => new Date(), heartbeatMs = HEARTBEAT_MS }: EventStreamOptions,
  ) {
    this.#hello = hello;
    this.#now = now;
    this.#unsubscribe = events.subscribe((event) => {
      if (this.#readers.size === 0) return;
      const line = this.#line(event);
      for (const reader of this.#readers) this.#send(reader, line);
    });
    this.#clock = setInterval(() => {
      this.#beat();
    }, heartbeatMs).unref();
  }

  /** How many are reading. */
  get readers(): number {
    return this.#readers.size;
  }

  /** How many events readers did not get, all in all. */
  get lost(): number {
    return this.#lost;
  }

  /** Throws LIMIT when too many are reading. */
  refuseIfFull(): void {
    if (this.#readers.size < READERS_MAX) return;
    throw new IlmError("LIMIT", `${READERS_MAX} clients read events already`, {
      remedy: "End one of them, or have one of them pass the events on.",
    });
  }

  /** Sends events from now on, until the reader or the daemon ends. */
  open(to: Writable): void {
    const reader: Reader = { to, lost: 0, beatsBehind: 0 };
    this.#readers.add(reader);
    to.on("close", () => this.#readers.delete(reader));
    to.on("drain", () => {
      this.#catchUp(reader);
    });
    to.write(this.#line({ event: "connected", ...this.#hello() }));
  }

  /** Tells all readers that the daemon ends. */
  close(): void {
    clearInterval(this.#clock);
    this.#unsubscribe();
    const last = this.#line({ event: "ending" });
    for (const { to } of this.#readers) to.end(last);
    this.#readers.clear();
  }

  #line(event: DaemonEvent | StreamEvent): string {
    const { event: kind, ...rest } = event;
    const sent = { event: kind, time: this.#now().toISOString(), ...rest } as SentEvent;
    return `${printableJson(JSON.stringify(sent))}\n`;
  }

  #send(reader: Reader, line: string): void {
    // Nothing comes between the events that were lost and the line that says so.
    if (reader.lost > 0 || reader.to.writableLength + line.length > WAITING_MAX) {
      reader.lost += 1;
      this.#lost += 1;
      return;
    }
    reader.to.write(line);
  }

  #catchUp(reader: Reader): void {
    reader.beatsBehind = 0;
    if (reader.lost === 0) return;
    const { lost } = reader;
    reader.lost = 0;
    reader.to.write(this.#line({ event: "lost", count: lost }));
  }

  #beat(): void {
    const line = this.#line({ event: "heartbeat" });
    for (const reader of this.#readers) {
      if (!reader.to.writableNeedDrain) {
        reader.beatsBehind = 0;
        reader.to.write(line);
        continue;
      }
      reader.beatsBehind += 1;
      if (reader.beatsBehind > BEATS_MAX) reader.to.destroy();
    }
  }
}
