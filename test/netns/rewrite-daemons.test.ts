/**
 * Two of each kind of server, both configured to listen on every address and the same port: with
 * `wildcard: rewrite` each has what is for its service (stock-*.test.ts has more of them). And what
 * is no listener of the service's is left alone.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Actor, commandAs } from "../support/actor.js";
import { removeCgroups } from "../support/cgroup.js";
import { haproxyConfiguration } from "../support/daemons.js";
import { addressesOf, endpoint, type Family, families } from "../support/matrix.js";
import type { Namespace } from "../support/namespace.js";
import { useNetwork } from "../support/network.js";
import { python, script } from "../support/paths.js";
import { type Background, eventually, must, words } from "../support/process.js";
import { endUnit, pathOf, startUnit } from "../support/units.js";

const network = useNetwork();
const names = ["first", "second"] as const;
type Name = (typeof names)[number];
/** Another port leads to the second one, and so does another address. */
const shift = 10_000;
const others = families.map((family) => `"${addressesOf[family].second}"`).join();

const rulesOf = (first: string, second: string): string => `
version: 1
services:
  first: { ${first}, address: [127.0.1.10, "fd5e:ed00::10"], wildcard: rewrite }
  second: { ${second}, address: [127.0.1.11, "fd5e:ed00::11"], wildcard: rewrite }
mappings:
${[22, 53, 80, 6379]
  .flatMap((port) => [
    `  - { protocol: [tcp, udp], port: ${port}, to: first }\n`,
    `  - { protocol: [tcp, udp], port: ${port}, on: [${others}], to: second }\n`,
    `  - { protocol: [tcp, udp], port: ${port + shift}, to: "second:${port}" }\n`,
  ])
  .join("")}
`;

beforeEach(async () => {
  await network.server.apply(rulesOf("unit: first.service", "unit: second.service"));
});

afterEach(async () => {
  for (const name of names) await endUnit(`${name}.service`);
  await network.server.stopStarted();
  await network.client.stopStarted();
});

afterAll(async () => {
  await removeCgroups();
});

async function start(name: Name, command: readonly string[]): Promise<Background> {
  return await startUnit(network.server, `${name}.service`, command);
}

interface Daemon {
  readonly title: string;
  readonly port: number;
  readonly families: readonly Family[];
  /** The command, of which the answers hold `name`. */
  readonly command: (name: Name) => Promise<readonly string[]>;
  /** What the daemon answers to whoever is there. Throws when it does not. */
  readonly ask: (from: Namespace, dialled: string, port: number) => Promise<string>;
}

const http: Daemon["ask"] = async (from, dialled, port) =>
  await from.must([...words("curl -sS --max-time 30"), `http://${endpoint(dialled, port)}/`]);

/** What a daemon says of itself before it is asked. */
const greeting: Daemon["ask"] = async (from, dialled, port) => {
  const reads =
    "import socket, sys; print(socket.create_connection((sys.argv[1], int(sys.argv[2])), 30).recv(200).decode())";
  return await from.must([python, "-c", reads, dialled, String(port)]);
};

/** Asks name servers outside for all but its own names. */
const unbound = async (name: Name): Promise<readonly string[]> => {
  const { server } = network;
  const configuration = server.file(
    `server:
  interface: 0.0.0.0
  interface: ::0
  do-daemonize: no
  chroot: ""
  username: ""
  directory: "${server.folder}"
  pidfile: ""
  use-syslog: no
  module-config: "iterator"
  access-control: 0.0.0.0/0 allow
  access-control: ::/0 allow
  local-zone: "who.test." static
  local-data: 'who.test. TXT "${name}"'
forward-zone:
  name: "."
  forward-addr: ${addressesOf[4].client}
  forward-addr: ${addressesOf[6].client}
remote-control:
  control-enable: no
`,
    `unbound-${name}.conf`,
  );
  return [await pathOf("unbound"), "-d", "-c", configuration];
};

