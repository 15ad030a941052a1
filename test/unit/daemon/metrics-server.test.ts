// Goal: over TCP the page can be read and nothing else; slow clients keep nobody waiting, and an
// address that is taken is tried again.
import { request } from "node:http";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Address } from "../../../src/model/address.js";
import { serveMetrics } from "../../../src/daemon/metrics-server.js";

let lines: string[];
let made: number;
let close: () => void;
let sockets: Socket[];

beforeEach(() => {
  lines = [];
  made = 0;
  close = () => undefined;
  sockets = [];
});

afterEach(() => {
  for (const socket of sockets) socket.destroy();
  close();
});

/** A port that was free a moment ago. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

function serve(
  port: number,
  page = (): string => `page ${(made += 1)}\n`,
  address = "127.0.0.1",
): void {
  const log = {
    log: (level: string, message: string): void => void lines.push(`${level} ${message}`),
  };
  const addresses = [{ address: address as Address, port }];
  const server = serveMetrics(addresses, { log, page, pause: () => 5 });
  close = () => {
    server.close();
  };
}

async function until(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await new Promise((resolve) => setTimeout(resolve, 5));
}

function ask(port: number, path = "/metrics"): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    request({ host: "127.0.0.1", port, path, agent: false }, (answer) => {
      let text = "";
      answer.setEncoding("utf8").on("data", (part: string) => (text += part));
      answer.on("end", () => {
        resolve({ status: answer.statusCode ?? 0, text });
      });
    })
      .on("error", reject)
      .end();
  });
}

test("that anyone may reach them is a warning", async () => {
  const port = await freePort();
  serve(port, undefined, "0.0.0.0");
  await until(() => lines.length > 0);
  expect(lines).toEqual([
    `info metrics are served on http://0.0.0.0:${port}/metrics`,
    expect.stringMatching(
      /^warning the metrics on \S+ are for whoever reaches any address of this host, and reads .*; serve them on 127\.0\.0\.1/,
    ),
  ]);
});

test("whoever asks again at once gets the same page", async () => {
  const port = await freePort();
  serve(port);
  await until(() => lines.length > 0);
  expect(lines).toEqual([`info metrics are served on http://127.0.0.1:${port}/metrics`]);
  const pages = await Promise.all(Array.from({ length: 100 }, () => ask(port)));
  // A slow machine takes longer than a second for them.
  expect(new Set(pages.map(({ text }) => text)).size).toBe(made);
  expect(made).toBeLessThan(100);
});

test("300 clients that say nothing keep no scrape waiting", async () => {
  const port = await freePort();
  serve(port);
  await until(() => lines.length > 0);
  for (let count = 0; count < 300; count += 1) {
    const socket = connect(port, "127.0.0.1");
    socket.on("error", () => undefined).resume();
    if (count % 2 === 0) socket.write("GET /metrics HTTP/1.1\r\nHost:");
    sockets.push(socket);
  }
  await until(() => sockets.filter(({ destroyed }) => destroyed).length >= 200);
  expect((await ask(port)).status).toBe(200);
});

test("a page that cannot be made is an error of that request", async () => {
  const port = await freePort();
  serve(port, () => {
    throw new Error("the kernel has no room");
  });
  await until(() => lines.length > 0);
  expect(await ask(port)).toEqual({ status: 500, text: "the kernel has no room\n" });
  expect((await ask(port, "/")).status).toBe(200);
});

test("a port in use is logged once, and served when it is free", async () => {
  const port = await freePort();
  const other = createServer();
  await new Promise<void>((resolve) => other.listen(port, "127.0.0.1", resolve));
  serve(port);
  await until(() => lines.length > 0);
  expect(lines[0]).toMatch(/^error the metrics cannot be served on \S+ another process listens/);
  await new Promise((resolve) => other.close(resolve));
  await until(() => lines.length > 1);
  expect(lines[1]).toMatch(/^info metrics are served on/);
  expect((await ask(port)).text).toBe("page 1\n");
});
