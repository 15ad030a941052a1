/**
 * What to write into the configuration of known daemons, so that they listen on addresses of their
 * own by themselves. Plain data and pure functions.
 */
import type { Address } from "../model/address.js";
import type { AdoptedPort } from "./service.js";

export interface OwnAddresses {
  readonly 4: Address;
  readonly 6: Address;
}

interface Daemon {
  /** The command of its process, and the stem of its unit. */
  readonly names: RegExp;
  readonly file: string;
  /** Returns the lines for the addresses and these ports. */
  readonly lines: (own: OwnAddresses, ports: readonly number[]) => readonly string[];
  /** What to do with the lines that are there. */
  readonly instead: string;
  /** Checks the configuration; null: the daemon has no such command. */
  readonly check: string | null;
  readonly note: string | null;
}

/** `127.64.1.2:80` and `[fd5e::1]:80`, for each port. */
function endpoints(own: OwnAddresses, ports: readonly number[]): string[] {
  return ports.flatMap((port) => [`${own[4]}:${port}`, `[${own[6]}]:${port}`]);
}

const daemons: readonly Daemon[] = [
  {
    names: /^nginx$/,
    file: "the server blocks, such as /etc/nginx/sites-enabled/default",
    lines: (own, ports) => endpoints(own, ports).map((at) => `listen ${at};`),
    instead:
      "Instead of the `listen` lines with these ports; keep what stands behind the port (ssl, default_server).",
    check: null,
    note: "`nginx -t` binds the addresses, which outside the unit fails; the unit itself runs it before it starts. A reload is refused (Address already in use), because the old workers still listen on every address: it needs the restart.",
  },
  {
    names: /^apache2$/,
    file: "/etc/apache2/ports.conf",
    lines: (own, ports) => endpoints(own, ports).map((at) => `Listen ${at}`),
    instead: "Instead of the `Listen` lines with these ports. <VirtualHost *:80> stays as it is.",
    check: "apache2ctl configtest",
    note: null,
  },
  {
    names: /^(?:sshd|ssh)$/,
    file: "/etc/ssh/sshd_config.d/ilm.conf",
    lines: (own, ports) => endpoints(own, ports).map((at) => `ListenAddress ${at}`),
    instead: "Beside the others; a ListenAddress of 0.0.0.0 or :: goes.",
    check: "/usr/sbin/sshd -t",
    note: "Where sshd is started by ssh.socket, change the socket unit: `systemctl edit ssh.socket`.",
  },
  {
    names: /^redis(?:-server)?$/,
    file: "/etc/redis/redis.conf",
    lines: (own) => [`bind ${own[4]} ${own[6]}`],
    instead:
      "Instead of the `bind` line; put 127.0.0.1 and -::1 behind if local clients dial these.",
    check: null,
    note: null,
  },
  {
    names: /^(?:postgres|postgresql@.*)$/,
    file: "postgresql.conf of the cluster, such as /etc/postgresql/15/main/postgresql.conf",
    lines: (own) => [`listen_addresses = '${own[4]}, ${own[6]}'`],
    instead: "Instead of listen_addresses; put localhost in front if local clients dial it.",
    check: null,
    note: "Clients of this host that dial the private address come from it: pg_hba.conf needs 127.0.0.0/8 for them, not 127.0.0.1/32.",
  },
  {
    names: /^haproxy$/,
    file: "/etc/haproxy/haproxy.cfg",
    lines: (own, ports) => endpoints(own, ports).map((at) => `bind ${at}`),
    instead: "Instead of the `bind` lines with these ports; keep what stands behind the port.",
    check: "haproxy -c -q -f /etc/haproxy/haproxy.cfg",
    note: null,
  },
  {
    names: /^unbound$/,
    file: "/etc/unbound/unbound.conf.d/ilm.conf",
    lines: (own) => ["server:", `  interface: ${own[4]}`, `  interface: ${own[6]}`],
    instead: "Instead of the other `interface` lines, and of `interface-automatic: yes`.",
    check: "unbound-checkconf",
    note: null,
  },
  {
    names: /^(?:knotd|knot)$/,
    file: "/etc/knot/knot.conf",
    lines: (own, ports) => [
      `listen: [ ${ports.flatMap((port) => [`${own[4]}@${port}`, `${own[6]}@${port}`]).join(", ")} ]`,
    ],
    instead: "Instead of the `listen` line below `server:`.",
    check: "knotc conf-check",
    note: null,
  },
  {
    names: /^named$/,
    file: "/etc/bind/named.conf.options",
    lines: (own, ports) =>
      ports.flatMap((port) => [
        `listen-on port ${port} { ${own[4]}; };`,
        `listen-on-v6 port ${port} { ${own[6]}; };`,
      ]),
    instead: "Instead of listen-on and listen-on-v6.",
    check: "named-checkconf",
    note: "BIND serves only addresses that an interface has: ilm puts those of services on lo, so the rules have to be active before it starts.",
  },
  {
    names: /^dnsmasq$/,
    file: "/etc/dnsmasq.d/ilm.conf",
    lines: (own) => ["bind-interfaces", `listen-address=${own[4]}`, `listen-address=${own[6]}`],
    instead: "Instead of other `listen-address` and `interface` lines.",
    check: "dnsmasq --test",
    note: "Over IPv6 and UDP, it ignores what is for an address that it does not know, which is what clients dial: `wildcard: rewrite`, without these lines, serves both families.",
  },
];

export interface Lines {
  readonly file: string;
  readonly lines: readonly string[];
  readonly instead: string;
  readonly check: string | null;
  readonly note: string | null;
}

/** Returns what to write for a daemon, by its command and its unit; null when it is not known. */
export function linesFor(
  { command, unit }: { readonly command: string; readonly unit: string | null },
  own: OwnAddresses,
  ports: readonly Pick<AdoptedPort, "port">[],
): Lines | null {
  const stem = unit?.replace(/\.service$/, "") ?? "";
  const daemon = daemons.find(({ names }) => names.test(command) || names.test(stem));
  if (daemon === undefined) return null;
  const { file, instead, check, note } = daemon;
  const numbers = [...new Set(ports.map(({ port }) => port))];
  return { file, lines: daemon.lines(own, numbers), instead, check, note };
}
