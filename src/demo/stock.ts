/**
 * The demo's stock servers: web servers that listen on every address, port 80, as unprivileged
 * users, and know nothing of ilm. They are nginx and Python's, if the system has them; Node's is
 * always there.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { accessSync, constants } from "node:fs";

import { IlmError } from "../errors.js";
import { startDaemon } from "./children.js";
import { endProcess } from "./commands.js";
import type { DemoNetwork } from "./network.js";

/** The services of examples/demo.yaml that are the stock servers', and their users. */
export const stockUsers = {
  // systemd.io/UIDS-GIDS: nobody assigns 65520 to 65533.
  shop: 65521,
  blog: 65522,
} as const;
export type StockName = keyof typeof stockUsers;

/** A stock server that listens. */
export interface StockServer {
  readonly name: StockName;
  readonly pid: number;
  readonly uid: number;
  /** What it is, with its version. */
  readonly program: string;
  /** How it was told to listen, in its own words. */
  readonly asked: string;
  /** The getsockname() of its listening socket; null when it does not tell. */
  readonly told: string | null;
  readonly stop: () => Promise<void>;
}

type Start = (network: DemoNetwork, name: StockName) => Promise<StockServer>;

/**
 * Starts a program of the system as the server's user, and resolves with what it prints when it is
 * ready. Throws FINDINGS when it ends before.
 */
async function startProgram(
  { serverPath }: DemoNetwork,
  name: StockName,
  command: readonly string[],
  ready: RegExp,
): Promise<{ readonly child: ChildProcess; readonly pid: number; readonly said: string }> {
  const uid = stockUsers[name];
  const become = [`--reuid=${uid}`, `--regid=${uid}`, "--clear-groups"];
  const child = spawn(
    "nsenter",
    // It ends when the demo is killed.
    [`--net=${serverPath}`, "setpriv", ...become, "--pdeathsig=TERM", ...command],
    // In a process group of its own: Ctrl-C asks the demo to clean up.
    { cwd: "/", stdio: ["ignore", "pipe", "pipe"], detached: true },
  );
  let said = "";
  const isReady = await new Promise<boolean>((resolve) => {
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => {
        if (said.length < 10_000) said += text;
        if (ready.test(said)) resolve(true);
      });
    }
    child.once("error", (error) => {
      said += error.message;
      resolve(false);
    });
    child.once("close", () => resolve(false));
  });
  if (isReady && child.pid !== undefined) return { child, pid: child.pid, said };
  await endProcess(child);
  throw new IlmError("FINDINGS", `${command[0]} did not start: ${said.trim()}`);
}

/**
 * Runs a command with a file as its standard input that has no name any more, so that nothing has
 * to be cleaned up: nginx reads its configuration by offsets, which a pipe does not have.
 */
const withFile = `
set -e
file=$(mktemp /tmp/ilm-demo-XXXXXXXX)
printf %s "$0" >"$file"
exec <"$file"
rm "$file"
exec "$@"
`;

/**
 * nginx with the `listen` lines of Debian's default site; `[::]:80` is IPv6 only there. It makes
 * no file but that of its pid, which it removes when it ends.
 */
const startNginx: Start = async (network, name) => {
  const listens = ["listen 80 default_server;", "listen [::]:80 default_server;"];
  const answer =
    `{"daemon": "${name}", "pid": $pid, ` +
    `"client": "$client:$remote_port", "dialled": "$server:$server_port"}`;
  const configuration = `
daemon off;
pid /tmp/ilm-demo-${randomBytes(8).toString("hex")}.pid;
error_log stderr notice;
events {}
http {
  access_log off;
  client_body_temp_path /tmp;
  proxy_temp_path /tmp;
  fastcgi_temp_path /tmp;
  uwsgi_temp_path /tmp;
  scgi_temp_path /tmp;
  map $remote_addr $client { ~: "[$remote_addr]"; default $remote_addr; }
  map $server_addr $server { ~: "[$server_addr]"; default $server_addr; }
  server {
    ${listens.join("\n    ")}
    location / { return 200 '${answer}\\n'; }
  }
}
`;
  const { child, pid, said } = await startProgram(
    network,
    name,
    ["sh", "-c", withFile, configuration, nginx, "-p", "/tmp", "-c", "/dev/stdin"],
    /start worker process \d+\n/,
  );
  return {
    name,
    pid,
    uid: stockUsers[name],
    program: /\bnginx\/[\d.]+/.exec(said)?.[0] ?? "nginx",
    asked: listens.join(" "),
    told: null,
    stop: () => endProcess(child),
  };
};

/** The dual-stack server of `python3 -m http.server`, which answers with both ends. */
const pythonProgram = `
import http.server, json, os, platform, socket, sys

def endpoint(name):
    address = name[0].removeprefix("::ffff:")
    return f"[{address}]:{name[1]}" if ":" in address else f"{address}:{name[1]}"

class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6

    def server_bind(self):
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        answer = {
            "daemon": sys.argv[1],
            "pid": os.getpid(),
            "client": endpoint(self.client_address),
            "dialled": endpoint(self.connection.getsockname()),
        }
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode() + b"\\n")

    def log_message(self, *_):
        pass

server = Server(("::", 80), Handler)
print(platform.python_version(), endpoint(server.socket.getsockname()), flush=True)
server.serve_forever()
`;

const startPython: Start = async (network, name) => {
  const { child, pid, said } = await startProgram(
    network,
    name,
    [python, "-I", "-c", pythonProgram, name],
    /^\S+ \S+\n/,
  );
  const [version, told] = said.trim().split(" ");
  return {
    name,
    pid,
    uid: stockUsers[name],
    program: `http.server of Python ${version}`,
    asked: '("::", 80)',
    told: told ?? null,
    stop: () => endProcess(child),
  };
};

const startNode: Start = async ({ serverPath }, name) => {
  const uid = stockUsers[name];
  const { child, pid, at } = await startDaemon(serverPath, "stock-node.js", [name, `${uid}`]);
  return {
    name,
    pid,
    uid,
    program: `http.createServer() of Node.js ${process.version}`,
    asked: "listen(80)",
    told: at[0] ?? null,
    stop: () => endProcess(child),
  };
};

// In the system's folders only: root's own copies are not for other users.
const nginx = "/usr/sbin/nginx";
const python = "/usr/bin/python3";

function isInstalled(program: string): boolean {
  try {
    accessSync(program, constants.X_OK);
    return true;
  } catch {
    // Whatever is wrong with it, it is not used.
    return false;
  }
}

/** Starts the stock server of that service. The two differ where the system has nginx or Python. */
export function startStock(network: DemoNetwork, name: StockName): Promise<StockServer> {
  const [shop = startNode, blog = startNode] = [
    ...(isInstalled(nginx) ? [startNginx] : []),
    ...(isInstalled(python) ? [startPython] : []),
  ];
  return { shop, blog }[name](network, name);
}
