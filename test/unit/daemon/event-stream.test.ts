// Goal: each reader hears what happens, in its order; one that does not read loses events, hears
// how many, and keeps nobody waiting.
import { PassThrough } from "node:stream";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { DaemonEvent, SentEvent } from "../../../src/api/events.js";
import { EventStreams } from "../../../src/daemon/event-stream.js";
import { Events } from "../../../src/daemon/events.js";
import { anyEvent } from "../../../src/json/events.js";
import { conforms } from "../../support/conforms.js";

const now = () => new Date("2026-01-02T03:04:05.000Z");
const time = now().toISOString();
const switched: DaemonEvent = { event: "switched", to: "off" };
let events: Events;
let streams: EventStreams;

beforeEach(() => {
  vi.useFakeTimers();
  events = new Events();
  const hello = { api: 1, version: "0.1.0", netns: 1, generation: null };
  streams = new EventStreams(events, { hello: () => hello, now, heartbeatMs: 1000 });
});

afterEach(() => {
  streams.close();
  vi.useRealTimers();
});

/** What has arrived, each of which has to be what is published. */
function read(reader: PassThrough): SentEvent[] {
  const text = String((reader.read() as Buffer | null) ?? "");
  const sent = text
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line) as SentEvent);
  expect(sent.flatMap((event) => conforms(anyEvent, event))).toEqual([]);
  return sent;
}

function open(options = {}): PassThrough {
  const reader = new PassThrough(options);
  streams.open(reader);
  return reader;
}

test("a reader hears who it is, what happens from then on, a heartbeat, and the end", () => {
  events.tell(switched);
  const reader = open();
  expect(read(reader)).toEqual([
    { event: "connected", time, api: 1, version: "0.1.0", netns: 1, generation: null },
  ]);
  events.tell(switched);
  vi.advanceTimersByTime(1000);
  expect(read(reader)).toEqual([
    { event: "switched", time, to: "off" },
    { event: "heartbeat", time },
  ]);
  streams.close();
  expect(read(reader)).toEqual([{ event: "ending", time }]);
  expect(reader.writableEnded).toBe(true);
});

test("a reader that does not read hears how many events it lost, and others lose none", async () => {
  const slow = open({ writableHighWaterMark: 1, readableHighWaterMark: 1 });
  const quick = open();
  const what = ["x".repeat(1000)];
  let seen = 0;
  for (let told = 0; told < 1000; told += 1) {
    events.tell({ event: "restored", what });
    seen += read(quick).filter(({ event }) => event === "restored").length;
  }
  expect(seen).toBe(1000);
  const lost = streams.lost;
  expect(lost).toBeGreaterThan(700);
  expect(slow.writableLength).toBeLessThan(300_000);
  const heard: SentEvent[] = [];
  while (heard.at(-1)?.event !== "lost") {
    heard.push(...read(slow));
    await Promise.resolve();
    await vi.advanceTimersByTimeAsync(0);
  }
  expect(heard.at(-1)).toMatchObject({ event: "lost", count: lost });
  expect(heard.filter(({ event }) => event === "restored")).toHaveLength(1000 - lost);
  events.tell(switched);
  expect(read(slow)).toEqual([{ event: "switched", time, to: "off" }]);
});

test("a reader that never reads is let go", () => {
  const reader = open({ writableHighWaterMark: 1, readableHighWaterMark: 1 });
  for (let told = 0; told < 100; told += 1) events.tell(switched);
  vi.advanceTimersByTime(12_000);
  expect(reader.destroyed).toBe(false);
  vi.advanceTimersByTime(1000);
  expect(reader.destroyed).toBe(true);
});

test("a reader that is gone is forgotten", async () => {
  const reader = open();
  expect(streams.readers).toBe(1);
  reader.destroy();
  await vi.advanceTimersByTimeAsync(0);
  expect(streams.readers).toBe(0);
});

test("one more than 64 is refused", () => {
  const readers = Array.from({ length: 64 }, () => {
    streams.refuseIfFull();
    return open();
  });
  expect(readers).toHaveLength(64);
  expect(() => {
    streams.refuseIfFull();
  }).toThrow("64 clients read events already");
});
