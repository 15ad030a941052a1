// Goal: over a real socket every request gets one clear answer, and a daemon that hangs, dies or
// talks nonsense is told apart.
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { type IncomingMessage, request as httpRequest } from "node:http";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { setImmediate as immediate } from "node:timers/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import * as fc from "fast-check";
import type { Service } from "../../../src/model/mapping.js";
import { noGroups } from "../../../src/api/rights.js";
import { mappingShape } from "../../../src/api/mapping-shape.js";
import type { Logger } from "../../../src/daemon/log.js";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  apiVersion,
  smallBodyLimit,
  type ApiChange,
  type ListedMapping,
} from "../../../src/api/api.js";
import type { AnsweredChange } from "../../../src/api/result.js";
import {
  requestChange,
  requestMappings,
  requestServices,
  requestState,
  requestStatus,
} from "../../../src/api/client.js";
import { EventStreams } from "../../../src/daemon/event-stream.js";
import { Events } from "../../../src/daemon/events.js";
import { serveApi, type ApiOptions, type ApiServer } from "../../../src/daemon/server.js";
import { configurationError, IlmError } from "../../../src/errors.js";
import { inMemory } from "../../../src/model/rules.js";
import { python } from "../../support/paths.js";
import {
  address,
  daemonState as state,
  daemonStatus as status,
  mapping,
  ruleSet,
} from "./fixtures.js";

const result: AnsweredChange = {
  generation: 2,
  changed: true,
  difference: null,
  steps: [],
  mappings: 1,
  incremental: false,
  addressesAdded: [],
  addressesRemoved: [],
  interfacesMissing: [],
  kfuncTrouble: null,
  repaired: [],
  takenOverFormat: null,
  lost: null,
  pending: null,
  off: false,
};
const unload: ApiChange = { kind: "unload" };
const service: Service = {
  name: "web",
  addresses: [address("127.0.1.10")],
  origin: { file: "rules.yaml", line: 2, column: 3 },
};
const listed: ListedMapping = {
  ...mappingShape(mapping("web"), false),
  to: [
    {
      address: "127.0.1.10",
      port: "same",
      service: null,
      weight: null,
      handover: "auto",
      dualStack: false,
      listening: true,
      selected: 1,
      selectedPerSecond: 0.5,
      connections: 3,
      flows: null,
      ended: null,
      neverSince: "2026-01-02T03:04:05.000Z",
      drained: false,
    },
  ],
  counters: { existing: 0, selected: 1, missed: 0, errors: 0 },
  rates: {
    seconds: 2,
    existingPerSecond: 0,
    selectedPerSecond: 0.5,
    missedPerSecond: 0,
    errorsPerSecond: 0,
  },
};

let folder: string;
let path: string;
let changes: ApiChange[];
let onChange: (change: ApiChange) => Promise<AnsweredChange>;
let closers: (() => Promise<void>)[];
let logged: string[];
let events: Events;
let streams: EventStreams;
const log: Logger = {
  log: (level, message) => {
    logged.push(`${level} ${message}`);
  },
};

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ilm-server-"));
  path = join(folder, "api.sock");
  changes = [];
  onChange = () => Promise.resolve(result);
  closers = [];
  logged = [];
  events = new Events();
  streams = new EventStreams(events, {
    hello: () => ({ api: apiVersion, version: "0.1.0", netns: 1, generation: 7 }),
  });
});

afterEach(async () => {
  streams.close();
  for (const close of closers) await close();
  rmSync(folder, { recursive: true });
});

async function serve(options: Partial<ApiOptions> = {}): Promise<ApiServer> {
  const server = await serveApi(
    path,
    {
      status: () => status,
      change: (change) => {
        changes.push(change);
        return onChange(change);
      },
      state: () => state,
      services: () => [service],
      mappings: async (query) => {
        await immediate();
        const names = query.getAll("name");
        if (!names.includes("nobody")) return { total: names.length, mappings: [listed] };
        throw new IlmError("NOT_FOUND", "there is no such mapping");
      },
      metrics: () => "ilm_loaded 1\n",
      version: () => ({ api: apiVersion, version: "0.1.0" }),
      events: streams,
    },
    { groups: noGroups, log, ...options },
  );
  closers.push(() => server.close());
  return server;
}

