/** The module's own tests: what its kfunc finds, and what it must not find or do. */
import { spawnSync } from "node:child_process";
import { closeSync, existsSync, openSync, readFileSync } from "node:fs";
import { bpfSkLookupLayout } from "../../src/abi/generated.js";
import { decode } from "../../src/abi/layout.js";
import { openDataPlane } from "../../src/dataplane/open.js";
import { emptyRules } from "../../src/model/rules.js";
import { IlmError } from "../../src/errors.js";
import { parseConfiguration } from "../../src/config/parse.js";
import { lookupContext } from "../../src/dataplane/observe/explain.js";
import { BpfObject } from "../../src/kernel/bpf/object.js";
import { type BpfProgram } from "../../src/kernel/bpf/program.js";
import { AttachType, type BpfLink, attach } from "../../src/kernel/bpf/link.js";
import { type BpfMap } from "../../src/kernel/bpf/map.js";
import { netnsCookie, ownNetnsPath } from "../../src/kernel/netns.js";
import { type Address, addressBytes } from "../../src/model/address.js";
import { Absent, Refused, capability, expectEqual } from "./report.js";
import { type Name, Socket, enterNetwork, unshareNetwork } from "./sockets.js";
import { apply, dial, listen, outside as outsides, pause, rulesFor, using } from "./stage.js";

const MODULE = "/modules/ilm_lookup.ko";
const WITHOUT_BTF = "/modules/without-btf.ko";
const PROBE = "/ilm/dist/bpf/probe.bpf.o";
const STRANGER = "/ilm/dist/bpf/stranger.bpf.o";

/** kmod/ilm_lookup.h */
const EXACT = 1;
const WILDCARD = 2;
const EITHER = 3;
const TEST = 4;
const REPLACE = 8;
const NOT_ASKED = 1;
const ENOENT = -2;
const EEXIST = -17;
const EINVAL = -22;
const ENONET = -64;
const EAFNOSUPPORT = -97;

const words = ["Live", "Loading", "Unloading"];

export function busybox(...args: string[]): { status: number; output: string } {
  const { status, stdout, stderr } = spawnSync("/bin/busybox", args, { encoding: "utf8" });
  return { status: status ?? -1, output: `${stdout}${stderr}`.trim() };
}

export function insertModule(): void {
  const { status, output } = busybox("insmod", MODULE);
  if (status !== 0) throw new Error(`insmod: ${output}`);
}

/** The kernel's mode of lockdown; undefined: none. */
export function lockdown(): string | undefined {
  const path = "/sys/kernel/security/lockdown";
  const mode = existsSync(path) ? /\[(\w+)\]/.exec(readFileSync(path, "utf8"))?.[1] : undefined;
  return mode === "none" ? undefined : mode;
}

export function removeModule(): void {
  const { status, output } = busybox("rmmod", "ilm_lookup");
  if (status !== 0) throw new Error(`rmmod: ${output}`);
}

/** "Live", and how many hold it; undefined when it is not loaded. */
export function moduleState(): { state: string; users: number } | undefined {
  const line = readFileSync("/proc/modules", "utf8").match(/^ilm_lookup \d+ (\d+) \S+ (\w+)/m);
  if (line === null) return undefined;
  const state = line[2] ?? "";
  if (!words.includes(state)) throw new Error(`/proc/modules says ${state}`);
  return { state, users: Number(line[1]) };
}

/** The kernel frees programs, and what they hold, after a grace period. */
export function awaitUnused(): void {
  for (let i = 0; i < 100 && (moduleState()?.users ?? 0) > 0; i++) pause(100);
}

interface Query {
  readonly address: string;
  readonly port: number;
  readonly flags: number;
  readonly cookie?: bigint;
  /** Interface index; 0: of the context. */
  readonly interface?: number;
}

interface Answer {
  readonly result: number;
  /** Cookie of the selected socket; "0": none. */
  readonly cookie: string;
}

/** The probe program (kmod/test/probe.bpf.c), loaded. */
class Probe {
  readonly #object: BpfObject;
  readonly program: BpfProgram;
  readonly #questions: BpfMap;

  /** `ask` false: without the module. */
  constructor(ask: boolean) {
    this.#object = new BpfObject(PROBE);
    this.#object.setConstants(new Uint8Array(Uint32Array.of(ask ? 1 : 0).buffer));
    this.#object.load();
    this.program = this.#object.program("probe");
    this.#questions = this.#object.map("questions");
  }

