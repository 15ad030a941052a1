/** Talks to the `ilm run` of a network namespace, if there is one. */
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { IlmError, nodeErrno } from "../errors.js";
import { withPatience } from "../patience.js";
import {
  changeResult,
  daemonState,
  daemonStatus,
  encodeChange,
  mappingList,
  reply,
  serviceList,
  type ApiChange,
  type DaemonState,
  type DaemonStatus,
  type MappingList,
  type ReadPath,
} from "./api.js";
import { errorFromBody } from "./error-body.js";
import { openSocketPlace, socketPath } from "./socket-path.js";
import type { AnsweredChange } from "./result.js";
import { SEEN_HEADER, seenAt, seenWord } from "./seen.js";
import { DecodeError, type Decode } from "./decode.js";
import type { Service } from "../model/mapping.js";

/**
 * How long to wait for a change. One of a million mappings takes seconds; a daemon that needs
 * longer than this is considered hung.
 */
const CHANGE_TIMEOUT_MS = 60_000;
const STATUS_TIMEOUT_MS = 1_000;
/** A daemon that makes a long change answers what is read after it. */
const READ_TIMEOUT_MS = 10_000;
const RETRY_MS = 20;
/** The maximum size of an answer in bytes. It is usually a few kilobytes, or a list of problems. */
const ANSWER_LIMIT = 64 * 1024 * 1024;

export interface ClientOptions {
  readonly socketPath?: string;
  readonly timeoutMs?: number;
}

/**
 * Hands a change to the daemon. Returns null when no daemon listens, and nothing was done. Throws
 * the daemon's error, UNSAFE_PATH, or DAEMON when it does not answer in time, dies, or answers
 * nonsense. Whether the change was made is then unknown, and the message says so.
 */
export async function requestChange(
  netnsInode: number,
  change: ApiChange,
  options: ClientOptions = {},
): Promise<AnsweredChange | null> {
  const { path, body } = encodeChange(change);
  const sources = "sources" in change ? change.sources : [];
  return exchange(
    {
      method: "POST",
      path,
      body,
      headers: sources.length === 0 ? {} : { [SEEN_HEADER]: await seenHeader(sources) },
      timeoutMs: options.timeoutMs ?? CHANGE_TIMEOUT_MS,
      netnsInode,
    },
    options.socketPath ?? socketPath(netnsInode),
    changeResult,
  );
}

/** How long to wait for a file system. The daemon then decides by what it sees itself. */
const LOOK_MS = 5_000;

/** How many paths the header names: its size is limited. */
const NAMED_MAX = 100;

async function seenHeader(paths: readonly string[]): Promise<string> {
  const words = paths.slice(0, NAMED_MAX).map(async (path) => {
    try {
      return seenWord(await withPatience(LOOK_MS, () => seenAt(path), late));
    } catch (error) {
      if (error === tooLate || nodeErrno(error) !== undefined) return seenWord(undefined);
      throw error;
    }
  });
  return (await Promise.all(words)).join(" ");
}

const tooLate = new Error("the file system did not answer");
const late = (): Error => tooLate;

/**
 * Asks for the daemon's status. Returns null when no daemon listens. Throws DAEMON as
 * `requestChange` does.
 */
export async function requestStatus(
  netnsInode: number,
  options: ClientOptions = {},
): Promise<DaemonStatus | null> {
  return await read(netnsInode, "/v1/status", "", daemonStatus, {
    timeoutMs: STATUS_TIMEOUT_MS,
    ...options,
  });
}

/** Asks what the rules are and what they did. Returns null, and throws, as `requestStatus` does. */
export async function requestState(
  netnsInode: number,
  options: ClientOptions = {},
): Promise<DaemonState | null> {
  return await read(netnsInode, "/v1/state", "", daemonState, options);
}

/** Asks for the services. Returns null, and throws, as `requestStatus` does. */
export async function requestServices(
  netnsInode: number,
  options: ClientOptions = {},
): Promise<readonly Service[] | null> {
  return await read(netnsInode, "/v1/services", "", serviceList, options);
}

/**
 * Asks for the mappings that the query selects, for which the daemon may measure so many seconds.
 * Returns null, and throws, as `requestStatus` does; also NOT_FOUND for a name that no mapping has.
 */
export async function requestMappings(
  netnsInode: number,
  query: URLSearchParams,
  measureSeconds = 0,
  options: ClientOptions = {},
): Promise<MappingList | null> {
  const timeoutMs = READ_TIMEOUT_MS + measureSeconds * 1000;
  return await read(netnsInode, "/v1/mappings", `?${query.toString()}`, mappingList, {
    timeoutMs,
    ...options,
  });
}

/** Asks for the metrics page. Returns null, and throws, as `requestStatus` does. */
export async function requestMetrics(
  netnsInode: number,
  { socketPath: socket = socketPath(netnsInode), timeoutMs = READ_TIMEOUT_MS }: ClientOptions = {},
): Promise<string | null> {
  const request = { method: "GET", path: "/metrics", body: null, timeoutMs, netnsInode } as const;
  const text = await textOf(request, socket);
  if (text === null || !text.startsWith("{")) return text;
  const answer = decodeAnswer(text, socket, anything);
  throw answer.ok
    ? new IlmError("DAEMON", "the daemon gave no metrics")
    : errorFromBody(answer.error);
}

