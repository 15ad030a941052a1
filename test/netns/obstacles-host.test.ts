/**
 * Settings of the host that keep dials away: each is set, seen by a dial that fails, named by
 * `explain` and `doctor`, and mended by the command that they give.
 */
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import type { DoctorJson } from "../../src/json/doctor.js";
import { explain, type Explained } from "../support/explain.js";
import { type Lab, useLab } from "../support/lab.js";
import { addressesOf, endpoint, families, protocols, type Family } from "../support/matrix.js";
import { useNetwork, vethCable } from "../support/network.js";
import { eventually } from "../support/process.js";

const network = useNetwork();

const rules = `
version: 1
services:
  app: { address: [127.0.1.10, "fd5e:ed00::10"] }
mappings:
  - { protocol: [tcp, udp], port: 6000, to: app }
  - { port: 6001, to: "app:6000", interface: up1 }
`;

let lab: Lab;
useLab(network, (started) => {
  lab = started;
});

beforeAll(async () => {
  const { server, client } = network;
  await vethCable(server, client, "up1");
  await server.must(["ip", "link", "set", "up1", "up"]);
  await client.must(["ip", "link", "set", "up1", "up"]);
  await client.must(["ip", "addr", "add", "192.0.2.2/24", "dev", "up1"]);
  await server.must(["ip", "addr", "add", "192.0.2.1/24", "dev", "up1"]);
  await server.apply(rules);
});

afterEach(async () => {
  await network.server.stopStarted();
});

type Obstacle = Explained["obstacles"][number];

const onServer = async (script: string): Promise<string> =>
  await network.server.must(["sh", "-ec", script]);

async function forgetNeighbours(): Promise<void> {
  for (const place of [network.server, network.client]) {
    await place.must(["ip", "neigh", "flush", "all"]);
  }
}

/** For dials that are not answered; those that are may take as long as the machine does. */
const SHORT_S = 0.3;
const LONG_S = 10;

/** Who answers at port 6000, over each protocol. */
async function whoAnswers(
  address: string,
  timeout_s: number,
  from?: string,
): Promise<readonly string[]> {
  await forgetNeighbours();
  const answers = protocols.map(
    async (protocol) =>
      await network.client.who(protocol, address, 6000, {
        timeout_s,
        ...(from !== undefined && { from: [from, 0] }),
      }),
  );
  return await Promise.all(answers);
}

async function obstaclesOf(address: string, from?: string): Promise<readonly Obstacle[]> {
  const more = from === undefined ? [] : ["--from", endpoint(from, 5555), "--interface", "up0"];
  return (await explain(network.server, "tcp", address, 6000, ...more)).obstacles;
}

/** What `doctor` says of obstacles. */
async function told(): Promise<readonly string[]> {
  const { checks } = (await network.server.ask(["doctor", "--json"])).json() as DoctorJson;
  return checks
    .filter(({ name }) => name.endsWith("in the way"))
    .map(({ found, remedy }) => `${found}. ${remedy}`);
}

async function openDaemon(family: Family): Promise<void> {
  for (const protocol of protocols) {
    await lab.open(protocol, protocol, addressesOf[family].daemon, 6000, { tag: "app" });
  }
}

interface Condition {
  readonly kind: unknown;
  readonly sure: boolean;
  /** What is dialled; default: the public address. */
  readonly address?: string;
  /** The client's address, where the condition is about that. */
  readonly from?: string;
  readonly begin: string;
  readonly end: string;
  /** What of the remedy is run. */
  readonly remedy: RegExp;
}

/** Shows both directions. */
async function prove(family: Family, condition: Condition): Promise<void> {
  const { kind, sure, from, begin, end, remedy } = condition;
  const address = condition.address ?? addressesOf[family].public;
  await lab.do("close_all", "");
  await openDaemon(family);
  try {
    await onServer(begin);
    expect(await whoAnswers(address, SHORT_S, from)).not.toContain("app");
    const [found, ...others] = await obstaclesOf(address, from);
    expect([found, others]).toMatchObject([{ kind, sure }, []]);
    if (from === undefined) {
      expect(await told()).toContainEqual(expect.stringContaining(found?.message ?? ""));
    }
    const [, command = ""] = remedy.exec(found?.remedy ?? "") ?? [];
    expect(command).not.toBe("");
    await onServer(command.replace("ROUTER", addressesOf[family].client));
    await eventually("the remedy has its effect", async () => {
      const who = await whoAnswers(address, LONG_S, from);
      return who.every((one) => one === "app") ? true : null;
    });
    expect([await obstaclesOf(address, from), await told()]).toEqual([[], []]);
  } finally {
    // What of it is to be done depends on how far it came.
    await network.server.run(["sh", "-c", end]);
  }
}

