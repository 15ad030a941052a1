/** Real daemons on private addresses, each with its configuration in the server's folder. */
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Client } from "./client.js";
import { endpoint } from "./matrix.js";
import { eventually, must, words, type Background, type RunResult } from "./process.js";
import type { Server } from "./server.js";

export interface Nginx {
  readonly process: Background;
  /** One line per request: `client server_addr:server_port`. */
  accessLog: () => readonly string[];
}

/** nginx that answers with the same two things that it logs. */
export async function startNginx(
  server: Server,
  listen: readonly (readonly [string, number])[],
): Promise<Nginx> {
  const log = join(server.folder, "nginx-access.log");
  const configuration = server.file(
    `daemon off;
master_process off;
pid ${server.folder}/nginx.pid;
error_log stderr;
events {}
http {
  log_format ends '$remote_addr $server_addr:$server_port';
  access_log ${log} ends;
  client_body_temp_path ${server.folder}/nginx-body;
  proxy_temp_path ${server.folder}/nginx-proxy;
  fastcgi_temp_path ${server.folder}/nginx-fastcgi;
  uwsgi_temp_path ${server.folder}/nginx-uwsgi;
  scgi_temp_path ${server.folder}/nginx-scgi;
  server {
${listen.map(([address, port]) => `    listen ${endpoint(address, port)};`).join("\n")}
    location / { return 200 '$remote_addr $server_addr:$server_port'; }
  }
}
`,
    "nginx.conf",
  );
  const process = server.start(["nginx", "-e", "stderr", "-p", server.folder, "-c", configuration]);
  for (const [address, port] of listen) {
    await server.waitForListener("tcp", address, port);
  }
  return {
    process,
    accessLog: () => readFileSync(log, "utf8").trim().split("\n"),
  };
}

/** Its workers' sockets are a SO_REUSEPORT group; each answers with its process id. */
export interface NginxGroup {
  readonly process: Background;
  workers(): Promise<readonly string[]>;
  /** Reloads it, and waits until the old workers are gone. */
  resize(workers: number): Promise<void>;
}

export async function startNginxGroup(
  server: Server,
  address: string,
  port: number,
  count: number,
): Promise<NginxGroup> {
  const configure = (workers: number): string =>
    server.file(
      `daemon off;
worker_processes ${workers};
pid ${server.folder}/nginx.pid;
error_log stderr;
events {}
http {
  access_log off;
  client_body_temp_path ${server.folder}/nginx-body;
  proxy_temp_path ${server.folder}/nginx-proxy;
  fastcgi_temp_path ${server.folder}/nginx-fastcgi;
  uwsgi_temp_path ${server.folder}/nginx-uwsgi;
  scgi_temp_path ${server.folder}/nginx-scgi;
  server {
    listen ${endpoint(address, port)} reuseport;
    location / { return 200 '{"tag": "$pid"}'; }
  }
}
`,
      "nginx-group.conf",
    );
  const process = server.start([
    ...words(`nginx -e stderr -p ${server.folder} -c`),
    configure(count),
  ]);
  await server.waitForListener("tcp", address, port);
  const workers = async (): Promise<readonly string[]> =>
    (await server.must(["pgrep", "-P", String(process.pid)])).trim().split("\n");
  return {
    process,
    workers,
    resize: async (next) => {
      const before = await workers();
      configure(next);
      process.signal("SIGHUP");
      await eventually("the workers were replaced", async () => {
        const now = await workers();
        return now.length === next && now.every((pid) => !before.includes(pid)) ? true : null;
      });
    },
  };
}

export interface HaproxyOptions {
  /** Sockets, in one SO_REUSEPORT group. */
  readonly shards?: number;
  /** The instance that it takes over from: that is told to finish. */
  readonly after?: Background;
  /** It takes the sockets themselves (SCM_RIGHTS), and not only their address. */
  readonly takesSockets?: boolean;
}