  /**
   * `port`: of the lookups to ask in; 0: all. struct question: query 32 bytes, port 32, twice 34,
   * result 36, asked 40.
   */
  set(query: Query, port = 0, twice = false): void {
    const bytes = new Uint8Array(48);
    const view = new DataView(bytes.buffer);
    view.setBigUint64(0, query.cookie ?? netnsCookie(), true);
    bytes.set(addressBytes(query.address as Address), 8);
    view.setUint16(24, query.port, true);
    view.setUint16(26, query.flags, true);
    view.setUint32(28, query.interface ?? 0, true);
    view.setUint16(32, port, true);
    view.setUint16(34, twice ? 1 : 0, true);
    view.setInt32(36, NOT_ASKED, true);
    this.#questions.update(new Uint8Array(4), bytes);
  }

  get answer(): { result: number; asked: number } {
    const bytes = this.#questions.lookup(new Uint8Array(4));
    if (bytes === undefined) throw new Error("the map of questions is empty");
    const view = new DataView(bytes.buffer);
    return { result: view.getInt32(36, true), asked: view.getUint32(40, true) };
  }

  /** A test run: a packet of this family and protocol, to an address that does not matter. */
  ask(query: Query, packet: { family?: 4 | 6; udp?: boolean; twice?: boolean } = {}): Answer {
    const { family = 4, udp = false, twice = false } = packet;
    this.set(query, 0, twice);
    const context = lookupContext({
      protocol: udp ? "udp" : "tcp",
      local: (family === 4 ? "192.0.2.9" : "2001:db8::9") as Address,
      localPort: 9,
      remote: (family === 4 ? "198.51.100.7" : "2001:db8:1::7") as Address,
      remotePort: 1234,
      interfaceIndex: 0,
    });
    const { context: out } = this.program.testRun(context);
    const cookie = decode(bpfSkLookupLayout, out).cookie.toString();
    return { result: this.answer.result, cookie };
  }

  attach(): BpfLink {
    const netns = openSync(ownNetnsPath, "r");
    try {
      return attach(this.program, netns, AttachType.skLookup);
    } finally {
      closeSync(netns);
    }
  }

  close(): void {
    this.program.close();
    this.#questions.close();
    this.#object.close();
  }
}

const none = (result: number): Answer => ({ result, cookie: "0" });
const found = (socket: Socket): Answer => ({ result: 0, cookie: socket.cookie });

function withProbe(body: (probe: Probe) => void, ask = true): void {
  const probe = new Probe(ask);
  try {
    body(probe);
  } finally {
    probe.close();
  }
}

/** One connection with the probe attached: index of the listener that it came to. */
function live(probe: Probe, to: Name, query: Query, listeners: readonly Socket[]): number {
  probe.set(query, to.port);
  const link = probe.attach();
  try {
    const client = Socket.connected(to);
    const index = listeners.findIndex((listener) => {
      const connection = listener.accept();
      connection?.close();
      return connection !== undefined;
    });
    client.close();
    return index;
  } finally {
    link.close();
  }
}

const outside = outsides[4];

