/** Real daemons on private addresses, each with its configuration in the server's folder. */
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Client } from "./client.js";
import { endpoint } from "./matrix.js";
import { must, words, type Background, type RunResult } from "./process.js";
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
