/**
 * What arrives on devices that the machine of the ordinary suites lacks: VLANs, tunnels without an
 * Ethernet header, VRFs. The clients are in another namespace, `peer`.
 */
import { execFileSync } from "node:child_process";
import { closeSync, existsSync, openSync, writeFileSync } from "node:fs";
import type { DataPlane, ActiveEngine } from "../../src/dataplane/types.js";
import { errnoOf } from "../../src/kernel/ffi.js";
import { withNat } from "./guest-host.js";
import { addOvpnPeer } from "./ovpn.js";
import { Absent, Refused, capability as report, expectEqual } from "./report.js";
import { ownNetnsPath } from "../../src/kernel/netns.js";
import { type Name, Socket, type SocketOptions, enterNetwork } from "./sockets.js";
import {
  type Where,
  app,
  apply,
  ask,
  canMptcp,
  dial,
  ilm,
  listen,
  open,
  outside,
  rulesFor,
  using,
} from "./stage.js";

const ENOTSOCK = 88;
const PEER = "peer";
const BASE = "over0";

function ip(...args: string[]): void {
  execFileSync("/sbin/ip", args, { stdio: ["ignore", "ignore", "pipe"] });
}

const inPeer = (...args: string[]): void => ip("-n", PEER, ...args);

/** Runs in the peer's namespace: this thread goes there and comes back. */
function there<T>(run: () => T): T {
  const home = openSync(ownNetnsPath, "r");
  const peer = openSync(`/run/netns/${PEER}`, "r");
  try {
    enterNetwork(peer);
    return run();
  } finally {
    enterNetwork(home);
    closeSync(peer);
    closeSync(home);
  }
}

const client: Where = (make) => there(make);

/** A device here and its other end in `peer`. The addresses of both follow from `number`. */
interface Device {
  readonly name: string;
  readonly what: string;
  readonly number: number;
  readonly families: readonly (4 | 6)[];
  readonly create: () => void;
}

const at = (number: number, end: 1 | 2) =>
  ({ 4: `10.77.${number}.${end}`, 6: `fd77:${number}::${end}` }) as const;

function tunnel(name: string, type: string): void {
  const ends = [at(1, 1)[4], at(1, 2)[4]] as const;
  ip("link", "add", name, "type", type, "local", ends[0], "remote", ends[1]);
  inPeer("link", "add", name, "type", type, "local", ends[1], "remote", ends[0]);
}

const wg = (args: readonly string[], input = ""): string =>
  execFileSync("/bin/wg", args, { encoding: "utf8", input }).trim();

/** What a WireGuard socket listens on here, and which port the peer sends to. */
interface WireguardPorts {
  readonly own: number;
  readonly dialled: number;
}

function wireguard(name: string, ports: WireguardPorts = { own: 51820, dialled: 51820 }): void {
  const keys = [0, 1].map((index) => {
    const secret = wg(["genkey"]);
    const file = `/tmp/wireguard-${index}`;
    writeFileSync(file, secret, { mode: 0o600 });
    return { file, open: wg(["pubkey"], secret) };
  });
  const [own, other] = keys;
  if (own === undefined || other === undefined) throw new Error("no keys");
  ip("link", "add", name, "type", "wireguard");
  inPeer("link", "add", name, "type", "wireguard");
  const common = (mine: string, its: string): string[] =>
    `set ${name} listen-port ${ports.own} private-key ${mine} peer ${its} allowed-ips 0.0.0.0/0,::/0`.split(
      " ",
    );
  wg([...common(own.file, other.open), "endpoint", `${at(1, 2)[4]}:${ports.own}`]);
  there(() => wg([...common(other.file, own.open), "endpoint", `${at(1, 1)[4]}:${ports.dialled}`]));
}

