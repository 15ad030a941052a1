/**
 * The API server: HTTP over a unix socket that only root may use. The mode of the socket file
 * enforces this, and the kernel is asked about the peer (SO_PEERCRED) too, because a descriptor
 * that was passed on carries no mode.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { ExitStatus, IlmError } from "../errors.js";
import { printableJson } from "../printable.js";
import { peerCredentials, withUmask } from "../kernel/peer.js";
import {
  changeRoutes,
  isChangePath,
  type ApiChange,
  type ChangePath,
  type DaemonStatus,
  type Reply,
} from "../api/api.js";
import { errorBody } from "../api/error-body.js";
import type { AnsweredChange } from "../api/result.js";
import { Connections } from "./connections.js";
import { DecodeError } from "../api/decode.js";
import type { MappingList } from "./listing.js";
import { parseJson, readBody, TooLarge } from "./request-body.js";
import { openSocketPlace, type SocketPlace } from "../api/socket-path.js";
import { Busy, Workload } from "./workload.js";

export interface ApiHandlers {
  status(): DaemonStatus;
  change(change: ApiChange): Promise<AnsweredChange>;
  /** Lists the active mappings that the query selects. */
  mappings(query: URLSearchParams): MappingList;
  /** Returns the metrics page in Prometheus text format 0.0.4. */
  metrics(): string;
}

export interface ApiServer {
  close(): Promise<void>;
}

const SOCKET_ONLY_FOR_OWNER = 0o177;

/**
 * Starts listening. The caller holds the writer's lock, so an existing socket file belongs to a
 * daemon that is gone. The folder exists, as the lock is in it. Throws SYSCALL when the socket
 * cannot be created, and UNSAFE_PATH.
 */
export async function serveApi(
  path: string,
  handlers: ApiHandlers,
  allowedUid = 0,
): Promise<ApiServer> {
  const connections = new Connections();
  const work = new Workload();
  const server = createServer((request, response) => {
    // The kernel now has all of it.
    response.once("finish", () => {
      connections.work(request.socket);
    });
    void answer(request, response, { handlers, connections, work });
  });
  // Allow one request per connection, and use our own time limits: node's charge the client for the
  // time that the daemon itself needs for a change.
  server.maxRequestsPerSocket = 1;
  server.requestTimeout = 0;
  server.headersTimeout = 0;
  server.on("connection", (socket) => {
    // Peers that are refused take no other's place.
    if (isPeer(socket, allowedUid)) connections.awaitRequest(socket);
    else socket.destroy();
  });
  const place = openSocketPlace(path);
  if (place === undefined) {
    throw new IlmError("SYSCALL", `cannot listen on ${path}: no such folder`);
  }
  try {
    await listen(server, path, place);
  } catch (error) {
    connections.close();
    place.folder.close();
    throw error;
  }
  return {
    close: async () => {
      await close(server, place);
      connections.close();
    },
  };
}

function listen(server: Server, path: string, place: SocketPlace): Promise<void> {
  return new Promise((resolve, reject) => {
    // This also runs later, when a connection could not be accepted: the next one may be.
    server.on("error", (cause) => {
      reject(new IlmError("SYSCALL", `cannot listen on ${path}: ${cause.message}`, { cause }));
    });
    place.folder.remove(place.name);
    // Node binds inside this call, so the umask is in effect when the file appears.
    withUmask(SOCKET_ONLY_FOR_OWNER, () => server.listen(place.path, resolve));
  });
}

/**
 * Ends requests in progress gently. Node unlinks the socket file by the path that it was bound to.
 */
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

/**
 * Returns a socket's descriptor, for which node has no public interface. Without one, no peer is
 * let in.
 */
function descriptorOf(socket: Socket): number | null {
  const handle: unknown = Reflect.get(socket, "_handle");
  if (typeof handle !== "object" || handle === null || !("fd" in handle)) return null;
  return typeof handle.fd === "number" && handle.fd >= 0 ? handle.fd : null;
}

interface Serving {
  readonly handlers: ApiHandlers;
  readonly connections: Connections;
  readonly work: Workload;
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  serving: Serving,
): Promise<void> {
  const { handlers, connections } = serving;
  try {
    const path = request.url ?? "";
    if (request.method === "GET" && path === "/metrics") {
      const page = handlers.metrics();
      connections.awaitReader(request.socket);
      send(response, 200, "text/plain; version=0.0.4; charset=utf-8", page);
    } else if (request.method === "GET" && path === "/v1/status") {
      connections.awaitReader(request.socket);
      sendReply(response, 200, { ok: true, result: handlers.status() });
    } else if (request.method === "GET" && /^\/v1\/mappings(?:\?|$)/.test(path)) {
      const result = handlers.mappings(new URLSearchParams(path.split("?", 2)[1] ?? ""));
      connections.awaitReader(request.socket);
      sendReply(response, 200, { ok: true, result });
    } else if (request.method === "POST" && isChangePath(path)) {
      const result = await makeChange(request, path, serving);
      connections.awaitReader(request.socket);
      sendReply(response, 200, { ok: true, result });
    } else {
      throw new NotFound(`there is no ${request.method ?? ""} ${path.slice(0, 200)}`);
    }
  } catch (error) {
    connections.awaitReader(request.socket);
    refuse(request, response, error);
  }
}

/**
 * Makes the requested change. The body is released before the change is made, and what it was
 * decoded to once it is made.
 */
async function makeChange(
  request: IncomingMessage,
  path: ChangePath,
  { handlers, connections, work }: Serving,
): Promise<AnsweredChange> {
  const { limit, decode } = changeRoutes[path];
  const share = work.begin();
  try {
    const change = decode(parseJson(await readBody(request, { path, limit, share })), "");
    connections.work(request.socket);
    share.queue();
    return await handlers.change(change);
  } finally {
    share.end();
  }
}

function refuse(request: IncomingMessage, response: ServerResponse, error: unknown): void {
  if (response.headersSent || response.destroyed) {
    response.destroy();
    return;
  }
  const body: Reply<never> = {
    ok: false,
    error: errorBody(error instanceof DecodeError ? malformed(error) : error),
  };
  response.setHeader("connection", "close");
  if (request.complete || !hasBody(request)) {
    return sendReply(response, httpStatus(error), body);
  }
  // A client that is still writing reads the answer afterwards, if the connection still exists.
  const text = printableJson(JSON.stringify(body));
  writeHead(response, httpStatus(error), "application/json", text);
  response.write(text);
  request.once("close", () => response.end());
  request.resume();
}

function hasBody({ headers }: IncomingMessage): boolean {
  return headers["content-length"] !== undefined || headers["transfer-encoding"] !== undefined;
}

function malformed(error: DecodeError): IlmError {
  return new IlmError("USAGE", `the request is malformed: ${error.message}`, {
    remedy: "Use the same version of ilm as the daemon.",
  });
}

class NotFound extends IlmError {
  constructor(message: string) {
    super("USAGE", message);
  }
}

function httpStatus(error: unknown): number {
  if (error instanceof DecodeError) return 400;
  if (error instanceof NotFound) return 404;
  if (error instanceof TooLarge) return 413;
  if (error instanceof Busy) return 503;
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

function sendReply<T>(response: ServerResponse, status: number, body: Reply<T>): void {
  send(response, status, "application/json", printableJson(JSON.stringify(body)));
}

function send(response: ServerResponse, status: number, type: string, body: string): void {
  writeHead(response, status, type, body);
  response.end(body);
}

function writeHead(response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, {
    "content-type": type,
    "content-length": Buffer.byteLength(body),
    "cache-control": "no-store",
  });
}