async function findsListeners(): Promise<void> {
  await capability("kfunc: TCP, exact, both families", () => {
    withProbe((probe) => {
      const sockets = [
        listen("127.0.1.10", 7000),
        listen("fd5e:ed00::20", 7000),
        listen("::ffff:127.0.1.11", 7000, { v6: true }),
      ] as const;
      const [v4, v6, mapped] = sockets;
      using(sockets, () => {
        const at = (address: string, port = 7000): Query => ({ address, port, flags: EXACT });
        expectEqual("IPv4", probe.ask(at("127.0.1.10")), found(v4));
        expectEqual("IPv6", probe.ask(at("fd5e:ed00::20"), { family: 6 }), found(v6));
        expectEqual("v4-mapped", probe.ask(at("127.0.1.11")), found(mapped));
        expectEqual("another port", probe.ask(at("127.0.1.10", 7001)), none(ENOENT));
        expectEqual("another address", probe.ask(at("127.0.1.12")), none(ENOENT));
        expectEqual("another protocol", probe.ask(at("127.0.1.10"), { udp: true }), none(ENOENT));
        expectEqual(
          "IPv4 socket, IPv6 packet",
          probe.ask(at("127.0.1.10"), { family: 6 }),
          none(EAFNOSUPPORT),
        );
        // The kernel marks a socket that is bound to an IPv6 address as IPv6 only
        // (net/ipv6/af_inet6.c).
        expectEqual("IPv6 socket, IPv4 packet", probe.ask(at("fd5e:ed00::20")), none(EAFNOSUPPORT));
        expectEqual("only asked", probe.ask({ ...at("127.0.1.10"), flags: EXACT | TEST }), none(0));
      });
      expectEqual(
        "closed",
        probe.ask({ address: "127.0.1.10", port: 7000, flags: EXACT }),
        none(ENOENT),
      );
    });
  });
  await capability("kfunc: wildcard, dual-stack, V6ONLY", () => {
    withProbe((probe) => {
      const at = (flags: number): Query => ({ address: "127.0.1.10", port: 7000, flags });
      const dual = listen("::", 7000);
      using([dual], () => {
        expectEqual("dual, IPv4", probe.ask(at(WILDCARD)), found(dual));
        expectEqual("dual, IPv6", probe.ask(at(WILDCARD), { family: 6 }), found(dual));
        expectEqual("exact", probe.ask(at(EXACT)), none(ENOENT));
        expectEqual("either", probe.ask(at(EITHER)), found(dual));
      });
      const six = listen("::", 7000, { v6only: true });
      using([six], () => {
        expectEqual("V6ONLY, IPv6", probe.ask(at(WILDCARD), { family: 6 }), found(six));
        expectEqual("V6ONLY, IPv4", probe.ask(at(WILDCARD)), none(EAFNOSUPPORT));
        const four = listen("0.0.0.0", 7000);
        using([four], () => {
          expectEqual("0.0.0.0, IPv4", probe.ask(at(WILDCARD)), found(four));
          expectEqual("V6ONLY beside it", probe.ask(at(WILDCARD), { family: 6 }), found(six));
        });
      });
    });
  });
  await capability("kfunc: neither sockets that do not listen nor established ones", () => {
    withProbe((probe) => {
      const at: Query = { address: "127.0.1.10", port: 7000, flags: EITHER };
      const silent = Socket.bound({ address: "127.0.1.10", port: 7000 });
      using([silent], () => expectEqual("bound only", probe.ask(at), none(ENOENT)));
      const daemon = listen("127.0.1.10", 7000);
      const client = Socket.connected({ address: "127.0.1.10", port: 7000 });
      const connection = daemon.accept();
      daemon.close();
      using([client, ...(connection === undefined ? [] : [connection])], () => {
        expectEqual("established", probe.ask(at), none(ENOENT));
      });
    });
  });
  await capability("kfunc: UDP, unconnected only", () => {
    withProbe((probe) => {
      const udp = { udp: true } as const;
      const at = (flags: number): Query => ({ address: "127.0.1.10", port: 7000, flags });
      const daemon = listen("127.0.1.10", 7000, { kind: "udp" });
      using([daemon], () => {
        expectEqual("exact", probe.ask(at(EXACT), udp), found(daemon));
        expectEqual("TCP", probe.ask(at(EITHER)), none(ENOENT));
        daemon.connect({ address: "127.0.0.1", port: 9 });
        expectEqual("connected", probe.ask(at(EITHER), udp), none(ENOENT));
      });
      const dual = listen("::", 7000, { kind: "udp" });
      using([dual], () => expectEqual("dual", probe.ask(at(EITHER), udp), found(dual)));
      const six = listen("fd5e:ed00::20", 7000, { kind: "udp" });
      using([six], () => {
        const exact: Query = { address: "fd5e:ed00::20", port: 7000, flags: EXACT };
        expectEqual("IPv6", probe.ask(exact, { ...udp, family: 6 }), found(six));
      });
    });
  });
  await capability("kfunc: an MPTCP listener", () => {
    withProbe((probe) => {
      const daemon = listen("127.0.1.10", 7000, { kind: "mptcp" });
      using([daemon], () => {
        const query: Query = { address: "127.0.1.10", port: 7000, flags: EXACT };
        expectEqual("asked", probe.ask({ ...query, flags: EXACT | TEST }), none(0));
        expectEqual("dialled", live(probe, { address: outside, port: 6900 }, query, [daemon]), 0);
      });
    });
  });
  await capability("kfunc: a datagram reaches the socket that was selected", () => {
    withProbe((probe) => {
      const daemon = listen("127.0.1.10", 7000, { kind: "udp" });
      probe.set({ address: "127.0.1.10", port: 7000, flags: EXACT }, 6900);
      const link = probe.attach();
      const client = Socket.connected({ address: outside, port: 6900 }, { kind: "udp" });
      using([daemon, client], () => {
        client.send("ping", { address: outside, port: 6900 });
        expectEqual("received", daemon.receive(false)?.text, "ping");
        link.close();
      });
    });
  });
  await capability("kfunc: SO_REUSEPORT is left to the kernel", () => {
    withProbe((probe) => {
      const members = [0, 1, 2].map(() => listen("127.0.1.10", 7000, { reuseport: true }));
      using(members, () => {
        const query: Query = { address: "127.0.1.10", port: 7000, flags: EXACT };
        const seen = new Set<number>();
        for (let i = 0; i < 60; i++) {
          seen.add(live(probe, { address: outside, port: 6900 }, query, members));
        }
        expectEqual(
          "members seen",
          [0, 1, 2].filter((member) => seen.has(member)),
          [0, 1, 2],
        );
      });
    });
  });
}

