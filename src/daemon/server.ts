/**
 * The API server: HTTP over a unix socket, for root and for members of the groups that have rights.
 * The access control list of the socket's file says who may connect, and the kernel is asked about
 * the peer (SO_PEERCRED, SO_PEERGROUPS) too, because the list does not tell readers from writers,
 * and a descriptor that was passed on carries no mode.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { ExitStatus, IlmError } from "../errors.js";
import { printableJson } from "../printable.js";
import { letGroupsConnect, peerCredentials, withUmask } from "../kernel/peer.js";
import {
  apiVersion,
  changeRoutes,
  isChangePath,
  routeOf,
  routes,
  versionOf,
  type ApiChange,
  type ApiPath,
  type ChangePath,
  type DaemonState,
  type DaemonStatus,
  type DaemonVersion,
  type MappingList,
  type ReadPath,
  type Reply,
  type Right,
} from "../api/api.js";
import {
  allows,
  choosesFile,
  Forbidden,
  lacksRight,
  mayChooseFile,
  rightOf,
  type ApiGroups,
  type Peer,
} from "../api/rights.js";
import type { Service } from "../model/mapping.js";
import { errorBody } from "../api/error-body.js";
import type { AnsweredChange } from "../api/result.js";
import { SEEN_HEADER } from "../api/seen.js";
import { Connections } from "./connections.js";
import { DecodeError } from "../api/decode.js";
import { PAGE_TYPE } from "./metrics.js";
import { parseJson, readBody, TooLarge } from "./request-body.js";
import { openSocketPlace, type SocketPlace } from "../api/socket-path.js";
import type { EventStreams } from "./event-stream.js";
import type { Logger } from "./log.js";
import { AccessLog } from "./access-log.js";
import { refuseUnseen } from "./unseen.js";
import { Busy, Workload } from "./workload.js";
import { areSameSources, listSources } from "../model/sources.js";

export interface ApiHandlers {
  status(): DaemonStatus;
  /** Returns what the rules are and what they did. */
  state(): DaemonState;
  services(): readonly Service[];
  /** `peer` asked for it. */
  change(change: ApiChange, peer: Peer): Promise<AnsweredChange>;
  /** Lists the active mappings that the query selects, after a while if it asks for rates. */
  mappings(query: URLSearchParams): Promise<MappingList>;
  /** Returns the metrics page in Prometheus text format 0.0.4. */
  metrics(): string;
  version(): DaemonVersion;
  /** Sends events until the client or the daemon ends. Throws LIMIT. */
  readonly events: Pick<EventStreams, "open" | "refuseIfFull">;
}

export interface ApiOptions {
  readonly groups: ApiGroups;
  readonly log: Logger;
  /** The user that may do everything, beside root; default: that of this process. */
  readonly ownUid?: number;
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
  { groups, log, ownUid = process.geteuid?.() ?? 0 }: ApiOptions,
): Promise<ApiServer> {
  const connections = new Connections();
  const work = new Workload();
  const strangers = new Connections();
  const peers = new WeakMap<Socket, { readonly peer: Peer; readonly right: Right | null }>();
  const refusals = new AccessLog(log);
  const server = createServer((request, response) => {
    const { socket } = request;
    const found = peers.get(socket);
    if (found === undefined) {
      socket.destroy();
      return;
    }
    const { peer, right } = found;
    const own = right === null ? strangers : connections;
    // The kernel now has all of it.
    response.once("finish", () => {
      own.work(socket);
    });
    const permit = (path: ApiPath, change?: ApiChange): void => {
      const refusal = refusalOf({ peer, right, path, change });
      if (refusal === null) return;
      refusals.note(`${request.method ?? ""} ${path}`, refusal);
      throw refusal;
    };
    void answer(request, response, { handlers, connections: own, work, permit, peer });
  });
  const refusalOf = ({ peer, right, path, change }: Asked): Forbidden | null => {
    const { needs } = routes[path];
    if (!allows(right, needs)) return lacksRight(peer, needs, groups);
    if (change === undefined || !("sources" in change) || mayChooseFile(peer, ownUid)) return null;
    const { sources } = change;
    const isKept = sources.length === 0 || areSameSources(sources, handlers.status().followed);
    return isKept ? null : choosesFile(peer, listSources(sources));
  };
  // Allow one request per connection, and use our own time limits: node's charge the client for the
  // time that the daemon itself needs for a change.
  server.maxRequestsPerSocket = 1;
  server.requestTimeout = 0;
  server.headersTimeout = 0;
  server.on("connection", (socket) => {
    const peer = peerOf(socket);
    if (peer === undefined) {
      socket.destroy();
      return;
    }
    const right = rightOf(peer, groups, ownUid);
    peers.set(socket, { peer, right });
    // Peers that may do nothing take no other's place.
    (right === null ? strangers : connections).awaitRequest(socket);
  });
  const place = openSocketPlace(path);
  if (place === undefined) {
    throw new IlmError("SYSCALL", `cannot listen on ${path}: no such folder`);
  }
  try {
    await listen(server, path, place, groups);
  } catch (error) {
    connections.close();
    strangers.close();
    place.folder.close();
    throw error;
  }
  return {
    close: async () => {
      await close(server, place);
      connections.close();
      strangers.close();
    },
  };
}

