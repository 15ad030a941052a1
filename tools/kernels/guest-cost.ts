/**
 * What a new connection and a datagram cost: by the kernel's own look-up, by a mapping through the
 * registry, by one through the kfunc. Each in a namespace of its own, in turn in each round, the
 * least of the rounds: whatever else the guest does only adds. The guest's clock counts its
 * instructions (run.sh), so figures repeat; caches and branches count nothing.
 */
import { execFileSync } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { openDataPlane } from "../../src/dataplane/open.js";
import type { DataPlane, ActiveEngine } from "../../src/dataplane/types.js";
import { ownNetnsPath } from "../../src/kernel/netns.js";
import { figure } from "./report.js";
import { enterNetwork, Socket, unshareNetwork } from "./sockets.js";
import { app, apply, costNs, listen, outside, rulesFor } from "./stage.js";

const ROUNDS = 24;
const TIMES = 100;
/** One of the guest's instructions takes a nanosecond. */
const NS_PER_MS = 1e6;

interface Place {
  readonly engine: ActiveEngine | "none";
  readonly netns: number;
  readonly plane: DataPlane | undefined;
}

function makePlace(engine: Place["engine"]): Place {
  unshareNetwork();
  const ip = (...args: string[]): void => void execFileSync("/sbin/ip", args);
  ip("link", "set", "lo", "up");
  ip("addr", "add", `${outside[4]}/32`, "dev", "lo");
  const netns = openSync(ownNetnsPath, "r");
  if (engine === "none") return { engine, netns, plane: undefined };
  const plane = openDataPlane();
  apply(plane, rulesFor(engine)());
  return { engine, netns, plane };
}

function milliseconds(work: () => void): number {
  const started = performance.now();
  work();
  return performance.now() - started;
}

const to = { address: outside[4], port: 6000 };

function connections(daemon: Socket): number {
  return milliseconds(() => {
    for (let i = 0; i < TIMES; i++) {
      const client = Socket.connected(to);
      const connection = daemon.accept();
      if (connection === undefined) throw new Error("nobody was served");
      connection.close();
      client.close();
    }
  });
}

function datagrams(daemon: Socket): number {
  const client = Socket.connected(to, { kind: "udp" });
  try {
    return milliseconds(() => {
      for (let i = 0; i < TIMES; i++) {
        client.send("ping", to);
        if (daemon.receive(false) === undefined) throw new Error("no datagram came");
      }
    });
  } finally {
    client.close();
  }
}

type Times = Readonly<Record<"tcp" | "udp" | "program", number>>;

function measure({ engine, netns, plane }: Place): Times {
  enterNetwork(netns);
  // Without ilm the daemon listens where clients dial.
  const address = engine === "none" ? outside[4] : app[4];
  const daemon = listen(address, to.port);
  const udp = listen(address, to.port, { kind: "udp" });
  plane?.resync();
  try {
    const program = plane === undefined ? 0 : costNs(plane);
    return { tcp: connections(daemon), udp: datagrams(udp), program };
  } finally {
    daemon.close();
    udp.close();
  }
}

/** Each place goes first as often as the others: who comes first finds the least warm. */
function measureRound(places: readonly Place[], round: number): Times[] {
  const found: Times[] = [];
  for (let i = 0; i < places.length; i++) {
    const at = (round + i) % places.length;
    const place = places[at];
    if (place !== undefined) found[at] = measure(place);
  }
  return found;
}

/** Needs the module. Says what it found as notes. */
export function measureCost(): void {
  const home = openSync(ownNetnsPath, "r");
  const engines = ["none", "registry", "kfunc"] as const;
  const places = engines.map(makePlace);
  try {
    const rounds = Array.from({ length: ROUNDS }, (_, round) => measureRound(places, round));
    const least = (what: keyof Times, engine: number): number =>
      Math.min(...rounds.map((round) => round[engine]?.[what] ?? Number.NaN));
    const tell = (name: string, base: number, mine: number, per: number): void => {
      const more = Math.round((mine - base) / per);
      const amount = mine === base ? `${Math.round(base / per)} instructions` : `+${more}`;
      figure(`cost: ${name}`, `${(mine / base).toFixed(2)} (${amount})`);
    };
    for (const [what, name] of [
      ["tcp", "a TCP connection"],
      ["udp", "a datagram"],
    ] as const) {
      for (const [at, engine] of engines.entries()) {
        const by = engine === "none" ? "the kernel's own look-up" : `the ${engine}`;
        tell(`${name} by ${by}`, least(what, 0), least(what, at), TIMES / NS_PER_MS);
      }
    }
    for (const at of [1, 2]) {
      tell(`the program by the ${engines[at]}`, least("program", 1), least("program", at), 1);
    }
  } finally {
    for (const { netns, plane } of places) {
      enterNetwork(netns);
      plane?.unload();
      plane?.close();
      closeSync(netns);
    }
    enterNetwork(home);
    closeSync(home);
  }
}
