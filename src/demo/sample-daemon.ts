/**
 * A daemon for the demo: `sample-daemon.js NAME STYLE tcp:ADDRESS:PORT udp:[ADDRESS]:PORT ...`, run
 * as a child of the demo in the server's namespace. It listens on exactly these addresses and tells
 * every client, as one line of JSON, who the client is and what it dialled. STYLE is how it speaks:
 * `http` answers requests, `banner` speaks first, `echo` answers whatever it is sent. It ends when
 * its parent does.
 */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer, type Socket } from "node:net";

import { endpoint, type Answer, type DaemonMessage } from "./messages.js";

type Style = "http" | "banner" | "echo";

interface Endpoint {
  readonly protocol: "tcp" | "udp";
  readonly address: string;
  readonly port: number;
}

const [name = "", style = "", ...endpointArguments] = process.argv.slice(2);

function parseEndpoint(text: string): Endpoint {
  const match = /^(tcp|udp):\[?([^\]]+?)\]?:(\d+)$/.exec(text);
  if (match === null) throw new Error(`not an endpoint: ${text}`);
  return {
    protocol: match[1] === "udp" ? "udp" : "tcp",
    address: match[2] ?? "",
    port: Number(match[3]),
  };
}

function parseStyle(text: string): Style {
  if (text === "http" || text === "banner" || text === "echo") return text;
  throw new Error(`not a style: ${text}`);
}

function answerLine(client: string, dialled: string | null): string {
  const answer: Answer = { daemon: name, pid: process.pid, client, dialled };
  return `${JSON.stringify(answer)}\n`;
}

/** Says who is there and ends the connection. Ignores errors of the connection, such as resets. */
function serve(socket: Socket, how: Style): void {
  const client = endpoint(socket.remoteAddress ?? "?", socket.remotePort ?? 0);
  const dialled = endpoint(socket.localAddress ?? "?", socket.localPort ?? 0);
  const line = answerLine(client, dialled);
  socket.on("error", () => socket.destroy());
  if (how === "banner") {
    socket.end(line);
    return;
  }
  socket.once("data", () => {
    socket.end(
      how === "http"
        ? `HTTP/1.0 200 OK\r\nContent-Type: application/json\r\nContent-Length: ${line.length}\r\n\r\n${line}`
        : line,
    );
  });
}

/** Resolves with the socket's own address, as the kernel tells it. */
async function listenTcp(at: Endpoint, how: Style): Promise<string> {
  const server = createServer((socket) => serve(socket, how));
  server.listen({ host: at.address, port: at.port, ipv6Only: at.address.includes(":") });
  await once(server, "listening");
  const own = server.address();
  if (own === null || typeof own === "string") throw new Error("it has no address");
  return endpoint(own.address, own.port);
}

/** Resolves with the socket's own address, as the kernel tells it. */
async function bindUdp(at: Endpoint): Promise<string> {
  const ipv6 = at.address.includes(":");
  const socket = createSocket({ type: ipv6 ? "udp6" : "udp4", ipv6Only: ipv6 });
  socket.on("message", (_message, client) => {
    socket.send(
      answerLine(endpoint(client.address, client.port), null),
      client.port,
      client.address,
    );
  });
  socket.bind(at.port, at.address);
  await once(socket, "listening");
  const own = socket.address();
  return endpoint(own.address, own.port);
}

function tell(message: DaemonMessage): void {
  process.send?.(message);
}

// `ilm listeners` and `ps` show this instead of "node".
process.title = name;
process.on("disconnect", () => process.kill(process.pid, "SIGTERM"));

try {
  const how = parseStyle(style);
  const own: string[] = [];
  for (const at of endpointArguments.map(parseEndpoint)) {
    own.push(await (at.protocol === "tcp" ? listenTcp(at, how) : bindUdp(at)));
  }
  tell({ kind: "listening", at: own });
} catch (error) {
  tell({ kind: "failed", message: error instanceof Error ? error.message : String(error) });
  process.exitCode = 1;
  process.disconnect();
}