async function heedsDevices(): Promise<void> {
  const query: Query = { address: "127.0.1.10", port: 7000, flags: EXACT };
  const to = { address: outside, port: 6900 };
  await capability("kfunc: SO_BINDTODEVICE", () => {
    withProbe((probe) => {
      const bound = listen("127.0.1.10", 7000, { device: "lo" });
      using([bound], () => {
        expectEqual("through lo", live(probe, to, query, [bound]), 0);
        expectEqual("through none", probe.ask(query), none(ENOENT));
        expectEqual("as if through lo", probe.ask({ ...query, interface: 1 }), found(bound));
      });
      if (!existsSync("/sys/class/net/veth0")) throw new Absent("no veth");
      const other = listen("127.0.1.10", 7000, { device: "veth0" });
      const any = listen("127.0.1.10", 7000, { device: "lo" });
      using([other, any], () => {
        expectEqual("through the other", live(probe, to, query, [other, any]), 1);
      });
    });
  });
  await capability("kfunc: VRF, tcp_l3mdev_accept", () => {
    if (!existsSync("/sys/class/net/vrf0")) throw new Absent("no vrf device");
    withProbe((probe) => {
      // In the VRF: dials go through it, and the lookup's interface is the VRF's.
      const inside: Name = { address: "192.0.2.65", port: 6900 };
      const dial = (listeners: readonly Socket[]): number => {
        probe.set({ ...query, flags: WILDCARD }, 6900);
        const link = probe.attach();
        const client = Socket.create(false, { device: "vrf0", timeout: 1500 });
        try {
          client.connect(inside);
          return listeners.findIndex((listener) => {
            const connection = listener.accept();
            connection?.close();
            return connection !== undefined;
          });
        } catch {
          return -1;
        } finally {
          client.close();
          link.close();
        }
      };
      const shared = { reuseport: true };
      const unbound = listen("0.0.0.0", 7000, shared);
      using([unbound], () => {
        const own = listen("0.0.0.0", 7000, { ...shared, device: "vrf0" });
        using([own], () => expectEqual("both", dial([unbound, own]), 1));
        expectEqual("unbound", dial([unbound]), -1);
        busybox("sysctl", "-w", "net.ipv4.tcp_l3mdev_accept=1");
        expectEqual("unbound, l3mdev_accept", dial([unbound]), 0);
        busybox("sysctl", "-w", "net.ipv4.tcp_l3mdev_accept=0");
      });
    });
  });
}

/** The next of a sequence of numbers below `bound`, the same in each run. */
function sequence(seed: number): (bound: number) => number {
  let state = seed;
  return (bound) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * bound);
  };
}

/** A random listener, and what it is: sockets that are alike form a SO_REUSEPORT group. */
function randomListener(next: (bound: number) => number): { kind: string; socket: Socket } {
  const addresses = {
    4: ["127.0.1.10", "127.0.1.11", "0.0.0.0"],
    6: ["fd5e:ed00::20", "fd5e:ed00::21", "::", "::ffff:127.0.1.10"],
  } as const;
  const family = next(2) === 0 ? 4 : 6;
  const address = addresses[family][next(addresses[family].length)] ?? "::";
  const v6only = next(2) === 0 && family === 6 && !address.startsWith("::ffff");
  const device = [undefined, undefined, "lo", "veth0"][next(4)];
  const port = 7000 + next(2);
  const options = { v6: family === 6, v6only, reuseport: true, timeout: 1000 };
  return {
    kind: `${family} ${address} ${port} ${v6only} ${device}`,
    socket: listen(address, port, device === undefined ? options : { ...options, device }),
  };
}

