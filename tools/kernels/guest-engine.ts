/**
 * The engine changes while rules are active: no client may be refused meanwhile, at whichever
 * moment a packet comes.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { openDataPlane } from "../../src/dataplane/open.js";
import type { DataPlane, ActiveEngine } from "../../src/dataplane/types.js";
import { BpfLink } from "../../src/kernel/bpf/link.js";
import { BpfMap } from "../../src/kernel/bpf/map.js";
import type { Engine } from "../../src/model/mapping.js";
import { exchangeConnection, exchangeDatagram } from "./exchange.js";
import { awaitUnused, busybox, insertModule, moduleState, removeModule } from "./guest-module.js";
import { type Exchange, type LoadReport, judge } from "./loss.js";
import { capability, expectEqual } from "./report.js";
import { app, apply, canMptcp, listen, outside, rulesFor, using } from "./stage.js";

/** Calls `then` after each call of the method, whoever makes it; the result undoes that. */
function intercept(owner: object, name: string, then: () => void): () => void {
  const original: unknown = Reflect.get(owner, name);
  if (typeof original !== "function") throw new Error(`there is no method ${name}`);
  const intercepted = function (this: unknown, ...given: unknown[]): unknown {
    const result: unknown = Reflect.apply(original, this, given);
    then();
    return result;
  };
  Reflect.set(owner, name, intercepted);
  return () => {
    Reflect.set(owner, name, original);
  };
}

/**
 * Runs `body`, and `between` after each of its calls that change a map, a link or what is pinned.
 * The result: how many.
 */
function betweenSteps(body: () => void, between: (step: string) => void): number {
  let steps = 0;
  const handle: unknown = Object.getPrototypeOf(BpfMap.prototype);
  if (typeof handle !== "object" || handle === null) throw new Error("maps are no handles");
  const methods: readonly [object, string, string][] = [
    [BpfMap.prototype, "update", "map update"],
    [BpfMap.prototype, "updateAll", "update of a whole map"],
    [BpfMap.prototype, "delete", "map deletion"],
    [BpfLink.prototype, "update", "link update"],
    [handle, "pin", "pin"],
    [handle, "close", "close"],
  ];
  const undo = methods.map(([owner, name, what]) =>
    intercept(owner, name, () => {
      steps++;
      between(`step ${steps} (${what})`);
    }),
  );
  try {
    body();
  } finally {
    for (const one of undo) one();
  }
  return steps;
}

interface Client {
  readonly what: string;
  readonly exchange: () => Exchange;
}

const tcpOnly = (engine: Engine): string =>
  `version: 1\nengine: ${engine}\nmappings: [{ port: [6000, 6001], to: "127.0.1.10" }]\n`;

interface Changes {
  readonly steps: number;
  readonly lost: readonly string[];
}

/** Registry to kfunc and back; each client is to be served after each step. */
function changeEngines(
  plane: DataPlane,
  rules: (engine: Engine) => string,
  clients: readonly Client[],
): Changes {
  let steps = 0;
  const lost: string[] = [];
  const change = (engine: ActiveEngine): void => {
    const serve = (step: string): void => {
      for (const { what, exchange } of clients) {
        const { outcome } = exchange();
        if (outcome !== "served") lost.push(`to ${engine}, after ${step}: ${what} ${outcome}`);
      }
    };
    serve("nothing");
    steps += betweenSteps(() => void apply(plane, rules(engine)), serve);
    expectEqual("engine", plane.active()?.engine, engine);
  };
  apply(plane, rules("registry"));
  try {
    change("kfunc");
    change("registry");
  } finally {
    plane.unload();
  }
  return { steps, lost };
}

