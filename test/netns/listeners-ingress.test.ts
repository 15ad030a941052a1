/**
 * What runs at ingress touches unicast packets for this host only, whatever they came on and
 * whatever they carry.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { DialOptions } from "../support/dialler.js";
import { Lab, protocolOf, useLab } from "../support/lab.js";
import { addressesOf, families } from "../support/matrix.js";
import { useNetwork } from "../support/network.js";
import { python, script } from "../support/paths.js";
import { eventually, must, run } from "../support/process.js";
import { Server } from "../support/server.js";

const network = useNetwork();
/** What ingress hands over. */
const kinds = ["mptcp", "udp"] as const;
const port = 6000;

const rules = `
version: 1
services:
  app: { address: [127.0.1.10, "fd5e:ed00::10"], handover: ingress }
mappings:
  - { protocol: [tcp, udp], port: ${port}, to: app }
`;

let lab: Lab;

beforeAll(async () => {
  await network.server.apply(rules);
});

useLab(network, (started) => {
  lab = started;
});

async function selected(): Promise<number> {
  return (await network.server.mappings()).reduce((sum, row) => sum + row.counters.selected, 0);
}

async function openAll(): Promise<void> {
  for (const kind of kinds) {
    for (const family of families) {
      // The multicast listener's wildcard shares the port.
      const options = ["reuseaddr"] as const;
      await lab.open(`${kind}${family}`, kind, addressesOf[family].daemon, port, { options });
    }
  }
}

describe("packets with more than a plain header", () => {
  const headers: readonly [4 | 6, NonNullable<DialOptions["headers"]>][] = [
    [4, ["options"]],
    [6, ["hop-by-hop"]],
    [6, ["destination"]],
    [6, ["hop-by-hop", "destination"]],
  ];
  for (const kind of kinds) {
    for (const [family, carried] of headers) {
      test(`IPv${family} with ${carried.join(" and ")} headers, ${kind}`, async () => {
        const cell = addressesOf[family];
        await lab.open("app", kind, cell.daemon, port);
        const options = { headers: carried };
        const dial = await network.client.dial(protocolOf(kind), cell.public, port, options);
        expect(dial).toMatchObject({ tag: "app" });
      });
    }
  }
});

describe("fragments", () => {
  for (const family of families) {
    const cell = addressesOf[family];
    const large: DialOptions = { length: 4000 };

    test(`are left to the kernel, which refuses them, and status tells of them, ${cell.label}`, async () => {
      const { server, client } = network;
      await lab.open("app", "udp", cell.daemon, port);
      expect(await client.who("udp", cell.public, port, large)).toBe("ECONNREFUSED");
      expect(await client.who("udp", cell.public, port)).toBe("app");
      expect((await server.status()).warnings).toMatchObject([
        { kind: "unsteered", message: expect.stringContaining("fragments") as string },
      ]);
    });

    test(`come to a listener on the dialled address, ${cell.label}`, async () => {
      await lab.open("exact", "udp", cell.public, port);
      expect(await network.client.dial("udp", cell.public, port, large)).toMatchObject({
        tag: "exact",
        length: 4000,
      });
    });

    test(`of the machine itself are none: lo takes them whole, ${cell.label}`, async () => {
      await lab.open("app", "udp", cell.daemon, port);
      expect(await network.server.dial("udp", cell.public, port, large)).toMatchObject({
        tag: "app",
        length: 4000,
      });
    });
  }
});

test("multicast and broadcast come to who waits for them, and to no destination", async () => {
  const { server, client } = network;
  await openAll();
  for (const family of families) await lab.do("hold", `udp${family}`);
  const groups = ["224.0.0.251", "239.1.2.3", "ff02::fb", "ff15::1234"];
  const listener = server.startPython("cast.py", [String(port), "up0", ...groups]);
  await listener.waitForOutput(/joined/);
  const before = await selected();
  const all = [...groups, "255.255.255.255", "203.0.113.255"];
  await client.must([python, script("shout.py"), String(port), "up0", ...all]);
  for (const address of all) {
    await listener.waitFor((self) => (self.stdout.includes(`got ${address}\n`) ? true : null));
  }
  // From the machine itself, over lo, where the device calls everything its own.
  await server.must([python, script("shout.py"), String(port), "lo", "127.255.255.255"]);
  await listener.waitForOutput(/got 127\.255\.255\.255\n/);
  for (const family of families) {
    expect(await lab.look(`udp${family}`, { timeout_ms: 50 })).toMatchObject({ queued: 0 });
  }
  expect(await selected()).toBe(before);
  await listener.stop();
});