async function agreesWithTheKernel(): Promise<void> {
  await capability("kfunc: EITHER agrees with the kernel's own search, 300 random cases", () => {
    const next = sequence(6);
    withProbe((probe) => {
      const link = probe.attach();
      let answered = 0;
      const dial = (to: Name, listeners: readonly { kind: string; socket: Socket }[]): string => {
        try {
          Socket.connected(to, { timeout: 1000 }).close();
        } catch {
          return "refused";
        }
        const taken = listeners.find(({ socket }) => {
          const connection = socket.accept();
          connection?.close();
          return connection !== undefined;
        });
        return taken?.kind ?? "nobody";
      };
      try {
        for (let round = 0; round < 300; round++) {
          const listeners = Array.from({ length: 1 + next(5) }, () => randomListener(next));
          using(
            listeners.map(({ socket }) => socket),
            () => {
              const six = next(2) === 0;
              const addresses = six
                ? ["fd5e:ed00::20", "fd5e:ed00::21", "2001:db8::1"]
                : ["127.0.1.10", "127.0.1.11", "192.0.2.1"];
              const address = addresses[next(3)] ?? "";
              const port = 7000 + next(2);
              const own = dial({ address, port }, listeners);
              probe.set({ address, port, flags: EITHER }, 6900);
              const ours = dial({ address: six ? "2001:db8::1" : outside, port: 6900 }, listeners);
              expectEqual(`round ${round}, ${address} ${port}`, ours, own);
              if (own !== "refused") answered++;
            },
          );
        }
      } finally {
        link.close();
      }
      if (answered < 50) throw new Error(`only ${answered} cases had a listener`);
      return undefined;
    });
  });
}

async function refuses(): Promise<void> {
  await capability("kfunc: wrong questions get their errno", () => {
    withProbe((probe) => {
      const daemon = listen("127.0.1.10", 7000);
      using([daemon], () => {
        const good: Query = { address: "127.0.1.10", port: 7000, flags: EXACT };
        expectEqual("no kind", probe.ask({ ...good, flags: TEST }), none(EINVAL));
        expectEqual("unknown flag", probe.ask({ ...good, flags: EXACT | 32 }), none(EINVAL));
        expectEqual("no such netns", probe.ask({ ...good, cookie: 1n << 60n }), none(ENONET));
        const twice = { twice: true };
        const again = { result: EEXIST, cookie: daemon.cookie };
        expectEqual("selected twice", probe.ask(good, twice), again);
        const replace = { ...good, flags: EXACT | REPLACE };
        expectEqual("replaced", probe.ask(replace, twice), found(daemon));
      });
    });
  });
  await capability("kfunc: programs of other types are turned away", () => {
    const object = new BpfObject(STRANGER);
    try {
      object.load();
    } catch (error) {
      if (!(error instanceof IlmError)) throw error;
      const why = /calling kernel function \S+ is not allowed/.exec(error.remedy ?? "");
      if (why !== null) return;
      throw new Error(`refused for another reason: ${error.remedy}`, { cause: error });
    } finally {
      object.close();
    }
    throw new Error("a tc program could be loaded with it");
  });
}

async function keepsNamespacesApart(): Promise<void> {
  await capability("kfunc: namespaces are kept apart, and may end", () => {
    withProbe((probe) => {
      const home = openSync(ownNetnsPath, "r");
      const here = netnsCookie();
      const daemon = listen("127.0.1.10", 7000);
      using([daemon], () => {
        const query: Query = { address: "127.0.1.10", port: 7000, flags: EXACT | TEST };
        for (let round = 0; round < 20; round++) {
          unshareNetwork();
          const there = netnsCookie();
          try {
            expectEqual("other namespace", probe.ask({ ...query, cookie: there }), none(ENOENT));
            expectEqual("this one, from there", probe.ask({ ...query, cookie: here }), none(0));
          } finally {
            enterNetwork(home);
          }
        }
        closeSync(home);
        expectEqual("home again", probe.ask({ ...query, cookie: here }), none(0));
      });
    });
  });
}

