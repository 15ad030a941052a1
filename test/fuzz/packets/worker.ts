/**
 * Lives in the network namespace under test, on one CPU (tokens are per CPU), and puts packets to
 * the loaded programs. Requests and answers are lines of JSON: {prepare: true} -> Prepared; {run:
 * Order} -> Report; {unload: true} -> {unloaded}.
 */
import { execFileSync } from "node:child_process";
import { openSync, readFileSync, writeFileSync, writeSync } from "node:fs";
import { createInterface } from "node:readline";
import koffi from "koffi";
import {
  HolderCode,
  ILM_TOKENS,
  decisionLayout,
  flowKeyLayout,
  flowLayout,
  tokenLayout,
} from "../../../src/abi/generated.js";
import { decode, encode } from "../../../src/abi/layout.js";
import { DecisionReader } from "../../../src/dataplane/observe/reader.js";
import { toDecision } from "../../../src/dataplane/observe/decisions.js";
import { Generation } from "../../../src/dataplane/install/generation.js";
import { Programs } from "../../../src/dataplane/install/programs.js";
import { openDataPlane } from "../../../src/dataplane/open.js";
import { UnreadMaps } from "../../../src/dataplane/unread.js";
import { Registry } from "../../../src/dataplane/install/registry.js";
import type { BpfProgram } from "../../../src/kernel/bpf/program.js";
import type { BpfMap } from "../../../src/kernel/bpf/map.js";
import { checked, libbpfFunction, libcFunction } from "../../../src/kernel/ffi.js";
import { interfaces } from "../../../src/kernel/interfaces.js";
import { netnsCookie, netnsInode } from "../../../src/kernel/netns.js";
import { Pins } from "../../../src/kernel/pins.js";
import { type Address, addressBytes, addressFromBytes } from "../../../src/model/address.js";
import type { Decision, DecisionFilter, Packet } from "../../../src/model/decision.js";
import { isWeighted } from "../../../src/model/mapping.js";
import { allMappings, toBeActive } from "../../../src/model/rules.js";
import { random } from "../../support/random.js";
import { type Expected, type Socket, decide, drawSeed } from "../../oracle/oracle.js";
import { type Answered, Generator } from "./generate.js";
import { ICMP, ICMPV6, type Read, TCP, UDP, readFrame, readQuote, sum } from "./read.js";
import { connected, deviceName, hostMac, privates, publics, rules } from "./rules.js";

export interface Order {
  readonly packets: number;
  readonly seed: number;
  readonly sockets: readonly Socket[];
}

export interface Report {
  /** What did not come out as it should, at most a few of them. */
  readonly differences: readonly string[];
  /** How often each thing happened. */
  readonly tally: Readonly<Record<string, number>>;
}

export type Request =
  | { readonly prepare: true }
  | { readonly run: Order }
  | { readonly unload: true };

/** What a monitor without options asks for, and as fast as possible. */
const everything: DecisionFilter = {
  protocol: null,
  local: null,
  ports: null,
  remote: null,
  mappings: null,
  verdicts: null,
  every: 1,
  perSecond: 1_000_000,
};
const BATCH = 512;
const ENOUGH = 5;
const TCX_NEXT = 0xffffffff;
const LOOPBACK = 1;

const ioctl = libcFunction<[number, number, Uint8Array], number>(
  "int ioctl(int fd, unsigned long request, void *argument)",
);
const testRun = libbpfFunction<[number, Uint8Array], number>(
  "int bpf_prog_test_run_opts(int program, void *options)",
);

function openTap(): number {
  const TUNSETIFF = 0x400454ca;
  const IFF_TAP = 2;
  const IFF_NO_PI = 0x1000;
  const fd = openSync("/dev/net/tun", "r+");
  const request = new Uint8Array(40);
  request.set(Buffer.from(deviceName));
  new DataView(request.buffer).setUint16(16, IFF_TAP | IFF_NO_PI, true);
  checked("TUNSETIFF", ioctl(fd, TUNSETIFF, request));
  return fd;
}

function ip(lines: readonly string[]): void {
  execFileSync("ip", ["-batch", "-"], { input: `${lines.join("\n")}\n` });
}

function setSysctl(name: string, value: string): void {
  writeFileSync(`/proc/sys/net/${name}`, value);
}