/** For an answer that is expected to be an error. */
const anything: Decode<unknown> = (value) => value;

async function read<T>(
  netnsInode: number,
  path: ReadPath,
  query: string,
  decode: Decode<T>,
  { socketPath: socket = socketPath(netnsInode), timeoutMs = READ_TIMEOUT_MS }: ClientOptions,
): Promise<T | null> {
  return await exchange(
    { method: "GET", path: `${path}${query}`, body: null, timeoutMs, netnsInode },
    socket,
    decode,
  );
}

interface Request {
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly body: string | null;
  readonly headers?: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  readonly netnsInode: number;
}

async function exchange<T>(request: Request, socket: string, decode: Decode<T>): Promise<T | null> {
  const text = await textOf(request, socket);
  if (text === null) return null;
  const answer = decodeAnswer(text, socket, decode);
  if (!answer.ok) throw errorFromBody(answer.error);
  return answer.result;
}

/** Returns the text of the answer, or null when no daemon listens there. */
async function textOf(request: Request, socket: string): Promise<string | null> {
  const place = openSocketPlace(socket);
  if (place === undefined) return null;
  try {
    // This saves importing node:http in the common case that there is no daemon.
    return place.folder.has(place.name) ? await send(request, socket, place.path) : null;
  } finally {
    place.folder.close();
  }
}

function decodeAnswer<T>(text: string, socket: string, decode: Decode<T>) {
  try {
    return reply(decode)(JSON.parse(text) as unknown, "");
  } catch (cause) {
    if (!(cause instanceof DecodeError) && !(cause instanceof SyntaxError)) throw cause;
    throw new IlmError(
      "DAEMON",
      `the daemon at ${socket} gave an invalid answer: ${cause.message}`,
      {
        cause,
        remedy: "Restart the daemon, so that it runs the same version as this command.",
      },
    );
  }
}

/** The kernel's queue for a busy daemon is full, and nothing was sent. */
const queueFull = Symbol("the daemon's queue of connections is full");

/**
 * Sends a request to the socket, which is connected to by `path`. Returns null when nothing listens
 * there.
 */
async function send(request: Request, socket: string, path: string): Promise<string | null> {
  const deadline = performance.now() + request.timeoutMs;
  for (;;) {
    const answer = await sendOnce(request, deadline - performance.now(), socket, path);
    if (answer !== queueFull) return answer;
    if (performance.now() + RETRY_MS > deadline) throw hung(socket, request);
    await sleep(RETRY_MS);
  }
}

async function sendOnce(
  request: Request,
  leftMs: number,
  socket: string,
  path: string,
): Promise<string | null | typeof queueFull> {
  const { request: httpRequest } = await import("node:http");
  return new Promise((resolve, reject) => {
    const outgoing = httpRequest(
      {
        socketPath: path,
        path: request.path,
        method: request.method,
        agent: false,
        headers:
          request.body === null
            ? {}
            : {
                ...request.headers,
                "content-type": "application/json",
                "content-length": Buffer.byteLength(request.body),
              },
      },
      (response) => {
        const parts: Buffer[] = [];
        let size = 0;
        response.on("data", (part: Buffer) => {
          size += part.length;
          if (size > ANSWER_LIMIT) {
            outgoing.destroy(new Error(`the answer is larger than ${ANSWER_LIMIT} bytes`));
            return;
          }
          parts.push(part);
        });
        response.on("end", () => {
          finish(() => {
            resolve(Buffer.concat(parts).toString("utf8"));
          });
        });
        response.on("error", fail);
      },
    );
    // This is a plain timer, not the socket's: a daemon that dribbles bytes hangs too.
    const timer = setTimeout(() => {
      finish(() => {
        reject(hung(socket, request));
      });
      outgoing.destroy();
    }, leftMs);

    function finish(settle: () => void): void {
      clearTimeout(timer);
      settle();
    }
    function fail(cause: Error): void {
      finish(() => {
        const code = "code" in cause ? cause.code : undefined;
        if (code === "ENOENT" || code === "ECONNREFUSED") resolve(null);
        // This comes from connect(2) of a non-blocking socket, as node's are.
        else if (code === "EAGAIN") resolve(queueFull);
        else if (code === "EACCES") reject(forbidden(socket, cause));
        else reject(died(socket, cause));
      });
    }
    outgoing.on("error", fail);
    outgoing.end(request.body ?? undefined);
  });
}

function hung(socket: string, { timeoutMs, netnsInode }: Request): IlmError {
  return new IlmError(
    "DAEMON",
    `the daemon at ${socket} did not answer within ${timeoutMs / 1000} s`,
    {
      remedy: `The active rules keep working without it: restart it, or kill it (its pid is in ${dirname(socket)}/${netnsInode}.lock) and run the command again`,
    },
  );
}

function died(socket: string, cause: Error): IlmError {
  return new IlmError(
    "DAEMON",
    `the daemon at ${socket} ended before it answered (${cause.message}); it may or may not have made the change`,
    { cause, remedy: "Check `ilm status`, then run the command again." },
  );
}

function forbidden(socket: string, cause: Error): IlmError {
  return new IlmError("NOT_PERMITTED", `this user may not connect to ${socket}`, {
    cause,
    remedy:
      "Run the command as root, or as a member of a group that the daemon was started with: `ilm run --readers GROUP --writers GROUP`.",
  });
}
