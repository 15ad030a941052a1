// Goal: a connection that brings no request in time is ended, whatever it sends, and one that is
// worked for is not.
import { Duplex } from "node:stream";
import type { Socket } from "node:net";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Connections } from "../../../src/daemon/connections.js";

/** What Connections needs of a socket. */
class FakeSocket extends Duplex {
  bytesRead = 0;
  said = "";

  override _read(): void {
    // Nothing comes but what `receive` counts.
  }

  override _write(part: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.said += part.toString();
    done();
  }

  destroySoon(): void {
    this.destroy();
  }
}

let connections: Connections;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
  connections = new Connections();
});

afterEach(() => {
  connections.close();
  vi.useRealTimers();
});

function connect(): FakeSocket {
  const socket = new FakeSocket();
  connections.awaitRequest(asSocket(socket));
  return socket;
}

function asSocket(socket: FakeSocket): Socket {
  return socket as unknown as Socket;
}

function pass(seconds: number, each: () => void = () => undefined): void {
  for (let i = 0; i < seconds; i++) {
    each();
    vi.advanceTimersByTime(1_000);
  }
}

/** Connections give way when what has come was read once. */
async function turns(): Promise<void> {
  for (let i = 0; i < 4; i++) await new Promise((resolve) => setImmediate(resolve));
}

describe("time", () => {
  test("a connection that asks for nothing is ended, and told why", () => {
    const socket = connect();
    pass(4);
    expect(socket.destroyed).toBe(false);
    pass(2);
    expect(socket.destroyed).toBe(true);
    expect(socket.said).toMatch(/^HTTP\/1\.1 408 /);
  });

  test("a byte a second is no progress", () => {
    const socket = connect();
    pass(6, () => (socket.bytesRead += 1));
    expect(socket.destroyed).toBe(true);
  });

  test("a body that comes is waited for, and not for ever", () => {
    const socket = connect();
    pass(55, () => (socket.bytesRead += 100_000));
    expect(socket.destroyed).toBe(false);
    pass(6, () => (socket.bytesRead += 100_000));
    expect(socket.destroyed).toBe(true);
  });

  test("a request that is worked for has all the time", () => {
    const socket = connect();
    connections.work(asSocket(socket));
    pass(600);
    expect(socket.destroyed).toBe(false);
  });

  test("an answer that is not read is dropped after a minute", () => {
    const socket = connect();
    connections.work(asSocket(socket));
    connections.awaitReader(asSocket(socket));
    pass(59);
    expect(socket.destroyed).toBe(false);
    pass(2);
    expect(socket.destroyed).toBe(true);
  });
});

describe("number", () => {
  test("of 65 that wait, the oldest gives way", async () => {
    const oldest = connect();
    pass(1);
    const others = Array.from({ length: 63 }, connect);
    await turns();
    expect(oldest.destroyed).toBe(false);
    const newest = connect();
    await turns();
    expect(oldest.said).toMatch(/^HTTP\/1\.1 503 /);
    expect([...others, newest].filter(({ destroyed }) => destroyed)).toEqual([]);
  });

  test("one that brings its body does not give way to those that came later and bring nothing", async () => {
    const busy = connect();
    pass(1);
    const idle = Array.from({ length: 64 }, connect);
    busy.bytesRead += 100_000;
    await turns();
    expect(busy.destroyed).toBe(false);
    expect(idle.filter(({ destroyed }) => destroyed)).toEqual([idle[0]]);
  });

  test("those that are worked for do not count", async () => {
    const working = Array.from({ length: 100 }, () => {
      const socket = connect();
      connections.work(asSocket(socket));
      return socket;
    });
    Array.from({ length: 100 }, connect);
    await turns();
    expect(working.filter(({ destroyed }) => destroyed)).toEqual([]);
  });

  test("of very many at once, most give way at once", () => {
    const all = Array.from({ length: 2_000 }, connect);
    expect(all.filter(({ destroyed }) => !destroyed).length).toBeLessThan(300);
    expect(all.at(-1)?.destroyed).toBe(false);
  });
});