function prepare(): number {
  const tap = openTap();
  // No state of connections: what one packet does must not depend on those before it.
  setSysctl("ipv4/tcp_syncookies", "2");
  setSysctl("ipv4/conf/all/rp_filter", "0");
  setSysctl("ipv4/conf/default/rp_filter", "0");
  const mac = hostMac.map((byte) => byte.toString(16).padStart(2, "0")).join(":");
  ip([
    `link set ${deviceName} address ${mac} addrgenmode none`,
    `link set ${deviceName} up`,
    ...publics.map((address) =>
      address.includes(":")
        ? `addr add ${address}/128 dev ${deviceName} nodad`
        : `addr add ${address}/24 dev ${deviceName}`,
    ),
    ...privates
      .filter((address) => address.includes(":"))
      .map((address) => `addr add ${address}/128 dev lo nodad`),
    `route add default via 203.0.113.254 dev ${deviceName}`,
    `route add default via 2001:db8::fe dev ${deviceName} onlink`,
    ...["203.0.113.254", "203.0.113.100", "2001:db8::fe"].map(
      (address) =>
        `neigh replace ${address} lladdr 02:00:00:00:00:02 dev ${deviceName} nud permanent`,
    ),
  ]);
  return tap;
}

function setForwarding(on: boolean): void {
  setSysctl("ipv4/ip_forward", on ? "1" : "0");
  setSysctl("ipv6/conf/all/forwarding", on ? "1" : "0");
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const raw = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");

/** As the maps have it. */
function mapped(bytes: Uint8Array): Uint8Array {
  if (bytes.length === 16) return bytes;
  return Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, ...bytes);
}

/**
 * The oracle takes an IPv4 address for an IPv4 packet, so a v4-mapped one of IPv6 is written out.
 */
function text(bytes: Uint8Array): Address {
  if (
    bytes.length === 16 &&
    bytes.subarray(0, 12).every((byte, at) => byte === (at < 10 ? 0 : 0xff))
  ) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, 16);
    return Array.from({ length: 8 }, (_, i) => view.getUint16(2 * i).toString(16)).join(
      ":",
    ) as Address;
  }
  return addressFromBytes(mapped(bytes));
}

/** The addresses that are this host's own, by its routes. */
class Local {
  readonly #prefixes: {
    readonly family: 4 | 6;
    readonly bytes: Uint8Array;
    readonly length: number;
  }[] = [];
  readonly #known = new Map<string, boolean>();
  readonly #broadcasts = new Set<string>(["255.255.255.255"]);

  constructor() {
    for (const family of [4, 6] as const) {
      const shown = execFileSync("ip", [`-${family}`, "-j", "route", "show", "table", "local"], {
        encoding: "utf8",
      });
      const routes = JSON.parse(shown) as readonly {
        readonly type: string;
        readonly dst: string;
      }[];
      for (const { type, dst } of routes) {
        if (type === "broadcast") this.#broadcasts.add(dst);
        const [address = "", length] = dst.split("/");
        const all = addressBytes(address as Address);
        const bytes = family === 4 ? all.slice(12) : all;
        this.#prefixes.push({ family, bytes, length: Number(length ?? bytes.length * 8) });
      }
    }
  }

  isBroadcast(address: Uint8Array): boolean {
    return this.#broadcasts.has(text(address));
  }

  has(address: Uint8Array): boolean {
    const key = raw(address);
    let found = this.#known.get(key);
    if (found === undefined) {
      found = this.#prefixes.some(
        ({ bytes, length }) =>
          bytes.length === address.length &&
          bytes.every((byte, at) => {
            const bits = Math.max(0, Math.min(8, length - at * 8));
            const mask = (0xff00 >> bits) & 0xff;
            return ((byte ^ (address[at] ?? 0)) & mask) === 0;
          }),
      );
      this.#known.set(key, found);
    }
    return found;
  }
}

/** BPF_PROG_TEST_RUN of tc and cgroup programs, with buffers that are used again. */
class TestRun {
  // struct bpf_test_run_opts: see src/kernel/bpf/program.ts.
  readonly #options = new Uint8Array(new ArrayBuffer(80));
  readonly #view = new DataView(this.#options.buffer);
  readonly #input = new Uint8Array(new ArrayBuffer(4096));
  readonly #output = new Uint8Array(new ArrayBuffer(4096));
  // struct __sk_buff: ingress_ifindex 36, ifindex 40.
  readonly #context = new Uint8Array(new ArrayBuffer(192));
  output = new Uint8Array(0);

  constructor() {
    this.#view.setBigUint64(0, 80n, true);
    this.#view.setBigUint64(8, koffi.address(this.#input), true);
    this.#view.setBigUint64(16, koffi.address(this.#output), true);
    this.#view.setBigUint64(32, koffi.address(this.#context), true);
    this.#view.setUint32(48, 192, true);
  }

