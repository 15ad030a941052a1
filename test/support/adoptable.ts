/** Daemons as Debian and administrators start them, on every address: what a host has to adopt. */
import { existsSync, readdirSync } from "node:fs";
import type { BootedHost } from "./booted-host.js";
import type { Client } from "./client.js";
import { python, script } from "./paths.js";
import { type Background, eventually } from "./process.js";

export interface Adoptable {
  readonly unit: string;
  /** What the host needs beside what Debian has. */
  readonly files?: Readonly<Record<string, string>>;
  readonly units?: Readonly<Record<string, string>>;
  /** Shell commands before it is started. */
  readonly before?: string;
  /** How it is dialled: KIND:PORT, as dials.py has kinds. */
  readonly dials: readonly string[];
  /** False: it serves IPv4 alone. */
  readonly ipv6?: boolean;
}

/** The version of Debian's package, by which its unit and its folders are named. */
export const postgresVersion = existsSync("/etc/postgresql")
  ? (readdirSync("/etc/postgresql").toSorted().at(-1) ?? "")
  : "";
const postgresFolder = `/etc/postgresql/${postgresVersion}/main`;

const node = `const http = require("node:http");
const server = http.createServer((_, answer) => { answer.end("node"); });
server.listen(3000);
`;

/** By their names. */
export const adoptable = {
  nginx: { unit: "nginx.service", dials: ["http:80"] },
  apache: {
    unit: "apache2.service",
    files: {
      "/etc/adoptable/apache.conf": `ServerRoot /run/apache2
ServerName localhost
PidFile /run/apache2/apache.pid
DefaultRuntimeDir /run/apache2
ErrorLog /run/apache2/error.log
User www-data
Group www-data
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule dir_module /usr/lib/apache2/modules/mod_dir.so
Listen 8080
DocumentRoot /srv/apache
DirectoryIndex index.html
`,
      "/srv/apache/index.html": "apache",
    },
    units: {
      "apache2.service": `[Service]
RuntimeDirectory=apache2
ExecStart=/usr/sbin/apache2 -D FOREGROUND -f /etc/adoptable/apache.conf
KillSignal=SIGWINCH
KillMode=mixed
`,
    },
    dials: ["http:8080"],
  },
  redis: {
    unit: "redis-server.service",
    before:
      "sed -i 's/^bind .*/bind 0.0.0.0 ::/; s/^protected-mode .*/protected-mode no/' /etc/redis/redis.conf",
    dials: ["redis:6379"],
  },
  haproxy: {
    unit: "haproxy.service",
    files: {
      "/etc/haproxy/haproxy.cfg": `defaults
  mode http
  timeout client 60s
  timeout connect 60s
  timeout server 60s
frontend all
  bind *:8443
  bind [::]:8443 v6only
  http-request return status 200 content-type text/plain string haproxy
`,
    },
    dials: ["http:8443"],
  },
  ssh: { unit: "ssh.service", dials: ["ssh:22"] },
  unbound: {
    unit: "unbound.service",
    files: {
      "/etc/unbound/unbound.conf": `server:
  interface-automatic: yes
  access-control: 0.0.0.0/0 allow
  access-control: ::/0 allow
  module-config: "iterator"
  local-data: "daemon.test. A 192.0.2.7"
  use-syslog: yes
remote-control:
  control-enable: no
`,
    },
    dials: ["dns:53", "dns-tcp:53"],
  },
  knot: {
    unit: "knot.service",
    files: {
      "/etc/knot/knot.conf": `server:
  rundir: "/run/knot"
  user: knot:knot
  listen: [ 0.0.0.0@5300, ::@5300 ]
database:
  storage: "/var/lib/knot"
`,
    },
    dials: ["dns:5300", "dns-tcp:5300"],
  },
  postgres: {
    unit: `postgresql@${postgresVersion}-main.service`,
    before: `echo "listen_addresses = '*'" >>${postgresFolder}/postgresql.conf`,
    dials: ["postgres:5432"],
  },
  python: {
    unit: "python-web.service",
    files: { "/srv/python/index.html": "python" },
    units: {
      "python-web.service": `[Service]
ExecStart=${python} -m http.server --bind :: --directory /srv/python 8000
`,
    },
    dials: ["http:8000"],
  },
  node: {
    unit: "node-web.service",
    files: { "/srv/node/server.cjs": node },
    units: {
      "node-web.service": `[Service]
DynamicUser=yes
ExecStart=${process.execPath} /srv/node/server.cjs
`,
    },
    dials: ["http:3000"],
  },
  activated: {
    unit: "activated.socket",
    units: {
      "activated.socket": `[Socket]
ListenStream=7000
`,
      "activated.service": `[Service]
ExecStart=${python} ${script("activated.py")}
`,
    },
    dials: ["banner:7000"],
  },
} as const satisfies Readonly<Record<string, Adoptable>>;