test("a frame with a VLAN's tag is another network's; one with a priority only is ours", async () => {
  const { server, client } = network;
  await lab.open("app", "udp", "127.0.1.10", port);
  const mac = async (name: string): Promise<string> =>
    (await must(["ip", "netns", "exec", name, "cat", "/sys/class/net/up0/address"])).trim();
  const own = await mac(client.name);
  const their = await mac(server.name);
  const send = async (vlan: number): Promise<string> =>
    await client.must([
      python,
      script("frame.py"),
      "up0",
      own,
      their,
      "203.0.113.100",
      "203.0.113.1",
      String(port),
      String(vlan),
    ]);
  expect(JSON.parse(await send(0))).toMatchObject({ tag: "app" });
  const before = await selected();
  expect(await send(5)).toBe("");
  expect(await selected()).toBe(before);
});

/** Device types that a kernel may lack: then nobody can have such a device there. */
async function kernelHas(type: string): Promise<boolean> {
  const probe = `ilm${process.pid}-type`;
  await must(["ip", "netns", "add", probe]);
  try {
    const tried = await run(["ip", "-n", probe, "link", "add", "probe0", "type", type]);
    // Known types want more words; unknown ones are called so.
    return !/Unknown device type|not supported/.test(tried.stderr);
  } finally {
    await must(["ip", "netns", "del", probe]);
  }
}

interface Laid {
  readonly name: string;
  readonly remove: () => Promise<void>;
}

interface Cable {
  readonly what: string;
  /** Puts a device of that kind between server and client. */
  readonly lay: () => Promise<Laid>;
}

/** Its links, in either namespace; some may be there in one only, or gone with another. */
function links(name: string, ...others: readonly string[]): Laid {
  const remove = async (): Promise<void> => {
    for (const space of [network.server.name, network.client.name]) {
      for (const link of [name, ...others]) await run(["ip", "-n", space, "link", "del", link]);
    }
  };
  return { name, remove };
}

const layTun = async (): Promise<Laid> => {
  const { server, client } = network;
  const relay = server.startPython("tun.py", ["tun0", server.path, client.path]);
  await relay.waitForOutput(/connected/);
  // The devices live as long as who opened them.
  return { name: "tun0", remove: async () => void (await relay.stop()) };
};

/** Addresses for both ends of a new device. */
async function bringUp(name: string): Promise<void> {
  for (const [space, end] of [
    [network.server.name, 1],
    [network.client.name, 2],
  ] as const) {
    const lines = [
      `addr replace 192.0.2.${end}/24 dev ${name}`,
      `addr replace 2001:db8:9::${end}/64 dev ${name} nodad`,
      `link set ${name} up`,
      "",
    ];
    await must(["ip", "-n", space, "-batch", "-"], { input: lines.join("\n") });
  }
}

const cables: Cable[] = [
  {
    what: "a tun device, which has no Ethernet header",
    lay: layTun,
  },
  {
    what: "a bridge",
    lay: async () => {
      const { server, client } = network;
      await must([
        "ip",
        "link",
        "add",
        "port0",
        "netns",
        server.name,
        "type",
        "veth",
        "peer",
        "name",
        "br0",
        "netns",
        client.name,
      ]);
      await must(["ip", "-n", server.name, "link", "add", "br0", "type", "bridge"]);
      await must(["ip", "-n", server.name, "link", "set", "port0", "master", "br0", "up"]);
      return links("br0", "port0");
    },
  },
];
if (await kernelHas("vlan")) {
  cables.push({
    what: "a VLAN",
    lay: async () => {
      for (const { name } of [network.server, network.client]) {
        await must([
          "ip",
          "-n",
          name,
          "link",
          "add",
          "link",
          "up0",
          "name",
          "vlan5",
          "type",
          "vlan",
          "id",
          "5",
        ]);
      }
      return links("vlan5");
    },
  });
}
for (const [type, options] of [
  ["ipip", []],
  ["gre", []],
] as const) {
  if (!(await kernelHas(type))) continue;
  cables.push({
    what: `${type}, which has no Ethernet header`,
    lay: async () => {
      const ends = [
        [network.server.name, "203.0.113.1", "203.0.113.100"],
        [network.client.name, "203.0.113.100", "203.0.113.1"],
      ] as const;
      for (const [name, local, remote] of ends) {
        await must([
          "ip",
          "-n",
          name,
          "link",
          "add",
          `${type}9`,
          "type",
          type,
          "local",
          local,
          "remote",
          remote,
          ...options,
        ]);
      }
      return links(`${type}9`);
    },
  });
}

