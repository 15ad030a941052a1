/** What `ilm adopt --lines` says is what the real daemons take. */
import { afterEach, beforeAll, expect, test } from "vitest";
import {
  type Adoptable,
  adoptable,
  Dials,
  type DialSummary,
  postgresVersion,
  startUnitsOf,
} from "../support/adoptable.js";
import { useBootedHost } from "../support/booted-host.js";
import { useNetwork } from "../support/network.js";
import { eventually } from "../support/process.js";

const network = useNetwork();
const host = useBootedHost(network);

interface Entry {
  readonly name: string;
  readonly addresses: readonly string[];
  readonly file: string;
  readonly lines: readonly string[];
  readonly check: string | null;
  readonly note: string | null;
}

/** A daemon, and how its lines are put into its configuration. */
interface Case {
  readonly daemon: Adoptable;
  readonly publish: string;
  /** A shell command that reads the lines. */
  readonly write: string;
  /** The kinds of dials that its own lines cannot serve. */
  readonly unserved?: readonly string[];
}

const sites = "/etc/nginx/sites-enabled/default";
const writeSite = `sed -i '/^[^#]*listen /d' ${sites}; cat >/run/lines; sed -i '/^[^#]*server {/r /run/lines' ${sites}`;
const named: Adoptable = {
  unit: "named.service",
  files: {
    "/etc/bind/named.conf.options": `options {
  directory "/var/cache/bind";
  listen-on { any; };
  listen-on-v6 { any; };
  recursion no;
};
`,
  },
  dials: ["dns:53", "dns-tcp:53"],
};
const dnsmasq: Adoptable = {
  unit: "dnsmasq.service",
  files: { "/etc/dnsmasq.d/names.conf": "no-resolv\nno-hosts\naddress=/daemon.test/192.0.2.7\n" },
  units: {
    "dnsmasq.service":
      "[Service]\nExecStart=/usr/sbin/dnsmasq --keep-in-foreground --user=root --pid-file= --conf-file=/dev/null --conf-dir=/etc/dnsmasq.d\n",
  },
  dials: ["dns:53", "dns-tcp:53"],
};

const cases: readonly Case[] = [
  {
    daemon: adoptable.nginx,
    publish: "80",
    write: writeSite,
  },
  {
    daemon: adoptable.apache,
    publish: "8080",
    write: "sed -i /^Listen/d /etc/adoptable/apache.conf; cat >>/etc/adoptable/apache.conf",
  },
  { daemon: adoptable.ssh, publish: "22", write: "cat >/etc/ssh/sshd_config.d/ilm.conf" },
  {
    daemon: adoptable.redis,
    publish: "6379",
    write: "sed -i '/^bind /d' /etc/redis/redis.conf; cat >>/etc/redis/redis.conf",
  },
  {
    daemon: adoptable.postgres,
    publish: "5432",
    write: `cat >>/etc/postgresql/${postgresVersion}/main/postgresql.conf`,
  },
  {
    daemon: adoptable.haproxy,
    publish: "8443",
    write:
      "sed -i '/^ *bind /d' /etc/haproxy/haproxy.cfg; sed 's/^/  /' >/run/lines; sed -i '/^frontend/r /run/lines' /etc/haproxy/haproxy.cfg",
  },
  {
    daemon: adoptable.unbound,
    publish: "[53/tcp, 53/udp]",
    write: "sed -i /interface/d /etc/unbound/unbound.conf; cat >>/etc/unbound/unbound.conf",
  },
  {
    daemon: adoptable.knot,
    publish: "[5300/tcp, 5300/udp]",
    write:
      "sed -i /listen:/d /etc/knot/knot.conf; sed 's/^/  /' >/run/lines; sed -i '/^server:/r /run/lines' /etc/knot/knot.conf",
  },
  {
    daemon: named,
    publish: "[53/tcp, 53/udp]",
    write:
      "sed -i /listen-on/d /etc/bind/named.conf.options; cat >/run/lines; sed -i '/^options/r /run/lines' /etc/bind/named.conf.options",
  },
  {
    daemon: dnsmasq,
    publish: "[53/tcp, 53/udp]",
    write: "cat >/etc/dnsmasq.d/ilm.conf",
    unserved: ["dns over IPv6"],
  },
];

