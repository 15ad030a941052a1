/**
 * A web server as Node makes them, for the demo: `stock-node.js NAME UID`. It listens on port 80
 * and names no address, which is all of them, and knows nothing of ilm. It becomes user UID once it
 * is loaded, because that user may not be able to read this file. It ends when its parent does.
 */
import { once } from "node:events";
import { createServer } from "node:http";

import { endpoint, type Answer, type DaemonMessage } from "./messages.js";

const [name = "", uid = ""] = process.argv.slice(2);

/** The address without what a dual-stack socket puts before those of IPv4. */
function plain(address: string | undefined): string {
  return (address ?? "?").replace(/^::ffff:(?=\d+\.)/, "");
}

const server = createServer(({ socket }, response) => {
  const answer: Answer = {
    daemon: name,
    pid: process.pid,
    client: endpoint(plain(socket.remoteAddress), socket.remotePort ?? 0),
    dialled: endpoint(plain(socket.localAddress), socket.localPort ?? 0),
  };
  response.end(`${JSON.stringify(answer)}\n`);
});

function tell(message: DaemonMessage): void {
  process.send?.(message);
}

process.title = name;
process.on("disconnect", () => process.kill(process.pid, "SIGTERM"));

try {
  process.setgroups?.([]);
  process.setgid?.(Number(uid));
  process.setuid?.(Number(uid));
  server.listen(80);
  await once(server, "listening");
  const own = server.address();
  if (own === null || typeof own === "string") throw new Error("it has no address");
  tell({ kind: "listening", at: [endpoint(own.address, own.port)] });
} catch (error) {
  tell({ kind: "failed", message: error instanceof Error ? error.message : String(error) });
  process.exitCode = 1;
  process.disconnect();
}