  /** What the program returned; negative: the kernel's errno, when it did not run it. */
  run(program: BpfProgram, packet: Uint8Array, interfaceIndex: number): number {
    this.#input.set(packet);
    this.#view.setUint32(24, packet.length, true);
    this.#view.setUint32(28, this.#output.length, true);
    const context = new DataView(this.#context.buffer);
    context.setUint32(36, interfaceIndex, true);
    context.setUint32(40, interfaceIndex, true);
    const result = testRun(program.fd, this.#options);
    if (result < 0) return result;
    this.output = this.#output.subarray(0, this.#view.getUint32(28, true));
    return this.#view.getUint32(56, true);
  }
}

/** What the packet is to the rules. */
interface Judged {
  readonly read: Read;
  readonly expected: Expected;
  /** A connected socket has it. */
  readonly connected: boolean;
  /** The mapping's destination is one that ingress gives to. */
  readonly atIngress: boolean;
  readonly forwarded: boolean;
  readonly given: boolean;
  /** sk_lookup has to know that ingress saw it; null: no. */
  readonly token: { readonly existing: boolean } | null;
}

/** What a packet of this kind comes to: the same for all that have its addresses and ports. */
interface Known {
  readonly expected: Expected;
  readonly connected: boolean;
  readonly atIngress: boolean;
}

const PORTS_OF_UDP = new Set(
  allMappings(rules)
    .filter(({ protocol }) => protocol === "udp")
    .flatMap(({ ports }) => ports.map(({ first }) => first)),
);

const asksForPort = new Set([
  ...connected.map(({ port }) => port),
  ...allMappings(rules)
    .filter(isWeighted)
    .flatMap(({ ports }) => ports.map(({ first }) => first)),
]);

class Fuzz {
  readonly #order: Order;
  readonly #tap: number;
  readonly #generation: Generation;
  readonly #registry: Registry;
  readonly #generator: Generator;
  readonly #random;
  readonly #run = new TestRun();
  readonly #reader: DecisionReader;
  readonly #tokens: BpfMap;
  readonly #reports: BpfMap;
  readonly #flows: BpfMap;
  readonly #steer: BpfProgram;
  readonly #index: number;
  readonly #cpu: number;
  readonly #local = new Local();
  readonly #known = new Map<string, Known>();
  readonly #fragments = new Set<string>();
  readonly #answered = answered();
  readonly #differences: string[] = [];
  readonly #tally: Record<string, number> = {};
  #forwarding = false;

  constructor(order: Order, tap: number, generation: Generation, registry: Registry) {
    this.#order = order;
    this.#tap = tap;
    this.#generation = generation;
    this.#registry = registry;
    this.#random = random(order.seed);
    this.#generator = new Generator(this.#random, this.#answered);
    this.#reader = new DecisionReader(registry, everything, (action) => action());
    this.#tokens = registry.map("tokens");
    this.#reports = registry.map("handed_reports");
    this.#flows = registry.map("flows");
    const { ingress } = generation.programs;
    if (ingress === null) throw new Error("this kernel has no tcx");
    this.#steer = ingress.steer;
    const [index] = [...interfaces()].find(([, name]) => name === deviceName) ?? [];
    if (index === undefined) throw new Error("the device is gone");
    this.#index = index;
    const allowed = /^Cpus_allowed_list:\s*(\d+)$/m.exec(
      readFileSync("/proc/self/status", "utf8"),
    )?.[1];
    if (allowed === undefined) throw new Error("the worker is not on one CPU");
    this.#cpu = Number(allowed);
  }

  run(): Report {
    const { packets } = this.#order;
    for (let done = 0; done < packets && this.#differences.length < ENOUGH; done += BATCH) {
      const forwarding = done >= packets / 2;
      if (done === 0 || forwarding !== this.#forwarding) {
        setForwarding(forwarding);
        this.#forwarding = forwarding;
      }
      this.#batch(Math.min(BATCH, packets - done));
    }
    const { dropped } = this.#reader.counts();
    if (dropped !== 0) this.#differ(`${dropped} decisions were dropped`);
    const selected = this.#generation.counters()?.total().selected ?? 0;
    const told = this.#tally["told: selected"] ?? 0;
    if (selected !== told) this.#differ(`${selected} counted as selected, ${told} told`);
    this.#reader.leave();
    this.#reader.close();
    return { differences: this.#differences, tally: this.#tally };
  }

  #count(what: string): void {
    this.#tally[what] = (this.#tally[what] ?? 0) + 1;
  }

  #differ(what: string, packet?: Uint8Array): void {
    if (this.#differences.length >= ENOUGH) return;
    const forwarding = this.#forwarding ? ", forwarding" : "";
    this.#differences.push(packet === undefined ? what : `${what}${forwarding}\n  ${hex(packet)}`);
  }

  #batch(count: number): void {
    const packets = Array.from({ length: count }, () => {
      const { bytes, perfect } = this.#generator.next();
      return {
        bytes: bytes.slice(),
        perfect,
        device: this.#random.oneIn(4) ? LOOPBACK : this.#index,
      };
    });
    this.#putAnswered();
    this.#testRuns(packets);
    this.#clearFlows();
    this.#receive(packets.filter(({ bytes }) => bytes.length >= 14));
  }

  /** As if it had come in there. */
  #judge(
    bytes: Uint8Array,
    device: number,
    stripsTag: boolean,
    most?: number,
  ): Judged | Read | string {
    const mac = device === LOOPBACK ? zeroMac : hostMacBytes;
    const read = readFrame(bytes, mac, stripsTag, most);
    if (typeof read === "string") return read;
    const { protocol } = read;
    if (protocol !== UDP && protocol !== TCP) return read;
    const known = this.#decide(read, device);
    // What is for a link-local address is never forwarded, and the route does not say whose it is
    // (net/core/filter.c).
    const [first = 0, second = 0] = read.destination;
    const linkLocal = read.family === 6 && first === 0xfe && (second & 0xc0) === 0x80;
    const forwarded = this.#forwarding && !this.#local.has(read.destination) && !linkLocal;
    const opens = protocol === UDP || ((read.tcpFlags & 4) === 0 && (read.tcpFlags & 0x12) !== 0);
    const given =
      known.expected.verdict === "selected" &&
      known.atIngress &&
      !known.connected &&
      !forwarded &&
      read.whole &&
      opens;
    const token =
      protocol === UDP && PORTS_OF_UDP.has(read.destinationPort) && !known.connected
        ? { existing: known.expected.verdict === "existing" }
        : null;
    return { read, ...known, forwarded, given, token };
  }

