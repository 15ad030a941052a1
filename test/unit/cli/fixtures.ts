/** Listeners, packets and contexts made up for tests. */
import pc from "picocolors";
import type { Context } from "../../../src/cli/shell/context.js";
import { hostReach } from "../../../src/cli/shell/reach.js";
import { familyOf, isUnspecified, parseAddress, type Address } from "../../../src/model/address.js";
import type { Packet } from "../../../src/model/decision.js";
import type { Listener } from "../../../src/model/listener.js";

export function address(text: string): Address {
  const parsed = parseAddress(text);
  if (!parsed.ok) throw new Error(parsed.reason);
  return parsed.address;
}

export function listener(text: string, port: number, changes: Partial<Listener> = {}): Listener {
  const at = address(text);
  return {
    protocol: "tcp",
    kind: "tcp",
    family: familyOf(at),
    address: at,
    port,
    wildcard: isUnspecified(at),
    v6only: false,
    reuseport: false,
    groupSize: 0,
    groupProgram: false,
    device: 0,
    deviceName: "",
    placed: false,
    since: null,
    queue: { waiting: 0, limit: 128, drops: 0 },
    cookie: "7",
    inode: 1000 + port,
    cgroup: "1",
    identity: { uid: 0, gid: 0, unit: "0" },
    ...changes,
  };
}

export function packet(local: string, localPort: number, changes: Partial<Packet> = {}): Packet {
  const at = address(local);
  return {
    protocol: "tcp",
    local: at,
    localPort,
    remote: address(familyOf(at) === 4 ? "198.51.100.7" : "2001:db8:9::1"),
    remotePort: 5555,
    interfaceIndex: 0,
    ...changes,
  };
}

/** A context without a terminal, and what a command says in it. */
export function contextFor(json: boolean, changes: Partial<Context> = {}) {
  const said = { out: "", err: "" };
  const context: Context = {
    reach: hostReach,
    json,
    width: Infinity,
    colours: pc.createColors(false),
    isBehind: () => false,
    caughtUp: async () => undefined,
    write: (text) => {
      said.out += text;
    },
    note: (text) => {
      said.err += text;
    },
    ...changes,
  };
  return { context, said };
}
