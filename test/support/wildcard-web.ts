/** nginx and Apache as Debian has them: on every address, as the units that Debian starts. */
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { eventually, words } from "./process.js";
import type { Server } from "./server.js";
import { endUnit, pathOf, sendSignal, startUnit } from "./units.js";

export interface WebServer {
  /** Loads its configuration again, and waits until that is done. */
  reload(): Promise<void>;
  /** Ends it as systemd does. */
  stop(): Promise<void>;
}

export interface WildcardNginx extends WebServer {
  /** Has the binary started again with the sockets of the old one, which then ends. */
  upgrade(): Promise<void>;
}

export const nginxUnit = "nginx.service";
export const apacheUnit = "apache2.service";

function pidIn(file: string): number {
  return Number(readFileSync(file, "utf8"));
}

/** `listen`: its directives. It answers with `web`, and at /ends with both ends. */
export async function startWildcardNginx(
  server: Server,
  listen: readonly string[],
  workers = 1,
): Promise<WildcardNginx> {
  const { folder } = server;
  const pidFile = join(folder, "wildcard-nginx.pid");
  const configuration = server.file(
    `pid ${pidFile};
worker_processes ${workers};
error_log ${folder}/wildcard-nginx.log;
events {}
http {
  access_log off;
  client_body_temp_path ${folder}/nginx-body;
  proxy_temp_path ${folder}/nginx-proxy;
  fastcgi_temp_path ${folder}/nginx-fastcgi;
  uwsgi_temp_path ${folder}/nginx-uwsgi;
  scgi_temp_path ${folder}/nginx-scgi;
  server {
${listen.map((directive) => `    listen ${directive};\n`).join("")}
    location / { return 200 '{"tag": "web"}'; }
    location /ends { return 200 '$remote_addr $server_addr:$server_port'; }
    location /worker { return 200 '$pid'; }
  }
}
`,
    "wildcard-nginx.conf",
  );
  const command = words(`-e ${folder}/wildcard-nginx.log -p ${folder} -c`);
  // It leaves the foreground: only then it lets its binary be exchanged.
  const started = await startUnit(server, nginxUnit, [
    await pathOf("nginx"),
    ...command,
    configuration,
  ]);
  const result = await started.exited;
  if (result.status !== 0) throw new Error(`nginx: ${result.stderr}`);
  await eventually("nginx has written its pid", () => (existsSync(pidFile) ? true : null));

  const workersOf = async (pid: number): Promise<readonly string[]> =>
    (await server.run(["pgrep", "-P", String(pid)])).stdout.split("\n").filter(Boolean);
  return {
    reload: async () => {
      const before = await workersOf(pidIn(pidFile));
      sendSignal(pidIn(pidFile), "SIGHUP");
      await eventually("the workers were replaced", async () => {
        const now = await workersOf(pidIn(pidFile));
        return now.length === workers && now.every((pid) => !before.includes(pid)) ? true : null;
      });
    },
    upgrade: async () => {
      const old = pidIn(pidFile);
      sendSignal(old, "SIGUSR2");
      const next = await eventually("the new binary has workers", async () => {
        if (!existsSync(`${pidFile}.oldbin`) || !existsSync(pidFile)) return null;
        const pid = pidIn(pidFile);
        return pid !== old && (await workersOf(pid)).length === workers ? pid : null;
      });
      sendSignal(old, "SIGQUIT");
      await eventually("the old binary has ended", () =>
        existsSync(`${pidFile}.oldbin`) ? null : true,
      );
      if (pidIn(pidFile) !== next) throw new Error("the new binary has ended");
    },
    stop: async () => await endUnit(nginxUnit, "SIGTERM"),
  };
}

/** Answers with `blog`. */
export async function startWildcardApache(
  server: Server,
  listen: readonly string[],
): Promise<WebServer> {
  const { folder } = server;
  const documents = join(folder, "documents");
  const log = server.file("", "apache.log");
  mkdirSync(documents, { recursive: true });
  writeFileSync(join(documents, "index.html"), '{"tag": "blog"}');
  // Its children are nobody who may look into a folder of root's.
  chmodSync(folder, 0o711);
  const modules = ["mpm_event", "authz_core", "dir"];
  const configuration = server.file(
    `ServerRoot ${folder}
ServerName localhost
PidFile ${folder}/apache.pid
DefaultRuntimeDir ${folder}
ErrorLog ${log}
User www-data
Group www-data
${modules.map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so\n`).join("")}
${listen.map((directive) => `Listen ${directive}\n`).join("")}
DocumentRoot ${documents}
DirectoryIndex index.html
`,
    "apache.conf",
  );
  const process = await startUnit(server, apacheUnit, [
    await pathOf("apache2"),
    ...words("-D FOREGROUND -f"),
    configuration,
  ]);
  const hasStarted = async (times: number): Promise<void> => {
    await eventually("Apache has started", () => {
      const said = readFileSync(log, "utf8");
      if (!process.running) throw new Error(`Apache has ended: ${said}${process.stderr}`);
      return said.split("resuming normal operations").length > times ? true : null;
    });
  };
  await hasStarted(1);
  let times = 1;
  return {
    reload: async () => {
      times += 1;
      sendSignal(pidIn(`${folder}/apache.pid`), "SIGUSR1");
      await hasStarted(times);
    },
    stop: async () => await endUnit(apacheUnit, "SIGTERM"),
  };
}