/** A daemon that is none: does with each connection what it is told. */
async function pretend(onConnection: (socket: Socket) => void): Promise<void> {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    onConnection(socket);
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  closers.push(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
}

function ask(method: string, url: string, body = ""): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const outgoing = httpRequest(
      { socketPath: path, method, path: url, agent: false },
      (answer) => {
        let text = "";
        answer.setEncoding("utf8");
        answer.on("data", (part: string) => (text += part));
        answer.on("end", () => {
          resolve({ status: answer.statusCode ?? 0, text });
        });
        answer.on("error", reject);
      },
    );
    outgoing.on("error", reject);
    outgoing.end(body);
  });
}

describe("a running daemon", () => {
  test("takes a change and answers what it did", async () => {
    await serve();
    const followed = fileURLToPath(import.meta.url);
    const change: ApiChange = {
      kind: "apply",
      sources: [followed],
      given: [],
      file: inMemory(ruleSet(mapping("web"))),
    };
    expect(await requestChange(1, change, { socketPath: path })).toEqual(result);
    const [made] = changes;
    expect(made).toMatchObject({ kind: "apply", sources: [followed], given: [] });
    const file = made?.kind === "apply" ? made.file.read() : ruleSet();
    expect([...file.mappings]).toEqual([mapping("web")]);
  });

  test("lists mappings by the query of the request", async () => {
    await serve();
    const { status: found, text } = await ask("GET", "/v1/mappings?name=web&name=a%20b&port=80");
    expect(found).toBe(200);
    expect(JSON.parse(text)).toEqual({ ok: true, result: { total: 2, mappings: [listed] } });
    expect((await ask("GET", "/v1/mappings")).status).toBe(200);
    expect((await ask("GET", "/v1/mappings?name=nobody")).status).toBe(404);
    expect((await ask("GET", "/v1/mappingsx")).status).toBe(404);
  });

  test("tells its status", async () => {
    await serve();
    expect(await requestStatus(1, { socketPath: path })).toEqual(status);
  });

  test("refuses a change with the very error that making it threw", async () => {
    await serve();
    const problem = {
      severity: "error",
      file: "<runtime>",
      line: 0,
      column: 0,
      path: "",
      message: "ties",
      hint: "do not",
    } as const;
    onChange = () => Promise.reject(configurationError([problem]));
    await expect(requestChange(1, unload, { socketPath: path })).rejects.toMatchObject({
      code: "CONFIGURATION",
      problems: [problem],
    });
  });

  test("its socket is for the owner alone from the start", async () => {
    await serve();
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  test("tells the state of the rules, the services, and mappings", async () => {
    await serve();
    const options = { socketPath: path };
    expect(await requestState(1, options)).toEqual(state);
    expect(await requestServices(1, options)).toEqual([service]);
    const found = await requestMappings(1, new URLSearchParams({ name: "one" }), 0, options);
    expect(found).toEqual({ total: 1, mappings: [listed] });
  });

  test("takes the place of a socket that a killed daemon left", async () => {
    writeFileSync(path, "");
    await serve();
    expect(await requestStatus(1, { socketPath: path })).toEqual(status);
  });

  test("leaves no socket behind", async () => {
    const server = await serve();
    await server.close();
    closers = [];
    expect(existsSync(path)).toBe(false);
  });

  test("ends although a client holds a connection open and says nothing", async () => {
    const server = await serve();
    const idle = connect(path);
    await new Promise((resolve) => idle.once("connect", resolve));
    await server.close();
    closers = [];
    idle.destroy();
  });

  test("serves metrics as text", async () => {
    await serve();
    expect(await ask("GET", "/metrics")).toEqual({ status: 200, text: "ilm_loaded 1\n" });
  });
});

describe("a daemon with clients that hold it up", () => {
  /** So many connections that have sent this and go on to say nothing. */
  async function hold(count: number, text: string): Promise<void> {
    const sockets = await Promise.all(
      Array.from(
        { length: count },
        () =>
          new Promise<Socket>((resolve, reject) => {
            const socket = connect(path);
            socket.on("connect", () => {
              // The daemon may have ended it already.
              socket.on("error", () => undefined);
              socket.write(text, () => {
                resolve(socket);
              });
            });
            socket.on("error", reject);
          }),
      ),
    );
    closers.unshift(() => {
      for (const socket of sockets) socket.destroy();
      return Promise.resolve();
    });
  }

  test.each([
    ["say nothing", ""],
    ["never end their headers", "POST /v1/add HTTP/1.1\r\nhost: i"],
    [
      "never send their body",
      "POST /v1/add HTTP/1.1\r\nhost: ilm\r\ncontent-length: 1000\r\n\r\n{",
    ],
  ])("300 that %s keep no request waiting", async (_what, text) => {
    await serve();
    await hold(300, text);
    expect(await requestStatus(1, { socketPath: path })).toEqual(status);
    expect(await requestChange(1, unload, { socketPath: path })).toEqual(result);
  });

  test("70 changes at once are made beside 300 whose bodies do not come", async () => {
    await serve();
    await hold(300, "POST /v1/add HTTP/1.1\r\nhost: ilm\r\ncontent-length: 1000\r\n\r\n{");
    const asked = Array.from({ length: 70 }, () => requestChange(1, unload, { socketPath: path }));
    expect(await Promise.all(asked)).toEqual(asked.map(() => result));
  });

  test("a client that dies in the middle of its request is forgotten", async () => {
    await serve();
    for (let i = 0; i < 70; i++) {
      const socket = connect(path);
      socket.on("error", () => undefined);
      const closed = new Promise((resolve) => socket.on("close", resolve));
      socket.write("POST /v1/add HTTP/1.1\r\nhost: ilm\r\ncontent-length: 1000\r\n\r\n{", () =>
        socket.destroy(),
      );
      await closed;
    }
    expect(await requestChange(1, unload, { socketPath: path })).toEqual(result);
    expect(changes).toEqual([unload]);
  });

  test("64 changes that wait for their turn hold up no status, and one more is refused with why", async () => {
    let go: (value: AnsweredChange) => void = () => undefined;
    const turn = new Promise<AnsweredChange>((resolve) => {
      go = resolve;
    });
    onChange = () => turn;
    await serve();
    const waiting = Array.from({ length: 64 }, () =>
      requestChange(1, unload, { socketPath: path }),
    );
    while (changes.length < 64) await requestStatus(1, { socketPath: path });
    await expect(requestChange(1, unload, { socketPath: path })).rejects.toMatchObject({
      code: "LIMIT",
    });
    expect(await requestStatus(1, { socketPath: path })).toEqual(status);
    go(result);
    expect(await Promise.all(waiting)).toEqual(waiting.map(() => result));
    expect(await requestChange(1, unload, { socketPath: path })).toEqual(result);
  });

  test("a client that still sends its body hears why it is refused", async () => {
    await serve();
    const large = mapping("x".repeat(4_000));
    const change: ApiChange = {
      kind: "add",
      mappings: Array.from({ length: 5_000 }, () => large),
      replace: false,
    };
    await expect(requestChange(1, change, { socketPath: path })).rejects.toMatchObject({
      code: "LIMIT",
    });
  });
});

describe("a request that is wrong", () => {
  test.each([
    ["an unknown path", "GET", "/v2/status", "", 404],
    ["the wrong method", "GET", "/v1/apply", "", 404],
    ["no body", "POST", "/v1/apply", "", 400],
    ["a body that is no JSON", "POST", "/v1/unload", "{", 400],
    ["a body of another shape", "POST", "/v1/unload", "[]", 400],
    ["a key too many", "POST", "/v1/unload", '{"force":true}', 400],
  ])("%s: %s %s is refused and nothing is changed", async (_what, method, url, body, code) => {
    await serve();
    const answer = await ask(method, url, body);
    expect(answer.status).toBe(code);
    expect(JSON.parse(answer.text)).toMatchObject({ ok: false, error: { code: "USAGE" } });
    expect(changes).toEqual([]);
  });

  test("a body that is too large is refused with its limit and what to do, and nothing is changed", async () => {
    await serve();
    const answer = await ask("POST", "/v1/add", " ".repeat(smallBodyLimit + 1));
    expect(answer.status).toBe(413);
    expect(JSON.parse(answer.text)).toMatchObject({
      ok: false,
      error: {
        code: "LIMIT",
        message: `the body of /v1/add is larger than ${smallBodyLimit} bytes`,
        remedy: expect.stringContaining("ilm apply -f FILE") as string,
      },
    });
    expect(changes).toEqual([]);
  });

  test("an endless body without a length ends at the limit", async () => {
    await serve();
    const answer = await new Promise<number>((resolve, reject) => {
      const outgoing = httpRequest(
        { socketPath: path, method: "POST", path: "/v1/add", agent: false },
        (response) => {
          resolve(response.statusCode ?? 0);
          response.resume();
          outgoing.destroy();
        },
      );
      outgoing.on("error", reject);
      const more = (): void => {
        if (!outgoing.destroyed) outgoing.write(" ".repeat(65_536), more);
      };
      more();
    });
    expect(answer).toBe(413);
  });

  test("random bodies to random routes are answered each, and the daemon goes on", async () => {
    await serve();
    const urls = ["apply", "add", "remove", "unload", "reload", "nothing"];
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom("GET", "POST", "PUT"),
        fc.constantFrom(...urls),
        fc.oneof(fc.json(), fc.string(), fc.constant("{}")),
        async (method, url, body) => {
          const answer = await ask(method, `/v1/${url}`, body);
          expect([200, 400, 404]).toContain(answer.status);
          expect(JSON.parse(answer.text)).toHaveProperty("ok", answer.status === 200);
        },
      ),
      { numRuns: 200 },
    );
    expect(await requestStatus(1, { socketPath: path })).toEqual(status);
  });

  test("random bytes instead of HTTP end that connection, and the daemon goes on", async () => {
    await serve();
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 200 }), async (bytes) => {
        const socket = connect(path);
        await new Promise<void>((resolve) => {
          socket.on("error", () => undefined);
          socket.on("close", () => {
            resolve();
          });
          socket.end(bytes);
          socket.resume();
        });
      }),
      { numRuns: 50 },
    );
    expect(await requestStatus(1, { socketPath: path })).toEqual(status);
  });
});

