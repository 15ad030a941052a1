/** Redis, PostgreSQL and sshd: each is asked with its own client. */
import { chmodSync, existsSync, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { commandAs } from "../actor.js";
import type { Endpoint } from "../dialler.js";
import { addressesOf, families } from "../matrix.js";
import { python } from "../paths.js";
import { must, words } from "../process.js";
import type { Server } from "../server.js";
import { pathOf, startUnit } from "../units.js";
import { signalUntil } from "./reload.js";
import type { Ask, Stock } from "./types.js";

/** Of `address:port`, with or without brackets. */
function readEndpoint(text: string): Endpoint {
  const [, address = "", port = ""] = /^\[?([^\]]*?)\]?:(\d+)$/.exec(text) ?? [];
  return { address, port: Number(port) };
}

const askRedis: Ask = async (from, _protocol, dialled, port) => {
  const input = "config get dbfilename\nclient info\n";
  const said = await from.must(words(`redis-cli -h ${dialled} -p ${port}`), { input });
  const [, name = ""] = /\b(\w+)\.rdb/.exec(said) ?? [];
  const [, peer = ""] = / addr=(\S+)/.exec(said) ?? [];
  const [, itself = ""] = / laddr=(\S+)/.exec(said) ?? [];
  if (name === "") throw new Error(`Redis answers ${said}`);
  return { name, peer: readEndpoint(peer).address, itself: readEndpoint(itself) };
};

const redis: Stock = {
  name: "Redis",
  port: 6379,
  protocols: ["tcp"],
  own: (own) => [{ written: [`bind ${own[4]} ${own[6]}`], hosts: [own[4], own[6]] }],
  every: [{ written: ["bind * -::*"], hosts: ["0.0.0.0", "::"] }],
  start: async ({ server, name, unit, way }) => {
    const [directive = "", ...addresses] = words(way.written.join(" "));
    const process = await startUnit(server, unit, [
      await pathOf("redis-server"),
      ...words("--port 6379 --protected-mode no --daemonize no"),
      "--save",
      "",
      "--dbfilename",
      `${name}.rdb`,
      "--dir",
      server.folder,
      `--${directive}`,
      addresses.join(" "),
    ]);
    return { process, ask: askRedis, log: () => process.stdout };
  },
};

/** Where Debian has the server's programs: of the newest version. */
async function postgresPrograms(): Promise<string> {
  const found = await must(["sh", "-c", "ls -d /usr/lib/postgresql/*/bin/postgres | sort -V"]);
  return dirname(found.trim().split("\n").at(-1) ?? "");
}

const askPostgresql: Ask = async (from, _protocol, dialled, port) => {
  const query =
    "select current_setting('cluster_name'), host(inet_server_addr()), inet_server_port(), host(inet_client_addr())";
  const said = await from.must(
    [...words(`psql -w -X -A -t -F ; -h ${dialled} -p ${port} -U postgres -d postgres -c`), query],
    { env: { PGCONNECT_TIMEOUT: "30" } },
  );
  const [name = "", address = "", local = "", peer = ""] = said.trim().split(";");
  return { name, itself: { address, port: Number(local) }, peer };
};