async function comesAndGoes(): Promise<void> {
  await capability("module: held while a program calls it, gone when told", () => {
    withProbe(() => {
      expectEqual("rmmod while in use", busybox("rmmod", "ilm_lookup").status !== 0, true);
      expectEqual("still there", moduleState()?.state, "Live");
    });
    awaitUnused();
    removeModule();
    expectEqual("after rmmod", moduleState(), undefined);
  });
  await capability("module: the same program works without it", () => {
    withProbe((probe) => {
      const query: Query = { address: "127.0.1.10", port: 7000, flags: EITHER };
      expectEqual("asked", probe.ask(query), none(NOT_ASKED));
    }, false);
  });
  await capability("module: 20 times in and out under connections", () => {
    const daemon = listen("127.0.1.10", 7000);
    using([daemon], () => {
      const to = { address: outside, port: 6900 };
      const query: Query = { address: "127.0.1.10", port: 7000, flags: EXACT };
      for (let round = 0; round < 20; round++) {
        insertModule();
        withProbe((probe) => {
          for (let i = 0; i < 5; i++) {
            expectEqual(`round ${round}`, live(probe, to, query, [daemon]), 0);
          }
        });
        awaitUnused();
        removeModule();
      }
    });
  });
}

export async function withModule(run: () => Promise<void>): Promise<void> {
  if (!existsSync(MODULE) || lockdown() !== undefined) return;
  // A failed test may have left it.
  if (moduleState() === undefined) insertModule();
  await run();
}

/** Loaded but unusable: no program finds the function of a module that was built without BTF. */
export async function testWithoutBtf(): Promise<void> {
  await capability("engine auto: does without a module that has no BTF, and says so", () => {
    removeModule();
    const plane = openDataPlane();
    try {
      const { status, output } = busybox("insmod", WITHOUT_BTF);
      if (status !== 0) throw new Absent(`this kernel does not load one: ${output}`);
      const said = apply(plane, rulesFor("auto")()).kfuncTrouble;
      expectEqual("engine", plane.active()?.engine, "registry");
      if (said === null) throw new Error("nothing was said");
      const daemon = listen("127.0.1.10", 6000);
      using([daemon], () => {
        expectEqual("dialled", dial({ address: outside, port: 6000 }, [daemon]), 0);
      });
      return said;
    } finally {
      plane.unload();
      plane.close();
      if (moduleState() !== undefined) removeModule();
      insertModule();
    }
  });
}

/** ilm's own use of it, until it is taken away; and without it. */
export async function testRemoval(): Promise<void> {
  await capability("module: removed when the rules use the registry, and not before", () => {
    const plane = openDataPlane();
    const put = (engine: string): void => {
      const text = `version: 1\nengine: ${engine}\nmappings: [{ port: 6000, to: 127.0.1.10 }]\n`;
      const { ruleSet } = parseConfiguration([{ name: "rules.yaml", text }]);
      plane.apply({ ...emptyRules, file: ruleSet });
    };
    const daemon = listen("127.0.1.10", 6000);
    const dial = (): void => {
      const client = Socket.connected({ address: outside, port: 6000 });
      const connection = daemon.accept();
      expectEqual("served", connection !== undefined, true);
      connection?.close();
      client.close();
    };
    using([daemon], () => {
      put("auto");
      expectEqual("auto", plane.active()?.engine, "kfunc");
      dial();
      expectEqual("rmmod in use", busybox("rmmod", "ilm_lookup").status !== 0, true);
      put("registry");
      dial();
      awaitUnused();
      removeModule();
      dial();
      put("auto");
      expectEqual("auto without it", plane.active()?.engine, "registry");
      dial();
      try {
        put("kfunc");
      } catch (error) {
        if (!(error instanceof IlmError) || error.code !== "NO_BPF") throw error;
        dial();
        return;
      }
      throw new Error("engine: kfunc was taken without the module");
    });
    plane.unload();
    plane.close();
  });
}

/** Leaves the module out. */
export async function runModule(): Promise<void> {
  if (!existsSync(MODULE)) {
    await capability("module: loads", () => {
      throw new Absent(readFileSync("/modules/why", "utf8"));
    });
    return;
  }
  let loaded = false;
  await capability("module: loads", () => {
    withProbe((probe) => {
      const query: Query = { address: "127.0.1.10", port: 7000, flags: EITHER };
      expectEqual("before it", probe.ask(query).result, NOT_ASKED);
    }, false);
    try {
      insertModule();
    } catch (error) {
      const locked = lockdown();
      if (locked === undefined || !(error instanceof Error)) throw error;
      throw new Refused(`${error.message}; lockdown is ${locked}`);
    }
    loaded = true;
  });
  if (!loaded) return;
  await findsListeners();
  await heedsDevices();
  await agreesWithTheKernel();
  await refuses();
  await keepsNamespacesApart();
  await comesAndGoes();
}