/** What HAProxy does that answers with `tag`; `listen` is what it binds. */
export function haproxyConfiguration(listen: string, tag: string, ...global: string[]): string {
  return `global
${global.map((line) => `  ${line}\n`).join("")}defaults
  mode http
  timeout client 60s
  timeout connect 60s
  timeout server 60s
frontend all
  bind ${listen}
  http-request return status 200 content-type application/json lf-string "{\\"tag\\":\\"${tag}\\"}"
`;
}

export async function startHaproxy(
  server: Server,
  address: string,
  port: number,
  tag: string,
  { shards = 1, after, takesSockets = false }: HaproxyOptions = {},
): Promise<Background> {
  const control = join(server.folder, "haproxy.sock");
  // Without v6only it does not know its own IPv6 sockets again, and opens new ones (2.6).
  const bind = `${address}:${port} shards ${shards}${address.includes(":") ? " v6only" : ""}`;
  const configuration = server.file(
    haproxyConfiguration(
      bind,
      tag,
      `nbthread ${shards}`,
      `stats socket ${control} expose-fd listeners`,
    ),
    `haproxy-${tag}.conf`,
  );
  const process = server.start([
    ...words(`haproxy -db -f ${configuration}`),
    ...(after === undefined
      ? []
      : [...(takesSockets ? ["-x", control] : []), "-sf", String(after.pid)]),
  ]);
  await eventually(`${tag} listens`, async () => {
    const sockets = await server.must([
      "ss",
      "-H",
      "-n",
      "-l",
      "-t",
      "-p",
      "src",
      endpoint(address, port),
    ]);
    return sockets.includes(`pid=${process.pid},`) ? true : null;
  });
  if (after !== undefined) await after.exited;
  return process;
}

export interface Sshd {
  readonly process: Background;
  /** Logs in from the client and runs a command. */
  ssh(client: Client, address: string, port: number, command: string): Promise<RunResult>;
}

/** Debian's sshd with a host key and one user key of its own. */
export async function startSshd(server: Server, address: string, port: number): Promise<Sshd> {
  const hostKey = join(server.folder, "ssh-host-key");
  const userKey = join(server.folder, "ssh-user-key");
  for (const key of [hostKey, userKey]) {
    await must(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key]);
  }
  // sshd insists on its privilege separation folder.
  mkdirSync("/run/sshd", { recursive: true, mode: 0o755 });
  const configuration = server.file(
    `ListenAddress ${endpoint(address, port)}
HostKey ${hostKey}
AuthorizedKeysFile ${userKey}.pub
StrictModes no
UsePAM no
PermitRootLogin prohibit-password
PidFile none
`,
    "sshd_config",
  );
  const path = (await must(["sh", "-c", "PATH=$PATH:/usr/sbin command -v sshd"])).trim();
  const process = server.start([path, "-D", "-e", "-f", configuration]);
  await server.waitForListener("tcp", address, port);
  return {
    process,
    ssh: async (client, target, targetPort, command) =>
      await client.run([
        ...words(`ssh -F none -i ${userKey} -p ${targetPort} -o BatchMode=yes -o LogLevel=ERROR`),
        ...words("-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o ConnectTimeout=5"),
        `root@${target}`,
        command,
      ]),
  };
}

/** dnsmasq that knows one name, `daemon.test` -> 192.0.2.7, and logs who asks. */
export async function startDnsmasq(
  server: Server,
  addresses: readonly string[],
  port = 53,
): Promise<Background> {
  const process = server.start([
    ...words(
      "dnsmasq --keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts --user=root",
    ),
    ...words(`--pid-file= --log-facility=- --log-queries=extra --bind-interfaces --port=${port}`),
    ...addresses.map((address) => `--listen-address=${address}`),
    "--address=/daemon.test/192.0.2.7",
  ]);
  for (const address of addresses) {
    await server.waitForListener("udp", address, port);
    await server.waitForListener("tcp", address, port);
  }
  return process;
}
