/** dnsmasq, unbound and BIND: each knows one name, whose text is its own. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { families } from "../matrix.js";
import { words } from "../process.js";
import { pathOf, startUnit } from "../units.js";
import { signalUntil } from "./reload.js";
import type { Answer, Ask, Running, Start, Stock } from "./types.js";

/** Who answers; dig takes an answer from nowhere but where it asked. */
async function dig(
  ...[from, protocol, dialled, port, ...options]: [...Parameters<Ask>, ...string[]]
): Promise<Answer> {
  const transport = protocol === "tcp" ? "+tcp" : "+notcp";
  const query = words(`dig +short +time=2 +tries=2 ${transport} -p ${port} @${dialled}`);
  const answer = await from.must([...query, ...options, "who.test", "TXT"]);
  const [, name] = /^"(\w+)"\n$/.exec(answer) ?? [];
  if (name === undefined) throw new Error(`dig says ${answer}`);
  return { name };
}

const both = ["udp", "tcp"] as const;

/** Starts one that logs on standard error, and says there when it has read its configuration. */
async function startLogging(
  { server, unit }: Start,
  command: readonly string[],
  read: string,
  configuration?: string,
): Promise<Running> {
  const process = await startUnit(server, unit, command);
  return {
    process,
    ask: dig,
    ...(configuration === undefined ? {} : { configuration }),
    log: () => process.stderr,
    reload: async () => await signalUntil(process, "SIGHUP", read),
  };
}

const dnsmasq: Stock = {
  name: "dnsmasq",
  logs: true,
  port: 53,
  protocols: both,
  own: (own) => [
    {
      written: [`listen-address=${own[4]}`, `listen-address=${own[6]}`, "bind-interfaces"],
      hosts: [own[4], own[6]],
    },
  ],
  every: [{ written: [], hosts: ["0.0.0.0", "::"] }],
  reload: "SIGHUP",
  // Told addresses, it drops an IPv6 datagram for any other. Told none, it closes a connection for
  // which it finds no interface with the dialled address and its own port.
  deaf: (way) =>
    way.written.length > 0
      ? [{ protocol: "udp", families: [6], ownPort: false }]
      : [{ protocol: "tcp", families, ownPort: true }],
  start: async (start) => {
    const { name, way } = start;
    const command = [
      await pathOf("dnsmasq"),
      ...words("--keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts --user=root"),
      ...words(`--pid-file= --log-facility=- --log-queries=extra --txt-record=who.test,${name}`),
      ...way.written.map((line) => `--${line}`),
    ];
    return await startLogging(start, command, "cleared cache");
  },
};

const unbound: Stock = {
  name: "unbound",
  logs: true,
  port: 53,
  protocols: both,
  own: (own) => [
    { written: [`interface: ${own[4]}`, `interface: ${own[6]}`], hosts: [own[4], own[6]] },
  ],
  every: (["no", "yes"] as const).map((automatic) => ({
    written: ["interface: 0.0.0.0", "interface: ::0", `interface-automatic: ${automatic}`],
    hosts: ["0.0.0.0", "::"],
  })),
  reload: "SIGHUP",
  start: async (start) => {
    const { server, name, way } = start;
    const configuration = server.file(
      `server:
  ${way.written.join("\n  ")}
  do-daemonize: no
  chroot: ""
  username: ""
  directory: "${server.folder}"
  pidfile: ""
  use-syslog: no
  log-queries: yes
  module-config: "iterator"
  access-control: 0.0.0.0/0 allow
  access-control: ::/0 allow
  local-zone: "who.test." static
  local-data: 'who.test. TXT "${name}"'
remote-control:
  control-enable: no
`,
      `unbound-${name}.conf`,
    );
    const command = [await pathOf("unbound"), "-d", "-c", configuration];
    return await startLogging(start, command, "start of service", configuration);
  },
};

const bind: Stock = {
  name: "BIND",
  logs: true,
  port: 53,
  protocols: both,
  own: (own) => [
    {
      written: [`listen-on { ${own[4]}; };`, `listen-on-v6 { ${own[6]}; };`],
      hosts: [own[4], own[6]],
    },
  ],
  every: [],
  reload: "SIGHUP",
  start: async (start) => {
    const configuration = configureBind(start);
    const command = [await pathOf("named"), "-g", "-c", configuration];
    const running = await startLogging(start, command, "all zones loaded", configuration);
    return { ...running, look: async (...dial) => await lookAtQuery(running, ...dial) };
  },
};

let queries = 0;

/** Asks from a port that no other query has, by which BIND's log of queries has both addresses. */
async function lookAtQuery(running: Running, ...dial: Parameters<Ask>): Promise<Answer> {
  const [, , dialled] = dial;
  queries += 1;
  // Below what the kernel assigns.
  const from = 30_000 + queries;
  const answer = await dig(...dial, "-b", `${dialled.includes(":") ? "::" : "0.0.0.0"}#${from}`);
  const line = new RegExp(`client @\\S+ (\\S+)#${from} .*query: .* \\(([^)]+)\\)`);
  const [, peer = "", address = ""] = await running.process.waitForOutput(line);
  return { ...answer, peer, itself: { address } };
}

/** Writes its configuration and its zone. */
function configureBind({ server, name, way }: Start): string {
  const folder = join(server.folder, `bind-${name}`);
  mkdirSync(folder, { recursive: true });
  const zone = server.file(
    `$TTL 60
@ SOA . . 1 60 60 60 60
@ NS .
@ TXT "${name}"
`,
    `bind-${name}.zone`,
  );
  return server.file(
    `options {
  directory "${folder}";
  pid-file none;
  session-keyfile none;
  recursion no;
  querylog yes;
  ${way.written.join("\n  ")}
};
controls {};
zone "who.test" { type primary; file "${zone}"; };
`,
    `bind-${name}.conf`,
  );
}

export const nameServers: readonly Stock[] = [dnsmasq, unbound, bind];