const devices: readonly Device[] = [
  {
    name: BASE,
    what: "a veth pair",
    number: 1,
    families: [4, 6],
    create: () => ip("link", "add", BASE, "type", "veth", "peer", "name", BASE, "netns", PEER),
  },
  {
    name: "vlan7",
    what: "a VLAN (802.1Q)",
    number: 2,
    families: [4, 6],
    create: () => {
      for (const run of [ip, inPeer]) {
        run("link", "add", "link", BASE, "name", "vlan7", "type", "vlan", "id", "7");
      }
    },
  },
  {
    name: "ipip1",
    what: "an IPIP tunnel",
    number: 3,
    families: [4],
    create: () => tunnel("ipip1", "ipip"),
  },
  {
    name: "gre1",
    what: "a GRE tunnel",
    number: 4,
    families: [4, 6],
    create: () => tunnel("gre1", "gre"),
  },
  {
    name: "wg1",
    what: "WireGuard",
    number: 5,
    families: [4, 6],
    create: () => wireguard("wg1"),
  },
  {
    name: "bond1",
    what: "a bond",
    number: 6,
    families: [4, 6],
    create: () => {
      ip("link", "add", "bond1", "type", "bond", "mode", "active-backup");
      below("bond1", "port1");
      ip("link", "set", "port1", "master", "bond1");
      ip("link", "set", "port1", "up");
    },
  },
  {
    name: "lower1",
    what: "an interface below a macvlan",
    number: 7,
    families: [4, 6],
    create: () => {
      below("lower1", "lower1");
      ip("link", "add", "link", "lower1", "name", "mac1", "type", "macvlan", "mode", "bridge");
      ip("link", "set", "mac1", "up");
    },
  },
];

/** A veth pair: `name` in the peer, `own` here. */
function below(name: string, own: string): void {
  ip("link", "add", own, "type", "veth", "peer", "name", name, "netns", PEER);
}

/**
 * Above an interface of ours, in another namespace, with its MAC address: what is for it is not for
 * us.
 */
const CONTAINER = "container";

function container(type: readonly string[]): void {
  ip("netns", "add", CONTAINER);
  below("shared1", "shared1");
  for (const run of [ip, inPeer]) run("link", "set", "shared1", "up");
  ip("link", "add", "link", "shared1", "name", "above1", "netns", CONTAINER, "type", ...type);
  ip("-n", CONTAINER, "link", "set", "above1", "up");
  addresses((...args) => ip("-n", CONTAINER, ...args), "above1", 8, 1);
  addresses(inPeer, "shared1", 8, 2);
}

function removeContainer(): void {
  ip("link", "del", "shared1");
  ip("netns", "del", CONTAINER);
}

function addresses(run: typeof ip, name: string, number: number, end: 1 | 2): void {
  run("addr", "add", `${at(number, end)[4]}/24`, "dev", name);
  run("addr", "add", `${at(number, end)[6]}/64`, "dev", name, "nodad");
}

/** Why a device could not be made; undefined: it is there. */
function make({ name, number, create }: Device): string | undefined {
  try {
    create();
  } catch (error) {
    // "Unknown device type": the kernel's package has no such module.
    return error instanceof Error ? error.message : String(error);
  }
  for (const run of [ip, inPeer]) run("link", "set", name, "up");
  addresses(ip, name, number, 1);
  addresses(inPeer, name, number, 2);
  return undefined;
}

const VRF = "vrf0";
const IN_VRF = "slave0";
const VRF_NUMBER = 9;
/** Private addresses inside the VRF. */
const inVrf = { 4: "127.0.1.30", 6: "fd5e:ed00::30" } as const;

function makeVrf(): string | undefined {
  if (!existsSync(`/sys/class/net/${VRF}`)) return "no VRF device";
  ip("link", "add", IN_VRF, "type", "veth", "peer", "name", IN_VRF, "netns", PEER);
  // First, as a device that goes into a VRF loses its IPv6 addresses.
  ip("link", "set", IN_VRF, "master", VRF);
  for (const run of [ip, inPeer]) run("link", "set", IN_VRF, "up");
  addresses(ip, IN_VRF, VRF_NUMBER, 1);
  addresses(inPeer, IN_VRF, VRF_NUMBER, 2);
  // A socket in a VRF can only be bound to addresses of the VRF: lo's are not its own, and
  // 127.0.0.0/8 neither.
  ip("addr", "add", `${inVrf[4]}/32`, "dev", VRF);
  ip("addr", "add", `${inVrf[6]}/128`, "dev", VRF, "nodad");
  return undefined;
}

const vrfRules = `  - { protocol: [tcp, udp], port: 6010, to: [${inVrf[4]}, "${inVrf[6]}"] }
  - { protocol: [tcp, udp], port: 6011, to: ["${inVrf[4]}:7010", "[${inVrf[6]}]:7010"] }
`;

function setAcceptAll(value: 0 | 1): void {
  for (const name of ["tcp_l3mdev_accept", "udp_l3mdev_accept"]) {
    writeFileSync(`/proc/sys/net/ipv4/${name}`, `${value}\n`);
  }
}