function listen(
  server: Server,
  path: string,
  place: SocketPlace,
  { readers, writers }: ApiGroups,
): Promise<void> {
  const gids = [readers, writers].flatMap((group) => group?.gid ?? []);
  return new Promise((resolve, reject) => {
    // This also runs later, when a connection could not be accepted: the next one may be.
    server.on("error", (cause) => {
      reject(new IlmError("SYSCALL", `cannot listen on ${path}: ${cause.message}`, { cause }));
    });
    place.folder.remove(place.name);
    // Node binds inside this call, so the umask is in effect when the file appears.
    withUmask(SOCKET_ONLY_FOR_OWNER, () => server.listen(place.path, resolve));
    try {
      if (gids.length > 0) letGroupsConnect(place.path, path, gids);
    } catch (error) {
      server.close();
      reject(error instanceof Error ? error : new Error(String(error)));
    }
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

/** A request, and whose it is. The change is known when its body has arrived. */
interface Asked {
  readonly peer: Peer;
  readonly right: Right | null;
  readonly path: ApiPath;
  readonly change: ApiChange | undefined;
}

/** Returns who connected, or undefined when the connection is gone already. */
function peerOf(socket: Socket): Peer | undefined {
  const fd = descriptorOf(socket);
  return fd === null ? undefined : peerCredentials(fd);
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
  readonly peer: Peer;
  /** Throws Forbidden when the peer has no right to the request, or to this very change. */
  readonly permit: (path: ApiPath, change?: ApiChange) => void;
}

/** Answers a request that only reads. */
type Reader = (
  response: ServerResponse,
  handlers: ApiHandlers,
  query: URLSearchParams,
) => void | Promise<void>;

const readers: Readonly<Record<Exclude<ReadPath, "/v1/events">, Reader>> = {
  "/version": (response, handlers) => {
    sendReply(response, 200, { ok: true, result: handlers.version() });
  },
  "/metrics": (response, handlers) => {
    send(response, 200, PAGE_TYPE, handlers.metrics());
  },
  "/v1/status": (response, handlers) => {
    sendReply(response, 200, { ok: true, result: handlers.status() });
  },
  "/v1/state": (response, handlers) => {
    sendReply(response, 200, { ok: true, result: handlers.state() });
  },
  "/v1/services": (response, handlers) => {
    sendReply(response, 200, { ok: true, result: handlers.services() });
  },
  "/v1/mappings": async (response, handlers, query) => {
    sendReply(response, 200, { ok: true, result: await handlers.mappings(query) });
  },
};

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  serving: Serving,
): Promise<void> {
  const { handlers, connections, permit } = serving;
  try {
    const url = request.url ?? "";
    const [path = "", query] = url.split("?", 2);
    const route = routeOf(request.method, path);
    if (route === undefined || (query !== undefined && route !== "/v1/mappings")) {
      throw notFound(request.method ?? "", url);
    }
    permit(route);
    if (isChangePath(route)) {
      const result = await makeChange(request, route, serving);
      connections.awaitReader(request.socket);
      sendReply(response, 200, { ok: true, result });
    } else if (route === "/v1/events") {
      handlers.events.refuseIfFull();
      // It has all the time that it wants.
      connections.work(request.socket);
      response.writeHead(200, {
        "content-type": "application/x-ndjson",
        "cache-control": "no-store",
      });
      handlers.events.open(response);
    } else {
      connections.work(request.socket);
      await readers[route](response, handlers, new URLSearchParams(query));
      connections.awaitReader(request.socket);
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
  { handlers, connections, work, permit, peer }: Serving,
): Promise<AnsweredChange> {
  const { limit, decode } = changeRoutes[path];
  const share = work.begin();
  try {
    const change = decode(parseJson(await readBody(request, { path, limit, share })), "");
    permit(path, change);
    if ("sources" in change) await refuseUnseen(change.sources, seenBy(request));
    connections.work(request.socket);
    share.queue();
    return await handlers.change(change, peer);
  } finally {
    share.end();
  }
}

/** Returns what the client says that it sees; nothing from other programs than ilm. */
function seenBy({ headers }: IncomingMessage): string {
  const said = headers[SEEN_HEADER];
  return typeof said === "string" ? said : "";
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
  constructor(message: string, options?: { readonly remedy: string }) {
    super("USAGE", message, options);
  }
}

function notFound(method: string, url: string): NotFound {
  const asked = versionOf(url);
  if (asked !== null && asked !== apiVersion) {
    return new NotFound(`this daemon has version ${apiVersion} of the API, and not ${asked}`, {
      remedy: `Ask for /v${apiVersion}/..., or use the version of ilm that the request is meant for: GET /version tells which the daemon is.`,
    });
  }
  return new NotFound(`there is no ${method} ${url.slice(0, 200)}`);
}

function httpStatus(error: unknown): number {
  if (error instanceof Forbidden) return 403;
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
      if (error.code === "LIMIT") return 503;
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