  #decide(read: Read, device: number): Known {
    // Of the client's port only weights and connected sockets know.
    const port = asksForPort.has(read.destinationPort) ? read.sourcePort : 0;
    const key = `${raw(read.source)}${raw(read.destination)}${read.protocol} ${port} ${read.destinationPort} ${device}`;
    let known = this.#known.get(key);
    if (known === undefined) {
      known = this.#ask({
        protocol: read.protocol === UDP ? "udp" : "tcp",
        local: text(read.destination),
        localPort: read.destinationPort,
        remote: text(read.source),
        remotePort: read.sourcePort,
        interfaceIndex: device,
      });
      if (this.#known.size > 100_000) this.#known.clear();
      this.#known.set(key, known);
    }
    return known;
  }

  #ask(packet: Packet): Known {
    const names = new Map([
      [LOOPBACK, "lo"],
      [this.#index, deviceName],
    ]);
    const expected = decide(rules, this.#order.sockets, packet, names);
    const destination = allMappings(rules).at(expected.mapping ?? Infinity)?.to[
      expected.destination ?? -1
    ];
    const handover = destination?.handover;
    return {
      expected,
      connected:
        packet.protocol === "udp" &&
        connected.some(
          ({ address, port, peer }) =>
            address === packet.local &&
            port === packet.localPort &&
            peer[0] === packet.remote &&
            peer[1] === packet.remotePort,
        ),
      atIngress: packet.protocol === "udp" ? handover !== "lookup" : handover === "ingress",
    };
  }

  #testRuns(packets: readonly { readonly bytes: Uint8Array; readonly device: number }[]): void {
    const tokens = this.#readTokens();
    for (const { bytes, device } of packets) {
      if (this.#testRun(bytes, device, tokens)) this.#passOthers(bytes, device);
    }
    if (!sameTokens(tokens, this.#readTokens())) {
      // Whose fault is it?
      let before = this.#readTokens();
      for (const { bytes, device } of packets) {
        this.#testRun(bytes, device, before);
        const after = this.#readTokens();
        if (!sameTokens(before, after)) {
          this.#differ(
            `another token than expected, on ${device}: ${this.#story(bytes, device)}`,
            bytes,
          );
          before = after;
        }
      }
    }
  }

  #story(bytes: Uint8Array, device: number): string {
    return this.#storyOf(this.#judge(bytes, device, false));
  }

  /**
   * The loaded program, and the one on the interfaces that calls it, at random. `tokens`: as they
   * are to be afterwards. False: it is too short to be run.
   */
  #testRun(bytes: Uint8Array, device: number, tokens: Token[]): boolean {
    const frame = device === LOOPBACK ? toLoopback(bytes) : bytes;
    const program =
      (frame[frame.length - 1] ?? 0) % 2 === 0 ? this.#steer : this.#registry.program("ingress");
    const result = this.#run.run(program, frame, device);
    if (result < 0) {
      this.#count("refused by the test run");
      // No test run has less than a network header (net/bpf/test_run.c): these come by the tap
      // only.
      if (!isCutShort(frame)) {
        this.#differ(`a test run of ${frame.length} bytes: errno ${-result}`, frame);
      }
      return false;
    }
    if (result !== TCX_NEXT) this.#differ(`the ingress program returned ${result}`, frame);
    const judged = this.#judge(frame, device, false);
    const rewritten =
      typeof judged === "object" &&
      !("expected" in judged) &&
      this.#checkError(frame, judged, device);
    if (!rewritten && Buffer.compare(this.#run.output, frame) !== 0) {
      this.#differ(
        `the packet was changed, on ${device}: ${this.#story(frame, device)}\n  ${hex(this.#run.output)}`,
        frame,
      );
    }
    if (typeof judged === "string") {
      this.#count(`unreadable: ${judged}`);
      return true;
    }
    if (!("expected" in judged)) {
      this.#count(`icmp: ${rewritten ? "given back" : "left"}`);
      return true;
    }
    this.#count(`read: ${judged.read.protocol === UDP ? "udp" : "tcp"} ${judged.expected.verdict}`);
    if (judged.token !== null) leaveToken(tokens, judged.read, judged.token.existing);
    return true;
  }

  /**
   * The programs of the other way: at egress and delivery a test run has a socket of no protocol,
   * and they leave it alone.
   */
  #passOthers(frame: Uint8Array, device: number): void {
    if (this.#run.run(this.#registry.program("egress"), frame, device) !== TCX_NEXT) {
      this.#differ("the egress program returned something else than TCX_NEXT", frame);
    }
    if (Buffer.compare(this.#run.output, frame) !== 0) {
      this.#differ("egress changed the packet", frame);
    }
    if (this.#run.run(this.#registry.program("deliver"), frame, device) !== 1) {
      this.#differ("the deliver program returned something else than 1", frame);
    }
    if (Buffer.compare(this.#run.output.subarray(14), frame.subarray(14)) !== 0) {
      this.#differ("deliver changed the packet", frame);
    }
  }

  /** Whether the error is to be given back to a daemon; then the packet is looked at here. */
  #checkError(frame: Uint8Array, outer: Read, device: number): boolean {
    if (outer.protocol !== ICMP && outer.protocol !== ICMPV6) return false;
    const quote = readQuote(frame, outer);
    if (quote === undefined) return false;
    const { expected } = this.#decide(
      {
        ...outer,
        ...quote,
        source: quote.destination,
        destination: quote.source,
        protocol: UDP,
        sourcePort: quote.destinationPort,
        destinationPort: quote.sourcePort,
      },
      device,
    );
    if (expected.mapping === null) return false;
    const answer = this.#answered.find(
      (one) =>
        one.port === quote.sourcePort &&
        one.clientPort === quote.destinationPort &&
        text(quote.source) === one.dialled &&
        text(quote.destination) === one.client,
    );
    const to = allMappings(rules).at(expected.mapping)?.to ?? [];
    if (answer === undefined || answer.stale || answer.registered) return false;
    if (
      !to.some(
        ({ address }) => address === answer.daemon || (address === "*" && answer.daemon === "::"),
      )
    ) {
      return false;
    }
    const wanted = frame.slice();
    const daemon = addressBytes(answer.daemon as Address);
    wanted.set(outer.family === 4 ? daemon.subarray(12) : daemon, quote.sourceAt);
    wanted[quote.portAt] = answer.daemonPort >> 8;
    wanted[quote.portAt + 1] = answer.daemonPort & 0xff;
    const check = outer.transport + 2;
    const got = this.#run.output.slice();
    // 0xffff is 0 to it.
    const sumOf = (bytes: Uint8Array): number => sum(bytes, outer.transport, bytes.length) % 0xffff;
    const difference = sumOf(got) - sumOf(frame);
    got[check] = wanted[check] ?? 0;
    got[check + 1] = wanted[check + 1] ?? 0;
    if (Buffer.compare(got, wanted) !== 0 || difference !== 0) {
      this.#differ(
        `the error was to be given back to ${answer.daemon}: got ${hex(this.#run.output)} (sum ${difference})`,
        frame,
      );
    }
    return true;
  }

  /**
   * In earnest: the packets come in on the device, one by one, and the kernel goes on with them.
   */
  #receive(packets: readonly { readonly bytes: Uint8Array; readonly perfect: boolean }[]): void {
    const allowed = new Set<string>();
    const needed = new Map<string, Uint8Array>();
    for (const { bytes, perfect } of packets) {
      const judged = this.#judge(bytes, this.#index, true);
      const told: Decision[] = [];
      this.#reader.renew();
      try {
        writeSync(this.#tap, bytes);
      } catch (error) {
        this.#differ(`the device refused a frame: ${String(error)}`, bytes);
        continue;
      }
      this.#reader.drain((record) => {
        told.push(
          toDecision(decode(decisionLayout, record), {
            rules: toBeActive(rules),
            layers: null,
            overlaid: null,
          }),
        );
      }, Infinity);
      this.#compare(bytes, judged, told, this.#takeReports());
      const all =
        judged === "too many headers" ? this.#judge(bytes, this.#index, true, Infinity) : judged;
      if (typeof all === "object" && "expected" in all && all.read.protocol === UDP) {
        this.#allow(all, perfect, bytes, allowed, needed);
      }
    }
    this.#compareFlows(allowed, needed);
  }

  /**
   * Of packets that ingress gave and that have not come to the daemon: they are to be told when
   * they do.
   */
  #takeReports(): Decision[] {
    return this.#reports.snapshot().map(([place, record]) => {
      this.#reports.delete(place);
      return toDecision(decode(decisionLayout, record), {
        rules: toBeActive(rules),
        layers: null,
        overlaid: null,
      });
    });
  }

  /** `lost`: given, and dropped on the way. */
  #compare(
    bytes: Uint8Array,
    judged: Judged | Read | string,
    told: readonly Decision[],
    lost: readonly Decision[],
  ): void {
    const decisions = [...told, ...lost];
    const given = decisions.filter((decision) => this.#isOfIngress(decision));
    for (const decision of lost) {
      this.#count(`given: ${decision.packet.protocol}, and dropped`);
      if (!this.#isOfIngress(decision)) this.#differ("what ingress did not give is noted", bytes);
    }
    for (const { verdict } of told) this.#count(`told: ${verdict}`);
    for (const decision of decisions) {
      if (decision.verdict === "selected") {
        this.#count(`selected: ${this.#isOfIngress(decision) ? "at ingress" : "by sk_lookup"}`);
      }
      const { expected, atIngress } = this.#told(decision.packet);
      const isRefused = expected.verdict === "selected" && atIngress;
      const right =
        decision.mapping === expected.mapping &&
        ((decision.verdict === expected.verdict && decision.destination === expected.destination) ||
          (isRefused && (decision.verdict === "rejected" || decision.verdict === "missed")));
      if (!right) {
        this.#differ(
          `decided ${JSON.stringify(decision)}, expected ${JSON.stringify(expected)}`,
          bytes,
        );
      }
    }
    const wanted =
      typeof judged === "object" && "expected" in judged && judged.given ? judged : null;
    this.#count(
      wanted === null ? "not given" : `given: ${wanted.read.protocol === UDP ? "udp" : "tcp"}`,
    );
    if (given.length !== (wanted === null ? 0 : 1)) {
      this.#differ(
        `given ${given.length} times: ${JSON.stringify(decisions)}; ${this.#storyOf(judged)}`,
        bytes,
      );
      return;
    }
    const [decision] = given;
    if (wanted === null || decision === undefined) return;
    const { packet } = decision;
    const { read } = wanted;
    if (read.protocol === UDP && !read.intact && told.includes(decision)) {
      this.#differ(`counted, and not intact; ${this.#storyOf(judged)}`, bytes);
    }
    if (
      addressBytes(packet.local).some((byte, at) => byte !== mapped(read.destination)[at]) ||
      addressBytes(packet.remote).some((byte, at) => byte !== mapped(read.source)[at]) ||
      packet.localPort !== read.destinationPort ||
      packet.remotePort !== read.sourcePort ||
      packet.interfaceIndex !== this.#index
    ) {
      this.#differ(`given as ${JSON.stringify(packet)}; ${this.#storyOf(judged)}`, bytes);
    }
  }

  /** What a reported packet had to come to. */
  #told({ protocol, local, localPort, remote, remotePort, interfaceIndex }: Packet): Known {
    const bytes = (address: Address): Uint8Array =>
      address.includes(":") ? addressBytes(address) : addressBytes(address).subarray(12);
    return this.#decide(
      {
        network: 0,
        family: local.includes(":") ? 6 : 4,
        protocol: protocol === "udp" ? UDP : TCP,
        source: bytes(remote),
        destination: bytes(local),
        transport: 0,
        whole: true,
        intact: true,
        sourcePort: remotePort,
        destinationPort: localPort,
        tcpFlags: 0,
      },
      interfaceIndex,
    );
  }

  #storyOf(judged: unknown): string {
    return JSON.stringify(judged, (_, value: unknown) =>
      value instanceof Uint8Array ? hex(value) : value,
    );
  }

  /** sk_lookup selects none of those that are left to ingress. */
  #isOfIngress({ verdict, mapping, destination, packet }: Decision): boolean {
    if (verdict !== "selected") return false;
    const handover = allMappings(rules).at(mapping ?? Infinity)?.to[destination ?? -1]?.handover;
    return packet.protocol === "udp" ? handover !== "lookup" : handover === "ingress";
  }

  /** Which flows may begin with this datagram, and whether one has to. */
  #allow(
    judged: Judged,
    perfect: boolean,
    bytes: Uint8Array,
    allowed: Set<string>,
    needed: Map<string, Uint8Array>,
  ): void {
    const { read, expected, given } = judged;
    const client = `${hex(mapped(read.source))} ${read.sourcePort}`;
    const dialled = `${hex(mapped(read.destination))} ${read.destinationPort}`;
    // From there no answer can leave.
    if (this.#local.isBroadcast(read.destination)) return;
    if (expected.verdict !== "selected" || judged.connected) {
      // A daemon that has flows has one for what it listens on itself, too.
      const itself = [
        `${client} ${dialled} ${dialled}`,
        `${client} ${hex(new Uint8Array(16))} ${read.destinationPort} ${dialled}`,
      ];
      // Put together from fragments, as below.
      if (!read.whole) for (const flow of itself) this.#fragments.add(flow);
      if (read.intact) for (const flow of itself) allowed.add(flow);
      return;
    }
    const { address = "*", port = "same" } =
      allMappings(rules).at(expected.mapping ?? Infinity)?.to[expected.destination ?? -1] ?? {};
    const bound = address === "*" ? new Uint8Array(16) : addressBytes(address);
    const daemon = `${hex(bound)} ${port === "same" ? read.destinationPort : port}`;
    const flow = `${client} ${daemon} ${dialled}`;
    if (!read.whole) {
      // sk_lookup gives what was put together from fragments.
      if (!judged.atIngress) this.#fragments.add(flow);
      return;
    }
    if (!read.intact) return;
    allowed.add(flow);
    const comesHere = this.#isPublic(read.destination);
    if (perfect && comesHere && (given || !judged.atIngress)) {
      needed.set(`${client} ${daemon}`, bytes);
    }
  }

  #isPublic(address: Uint8Array): boolean {
    return publics.includes(text(address));
  }

  #compareFlows(allowed: ReadonlySet<string>, needed: ReadonlyMap<string, Uint8Array>): void {
    const begun = new Set<string>();
    const keys: Uint8Array[] = [];
    for (const [key, value] of this.#readFlows()) {
      keys.push(key);
      const { remote, remotePort, local, localPort } = decode(flowKeyLayout, key);
      const { dialled, port } = decode(flowLayout, value);
      const ends = `${hex(remote)} ${remotePort} ${hex(local)} ${localPort}`;
      const flow = `${ends} ${hex(dialled)} ${port}`;
      begun.add(ends);
      this.#count("flows");
      if (!allowed.has(flow) && !this.#fragments.has(flow)) {
        this.#differ(`a flow that nothing began: ${flow}`);
      }
    }
    for (const key of keys) this.#flows.delete(key);
    for (const [ends, bytes] of needed) {
      this.#count("delivered");
      if (!begun.has(ends)) this.#differ(`no flow for ${ends}`, bytes);
    }
  }

  #readFlows(): [Uint8Array, Uint8Array][] {
    const found: [Uint8Array, Uint8Array][] = [];
    for (const [keys, values] of this.#flows.batches()) {
      for (let at = 0; at * flowLayout.size < values.length; at++) {
        found.push([
          keys.slice(at * flowKeyLayout.size, (at + 1) * flowKeyLayout.size),
          values.slice(at * flowLayout.size, (at + 1) * flowLayout.size),
        ]);
      }
    }
    return found;
  }

  #clearFlows(): void {
    for (const [key] of this.#readFlows()) this.#flows.delete(key);
  }

  #putAnswered(): void {
    const now = process.hrtime.bigint();
    for (const one of this.#answered) {
      this.#flows.update(
        encode(flowKeyLayout, {
          remote: addressBytes(one.client as Address),
          remotePort: one.clientPort,
          local: addressBytes(one.daemon as Address),
          localPort: one.daemonPort,
        }),
        encode(flowLayout, {
          seenNs: one.stale ? 0n : now,
          dialled: addressBytes(one.dialled as Address),
          port: one.port,
          interface: 0,
          chosen: 0,
        }),
      );
    }
  }

  #readTokens(): Token[] {
    const all = this.#tokens.readArray(ILM_TOKENS);
    const each = this.#tokens.valueSize;
    return Array.from({ length: ILM_TOKENS }, (_, at) =>
      decode(tokenLayout, all, at * each + this.#cpu * tokenLayout.size),
    );
  }
}