/** Each process has sockets of its own, for both families, in one group. */
const reuseport = `
import os, socket, sys
for _ in range(2):
    if os.fork() == 0:
        break
sock = socket.create_server(("::", 80), family=socket.AF_INET6, reuse_port=True, dualstack_ipv6=True)
while True:
    with sock.accept()[0] as connection:
        connection.sendall(sys.argv[1].encode())
`;

/** One socket, which all processes have: what servers do that fork. */
const prefork = `
import os, socket, sys
sock = socket.create_server(("::", 80), family=socket.AF_INET6, dualstack_ipv6=True)
for _ in range(2):
    os.fork()
while True:
    with sock.accept()[0] as connection:
        connection.sendall(sys.argv[1].encode())
`;

const haproxy =
  (...binds: readonly string[]) =>
  async (name: Name): Promise<readonly string[]> => {
    const { server } = network;
    const configuration = server.file(
      haproxyConfiguration(
        binds.join("\n  bind "),
        name,
        `stats socket ${server.folder}/haproxy-${name}.sock expose-fd listeners`,
      ),
      `haproxy-${name}.conf`,
    );
    return [await pathOf("haproxy"), "-W", "-f", configuration];
  };

const daemons: readonly Daemon[] = [
  ...(["0.0.0.0", "::"] as const).map((bind): Daemon => ({
    title: `python3 -m http.server --bind ${bind}`,
    port: 80,
    families: bind === "::" ? families : [4],
    command: async (name) => {
      const folder = join(network.server.folder, name);
      mkdirSync(folder, { recursive: true });
      await must(["sh", "-c", 'echo "$1" > "$0"', join(folder, "index.html"), name]);
      return [python, ...words(`-m http.server --bind ${bind} --directory ${folder} 80`)];
    },
    ask: http,
  })),
  {
    title: "a server of two processes with SO_REUSEPORT",
    port: 80,
    families,
    command: async (name) => [python, "-c", reuseport, name],
    ask: greeting,
  },
  {
    title: "a server that forks after listen()",
    port: 80,
    families,
    command: async (name) => [python, "-c", prefork, name],
    ask: greeting,
  },
];

/** Asks until it answers: it is starting. */
async function answers(
  daemon: Daemon,
  from: Namespace,
  dialled: string,
  port: number,
): Promise<string> {
  let last: unknown = null;
  try {
    return await eventually(
      "an answer",
      async () => {
        try {
          return await daemon.ask(from, dialled, port);
        } catch (error) {
          last = error;
          return null;
        }
      },
      15_000,
    );
  } catch (error) {
    throw new Error(`${endpoint(dialled, port)}: ${String(last)}`, { cause: error });
  }
}

/** Both have what is for them, dialled from outside and on the host. */
async function expectBoth(daemon: Daemon): Promise<void> {
  const { port } = daemon;
  for (const family of daemon.families) {
    const { public: address, second, elsewhere, loopback } = addressesOf[family];
    const dials: (readonly [Name, Namespace, string, number])[] = [
      ["first", network.client, address, port],
      ["first", network.client, elsewhere, port],
      ["first", network.server, loopback, port],
      ["second", network.client, second, port],
      ["second", network.server, second, port],
      ["second", network.client, address, port + shift],
      ["second", network.server, loopback, port + shift],
    ];
    for (const [name, from, dialled, to] of dials) {
      expect(await answers(daemon, from, dialled, to), endpoint(dialled, to)).toContain(name);
    }
  }
}

for (const daemon of daemons) {
  test(`${daemon.title}: two share a port, also after one has started again`, async () => {
    for (const name of names) await start(name, await daemon.command(name));
    await expectBoth(daemon);
    await endUnit("first.service", "SIGTERM");
    await start("first", await daemon.command("first"));
    await expectBoth(daemon);
  });
}

