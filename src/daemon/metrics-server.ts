/**
 * Serves the metrics page over TCP, to whoever can reach the address: it can be read, and nothing
 * else. An address that cannot be listened on, because the port is in use or the host lacks it, is
 * logged and tried again; the rules do not wait for it.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { errorBody } from "../api/error-body.js";
import { type Address, type Prefix, isUnspecified, prefixContains } from "../model/address.js";
import { formatEndpoint } from "../model/endpoint.js";
import { Connections } from "./connections.js";
import type { Logger } from "./log.js";
import { PAGE_TYPE } from "./metrics.js";
import { pauseAfter } from "./passing.js";

export interface ListenAddress {
  readonly address: Address;
  readonly port: number;
}

/**
 * Whoever asks again within this time gets the same page: the daemon does nothing else while it
 * collects one.
 */
const FRESH_MS = 1_000;
const ROOT = `<!doctype html>
<title>ilm</title>
<a href="/metrics">metrics</a>
`;

export interface MetricsServerOptions {
  readonly log: Logger;
  readonly page: () => string;
  /** Returns the pause before the next attempt to listen, in milliseconds. */
  readonly pause?: (failures: number) => number;
}

export interface MetricsServer {
  /** Settles when listening was tried once on each address, whether it was possible or not. */
  readonly tried: Promise<unknown>;
  close(): void;
}

/** Serves on all addresses, each of its own accord. */
export function serveMetrics(
  addresses: readonly ListenAddress[],
  options: MetricsServerOptions,
): MetricsServer {
  const page = keptFor(FRESH_MS, options.page);
  const servers = addresses.map((address) => serveOn(address, { ...options, page }));
  return {
    tried: Promise.all(servers.map((server) => server.tried)),
    close() {
      for (const server of servers) server.close();
    },
  };
}

/** Returns a function that calls `make` at most once in that time. */
function keptFor(time_ms: number, make: () => string): () => string {
  let kept: { readonly at: number; readonly page: string } | null = null;
  return () => {
    const now = performance.now();
    if (kept === null || now - kept.at >= time_ms) kept = { at: now, page: make() };
    return kept.page;
  };
}

const RISK =
  "reads the names, addresses and counters of all mappings; serve them on 127.0.0.1 or [::1], or on an address of a private network";

/** Says who reaches an address, when that may be anyone; null for one of a private network. */
function describeReach(address: Address): string | null {
  if (isUnspecified(address)) {
    return `whoever reaches any address of this host, and ${RISK}`;
  }
  return PRIVATE.some((prefix) => prefixContains(prefix, address))
    ? null
    : `whoever reaches ${address}, which is not an address of a private network, and ${RISK}`;
}

/** Loopback, RFC 1918, RFC 6598, RFC 4193, and link-local addresses. */
const PRIVATE = [
  "127.0.0.0/8",
  "10.0.0.0/8",
  "172.16.0.0/12",
  "192.168.0.0/16",
  "100.64.0.0/10",
  "169.254.0.0/16",
  "::1/128",
  "fc00::/7",
  "fe80::/10",
] as Prefix[];

function serveOn(
  { address, port }: ListenAddress,
  { log, page, pause = pauseAfter }: MetricsServerOptions,
): MetricsServer {
  const url = `http://${formatEndpoint(address, port)}/metrics`;
  let server: Server | null = null;
  let timer: NodeJS.Timeout | null = null;
  let failures = 0;
  const connections = new Connections();

  function begin(tried: () => void): void {
    timer = null;
    const fresh = makeServer(connections, page);
    fresh.on("error", (cause: NodeJS.ErrnoException) => {
      // One connection that could not be accepted is not the end of the server.
      if (fresh.listening) return;
      server = null;
      failures += 1;
      tried();
      const wait_ms = pause(failures);
      if (failures === 1) {
        log.log(
          "error",
          `the metrics cannot be served on ${url}: ${reasonOf(cause)} It is tried again for as long as it takes; the rules are active`,
        );
      }
      timer = setTimeout(() => {
        begin(tried);
      }, wait_ms);
    });
    fresh.listen({ host: address, port, ipv6Only: address.includes(":") }, () => {
      failures = 0;
      log.log("info", `metrics are served on ${url}`);
      const reach = describeReach(address);
      if (reach !== null) log.log("warning", `the metrics on ${url} are for ${reach}`);
      tried();
    });
    server = fresh;
  }

  const tried = new Promise<void>((resolve) => {
    begin(resolve);
  });
  return {
    tried,
    close() {
      if (timer !== null) clearTimeout(timer);
      server?.close();
      server?.closeAllConnections();
      connections.close();
    },
  };
}

function reasonOf({ code = "", message }: NodeJS.ErrnoException): string {
  switch (code) {
    case "EADDRINUSE":
      return "another process listens there (`ss -ltnp` shows it).";
    case "EADDRNOTAVAIL":
      return "the host does not have this address.";
    case "EACCES":
    case "EPERM":
      return "that is not permitted: the address is another service's (`ilm audit`), or the port below 1024, for which `run` keeps no capability.";
    default:
      return `${message}.`;
  }
}

function makeServer(connections: Connections, page: () => string): Server {
  const server = createServer((request, response) => {
    response.once("finish", () => {
      connections.work(request.socket);
    });
    connections.awaitReader(request.socket);
    answer(request, response, page);
  });
  // As for the API: one request for each connection, and limits of our own.
  server.maxRequestsPerSocket = 1;
  server.requestTimeout = 0;
  server.headersTimeout = 0;
  server.on("connection", (socket) => {
    connections.awaitRequest(socket);
  });
  return server;
}

function answer(request: IncomingMessage, response: ServerResponse, page: () => string): void {
  const [path] = (request.url ?? "").split("?", 1);
  const { method } = request;
  if (path !== "/" && path !== "/metrics") {
    send(response, 404, "text/plain", "Not found: the metrics are at /metrics.\n");
  } else if (method !== "GET" && method !== "HEAD") {
    response.setHeader("allow", "GET, HEAD");
    send(response, 405, "text/plain", "Only GET and HEAD.\n");
  } else if (path === "/") {
    send(response, 200, "text/html; charset=utf-8", ROOT);
  } else {
    let text: string;
    try {
      text = page();
    } catch (error) {
      send(response, 500, "text/plain", `${errorBody(error).message}\n`);
      return;
    }
    send(response, 200, PAGE_TYPE, text);
  }
}

/** The body of an answer to HEAD is left out by node. */
function send(response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, {
    "content-type": type,
    "content-length": Buffer.byteLength(body),
    "cache-control": "no-store",
    connection: "close",
  });
  response.end(body);
}