const postgresql: Stock = {
  name: "PostgreSQL",
  logs: true,
  port: 5432,
  protocols: ["tcp"],
  own: (own) => [
    { written: [`listen_addresses = '${own[4]}, ${own[6]}'`], hosts: [own[4], own[6]] },
  ],
  every: [{ written: ["listen_addresses = '*'"], hosts: ["0.0.0.0", "::"] }],
  reload: "SIGHUP",
  start: async ({ server, name, unit, way }) => {
    const programs = await postgresPrograms();
    const [uid, gid] = (await must(["sh", "-c", "id -u postgres; id -g postgres"])).split("\n");
    const actor = { uid: Number(uid), gid: Number(gid), cgroup: unit };
    const data = join(server.folder, `postgresql-${name}`);
    if (!existsSync(data)) {
      chmodSync(server.folder, 0o711);
      await must(["install", "-d", "-m", "700", "-o", "postgres", "-g", "postgres", data]);
      const options = words("--no-sync --auth=trust --username=postgres --encoding=UTF8 -D");
      await must(await commandAs(actor, [join(programs, "initdb"), ...options, data]));
    }
    // The client's own addresses, and those by which the host dials itself: nobody else may come.
    const hosts = families.flatMap((family) => {
      const bits = family === 4 ? 32 : 128;
      const { client, public: address, second, loopback } = addressesOf[family];
      return [client, address, second, loopback].map((host) => `${host}/${bits}`);
    });
    const access = server.file(
      hosts.map((host) => `host all all ${host} trust\n`).join(""),
      `pg_hba-${name}.conf`,
    );
    const settings = [
      ...way.written.map((line) => line.replace(" = ", "=").replaceAll("'", "")),
      `hba_file=${access}`,
      `unix_socket_directories=${data}`,
      `cluster_name=${name}`,
      ...words("log_connections=on fsync=off shared_buffers=16MB max_connections=20"),
    ].flatMap((setting) => ["-c", setting]);
    const command = [join(programs, "postgres"), "-D", data, ...settings];
    const process = server.start(await commandAs(actor, command));
    return {
      process,
      ask: askPostgresql,
      log: () => process.stderr,
      reload: async () => await signalUntil(process, "SIGHUP", "reloading configuration files"),
    };
  },
};

async function keyOf(server: Server, name: string): Promise<string> {
  const path = join(server.folder, `ssh-${name}`);
  if (!existsSync(path)) await must(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path]);
  return path;
}

/** Its banner. */
const askSshd: Ask = async (from, _protocol, dialled, port) => {
  const reads =
    "import socket, sys; print(socket.create_connection((sys.argv[1], int(sys.argv[2])), 30).recv(200).decode())";
  const banner = await from.must([python, "-c", reads, dialled, String(port)]);
  return { name: banner.trim().split(" ").at(-1) ?? "" };
};

const sshd: Stock = {
  name: "sshd",
  logs: true,
  port: 22,
  protocols: ["tcp"],
  own: (own) => [
    {
      written: [`ListenAddress ${own[4]}`, `ListenAddress ${own[6]}`],
      hosts: [own[4], own[6]],
    },
  ],
  every: [{ written: [], hosts: ["0.0.0.0", "::"] }],
  reload: "SIGHUP",
  start: async ({ server, name, unit, way }) => {
    const key = await keyOf(server, name);
    const userKey = await keyOf(server, "user");
    mkdirSync("/run/sshd", { recursive: true, mode: 0o755 });
    const configuration = server.file(
      `${way.written.join("\n")}
HostKey ${key}
AuthorizedKeysFile ${userKey}.pub
StrictModes no
UsePAM no
PermitRootLogin prohibit-password
PidFile none
VersionAddendum ${name}
SetEnv WHO=${name}
`,
      `sshd-${name}.conf`,
    );
    const process = await startUnit(server, unit, [
      await pathOf("sshd"),
      ...words("-D -e -f"),
      configuration,
    ]);
    const logIn: Ask = async (from, _protocol, dialled, port) => {
      const said = await from.must([
        ...words(`ssh -F none -i ${userKey} -p ${port} -o BatchMode=yes -o LogLevel=ERROR`),
        ...words(
          "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o ConnectTimeout=30",
        ),
        `root@${dialled}`,
        "echo $WHO $SSH_CONNECTION",
      ]);
      const [who = "", peer = "", , address = "", local = ""] = words(said);
      return { name: who, peer, itself: { address, port: Number(local) } };
    };
    return {
      process,
      ask: askSshd,
      configuration,
      look: logIn,
      log: () => process.stderr,
      reload: async () => await signalUntil(process, "SIGHUP", "Server listening on"),
    };
  },
};

export const dataServers: readonly Stock[] = [redis, postgresql, sshd];