afterEach(async () => {
  // Those that were not started yet are unknown to systemd.
  await host().run(["systemctl", "stop", ...cases.map(({ daemon }) => daemon.unit)]);
  await host().ilm(["unload"]);
  await host().must(["rm", "-f", "/etc/ilm/ilm.yaml"]);
});

/** What is said of a daemon, as soon as it listens. */
async function entryOf(unit: string): Promise<Entry> {
  return await eventually(
    `${unit} listens`,
    async () => {
      const shown = await host().ilm(["adopt", "--lines", "--json", unit]);
      expect(shown.status, shown.text).toBe(0);
      return (shown.json() as readonly Entry[])[0] ?? null;
    },
    20_000,
  );
}

/** How a dial failed, if it did. */
async function failures(dial: string): Promise<readonly string[]> {
  const dials = network.client.startPython("dials.py", [`it=${dial}`]);
  await dials.waitForOutput(/dialling/);
  dials.closeInput();
  const { stdout } = await dials.exited;
  const { it } = JSON.parse(stdout.split("\n")[1] ?? "") as Readonly<Record<string, DialSummary>>;
  if (it === undefined) throw new Error(`nothing was dialled\n${stdout}`);
  return it.failed;
}

beforeAll(async () => {
  await host().must(["cp", sites, "/usr/share/adoptable-site"]);
});

test.each(cases.map((one) => [one.daemon.unit, one] as const))(
  "%s listens on its own addresses by its own lines, and is dialled there over both families",
  async (unit, { daemon, publish, write, unserved = [] }) => {
    await startUnitsOf(host(), [daemon]);
    const entry = await entryOf(unit);
    await host().must(["sh", "-c", write], { input: `${entry.lines.join("\n")}\n` });
    // Nothing but the lines may be the reason: what binds to every address is refused.
    host().write(
      "/etc/ilm/ilm.yaml",
      `version: 1
services:
  ${entry.name}: { unit: "${unit}", address: auto, wildcard: deny, publish: ${publish} }
`,
    );
    const applied = await host().ilm(["apply", "-f", "/etc/ilm/ilm.yaml"]);
    expect(applied.status, applied.text).toBe(0);
    // Apache's own unit has another configuration here than its checking command looks for.
    if (entry.check !== null && daemon !== adoptable.apache && daemon !== dnsmasq) {
      await host().must(["sh", "-c", entry.check]);
    }
    await host().must(["systemctl", "restart", unit]);
    for (const dial of daemon.dials) {
      const [kind = "", port] = dial.split(":");
      for (const [family, address] of [
        ["IPv4", "203.0.113.1"],
        ["IPv6", "[2001:db8::1]"],
      ] as const) {
        if (unserved.includes(`${kind} over ${family}`)) {
          expect(entry.note).toContain("Over IPv6 and UDP");
          continue;
        }
        const failed = await eventually(`${dial} over ${family} is not refused`, async () => {
          const found = await failures(`${kind}:${address}:${port}`);
          // A unit of the simple type has been started before it listens.
          return found.some((failure) => failure.startsWith("ConnectionRefusedError"))
            ? null
            : found;
        });
        expect(failed, `${dial} over ${family}`).toEqual([]);
      }
    }
  },
);

test("nginx with its own lines is moved by `ilm adopt` without a failed dial, where a reload is refused", async () => {
  await host().must(["rm", sites]);
  await host().must(["cp", "/usr/share/adoptable-site", sites]);
  await startUnitsOf(host(), [adoptable.nginx]);
  const entry = await entryOf("nginx");
  await host().must(["sh", "-c", writeSite], { input: `${entry.lines.join("\n")}\n` });
  expect(entry.note).toContain("A reload is refused (Address already in use)");
  const dials = await Dials.start(network.client, ["nginx"]);
  const adopted = await host().ilm(["adopt", "nginx", "--json"]);
  const summary = Object.values(await dials.stop());
  expect(adopted.json()).toMatchObject({ services: [{ name: "nginx", outcome: "moved" }] });
  expect(summary.flatMap(({ failed }) => failed)).toEqual([]);
});
