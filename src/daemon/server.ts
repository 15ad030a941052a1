/**
 * The API server: HTTP over a unix socket that root alone may use. The socket file's mode says so, and the kernel's word on
 * the peer (SO_PEERCRED) is asked too, for a descriptor that was passed on keeps no mode.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { ExitStatus, IlmError } from "../errors.js";
import { peerCredentials, withUmask } from "../kernel/peer.js";
import {
  changeRoutes,
  isChangePath,
  type ApiChange,
  type DaemonStatus,
  type Reply,
} from "./api.js";
import { errorBody } from "./error-body.js";
import type { ChangeResult } from "./changes.js";
import { DecodeError } from "./decode.js";
import { openSocketPlace, type SocketPlace } from "./socket-path.js";

export interface ApiHandlers {
  status(): DaemonStatus;
  change(change: ApiChange): Promise<ChangeResult>;
  /** The metrics page, Prometheus text format 0.0.4. */
  metrics(): string;
}

export interface ApiServer {
  close(): Promise<void>;
}

/** More than one writer at a time waits in the queue anyway; this bounds what they hold in memory. */
const CONNECTIONS_MAX = 64;
const SOCKET_ONLY_FOR_OWNER = 0o177;

/**
 * Listens. The caller holds the writer's lock, so that a socket file found there belongs to a daemon that is gone.
 * The socket's folder is there, as the lock is in it. Throws SYSCALL when the socket cannot be made, UNSAFE_PATH.
 */
export async function serveApi(
  path: string,
  handlers: ApiHandlers,
  allowedUid = 0,
): Promise<ApiServer> {
  const server = createServer((request, response) => {
    void answer(request, response, handlers);
  });
  server.maxConnections = CONNECTIONS_MAX;
  server.requestTimeout = 60_000;
  server.headersTimeout = 5_000;
  server.keepAliveTimeout = 1_000;
  server.on("connection", (socket) => {
    if (!isPeer(socket, allowedUid)) socket.destroy();
  });
  const place = openSocketPlace(path);
  if (place === undefined) {
    throw new IlmError("SYSCALL", `cannot listen on ${path}: no such folder`);
  }
  try {
    await listen(server, path, place);
  } catch (error) {
    place.folder.close();
    throw error;
  }
  return { close: () => close(server, place) };
}

function listen(server: Server, path: string, place: SocketPlace): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (cause) => {
      reject(new IlmError("SYSCALL", `cannot listen on ${path}: ${cause.message}`, { cause }));
    });
    place.folder.remove(place.name);
    // Node binds inside this call, so the umask covers the moment at which the file appears.
    withUmask(SOCKET_ONLY_FOR_OWNER, () => server.listen(place.path, resolve));
  });
}

/** Ends what is under way gently; node unlinks the socket file, by the path that it was bound to. */
function close(server: Server, { folder }: SocketPlace): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => {
      folder.close();
      resolve();
    });
    server.closeIdleConnections();
    setTimeout(() => {
      server.closeAllConnections();
    }, 500).unref();
  });
}

function isPeer(socket: Socket, uid: number): boolean {
  const fd = descriptorOf(socket);
  return fd !== null && peerCredentials(fd).uid === uid;
}

/** Node has no public way to a socket's descriptor; without one nobody is let in. */
function descriptorOf(socket: Socket): number | null {
  const handle: unknown = Reflect.get(socket, "_handle");
  if (typeof handle !== "object" || handle === null || !("fd" in handle)) return null;
  return typeof handle.fd === "number" && handle.fd >= 0 ? handle.fd : null;
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  handlers: ApiHandlers,
): Promise<void> {
  try {
    const path = request.url ?? "";
    if (request.method === "GET" && path === "/metrics") {
      send(response, 200, "text/plain; version=0.0.4; charset=utf-8", handlers.metrics());
    } else if (request.method === "GET" && path === "/v1/status") {
      sendReply(response, 200, { ok: true, result: handlers.status() });
    } else if (request.method === "POST" && isChangePath(path)) {
      const { limit, decode } = changeRoutes[path];
      const change = decode(await readJson(request, limit), "");
      sendReply(response, 200, { ok: true, result: await handlers.change(change) });
    } else {
      sendReply(response, 404, {
        ok: false,
        error: errorBody(
          new IlmError("USAGE", `there is no ${request.method ?? ""} ${path.slice(0, 200)}`),
        ),
      });
    }
  } catch (error) {
    refuse(request, response, error);
  }
}

function refuse(request: IncomingMessage, response: ServerResponse, error: unknown): void {
  if (response.headersSent || response.destroyed) {
    response.destroy();
    return;
  }
  if (error instanceof BodyTooLarge) {
    // The rest of the body is not read: the connection ends with the answer.
    response.setHeader("connection", "close");
    response.once("finish", () => request.destroy());
    sendReply(response, 413, { ok: false, error: errorBody(usage(error.message)) });
  } else if (error instanceof DecodeError) {
    sendReply(response, 400, { ok: false, error: errorBody(usage(error.message)) });
  } else {
    sendReply(response, httpStatus(error), { ok: false, error: errorBody(error) });
  }
}

function usage(message: string): IlmError {
  return new IlmError("USAGE", `the request is malformed: ${message}`, {
    remedy: "Use an ilm of the same version as the daemon.",
  });
}

function httpStatus(error: unknown): number {
  if (!(error instanceof IlmError)) return 500;
  switch (error.exitStatus) {
    case ExitStatus.usage:
      return 400;
    case ExitStatus.configuration:
      return 422;
    default:
      return error.code === "NOT_FOUND" ? 404 : 500;
  }
}

class BodyTooLarge extends Error {
  constructor(limit: number) {
    super(`the body is larger than ${limit} bytes`);
  }
}

async function readJson(request: IncomingMessage, limit: number): Promise<unknown> {
  const length = Number(request.headers["content-length"] ?? 0);
  if (length > limit) throw new BodyTooLarge(limit);
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    size += part.length;
    if (size > limit) throw new BodyTooLarge(limit);
    parts.push(part);
  }
  const body = Buffer.concat(parts).toString("utf8");
  try {
    return JSON.parse(body) as unknown;
  } catch (cause) {
    throw new DecodeError("", cause instanceof Error ? cause.message : "is not JSON");
  }
}

function sendReply<T>(response: ServerResponse, status: number, body: Reply<T>): void {
  send(response, status, "application/json", JSON.stringify(body));
}

function send(response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, {
    "content-type": type,
    "content-length": Buffer.byteLength(body),
    "cache-control": "no-store",
  });
  response.end(body);
}