describe("the version of the API", () => {
  test("can be asked for without knowing it", async () => {
    await serve();
    const { status, text } = await ask("GET", "/version");
    expect([status, JSON.parse(text)]).toEqual([
      200,
      { ok: true, result: { api: 1, version: "0.1.0" } },
    ]);
  });

  test.each(["/v2/status", "/v0/status", "/v2", "/v10/events?since=1"])(
    "%s is of another one, and the answer says so",
    async (url) => {
      await serve();
      const { status, text } = await ask("GET", url);
      expect(status).toBe(404);
      expect(text).toMatch(/this daemon has version 1 of the API, and not \d+".*GET \/version/);
    },
  );
});

describe("events", () => {
  /** Reads events until the connection ends. */
  async function* read(): AsyncGenerator<{ readonly event: string }> {
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      const options = { socketPath: path, path: "/v1/events", agent: false };
      httpRequest(options, resolve).on("error", reject).end();
    });
    expect(answer.headers["content-type"]).toBe("application/x-ndjson");
    let rest = "";
    for await (const part of answer.setEncoding("utf8")) {
      const lines = (rest + String(part)).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) yield JSON.parse(line) as { readonly event: string };
    }
  }

  test("arrive as they happen at several readers, beside requests, until the daemon ends", async () => {
    const server = await serve();
    const readers = [read(), read(), read()];
    for (const reader of readers) {
      expect((await reader.next()).value).toMatchObject({ event: "connected", generation: 7 });
    }
    events.tell({ event: "switched", to: "on" });
    for (const reader of readers) {
      expect((await reader.next()).value).toMatchObject({ event: "switched", to: "on" });
    }
    expect(await requestStatus(1, { socketPath: path })).toEqual(status);
    streams.close();
    await server.close();
    for (const reader of readers) {
      expect((await reader.next()).value).toMatchObject({ event: "ending" });
      expect((await reader.next()).done).toBe(true);
    }
  });

  test("are lost by a reader that stops reading, who hears how many; requests go on", async () => {
    await serve();
    const slow = connect(path);
    closers.push(() => Promise.resolve(slow.destroy()).then(() => undefined));
    slow.write("GET /v1/events HTTP/1.1\r\nhost: ilm\r\n\r\n");
    const quick = read();
    await quick.next();
    while (streams.readers < 2) await new Promise(setImmediate);
    const what = ["x".repeat(1000)];
    for (let told = 0; told < 2000; told += 1) {
      events.tell({ event: "restored", what });
      expect((await quick.next()).value).toMatchObject({ event: "restored" });
    }
    expect(await requestStatus(1, { socketPath: path })).toEqual(status);
    const { lost } = streams;
    expect(lost).toBeGreaterThan(0);
    let text = "";
    await new Promise<void>((resolve) => {
      slow.on("data", (part) => {
        text += String(part);
        if (text.includes('"event":"lost"')) resolve();
      });
    });
    expect(text).toContain(`"count":${lost}}`);
    expect(text.split('"event":"restored"').length - 1).toBe(2000 - lost);
  });

  test("go to one reader after the other, but not to too many at once", async () => {
    await serve();
    for (let turn = 0; turn < 2; turn += 1) {
      const readers = Array.from({ length: 64 }, read);
      await Promise.all(readers.map((reader) => reader.next()));
      const { status, text } = await ask("GET", "/v1/events");
      expect([status, JSON.parse(text)]).toMatchObject([503, { error: { code: "LIMIT" } }]);
      await Promise.all(readers.map((reader) => reader.return(undefined)));
      while (streams.readers > 0) await new Promise(setImmediate);
    }
  });
});