export async function testSteps(): Promise<void> {
  await capability(
    "module: each client is served between any two steps of a change of engine",
    () => {
      const { 4: address } = outside;
      const kind = canMptcp() ? "mptcp" : "tcp";
      const tcp = listen(app[4], 6000);
      const mptcp = listen(app[4], 6001, { kind });
      const remapped = listen(app[4], 7001, { kind });
      const udp = listen(app[4], 6000, { kind: "udp" });
      const remappedUdp = listen(app[4], 7001, { kind: "udp" });
      let sent = 0;
      const connect = (what: string, port: number, daemon: typeof tcp): Client => ({
        what,
        exchange: () => exchangeConnection({ address, port }, daemon),
      });
      const send = (what: string, port: number, daemon: typeof tcp): Client => ({
        what,
        exchange: () => exchangeDatagram({ address, port }, daemon, `${++sent}`),
      });
      const plane = openDataPlane();
      return using([tcp, mptcp, remapped, udp, remappedUdp], () => {
        try {
          const both = changeEngines(plane, (engine) => rulesFor(engine)(), [
            connect("TCP", 6000, tcp),
            connect(`${kind} to another port`, 6001, remapped),
            send("UDP", 6000, udp),
            send("UDP to another port", 6001, remappedUdp),
          ]);
          // Without UDP the kfunc needs nothing at ingress, and the registry only does for MPTCP.
          const alone = changeEngines(plane, tcpOnly, [
            connect("TCP alone", 6000, tcp),
            connect(`${kind} alone`, 6001, mptcp),
          ]);
          const lost = [...both.lost, ...alone.lost];
          if (lost.length > 0) {
            throw new Error(`${lost.length} lost: ${lost.slice(0, 8).join("; ")}`);
          }
          return `${both.steps + alone.steps} steps`;
        } finally {
          plane.close();
        }
      });
    },
  );
}

/**
 * Another process's connections and datagrams (load.ts), for as long as something runs. That can
 * wait until the load has made a whole batch since.
 */
async function underLoad(run: (batch: () => Promise<void>) => Promise<void>): Promise<LoadReport> {
  const child = spawn(process.execPath, ["/ilm/dist/tools/kernels/load.js"], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const closed = once(child, "close");
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async (): Promise<string> => {
    const line = await lines.next();
    if (line.done === true) throw new Error("the load ended too early");
    return line.value;
  };
  expectEqual("the load", await next(), "ready");
  try {
    await run(async () => {
      child.stdin.write("\n");
      expectEqual("the load", await next(), "batch");
    });
  } finally {
    child.stdin.end();
  }
  const report = JSON.parse(await next()) as LoadReport;
  await closed;
  return report;
}

/** With rules active. The module is there before and after. */
export async function testLoad(): Promise<void> {
  const rounds = 3;
  await capability(`module: in and out ${rounds} times under load, engine: auto`, async () => {
    const plane = openDataPlane();
    const put = (engine: Engine, wanted: ActiveEngine): void => {
      apply(plane, rulesFor(engine)());
      expectEqual(`engine: ${engine}`, plane.active()?.engine, wanted);
    };
    removeModule();
    put("auto", "registry");
    try {
      const report = await underLoad(async (batch) => {
        for (let round = 0; round < rounds; round++) {
          insertModule();
          put("auto", "kfunc");
          await batch();
          const { status, output } = busybox("rmmod", "ilm_lookup");
          if (status === 0) throw new Error("it went while rules used it");
          expectEqual(
            "as it is refused",
            /temporarily unavailable|in use/i.exec(output) !== null,
            true,
          );
          expectEqual("still there", moduleState()?.state, "Live");
          put("registry", "registry");
          await batch();
          awaitUnused();
          removeModule();
        }
      });
      return describeLoad(report, plane);
    } finally {
      plane.unload();
      plane.close();
      if (moduleState() === undefined) insertModule();
    }
  });
}

/** Throws when something was lost; tells of what was only slow. */
function describeLoad(report: LoadReport, plane: DataPlane): string {
  const { lost, slow } = judge(report);
  const { connections, datagrams, counted } = report;
  const tried = `${connections.tried} connections and ${datagrams.tried} datagrams`;
  if (lost.length > 0) {
    const ours = { ...plane.counters().total(), ...plane.faults() };
    throw new Error(
      `${lost.length} lost of ${tried}: ${lost.slice(0, 5).join("; ")}. Slow guest: ${slow.join("; ") || "no"}. ` +
        `Kernel: ${JSON.stringify(counted)}. ilm: ${JSON.stringify(ours)}`,
    );
  }
  return `${tried}, none lost; slow guest: ${slow.join("; ") || "no"}`;
}