export type AdoptableName = keyof typeof adoptable;

/** Puts daemons onto the host, and starts them. */
export async function startUnitsOf(host: BootedHost, all: readonly Adoptable[]): Promise<void> {
  for (const { files = {}, before } of all) {
    for (const [path, content] of Object.entries(files)) host.write(path, content);
    if (before !== undefined) await host.must(["sh", "-c", before]);
  }
  await host.units(
    Object.assign({}, ...all.map(({ units = {} }) => units)) as Record<string, string>,
  );
  await host.must(["systemctl", "start", ...all.map(({ unit }) => unit)]);
}

/** Puts daemons onto the host, starts them, and waits until they answer. */
export async function startAdoptable(
  host: BootedHost,
  client: Client,
  names: readonly AdoptableName[],
): Promise<void> {
  await startUnitsOf(
    host,
    names.map((name) => adoptable[name]),
  );
  let last = {};
  await eventually(
    "all daemons answer",
    async () => {
      const dials = await Dials.start(client, names);
      const summary = await dials.stop();
      last = summary;
      return Object.values(summary).every(({ failed }) => failed.length === 0) ? true : null;
    },
    20_000,
  ).catch((error: unknown) => {
    throw new Error(JSON.stringify(last, null, 2), { cause: error });
  });
}

/** Starts a daemon as a unit of its own. */
export async function startUnitOn(host: BootedHost, name: string, command: string): Promise<void> {
  await host.units({ [`${name}.service`]: `[Service]\nExecStart=${command}\n` });
  await host.must(["systemctl", "start", name]);
}

/** What became of a service. */
export interface Moved {
  readonly name: string;
  readonly outcome: string;
  readonly message: string | null;
}

/** Adopts what is on the host. */
export async function adoptOn(
  host: BootedHost,
  ...args: readonly string[]
): Promise<readonly Moved[]> {
  const adopted = await host.ilm(["adopt", "--json", ...args]);
  return (adopted.json() as { services: readonly Moved[] }).services;
}

export interface DialSummary {
  readonly answered: number;
  readonly failed: readonly string[];
  readonly slowest_ms: number;
}

/** Dials from the client to each port of daemons, over both families, all the time. */
export class Dials {
  readonly #process: Background;

  private constructor(process: Background) {
    this.#process = process;
  }

  static async start(client: Client, names: readonly AdoptableName[]): Promise<Dials> {
    const wanted = names.flatMap((name) => {
      const { dials, ipv6 = true }: Adoptable = adoptable[name];
      const addresses = ipv6 ? ["203.0.113.1", "[2001:db8::1]"] : ["203.0.113.1"];
      return dials.flatMap((dial) => {
        const [kind, port] = dial.split(":");
        return addresses.map((address) => `${name} ${kind} ${address}=${kind}:${address}:${port}`);
      });
    });
    const process = client.startPython("dials.py", wanted);
    await process.waitForOutput(/dialling/);
    return new Dials(process);
  }

  async stop(): Promise<Readonly<Record<string, DialSummary>>> {
    this.#process.closeInput();
    const { stdout, stderr } = await this.#process.exited;
    const [, summary] = stdout.trim().split("\n");
    if (summary === undefined) throw new Error(`the dials printed no summary\n${stdout}${stderr}`);
    return JSON.parse(summary) as Readonly<Record<string, DialSummary>>;
  }
}