describe("a daemon that is not well", () => {
  test("none: no socket", async () => {
    expect(await requestChange(1, unload, { socketPath: path })).toBeNull();
  });

  test("none: a socket that nothing listens on", async () => {
    await pretend(() => undefined);
    // What a kill leaves: the file, and no process behind it.
    rmSync(path);
    writeFileSync(path, "");
    expect(await requestChange(1, unload, { socketPath: path })).toBeNull();
  });

  test("one that hangs is given up after the time limit, and the message says so", async () => {
    await pretend(() => undefined);
    const asked = requestChange(1, unload, { socketPath: path, timeoutMs: 100 });
    await expect(asked).rejects.toMatchObject({ code: "DAEMON" });
    await expect(asked).rejects.toThrow("did not answer within 0.1 s");
  });

  test("one whose queue of connections is full is waited for, as nothing was asked yet", async () => {
    // One connection fills its queue; then it goes on when it is told to.
    const child = spawn(python, [
      "-c",
      `import socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen(0)
filler = socket.socket(socket.AF_UNIX)
filler.connect(sys.argv[1])
print("full", flush=True)
sys.stdin.readline()
listener.accept()
peer = listener.accept()[0]
peer.recv(65536)
body = sys.argv[2].encode()
peer.sendall(b"HTTP/1.1 200 OK\\r\\ncontent-length: %d\\r\\n\\r\\n%s" % (len(body), body))
`,
      path,
      JSON.stringify({ ok: true, result: status }),
    ]);
    closers.push(() => {
      child.kill();
      return Promise.resolve();
    });
    await new Promise((resolve) => child.stdout.once("data", resolve));
    await expect(requestStatus(1, { socketPath: path, timeoutMs: 100 })).rejects.toThrow(
      "did not answer within 0.1 s",
    );
    const asked = requestStatus(1, { socketPath: path, timeoutMs: 60_000 });
    child.stdin.write("go\n");
    expect(await asked).toEqual(status);
  });

  test("one that dies before it answers: what became of the change is open, and the message says so", async () => {
    await pretend((socket) => {
      socket.once("data", () => socket.destroy());
    });
    const asked = requestChange(1, unload, { socketPath: path });
    await expect(asked).rejects.toMatchObject({ code: "DAEMON" });
    await expect(asked).rejects.toThrow("may or may not have");
  });

  test("one that dies in the middle of its answer is told the same way", async () => {
    await pretend((socket) => {
      socket.once("data", () => {
        socket.write('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"ok":tr', () =>
          socket.destroy(),
        );
      });
    });
    await expect(requestChange(1, unload, { socketPath: path })).rejects.toMatchObject({
      code: "DAEMON",
    });
  });

  test.each([
    ["no HTTP", "hello\r\n\r\n"],
    ["no JSON", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"],
    ["another shape", 'HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n{"ok":true}'],
  ])("one that answers %s is not believed", async (_what, answer) => {
    await pretend((socket) => {
      socket.once("data", () => socket.end(answer));
    });
    const error: unknown = await requestStatus(1, { socketPath: path }).catch(
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(IlmError);
    expect(error).toMatchObject({ code: "DAEMON" });
  });
});
