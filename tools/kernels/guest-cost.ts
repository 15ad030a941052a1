/**
 * What a new connection and a datagram cost: by the kernel's own look-up, by a mapping through the registry, by one through
 * the kfunc. Each in a namespace of its own, in turn in each round, the least of the rounds: whatever else the machine does only
 * adds. Emulated, so a hint: compare within one run only.
 */
import { execFileSync } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { openDataPlane } from "../../src/dataplane/open.js";
import type { DataPlane, EngineInForce } from "../../src/dataplane/types.js";
import { ownNetnsPath } from "../../src/kernel/netns.js";
import { note } from "./report.js";
import { enterNetwork, Socket, unshareNetwork } from "./sockets.js";
import { app, apply, costNs, listen, outside, rulesFor } from "./stage.js";

const ROUNDS = 24;
const TIMES = 100;

interface Place {
  readonly engine: EngineInForce | "none";
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
    for (const what of ["tcp", "udp"] as const) {
      const ratios = engines.map(
        (engine, i) => `${engine} ${(least(what, i) / least(what, 0)).toFixed(2)}`,
      );
      note(`cost of ${what}, the kernel's own look-up is 1`, ratios.join(", "));
    }
    const ratio = least("program", 2) / least("program", 1);
    note("cost of the program, the registry's is 1", `kfunc ${ratio.toFixed(2)}`);
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