const SYSCTL = /(sysctl -w [^;`]*[0-9])/;

for (const family of families) {
  const cell = addressesOf[family];
  const ip = `ip -${family}`;
  const [virtual, whole, stranger] =
    family === 4 ? ["203.0.113.50", 32, "198.18.0.7"] : ["2001:db8::50", 128, "2001:db8:77::1"];

  describe(`over ${cell.label}`, () => {
    test.each([`to ${cell.public} prohibit`, "iif up0 blackhole"])(
      "a rule before the table of local addresses: %s",
      async (rule) => {
        const local = "lookup local";
        await prove(family, {
          kind: expect.stringMatching(/route|source/),
          sure: true,
          begin: `${ip} rule add pref 10 ${local}; ${ip} rule del pref 0; ${ip} rule add pref 5 ${rule}`,
          remedy: /(ip(?: -6)? rule add pref 0 lookup local)/,
          end: `${ip} rule del pref 5; ${ip} rule del pref 10; ${ip} rule show pref 0 | grep -q local || ${ip} rule add pref 0 ${local}`,
        });
      },
    );

    test("no route back to a client", async () => {
      const { client } = network;
      await client.must(["ip", "addr", "add", `${stranger}/${whole}`, "dev", "lo"]);
      try {
        await prove(family, {
          kind: "back",
          sure: true,
          from: stranger,
          begin: "true",
          remedy: /`(ip(?: -6)? route add default via ROUTER)`/,
          end: `${ip} route del default`,
        });
      } finally {
        await client.must(["ip", "addr", "del", `${stranger}/${whole}`, "dev", "lo"]);
      }
    });

    test("neighbours do not find an address that is on lo", async () => {
      await prove(family, {
        kind: "neighbour",
        sure: false,
        address: virtual,
        begin: `ip addr add ${virtual}/${whole} dev lo; sysctl -qw net.ipv4.conf.all.arp_ignore=1`,
        remedy: /(ip addr add [^);]*)/,
        end: `ip addr del ${virtual}/${whole} dev lo; ip addr del ${virtual}/${whole} dev up0; sysctl -qw net.ipv4.conf.all.arp_ignore=0`,
      });
    });
  });
}

test("ARP that is not answered at all, or not for addresses of other interfaces", async () => {
  await prove(4, {
    kind: "neighbour",
    sure: false,
    begin: "sysctl -qw net.ipv4.conf.up0.arp_ignore=8",
    remedy: SYSCTL,
    end: "sysctl -qw net.ipv4.conf.up0.arp_ignore=0",
  });
  await prove(4, {
    kind: "neighbour",
    sure: false,
    address: "203.0.113.50",
    begin: "ip addr add 203.0.113.50/32 dev lo; sysctl -qw net.ipv4.conf.all.arp_ignore=2",
    remedy: SYSCTL,
    end: "ip addr del 203.0.113.50/32 dev lo; sysctl -qw net.ipv4.conf.all.arp_ignore=0",
  });
});

test.each([
  {
    by: "nft",
    begin: `nft 'add table inet t; add chain inet t i { type filter hook input priority 0; policy drop; }; add rule inet t i ct state established accept; add rule inet t i meta l4proto { tcp, udp } accept'`,
    remedy: /(nft .*)/,
    end: "nft delete table inet t",
  },
  {
    by: "ip6tables",
    begin:
      "ip6tables -P INPUT DROP; ip6tables -A INPUT -p tcp -j ACCEPT; ip6tables -A INPUT -p udp -j ACCEPT",
    remedy: /(ip6tables .*)/,
    end: "nft delete table ip6 filter",
  },
])("a firewall that drops ICMPv6, in terms of $by", async ({ begin, remedy, end }) => {
  await prove(6, { kind: "firewall", sure: true, begin, remedy, end });
});

test("an IPv6 address that another host had first", async () => {
  const address = "2001:db8::66";
  const { client } = network;
  await client.must(["ip", "addr", "add", `${address}/64`, "dev", "up0", "nodad"]);
  try {
    await openDaemon(6);
    const quick = "net.ipv6.neigh.up0.retrans_time_ms=50";
    const atOnce = "net.ipv6.conf.up0.router_solicitation_delay=0";
    await onServer(`sysctl -qw ${quick} ${atOnce}; ip addr add ${address}/64 dev up0`);
    await eventually("the other host has answered", async () =>
      (await onServer("ip -6 addr show dev up0")).includes("dadfailed") ? true : null,
    );
    const [found] = await obstaclesOf(address);
    expect(found).toMatchObject({ kind: "address", sure: true });
    expect(await told()).toContainEqual(expect.stringContaining(found?.message ?? ""));
    await client.must(["ip", "addr", "del", `${address}/64`, "dev", "up0"]);
    expect(await whoAnswers(address, SHORT_S)).not.toContain("app");
    await onServer(/(ip addr del .*)/.exec(found?.remedy ?? "")?.[1] ?? "false");
    await eventually("the address is used", async () =>
      (await whoAnswers(address, LONG_S)).every((who) => who === "app") ? true : null,
    );
    expect([await obstaclesOf(address), await told()]).toEqual([[], []]);
  } finally {
    await onServer(`ip addr del ${address}/64 dev up0`);
  }
});

test("IPv6 that is switched off where it is dialled", async () => {
  const { client } = network;
  const kept = ["2001:db8::1/64", "2001:db8::5/64", "2001:db8:1::1/64"];
  const address = "2001:db8::50";
  const link = JSON.parse(await onServer("ip -j link show up0")) as { address: string }[];
  const hardware = link[0]?.address ?? "";
  await client.must(["ip", "neigh", "add", address, "lladdr", hardware, "dev", "up0"]);
  const off = ["up0", "up1"].map((name) => `sysctl -qw net.ipv6.conf.${name}.disable_ipv6=1`);
  try {
    await openDaemon(6);
    await onServer(`ip addr add ${address}/128 dev lo; ${off.join("; ")}`);
    expect(await whoAnswers(address, SHORT_S)).not.toContain("app");
    const [found] = await obstaclesOf(address);
    expect(found).toMatchObject({ kind: "link", sure: true });
    expect(await told()).toContainEqual(expect.stringContaining(found?.message ?? ""));
    await onServer(SYSCTL.exec(found?.remedy ?? "")?.[1] ?? "false");
    await onServer(kept.map((one) => `ip addr add ${one} dev up0 nodad`).join("; "));
    await eventually("IPv6 is back", async () =>
      (await whoAnswers(address, LONG_S)).every((who) => who === "app") ? true : null,
    );
    expect((await obstaclesOf(address)).map(({ kind }) => kind)).not.toContain("link");
  } finally {
    await client.must(["ip", "neigh", "del", address, "dev", "up0"]);
    await onServer(`ip addr del ${address}/128 dev lo`);
  }
});

test("an interface that a mapping names and that is down, or at whose other end nobody is", async () => {
  const { server, client } = network;
  await lab.open("app", "tcp", "127.0.1.10", 6000);
  const dial = async (timeout_s = LONG_S) =>
    await client.who("tcp", "192.0.2.1", 6001, { timeout_s });
  const found = async () =>
    (await explain(server, "tcp", "192.0.2.1", 6001, "--interface", "up1")).obstacles;
  expect([await dial(), await found(), await told()]).toEqual(["app", [], []]);
  for (const [place, state] of [
    [server, "is down"],
    [client, "has no carrier"],
  ] as const) {
    await place.must(["ip", "link", "set", "up1", "down"]);
    expect(await dial(SHORT_S)).not.toBe("app");
    expect(await found()).toMatchObject([{ kind: "link", sure: true }]);
    expect(await told()).toEqual([expect.stringContaining(`the interface up1 ${state}`)]);
    // It is the way to nobody else.
    expect(await client.who("tcp", addressesOf[4].public, 6000)).toBe("app");
    await place.must(["ip", "link", "set", "up1", "up"]);
    await eventually("it is up again", async () => ((await dial()) === "app" ? true : null));
  }
  expect([await found(), await told()]).toEqual([[], []]);
});

test("what NAT leads to 127.0.0.1 is dropped before a mapping is asked", async () => {
  const { server, client } = network;
  await lab.open("app", "tcp", "127.0.1.10", 6000);
  await onServer(
    `nft 'add table ip t; add chain ip t p { type nat hook prerouting priority -100; }; add rule ip t p tcp dport 7000 dnat to 127.0.0.1:6000'`,
  );
  const dial = async (timeout_s = LONG_S) =>
    await client.who("tcp", addressesOf[4].public, 7000, { timeout_s });
  const client4 = ["--from", "203.0.113.100:5555", "--interface", "up0"];
  const found = async () => (await explain(server, "tcp", "127.0.0.1", 6000, ...client4)).obstacles;
  try {
    expect(await dial(SHORT_S)).not.toBe("app");
    const [obstacle] = await found();
    expect(obstacle).toMatchObject({ kind: "source", sure: true });
    await onServer(SYSCTL.exec(obstacle?.remedy ?? "")?.[1] ?? "false");
    expect([await dial(), await found()]).toEqual(["app", []]);
  } finally {
    await onServer("nft delete table ip t; sysctl -qw net.ipv4.conf.up0.route_localnet=0");
  }
});