let troubles: Map<string, string | undefined> | undefined;

/** Once for both engines: name -> why it is not there. */
function setUp(): ReadonlyMap<string, string | undefined> {
  if (troubles !== undefined) return troubles;
  ip("netns", "add", PEER);
  inPeer("link", "set", "lo", "up");
  troubles = new Map(devices.map((device) => [device.name, make(device)]));
  troubles.set(VRF, makeVrf());
  return troubles;
}

/** When somebody whom `status` warns of was not served, that is what ilm said. */
function refusedAs(...kinds: readonly string[]): void {
  const { warnings } = JSON.parse(ilm("status", "--json")) as {
    warnings: readonly { kind: string; message: string }[];
  };
  const said = warnings.find(({ kind }) => kinds.includes(kind));
  if (said !== undefined) throw new Refused(said.message);
}

/**
 * A datagram from the peer. What is outside a VRF cannot answer into it without being told how, so
 * nothing asks it to.
 */
function hears(to: Name, daemon: Socket): boolean {
  const sender = client(() => Socket.connected(to, { kind: "udp" }));
  try {
    sender.send("ping", to);
    return daemon.receive(true) !== undefined;
  } finally {
    sender.close();
  }
}

/** Everything through one engine; for the kfunc the module must be loaded. */
export async function runDevices(engine: ActiveEngine): Promise<void> {
  const capability = (name: string, prove: () => string | void): Promise<void> =>
    report(engine === "kfunc" ? `engine kfunc: ${name}` : name, prove);
  const missing = setUp();
  const need = (name: string): void => {
    const why = missing.get(name);
    if (why !== undefined) throw new Absent(why);
  };
  let plane: DataPlane | undefined;
  const loaded = (): DataPlane => {
    if (plane === undefined) {
      plane = open();
      apply(plane, rulesFor(engine)(vrfRules));
    }
    return plane;
  };

  const serves = (device: Device, kind: "tcp" | "mptcp"): void => {
    for (const family of device.families) {
      const to = { address: at(device.number, 1)[family], port: 6000 };
      const what = `${kind} over IPv${family} on ${device.name}`;
      expectEqual(`${what}, no daemon`, dial(to, [], client), "refused");
      const daemon = listen(app[family], 6000, { kind });
      using([daemon], () => {
        loaded().resync();
        expectEqual(what, dial(to, [daemon], client), 0);
      });
    }
  };

  for (const device of devices) {
    await capability(`${device.what}: TCP and UDP`, () => {
      need(device.name);
      serves(device, "tcp");
      for (const family of device.families) {
        const address = at(device.number, 1)[family];
        const udp: SocketOptions = { kind: "udp", timeout: 2000 };
        const daemons = [listen(app[family], 6000, udp), listen(app[family], 7001, udp)] as const;
        using(daemons, () => {
          loaded().resync();
          const same = ask({ address, port: 6000 }, daemons[0], client);
          expectEqual(`UDP over IPv${family}`, same, { answer: "pong" });
          // Without the hooks on devices answers keep the daemon's port; doctor says so.
          if (loaded().steers() !== true) return;
          const other = ask({ address, port: 6001 }, daemons[1], client);
          expectEqual(`UDP over IPv${family} to another port`, other, { answer: "pong" });
        });
      }
    });
  }
  await capability("MPTCP on each of these devices", () => {
    if (!canMptcp()) throw new Absent("this kernel has no MPTCP");
    if (engine === "registry" && loaded().steers() !== true) {
      throw new Refused(
        "no MPTCP listener can be a destination on this kernel, and doctor says so",
      );
    }
    const found = devices.filter(({ name }) => missing.get(name) === undefined);
    for (const device of found) serves(device, "mptcp");
    return found.map(({ name }) => name).join(", ");
  });

  for (const [what, ...type] of [
    ["a macvlan that takes all of its interface", "macvlan", "mode", "passthru"],
    ["an ipvlan", "ipvlan", "mode", "l2"],
  ] as const) {
    await capability(`${what}, in a container: its datagrams are its own`, () => {
      try {
        container(type);
      } catch (error) {
        throw new Absent(String(error));
      }
      try {
        const daemon = listen(app[4], 6000, { kind: "udp", timeout: 300 });
        using([daemon], () => {
          apply(loaded(), rulesFor(engine)(`${vrfRules}# once more, for the interface\n`));
          loaded().resync();
          const before = loaded().counters().total().selected;
          expectEqual("asked", ask({ address: at(8, 1)[4], port: 6000 }, daemon, client), {
            answer: null,
          });
          const after = loaded().counters().total().selected;
          expectEqual("counted", after - before, 0);
        });
      } finally {
        removeContainer();
      }
    });
  }

  const families = [4, 6] as const;
  const vrf = { device: VRF, reuseport: true, timeout: 2000 } as const;
  const others = { reuseport: true, timeout: 2000 } as const;
  /** Who gets it: the VRF's listener (0), the one outside (1). */
  const fromVrf = (family: 4 | 6, port: number) => ({
    address: at(VRF_NUMBER, 1)[family],
    port,
  });
  for (const kind of ["tcp", "mptcp"] as const) {
    await capability(
      `VRF: what arrives in it comes to a ${kind.toUpperCase()} listener bound to it`,
      () => {
        need(VRF);
        if (kind === "mptcp" && !canMptcp()) throw new Absent("this kernel has no MPTCP");
        for (const family of families) {
          const own = listen(inVrf[family], 6010, { ...vrf, kind });
          using([own], () => {
            loaded().resync();
            const got = dial(fromVrf(family, 6010), [own], client);
            if (got === "refused" && kind === "mptcp") refusedAs("vrf", "mptcp");
            expectEqual(`IPv${family}`, got, 0);
          });
        }
      },
    );
  }
  await capability("VRF: what arrives in it comes to a UDP socket bound to it", () => {
    need(VRF);
    for (const family of families) {
      const own = listen(inVrf[family], 6010, { ...vrf, kind: "udp" });
      using([own], () => {
        loaded().resync();
        const got = ask(fromVrf(family, 6010), own, client);
        if (got.answer === null) refusedAs("vrf");
        expectEqual(`IPv${family}`, got, { answer: "pong" });
      });
      if (loaded().steers() !== true) continue;
      const remapped = listen(inVrf[family], 7010, { ...vrf, kind: "udp" });
      using([remapped], () => {
        loaded().resync();
        const got = ask(fromVrf(family, 6011), remapped, client);
        expectEqual(`IPv${family} to another port`, got, { answer: "pong" });
      });
    }
  });
  await capability("VRF: a listener bound to it takes nothing else", () => {
    need(VRF);
    for (const family of families) {
      const to = { address: outside[family], port: 6010 };
      const own = listen(inVrf[family], 6010, vrf);
      const ownUdp = listen(inVrf[family], 6010, { ...vrf, kind: "udp" });
      using([own, ownUdp], () => {
        loaded().resync();
        expectEqual(`TCP over IPv${family}`, dial(to, [own]), "refused");
        expectEqual(`UDP over IPv${family}`, ask(to, ownUdp), { answer: null });
        if (family === 6) return;
        const outer = listen(inVrf[family], 6010, others);
        using([outer], () => {
          expectEqual("with one outside", dial(to, [own, outer]), 1);
          expectEqual("from within", dial(fromVrf(family, 6010), [own, outer], client), 0);
        });
      });
    }
  });
  await capability(
    "VRF: who is bound to none is found from within with tcp_l3mdev_accept only",
    () => {
      need(VRF);
      const outer = listen(inVrf[4], 6010, others);
      const outerUdp = listen(inVrf[4], 6010, { ...others, kind: "udp" });
      using([outer, outerUdp], () => {
        loaded().resync();
        const to = fromVrf(4, 6010);
        try {
          expectEqual("TCP", dial(to, [outer], client), "refused");
          expectEqual("UDP", hears(to, outerUdp), false);
          setAcceptAll(1);
          loaded().resync();
          expectEqual("TCP, accepted", dial(to, [outer], client), 0);
          expectEqual("UDP, accepted", hears(to, outerUdp), true);
        } finally {
          setAcceptAll(0);
          loaded().resync();
        }
      });
    },
  );

  /** Sockets of the kernel's own, on the wildcard address, that are dialled at another port. */
  const selected = (): number => loaded().counters().total().selected;
  /** A socket map takes none that serves a tunnel. */
  const refusedWithoutIngress = (): void => {
    if (engine === "registry" && loaded().steers() === false) refusedAs("unplaced");
  };
  await capability(
    "WireGuard as a wildcard destination: the peer keeps the port it dialled",
    () => {
      need("wg1");
      const name = "wg2";
      const ports = { own: 51821, dialled: 443 };
      try {
        wireguard(name, ports);
        for (const run of [ip, inPeer]) run("link", "set", name, "up");
        addresses(ip, name, 10, 1);
        addresses(inPeer, name, 10, 2);
        apply(loaded(), rulesFor(engine)('  - { protocol: udp, port: 443, to: "*:51821" }\n'));
        refusedWithoutIngress();
        for (const family of families) {
          const own = at(1, 1)[family];
          const dialled = `${family === 6 ? `[${own}]` : own}:443`;
          const key = there(() => wg(["show", name, "peers"]));
          there(() => wg(["set", name, "peer", key, "endpoint", dialled]));
          const daemon = listen(app[4], 6000, {});
          using([daemon], () => {
            loaded().resync();
            const before = selected();
            const to = { address: at(10, 1)[4], port: 6000 };
            expectEqual(`TCP inside, ${dialled}`, dial(to, [daemon], client), 0);
            if (selected() - before < 2) throw new Error("the tunnel was not selected");
          });
          const endpoint = there(() => wg(["show", name, "endpoints"])).split(/\s+/)[1];
          expectEqual("where the peer hears it from", endpoint, dialled);
        }
      } finally {
        execFileSync("/sbin/ip", ["link", "del", name], { stdio: "ignore" });
        there(() => ip("link", "del", name));
      }
    },
  );
  await capability("GENEVE as a wildcard destination", () => {
    const name = "geneve1";
    const create = (run: typeof ip, remote: string, port: number): void =>
      run(...`link add ${name} type geneve id 7 remote ${remote} dstport ${port}`.split(" "));
    try {
      create(ip, at(1, 2)[4], 6081);
      create(inPeer, at(1, 1)[4], 444);
    } catch (error) {
      throw new Absent(String(error));
    }
    try {
      for (const [run, end] of [
        [ip, 1],
        [inPeer, 2],
      ] as const) {
        run("link", "set", name, "address", `02:00:00:00:00:0${end}`, "up");
        addresses(run, name, 11, end);
      }
      inPeer("neigh", "replace", at(11, 1)[4], "lladdr", "02:00:00:00:00:01", "dev", name);
      apply(loaded(), rulesFor(engine)('  - { protocol: udp, port: 444, to: "*:6081" }\n'));
      refusedWithoutIngress();
      const daemon = listen(app[4], 6000, { kind: "udp", timeout: 2000 });
      using([daemon], () => {
        loaded().resync();
        expectEqual("heard", hears({ address: at(11, 1)[4], port: 6000 }, daemon), true);
      });
    } finally {
      for (const run of [ip, inPeer]) run("link", "del", name);
    }
  });
  await capability(
    "L2TP of the kernel, whose socket is connected, keeps its peer's datagrams",
    () => {
      const end = (run: typeof ip, own: 1 | 2): void => {
        const other = own === 1 ? 2 : 1;
        run(
          ...`l2tp add tunnel tunnel_id 1 peer_tunnel_id 1 encap udp local ${at(1, own)[4]} remote ${at(1, other)[4]} udp_sport 1701 udp_dport 1701`.split(
            " ",
          ),
        );
        run(..."l2tp add session name l2tp1 tunnel_id 1 session_id 1 peer_session_id 1".split(" "));
        run("link", "set", "l2tp1", "up");
        addresses(run, "l2tp1", 12, own);
      };
      try {
        end(ip, 1);
        end(inPeer, 2);
      } catch (error) {
        throw new Absent(String(error));
      }
      try {
        apply(loaded(), rulesFor(engine)("  - { protocol: udp, port: 1701, to: app }\n"));
        const daemon = listen(app[4], 6000, {});
        const beside = listen(app[4], 1701, { kind: "udp", timeout: 300 });
        using([daemon, beside], () => {
          loaded().resync();
          const to = { address: at(12, 1)[4], port: 6000 };
          expectEqual("TCP inside", dial(to, [daemon], client), 0);
          expectEqual("the mapping's daemon hears", beside.receive(true), undefined);
        });
      } finally {
        for (const run of [ip, inPeer]) run("l2tp", "del", "tunnel", "tunnel_id", "1");
      }
    },
  );

  /** A tunnel of OpenVPN's in the kernel, whose daemon here has the socket. */
  const ovpn = (
    { socket, dialled }: { readonly socket: Socket; readonly dialled: number },
    prove: (peer: Socket, remote: Name) => void,
  ): void => {
    const name = "ovpn1";
    for (const run of [ip, inPeer]) {
      try {
        run("link", "add", name, "type", "ovpn");
      } catch (error) {
        throw new Absent(String(error));
      }
    }
    const own = { address: at(1, 2)[4], port: 1194 };
    const remote = { address: at(1, 1)[4], port: dialled };
    const peer = client(() => listen(own.address, own.port, { kind: "udp", timeout: 2000 }));
    try {
      for (const [run, end] of [
        [ip, 1],
        [inPeer, 2],
      ] as const) {
        run("link", "set", name, "up");
        addresses(run, name, 13, end);
      }
      addOvpnPeer({ device: name, socket, remote: own, end: 0 });
      there(() => addOvpnPeer({ device: name, socket: peer, remote, end: 1 }));
      prove(peer, remote);
    } finally {
      for (const run of [ip, inPeer]) run("link", "del", name);
      peer.close();
    }
  };
  const ovpnRules = (port: number, to: string, handover: string): string =>
    rulesFor(engine)(`  - { protocol: udp, port: ${port}, to: "${to}", handover: ${handover} }\n`);
  const udp: SocketOptions = { kind: "udp", timeout: 2000 };
  /** What a daemon hears, but for data that came before the kernel had its socket. */
  const control = (socket: Socket): ReturnType<Socket["receive"]> => {
    let got = socket.receive(true);
    // P_DATA_V2, key 0
    while (got?.text.startsWith("H") === true) got = socket.receive(true);
    return got;
  };

  for (const [where, address, to] of [
    ["on a private address", app[4], "app:1194"],
    ["as a wildcard destination", "0.0.0.0", "*:1194"],
  ] as const) {
    const dialled = 1195;
    const serves = (handover: string): void => {
      apply(loaded(), ovpnRules(dialled, to, "ingress"));
      refusedWithoutIngress();
      const daemon = listen(address, 1194, udp);
      const inside = listen(app[4], 6000, {});
      using([daemon, inside], () => {
        ovpn({ socket: daemon, dialled }, (peer, remote) => {
          // A socket map does not take it any more.
          apply(loaded(), ovpnRules(dialled, to, handover));
          loaded().resync();
          const before = selected();
          const inner = { address: at(13, 1)[4], port: 6000 };
          expectEqual(`TCP inside, ${handover}`, dial(inner, [inside], client), 0);
          if (selected() - before < 2) throw new Error("the tunnel was not selected");
          // What is not the data channel's goes to the daemon, which answers.
          peer.send("ping", remote);
          const from = { address: at(1, 2)[4], port: 1194 };
          expectEqual(`the daemon, ${handover}`, control(daemon), { text: "ping", from });
          daemon.send("pong", from);
          const answer = { text: "pong", from: remote };
          expectEqual(`its answer, ${handover}`, control(peer), answer);
        });
      });
    };
    await capability(`OpenVPN's offload ${where}: its tunnel and its daemon are served`, () => {
      for (const handover of ["auto", "lookup"]) serves(handover);
      // NAT takes away what is handed over at ingress.
      if (engine === "kfunc") withNat(() => serves("ingress"));
    });
  }
  await capability("OpenVPN's offload takes no socket that is in a socket map", () => {
    const attach = (handover: string): number => {
      apply(loaded(), ovpnRules(1194, "app", handover));
      refusedWithoutIngress();
      const socket = listen(app[4], 1194, udp);
      return using([socket], () => {
        loaded().resync();
        try {
          ovpn({ socket, dialled: 1194 }, () => undefined);
          return 0;
        } catch (error) {
          if (errnoOf(error) === undefined) throw error;
          return errnoOf(error) ?? 0;
        }
      });
    };
    expectEqual("handover: auto", attach("auto"), 0);
    expectEqual("handover: ingress", attach("ingress"), 0);
    expectEqual("handover: lookup", attach("lookup"), ENOTSOCK);
    withNat(() => {
      expectEqual("behind NAT", attach("auto"), ENOTSOCK);
      expectEqual("behind NAT, handover: ingress", attach("ingress"), 0);
    });
  });
  plane?.unload();
  plane?.close();
}