describe.each([
  ["a socket for each family", ["*:80", ":::80 v6only"]],
  ["a dual-stack socket", [":::80 v4v6"]],
])("haproxy -W with %s", (_, binds) => {
  test("reloads without losing a connection, and keeps the sockets", async () => {
    const { server, client } = network;
    const running = await start("first", await haproxy(...binds)("first"));
    await start("second", await haproxy(...binds)("second"));
    const daemon = { title: "", port: 80, families, command: haproxy(...binds), ask: http };
    await expectBoth(daemon);
    const listening = async (): Promise<readonly string[]> => {
      const listed = await server.must(words("ss -H -n -l -t -e sport = :80"));
      const cookies = [...listed.matchAll(/\bsk:(\w+)/g)].map(([, cookie]) => cookie ?? "");
      expect(cookies).toHaveLength(2 * binds.length);
      return cookies.sort();
    };
    const workers = async (): Promise<string> =>
      (await server.run(["pgrep", "-P", String(running.pid)])).stdout;
    const before = await listening();
    const loads = [
      await client.load("http", addressesOf[4].public, 80, 2),
      await client.load("http", addressesOf[6].public, 80, 2),
    ];
    for (let turn = 0; turn < 3; turn += 1) {
      const old = (await workers()).trim();
      running.signal("SIGUSR2");
      await eventually("the worker was replaced", async () => {
        const now = (await workers()).trim();
        return now !== "" && !now.includes("\n") && now !== old ? true : null;
      });
    }
    for (const load of loads) {
      const { answered, failed } = await load.stop();
      expect(failed).toEqual({});
      expect(Object.keys(answered)).toEqual(["first"]);
    }
    expect(await listening()).toEqual(before);
    await expectBoth(daemon);
  });
});

describe.each(["user", "group"])("a service of a %s", (by) => {
  test("gets the low port of its daemons, which have no privilege and share it", async () => {
    const { server } = network;
    await server.apply(rulesOf(`${by}: 4000`, `${by}: 4001`));
    const daemon: Daemon = {
      title: "",
      port: 80,
      families,
      command: async (name) => [python, "-c", prefork, name],
      ask: greeting,
    };
    for (const [index, name] of names.entries()) {
      const [uid, gid] = by === "user" ? [4000 + index, 4002] : [4002, 4000 + index];
      const actor: Actor = { uid, gid, cgroup: `${name}.service` };
      server.start(await commandAs(actor, await daemon.command(name)));
    }
    await expectBoth(daemon);
  });
});

test("two units are given the sockets of socket units that listen on every address", async () => {
  const { server } = network;
  const daemon: Daemon = {
    title: "",
    port: 80,
    families,
    command: async (name) => [
      ...words("systemd-socket-activate --inetd --accept --listen=[::]:80"),
      "echo",
      name,
    ],
    ask: greeting,
  };
  for (const name of names) {
    server.start(await commandAs({ cgroup: `${name}.socket` }, await daemon.command(name)));
  }
  await expectBoth(daemon);
});

/** Binds as it is told to, then does one thing. */
const clientOf = `
import socket, sys
kind, family, bind, port, target, to = sys.argv[1:7]
sock = socket.socket(socket.AF_INET if family == "4" else socket.AF_INET6,
                     socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
if family != "4":
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, family == "6")
# What remains of an earlier connection is not in the way.
sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
sock.settimeout(10)
sock.bind((bind, int(port)))
if kind == "udp":
    sock.sendto(b"hello", (target, int(to)))
    print(sock.recvfrom(1000))
else:
    sock.connect((target, int(to)))
    print(sock.recv(1000))
`;

describe("a client of a service's unit, bound to every address", () => {
  const { 4: four, 6: six } = addressesOf;
  for (const [family, bind, target] of [
    ["4", "0.0.0.0", four.client],
    ["6", "::", six.client],
    ["dual", "::", `::ffff:${four.client}`],
    ["dual", "::", six.client],
  ] as const) {
    for (const [kind, port] of [
      ["udp", 0],
      ["udp", 5555],
      ["udp", 45_555],
      ["tcp", 0],
      ["tcp", 45_555],
    ] as const) {
      test(`reaches the outside: ${kind}, port ${port}, ${bind} (${family}) to ${target}`, async () => {
        const { client } = network;
        await client.echo("outside", [[kind, target.replace("::ffff:", ""), 7000]]);
        const args = [kind, family, bind, String(port), target, "7000"];
        const process = await start("first", [python, "-c", clientOf, ...args]);
        const { stdout, stderr } = await process.exited;
        expect(stdout, stderr).toContain("outside");
      });
    }
  }
});