interface Token {
  hash: number;
  packets: number;
  holder: number;
}

const hostMacBytes = Uint8Array.from(hostMac);
const zeroMac = new Uint8Array(6);

/** Is there less of it than a network header? */
function isCutShort(frame: Uint8Array): boolean {
  const type = ((frame[12] ?? 0) << 8) | (frame[13] ?? 0);
  return frame.length < 14 + (type === 0x0800 ? 20 : type === 0x86dd ? 40 : 1);
}

/** With lo's address where the device's was. */
function toLoopback(bytes: Uint8Array): Uint8Array {
  if (!hostMac.every((byte, at) => bytes[at] === byte)) return bytes;
  const frame = bytes.slice();
  frame.fill(0, 0, 6);
  return frame;
}

/** Whom the kernel would give the packet when no destination takes it is not modelled: root. */
function holderOf({ holder }: Token): number {
  return holder === HolderCode.HEIR ? HolderCode.UNKNOWN : holder;
}

function sameTokens(a: readonly Token[], b: readonly Token[]): boolean {
  return a.every((token, at) => {
    const other = b[at];
    return (
      token.hash === other?.hash &&
      token.packets === other.packets &&
      holderOf(token) === holderOf(other)
    );
  });
}

/** As bpf/address.h hashes: where a token is, is not what is tested. */
function addressHash(bytes: Uint8Array, seed: number): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, 16);
  let h = seed;
  h = Math.imul(h ^ view.getUint32(0, true), 0x9e3779b1);
  h = Math.imul(h ^ (h >>> 15) ^ view.getUint32(4, true), 0x85ebca77);
  h = Math.imul(h ^ (h >>> 13) ^ view.getUint32(8, true), 0xc2b2ae3d);
  h = Math.imul(h ^ (h >>> 16) ^ view.getUint32(12, true), 0x27d4eb2f);
  return (h ^ (h >>> 15)) >>> 0;
}

