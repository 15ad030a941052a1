/**
 * The demo's client: a child in the client's namespace that dials on request and sends back the
 * result. It ends when its parent does.
 */
import { createSocket } from "node:dgram";
import { connect } from "node:net";

import { endpoint, isAnswer, isDialRequest, type DialReply, type DialResult } from "./messages.js";

/** The time limit for a dial: far above any answer on a veth pair, far below anybody's patience. */
const patience_ms = 2000;

function outcomeOfText(text: string, from: string): DialResult {
  // An HTTP answer has its head before the line of JSON.
  const line = text.slice(text.indexOf("{"));
  const answer: unknown = line.startsWith("{") ? JSON.parse(line) : null;
  if (isAnswer(answer)) return { outcome: "answered", answer, from };
  return { outcome: "failed", reason: `answered with ${JSON.stringify(text.slice(0, 60))}` };
}

function outcomeOfError(error: Error): DialResult {
  return "code" in error && error.code === "ECONNREFUSED"
    ? { outcome: "refused" }
    : { outcome: "failed", reason: error.message };
}

function timedOut(): DialResult {
  return { outcome: "failed", reason: `no answer within ${patience_ms} ms` };
}

function dialTcp(address: string, port: number): Promise<DialResult> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port });
    let text = "";
    socket.setTimeout(patience_ms);
    socket.on("connect", () => socket.write("GET / HTTP/1.0\r\n\r\n"));
    socket.on("data", (chunk) => {
      text += chunk.toString("utf8");
    });
    socket.on("end", () => {
      const from = endpoint(socket.remoteAddress ?? "?", socket.remotePort ?? 0);
      resolve(outcomeOfText(text, from));
      socket.destroy();
    });
    socket.on("timeout", () => {
      resolve(timedOut());
      socket.destroy();
    });
    socket.on("error", (error) => resolve(outcomeOfError(error)));
  });
}

/**
 * Dials from a connected socket, as a resolver does: the kernel hands it only answers that come
 * from the address it asked.
 */
function dialUdp(address: string, port: number): Promise<DialResult> {
  return new Promise((resolve) => {
    const socket = createSocket(address.includes(":") ? "udp6" : "udp4");
    const finish = (result: DialResult): void => {
      clearTimeout(timer);
      resolve(result);
      socket.close();
    };
    const timer = setTimeout(() => finish(timedOut()), patience_ms);
    socket.once("error", (error) => finish(outcomeOfError(error)));
    socket.once("message", (message, from) =>
      finish(outcomeOfText(message.toString("utf8"), endpoint(from.address, from.port))),
    );
    socket.connect(port, address, () => socket.send("?"));
  });
}

process.on("disconnect", () => process.kill(process.pid, "SIGTERM"));
process.on("message", (request: unknown) => {
  if (!isDialRequest(request)) throw new Error(`not a request: ${JSON.stringify(request)}`);
  const dial = request.protocol === "tcp" ? dialTcp : dialUdp;
  void dial(request.address, request.port).then((result) => {
    const reply: DialReply = { id: request.id, result };
    return process.send?.(reply);
  });
});