let peerPort = 7100;

describe.each([
  ["its port", 53],
  ["another port", 5300],
])("a daemon that speaks first, with `originate: true` and a mapping of %s", (_, mapped) => {
  const [ip4, ip6] = [addressesOf[4].second, addressesOf[6].second];
  test.each([
    ["4", "0.0.0.0", addressesOf[4].client, ip4],
    ["6", "::", addressesOf[6].client, ip6],
    ["dual", "::", `::ffff:${addressesOf[4].client}`, ip4],
    ["dual", "::", addressesOf[6].client, ip6],
  ] as const)(
    "speaks as what leads to it: bound to every address (%s, %s), to %s",
    async (family, bind, target, spoken) => {
      const { server, client } = network;
      await server.apply(`
version: 1
services:
  first: { unit: first.service, address: [127.0.1.10, "fd5e:ed00::10"], wildcard: rewrite, originate: true }
mappings:
  - { protocol: udp, port: ${mapped}, on: ["${ip4}", "${ip6}"], to: "first:53" }
`);
      // Of another peer each time: whom it spoke to before is known for a while.
      const port = ++peerPort;
      await client.echo("outside", [["udp", target.replace("::ffff:", ""), port]]);
      const args = ["udp", family, bind, "53", target, String(port)];
      const process = await start("first", [python, "-c", clientOf, ...args]);
      const { stdout, stderr } = await process.exited;
      expect(stdout, stderr).toContain(`"peer": {"address": "${spoken}", "port": ${mapped}}`);
    },
  );
});

test("unbound asks the name servers outside from ports of its choice", async () => {
  const { client } = network;
  const outside = families
    .map((family) => addressesOf[family].client)
    .map((address) => `--listen-address=${address}`);
  client.start([
    ...words("dnsmasq --keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts"),
    ...words("--user=root --pid-file= --log-facility=- --bind-interfaces"),
    ...outside,
    "--txt-record=who.elsewhere,outside",
  ]);
  await start("first", await unbound("first"));
  const daemon: Daemon = {
    title: "",
    port: 53,
    families,
    command: unbound,
    ask: async (from, dialled) => {
      const query = words(`+short +time=5 +tries=2 @${dialled} who.elsewhere TXT`);
      const answer = await from.must(["dig", ...query]);
      if (!answer.includes("outside")) throw new Error(`unbound answers ${answer}`);
      return answer;
    },
  };
  expect(await answers(daemon, client, addressesOf[4].public, 53)).toContain("outside");
});

/** Is in its groups, or is told to share broadcasts, before it binds. */
const receiver = `
import socket, struct, sys
mode, port, index = sys.argv[1], int(sys.argv[2]), socket.if_nametoindex("up0")
sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
if mode == "4":
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton("239.1.2.3") + struct.pack("=4xi", index))
elif mode == "6":
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, socket.inet_pton(socket.AF_INET6, "ff02::123") + struct.pack("@I", index))
else:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
sock.bind(("::", port))
print("bound", flush=True)
while True:
    print("got", sock.recvfrom(2048)[0].decode(), flush=True)
`;

describe("a receiver of a service's unit, bound to every address", () => {
  test.each([
    ["a group of IPv4", "4", "239.1.2.3"],
    ["a group of IPv6", "6", "ff02::123"],
    ["broadcasts", "broadcast", "203.0.113.255"],
  ])("gets what is for %s, also on a mapped port", async (_, mode, address) => {
    const { client } = network;
    const process = await start("first", [python, "-c", receiver, mode, "53"]);
    await process.waitForOutput(/bound/);
    await client.must([python, script("shout.py"), "53", "up0", address]);
    await process.waitForOutput(new RegExp(`got ${address.replaceAll(".", "\\.")}`), 20_000);
  });
});