function leaveToken(tokens: Token[], read: Read, existing: boolean): void {
  const seed = (drawSeed ^ ((read.destinationPort << 16) | read.sourcePort)) >>> 0;
  const hash = addressHash(mapped(read.source), addressHash(mapped(read.destination), seed));
  const token = tokens[hash & (ILM_TOKENS - 1)];
  if (token === undefined) throw new Error("no such token");
  if (token.hash !== hash) token.packets = 0;
  token.hash = hash;
  token.packets = (token.packets + 1) & 0xffff;
  token.holder = existing ? HolderCode.EXISTING : HolderCode.UNKNOWN;
}

interface AnsweredBy extends Answered {
  readonly daemon: string;
  readonly daemonPort: number;
  /** Its flow has ended. */
  readonly stale: boolean;
  /** The daemon is in a socket map: the kernel finds it by itself. */
  readonly registered: boolean;
}

/** Flows that errors are about. */
function answered(): AnsweredBy[] {
  const found: AnsweredBy[] = [];
  const ends = [
    {
      family: 4,
      dialled: "203.0.113.1",
      client: "203.0.113.100",
      first: "127.0.1.1",
      registered: "127.0.1.2",
    },
    {
      family: 6,
      dialled: "2001:db8::1",
      client: "2001:db8::100",
      first: "fd5e:ed00::1",
      registered: "fd5e:ed00::2",
    },
  ] as const;
  for (const { family, dialled, client, first, registered } of ends) {
    const base = { family, dialled, client, stale: false, registered: false };
    found.push(
      { ...base, port: 2000, clientPort: 40000, daemon: first, daemonPort: 2000 },
      { ...base, port: 2001, clientPort: 40001, daemon: first, daemonPort: 5001 },
      { ...base, port: 2001, clientPort: 40002, daemon: first, daemonPort: 5001, stale: true },
      {
        ...base,
        port: 2002,
        clientPort: 40003,
        daemon: registered,
        daemonPort: 2002,
        registered: true,
      },
      { ...base, port: 2005, clientPort: 40004, daemon: first, daemonPort: 2005 },
      { ...base, port: 2007, clientPort: 40005, daemon: first, daemonPort: 2007 },
      { ...base, port: 2008, clientPort: 40006, daemon: "::", daemonPort: 5008 },
      { ...base, port: 2012, clientPort: 40007, daemon: first, daemonPort: 2012 },
    );
  }
  return found;
}

let tap = -1;
function answer(request: Request): unknown {
  if ("prepare" in request) {
    tap = prepare();
    return { prepared: true };
  }
  const dataPlane = openDataPlane({ layeredFrom: 0, drawSeed });
  if ("unload" in request) return { unloaded: dataPlane.unload() };
  const { generation: number } = dataPlane.apply(toBeActive(rules));
  const pins = Pins.open(netnsInode());
  const programs = pins && Programs.open(pins, Math.max(...pins.numbers("programs")));
  const generation = pins && programs && Generation.open(pins, number, programs, new UnreadMaps());
  const registry =
    pins && Registry.open(pins, Math.max(...pins.numbers("registry")), netnsCookie());
  if (generation === undefined || registry === undefined) throw new Error("nothing is pinned");
  const report = new Fuzz(request.run, tap, generation, registry).run();
  generation.close();
  programs?.close();
  registry.close();
  pins?.close();
  dataPlane.close();
  return report;
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(answer(JSON.parse(line) as Request))}\n`);
}