for (const { what, lay } of cables) {
  test(`${what} that comes later is served by run at once, and without run by the next apply`, async () => {
    const { server, client } = network;
    await openAll();
    const daemon = await server.startRun(["-f", server.file(rules)]);
    const dials = kinds.flatMap((kind) =>
      [
        ["192.0.2.1", kind],
        ...(what.includes("no Ethernet header") && what.startsWith("ipip")
          ? []
          : [["2001:db8:9::1", kind] as const]),
      ].map(([address, of]) => [address ?? "", of as "mptcp" | "udp"] as const),
    );
    const answers = async (options: DialOptions = {}): Promise<readonly string[]> =>
      await Promise.all(
        dials.map(
          async ([address, kind]) => await client.who(protocolOf(kind), address, port, options),
        ),
      );
    const expected = dials.map(([address, kind]) => `${kind}${address.includes(":") ? 6 : 4}`);
    let laid: Laid | null = null;
    try {
      laid = await lay();
      await bringUp(laid.name);
      await eventually("the new interface is served", async () =>
        JSON.stringify(await answers({ timeout_s: 1 })) === JSON.stringify(expected) ? true : null,
      );
      await daemon.stop();
      await laid.remove();
      laid = await lay();
      await bringUp(laid.name);
      expect(await answers()).toEqual(expected.map(() => "ECONNREFUSED"));
      await server.ilmDone(["apply", "-f", server.file(rules)]);
      expect(await answers()).toEqual(expected);
    } finally {
      await daemon.stop();
      await laid?.remove();
    }
  });
}

test("without an Ethernet header a subnet's broadcast address is taken for unicast, and no other", async () => {
  const { server, client } = network;
  await lab.open("app", "udp", "127.0.1.10", port);
  await lab.do("hold", "app");
  const laid = await layTun();
  try {
    await bringUp(laid.name);
    await server.ilmDone(["apply", "-f", server.file(rules)]);
    const addresses = ["255.255.255.255", "224.0.0.251", "192.0.2.255"];
    await client.must([python, script("shout.py"), String(port), laid.name, ...addresses]);
    expect(await lab.look("app")).toMatchObject({ length: "192.0.2.255".length });
    expect(await lab.look("app", { timeout_ms: 50 })).toMatchObject({ errno: "EAGAIN" });
  } finally {
    await laid.remove();
  }
});

describe("a router", () => {
  let inner: Server;
  let behind: Lab;

  beforeAll(async () => {
    const { server } = network;
    inner = await Server.make();
    const lines = [
      `link add in0 netns ${server.name} type veth peer name in0 netns ${inner.name}`,
      "",
    ];
    await must(["ip", "-batch", "-"], { input: lines.join("\n") });
    for (const [space, end] of [
      [server, 1],
      [inner, 2],
    ] as const) {
      await must(["ip", "-n", space.name, "addr", "add", `192.168.9.${end}/24`, "dev", "in0"]);
      await must([
        "ip",
        "-n",
        space.name,
        "addr",
        "add",
        `2001:db8:a::${end}/64`,
        "dev",
        "in0",
        "nodad",
      ]);
      await must(["ip", "-n", space.name, "link", "set", "in0", "up"]);
    }
    await must(["ip", "-n", inner.name, "route", "add", "default", "via", "192.168.9.1"]);
    await must(["ip", "-n", inner.name, "-6", "route", "add", "default", "via", "2001:db8:a::1"]);
    for (const key of ["ipv4/ip_forward", "ipv6/conf/all/forwarding"]) {
      await server.must(["sh", "-c", `echo 1 > /proc/sys/net/${key}`]);
    }
    // The new interface, and rules once more.
    await server.apply(rules);
  });

  beforeEach(async () => {
    behind = await Lab.start(inner);
    await openAll();
  });

  afterAll(async () => {
    for (const key of ["ipv4/ip_forward", "ipv6/conf/all/forwarding"]) {
      await network.server.must(["sh", "-c", `echo 0 > /proc/sys/net/${key}`]);
    }
    await inner.destroy();
  });

  for (const kind of kinds) {
    for (const family of families) {
      const cell = addressesOf[family];
      const host = family === 4 ? "192.168.9.2" : "2001:db8:a::2";

      test(`forwards what is for others, also to mapped ports, and serves what is for itself, ${kind} ${cell.label}`, async () => {
        const { client } = network;
        const protocol = protocolOf(kind);
        await behind.open("behind", kind, host, port);
        const mptcp = kind === "mptcp";
        expect(await client.who(protocol, host, port, { mptcp })).toBe("behind");
        expect(await client.who(protocol, cell.public, port, { mptcp })).toBe(`${kind}${family}`);
        // To an address of the router's other side, from both sides.
        const far = family === 4 ? "192.168.9.1" : "2001:db8:a::1";
        for (const from of [client, inner]) {
          expect(await from.who(protocol, far, port, { mptcp })).toBe(`${kind}${family}`);
        }
        await behind.do("close", "behind");
        expect(await client.who(protocol, host, port, { mptcp })).toBe("ECONNREFUSED");
      });
    }
  }
});
