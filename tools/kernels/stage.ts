/** What the guest's tests have in common: rules, daemons on them, and clients that dial. */
import { spawnSync } from "node:child_process";
import { lookupContext } from "../../src/dataplane/observe/explain.js";
import { openDataPlane } from "../../src/dataplane/open.js";
import type { ActiveEngine, ApplyResult, DataPlane } from "../../src/dataplane/types.js";
import { parseConfiguration } from "../../src/config/parse.js";
import { IlmError } from "../../src/errors.js";
import { errnoOf } from "../../src/kernel/ffi.js";
import { Pins } from "../../src/kernel/pins.js";
import type { Address } from "../../src/model/address.js";
import { type Engine } from "../../src/model/mapping.js";
import { emptyRules, toBeActive } from "../../src/model/rules.js";
import { Absent, Refused, expectEqual } from "./report.js";
import { type Name, Socket, type SocketOptions } from "./sockets.js";

const ECONNREFUSED = 111;
const EPROTONOSUPPORT = 93;
const ENOPROTOOPT = 92;
/** connect() ran into the socket's timeout. */
const EINPROGRESS = 115;

/** What the outside dials: addresses of this host that are no service's. */
export const outside = { 4: "192.0.2.1", 6: "2001:db8::1" } as const;
export const app = { 4: "127.0.1.10", 6: "fd5e:ed00::10" } as const;
export const FILE = "/tmp/rules.yaml";

export type Rules = (more?: string) => string;

export const rulesFor =
  (engine: Engine): Rules =>
  (more = "") =>
    `
version: 1
engine: ${engine}
services:
  app: { address: [127.0.1.10, "fd5e:ed00::10"] }
mappings:
  - { protocol: [tcp, udp], port: 6000, to: app }
  - { protocol: [tcp, udp], port: 6001, to: "app:7001" }
  - { port: 6002, to: "*:7002" }
  - { port: 6003, to: ["127.0.1.11:7003", "127.0.1.12:7003"] }
${more}`;

export function apply(plane: DataPlane, text: string): ApplyResult {
  const { ruleSet } = parseConfiguration([{ name: FILE, text }]);
  return plane.apply(toBeActive({ ...emptyRules, file: ruleSet }));
}

export const families = [4, 6] as const;
export const kinds = ["tcp", "mptcp", "udp"] as const;
export type Kind = (typeof kinds)[number];

export type Dialled = number | "refused" | "nobody" | "no answer";

export function pause(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}

/** Makes the client's socket where the client is. */
export type Where = (make: () => Socket) => Socket;
const here: Where = (make) => make();

/** Index of the listener that the connection came to. */
export function dial(to: Name, listeners: readonly Socket[], where: Where = here): Dialled {
  let client: Socket;
  try {
    client = where(() => Socket.connected(to, { timeout: 10_000 }));
  } catch (error) {
    if (errnoOf(error) === ECONNREFUSED) return "refused";
    if (errnoOf(error) === EINPROGRESS) return "no answer";
    throw error;
  }
  try {
    const accept = (): (Socket | undefined)[] => listeners.map((listener) => listener.accept());
    let accepted = accept();
    // What ends the handshake may still be on its way: from another namespace, or, before 6.5, with
    // a busy ksoftirqd.
    for (let left = 20; left > 0 && !accepted.some(Boolean); left--) {
      pause(50);
      accepted = accept();
    }
    const found = accepted.findIndex((connection) => connection !== undefined);
    const name = accepted[found]?.name;
    for (const connection of accepted) connection?.close();
    if (name !== undefined) expectEqual("the daemon's own address", name, to);
    return found < 0 ? "nobody" : found;
  } finally {
    client.close();
  }
}

/** A datagram from a connected client, and its answer: null when there was none. */
export function ask(to: Name, daemon: Socket, where: Where = here): { answer: string | null } {
  const client = where(() => Socket.connected(to, { kind: "udp", timeout: 1000 }));
  try {
    client.send("ping", to);
    const got = daemon.receive(true);
    if (got === undefined) return { answer: null };
    daemon.send("pong", got.from);
    return { answer: client.receive(true)?.text ?? null };
  } catch (error) {
    if (errnoOf(error) === ECONNREFUSED) return { answer: null };
    throw error;
  } finally {
    client.close();
  }
}

export function using<T>(sockets: readonly Socket[], body: () => T): T {
  try {
    return body();
  } finally {
    for (const socket of sockets) socket.close();
  }
}

export const listen = (address: string, port: number, options: SocketOptions = {}): Socket =>
  Socket.listener({ address, port }, options);

/**
 * Its standard output. Throws with what it said when it fails; `doctor` may, as it also fails at
 * what it finds.
 */
export function ilm(...args: string[]): string {
  const main = "/ilm/dist/src/main.js";
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, [main, ...args], {
    encoding: "utf8",
  });
  if (status !== 0 && args[0] !== "doctor") {
    throw new Error(`ilm ${args[0]}: exit ${status ?? signal}\n${stdout}${stderr}`);
  }
  return stdout;
}

export function canMptcp(): boolean {
  try {
    Socket.create(false, { kind: "mptcp" }).close();
    return true;
  } catch (error) {
    const errno = errnoOf(error);
    if (errno !== EPROTONOSUPPORT && errno !== ENOPROTOOPT) throw error;
    return false;
  }
}

/** Throws what ilm, or the kernel, says where MPTCP listeners cannot be served. */
export function needMptcp(plane: DataPlane, engine: ActiveEngine, rules: string): void {
  if (!canMptcp()) throw new Absent("no MPTCP");
  apply(plane, rules);
  if (engine === "registry" && plane.steers() === false) {
    throw new Refused("sk_lookup cannot select an MPTCP listener, and there is no ingress");
  }
}

/** What that user makes; this process is root's otherwise. */
export function as<T>(user: number, make: () => T): T {
  process.setegid?.(user);
  process.seteuid?.(user);
  try {
    return make();
  } finally {
    process.seteuid?.(0);
    process.setegid?.(0);
  }
}

/** Who has what is dialled: its index among these, or nobody. */
export function whoHas(
  { plane, kind }: { readonly plane: DataPlane; readonly kind: Kind },
  to: { readonly address: string; readonly port: number },
  there: readonly Socket[],
): Dialled {
  // Without ingress, UDP sockets are placed by whoever looks for them.
  plane.resync();
  if (kind !== "udp") return dial(to, there);
  const client = Socket.connected(to, { kind });
  return using([client], () => {
    client.send("ping", to);
    pause(100);
    const found = there.findIndex((socket) => socket.receive(false) !== undefined);
    return found < 0 ? "refused" : found;
  });
}

/** Mean of the loaded program, for comparison within one run. */
export function costNs(plane: DataPlane): number {
  const pins = Pins.open(plane.netnsInode);
  const program = pins?.lookupProgram(Math.max(...pins.numbers("programs")));
  pins?.close();
  if (program === undefined) throw new Error("no program is pinned");
  const context = lookupContext({
    protocol: "tcp",
    local: outside[4] as Address,
    localPort: 6000,
    remote: "198.51.100.7" as Address,
    remotePort: 5555,
    interfaceIndex: 0,
  });
  try {
    return program.testRun(context, 20000).averageNs;
  } finally {
    program.close();
  }
}

/** `open` throws what ilm says of a kernel that it refuses. */
export function open(): DataPlane {
  try {
    return openDataPlane();
  } catch (error) {
    if (error instanceof IlmError && ["NO_BPF", "NO_BTF"].includes(error.code)) {
      throw new Refused(`${error.message}. ${error.remedy ?? ""}`);
    }
    throw error;
  }
}
