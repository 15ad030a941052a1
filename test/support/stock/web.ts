/** nginx, Apache and HAProxy. Each answers with what it sees. */
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { endpoint } from "../matrix.js";
import { eventually, words } from "../process.js";
import { pathOf, startUnit } from "../units.js";
import { signalUntil, times } from "./reload.js";
import type { Ask, Stock } from "./types.js";

/** `{"name", "address", "port", "peer"}` of the body; the port may be missing. */
const http: Ask = async (from, _protocol, dialled, port) => {
  const body = await from.must([
    ...words("curl -sS --max-time 30"),
    `http://${endpoint(dialled, port)}/`,
  ]);
  const {
    name,
    address,
    port: told,
    peer,
  } = JSON.parse(body) as {
    readonly name: string;
    readonly address: string;
    readonly port?: string;
    readonly peer: string;
  };
  const itself = told === undefined ? { address } : { address, port: Number(told) };
  return { name, itself, peer };
};

const nginx: Stock = {
  name: "nginx",
  logs: true,
  port: 80,
  protocols: ["tcp"],
  own: (own) => [
    { written: [`listen ${own[4]}:80;`, `listen [${own[6]}]:80;`], hosts: [own[4], own[6]] },
  ],
  every: [
    { written: ["listen 80;", "listen [::]:80;"], hosts: ["0.0.0.0", "::"] },
    { written: ["listen [::]:80 ipv6only=off;"], hosts: ["::"] },
  ],
  reload: "SIGHUP",
  start: async ({ server, name, unit, way }) => {
    const folder = join(server.folder, name);
    mkdirSync(folder, { recursive: true });
    const log = server.file("", `nginx-${name}.log`);
    const configuration = server.file(
      `daemon off;
pid ${folder}/nginx.pid;
worker_processes 1;
error_log stderr notice;
events {}
http {
  access_log ${log};
  client_body_temp_path ${folder}/body;
  proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/fastcgi;
  uwsgi_temp_path ${folder}/uwsgi;
  scgi_temp_path ${folder}/scgi;
  server {
    ${way.written.join("\n    ")}
    location / {
      return 200 '{"name": "${name}", "address": "$server_addr", "port": "$server_port", "peer": "$remote_addr"}';
    }
  }
}
`,
      `nginx-${name}.conf`,
    );
    const command = [await pathOf("nginx"), ...words("-e stderr -p"), folder, "-c", configuration];
    const process = await startUnit(server, unit, command);
    return {
      process,
      ask: http,
      configuration,
      log: () => readFileSync(log, "utf8"),
      reload: async () => await signalUntil(process, "SIGHUP", "gracefully shutting down"),
    };
  },
};

const apache: Stock = {
  name: "Apache",
  logs: true,
  port: 80,
  protocols: ["tcp"],
  own: (own) => [
    { written: [`Listen ${own[4]}:80`, `Listen [${own[6]}]:80`], hosts: [own[4], own[6]] },
  ],
  every: [
    { written: ["Listen 80"], hosts: ["::"] },
    { written: ["Listen 0.0.0.0:80", "Listen [::]:80"], hosts: ["0.0.0.0", "::"] },
  ],
  reload: "SIGUSR1 (graceful)",
  start: async ({ server, name, unit, way }) => {
    const folder = join(server.folder, name);
    const documents = join(folder, "documents");
    mkdirSync(documents, { recursive: true });
    // What CGI and PHP see. SERVER_PORT is not the socket's: it comes from the request.
    const see = (variable: string): string => `"<!--#echo var="${variable}" -->"`;
    writeFileSync(
      join(documents, "index.html"),
      `{"name": "${name}", "address": ${see("SERVER_ADDR")}, "peer": ${see("REMOTE_ADDR")}}`,
    );
    // Its children are nobody who may look into a folder of root's.
    chmodSync(server.folder, 0o711);
    const errors = server.file("", `apache-${name}-errors.log`);
    const log = server.file("", `apache-${name}.log`);
    const modules = ["mpm_event", "authz_core", "dir", "include"];
    const configuration = server.file(
      `ServerRoot ${folder}
ServerName localhost
PidFile ${folder}/apache.pid
DefaultRuntimeDir ${folder}
ErrorLog ${errors}
CustomLog ${log} "%h %l %u %t \\"%r\\" %>s %b"
User www-data
Group www-data
${modules.map((module) => `LoadModule ${module}_module /usr/lib/apache2/modules/mod_${module}.so\n`).join("")}
${way.written.join("\n")}
DocumentRoot ${documents}
DirectoryIndex index.html
<Directory ${documents}>
  Options +Includes
  SetOutputFilter INCLUDES
</Directory>
`,
      `apache-${name}.conf`,
    );
    const command = [await pathOf("apache2"), ...words("-D FOREGROUND -f"), configuration];
    const process = await startUnit(server, unit, command);
    const ready = "resuming normal operations";
    return {
      process,
      ask: http,
      configuration,
      log: () => readFileSync(log, "utf8"),
      reload: async () => {
        const before = times(readFileSync(errors, "utf8"), ready);
        process.signal("SIGUSR1");
        await eventually("Apache has started again", () => {
          const said = readFileSync(errors, "utf8");
          if (!process.running) throw new Error(`Apache has ended: ${said}`);
          return times(said, ready) > before ? true : null;
        });
      },
    };
  },
};

const haproxy: Stock = {
  name: "HAProxy",
  logs: true,
  port: 80,
  protocols: ["tcp"],
  own: (own) => [{ written: [`bind ${own[4]}:80`, `bind ${own[6]}:80`], hosts: [own[4], own[6]] }],
  every: [
    { written: ["bind *:80", "bind :::80 v6only"], hosts: ["0.0.0.0", "::"] },
    { written: ["bind :::80 v4v6"], hosts: ["::"] },
  ],
  reload: "SIGUSR2 to the master (`-W`)",
  start: async ({ server, name, unit, way }) => {
    const say = (key: string, value: string): string => `\\"${key}\\":\\"${value}\\"`;
    const body = [
      say("name", name),
      say("address", "%[dst]"),
      say("port", "%[dst_port]"),
      say("peer", "%[src]"),
    ].join(",");
    const configuration = server.file(
      `global
  log stdout format raw local0
  stats socket ${server.folder}/haproxy-${name}.sock expose-fd listeners
defaults
  mode http
  log global
  option httplog
  timeout client 60s
  timeout connect 60s
  timeout server 60s
frontend all
  ${way.written.join("\n  ")}
  http-request return status 200 content-type application/json lf-string "{${body}}"
`,
      `haproxy-${name}.conf`,
    );
    const command = [await pathOf("haproxy"), "-W", "-f", configuration];
    const process = await startUnit(server, unit, command);
    const workers = async (): Promise<string> =>
      (await server.run(["pgrep", "-P", String(process.pid)])).stdout.trim();
    return {
      process,
      ask: http,
      configuration,
      log: () => process.stdout,
      reload: async () => {
        // The worker serves before the master heeds signals.
        await process.waitForOutput(/Loading success/);
        const old = await workers();
        await signalUntil(process, "SIGUSR2", "Loading success");
        await eventually("the worker was replaced", async () => {
          const now = await workers();
          return now !== "" && !now.includes("\n") && now !== old ? true : null;
        });
      },
    };
  },
};

export const webServers: readonly Stock[] = [nginx, apache, haproxy];
