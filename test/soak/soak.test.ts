/**
 * Daemons of all kinds (TCP, MPTCP, UDP, in groups, dual-stack) start, stop, are killed, fork and
 * hand over at random, rules are activated and `run` is killed, all under constant load; a model
 * (model.ts) says for each dial who had to answer it. None may be wrong, none lost.
 *
 * ILM_SOAK_SECONDS: another length than sizes.ts says; ILM_SOAK_SEED repeats the choices of an
 * earlier run.
 */
import { afterAll, expect, test } from "vitest";
import { Dialler } from "../support/dialler.js";
import { type Kind, Lab, stopLabs } from "../support/lab.js";
import { addressesOf, families, type Family, protocols } from "../support/matrix.js";
import { useNetwork } from "../support/network.js";
import { pause } from "../support/process.js";
import { random as makeRandom } from "../support/random.js";
import { sizes } from "../support/sizes.js";
import type { IlmRun } from "../support/server.js";
import { type Place, places, type Rule, type Socket, sorts } from "./model.js";
import { Port } from "./port.js";

const seconds = Number(process.env["ILM_SOAK_SECONDS"] ?? sizes.soakSeconds);
const seed = Number(process.env["ILM_SOAK_SEED"] ?? Date.now() % 1_000_000);
const LABS = 10;
const DIALLERS = 6;
const PORTS_OF_EACH = 9;
const GRACE_MS = 120_000;

const network = useNetwork();

function firstPort(sort: Rule["sort"]): number {
  return 6000 + sorts.indexOf(sort) * 100;
}

const ports: readonly Port[] = protocols.flatMap((protocol) =>
  sorts.flatMap((sort) =>
    Array.from({ length: PORTS_OF_EACH }, (_, i) => {
      const rule: Rule = { protocol, port: firstPort(sort) + i, sort };
      return new Port(rule);
    }),
  ),
);

/** The same for all that is dialled; `extra` makes it another rule set. */
function rules(extra: number): string {
  const row = (first: number, last: number, to: string, existing: string): string =>
    `  - { protocol: [tcp, udp], port: ${first}-${last}, to: [${to}], existing: ${existing} }`;
  const rows = sorts.flatMap((sort) => {
    const first = firstPort(sort);
    const each = Array.from({ length: PORTS_OF_EACH }, (_, i) => first + i);
    return sort === "wildcard"
      ? each.map((port) => row(port, port, `"*:${port}", spare`, "exact"))
      : [row(first, first + PORTS_OF_EACH - 1, "app, spare", sort)];
  });
  return `
version: 1
services:
  app: { address: [127.0.1.10, "fd5e:ed00::10"] }
  spare: { address: [127.0.1.11, "fd5e:ed00::11"] }
mappings:
${rows.join("\n")}
  - { port: ${9000 + extra}, to: app }
`;
}

function addressOf(place: Place, family: Family): string {
  const { daemon, daemon2, public: address, wildcard } = addressesOf[family];
  return { app: daemon, spare: daemon2, public: address, wildcard }[place];
}

interface Held {
  readonly lab: Lab;
  readonly socket: Socket;
  /** A child of the lab that serves it since a fork. */
  readonly child: number | null;
}

afterAll(async () => {
  await stopLabs();
});

test(
  `for ${seconds} s each dial is answered by whom the model names, seed ${seed}`,
  async () => {
    const { server, client } = network;
    const random = makeRandom(seed);
    await server.apply(rules(0));
    const labs = await Promise.all(
      Array.from({ length: LABS }, async () => await Lab.start(server)),
    );
    const held = new Map<string, Held>();
    const wrong: string[] = [];
    const done: Record<string, number> = {};
    const opened: Record<string, number> = {};
    let serial = 0;
    let dials = 0;
    let run: IlmRun | null = null;
    const deadline = Date.now() + seconds * 1000;

    const add = (to: Record<string, number>, what: string): void => {
      to[what] = (to[what] ?? 0) + 1;
    };
    /** How many actions under way need a lab: one that is needed is not ended. */
    const users = new Map<Lab, number>();
    const using = async (lab: Lab, act: () => Promise<void>): Promise<void> => {
      users.set(lab, (users.get(lab) ?? 0) + 1);
      await act();
      users.set(lab, (users.get(lab) ?? 0) - 1);
    };
    const freePort = (): Port | undefined => {
      const free = ports.filter((port) => !port.busy);
      return free.length === 0 ? undefined : random.pick(free);
    };
    const socketOf = (port: Port, test_: (one: Held) => boolean): Held | undefined => {
      const found = port.sockets
        .map(({ name }) => held.get(name))
        .filter((one): one is Held => one !== undefined && test_(one));
      return found.length === 0 ? undefined : random.pick(found);
    };
    const replace = (port: Port, socket: Socket): readonly Socket[] =>
      port.sockets.map((one) => (one.name === socket.name ? socket : one));

    const actions: Readonly<Record<string, () => Promise<boolean>>> = {
      open: async () => {
        const port = freePort();
        if (port === undefined || port.sockets.length > 7) return false;
        const name = `s${(serial += 1)}`;
        const lab = random.pick(labs);
        // Half of them join somebody: groups of several members, of several processes.
        const mate = random.oneIn(2) && port.sockets.length > 0 ? random.pick(port.sockets) : null;
        const kind: Kind =
          mate?.kind ??
          (port.rule.protocol === "udp" ? "udp" : random.pick(["tcp", "mptcp"] as const));
        // Rarest by chance, so of each kind the first is: a short run on a slow machine has it too.
        const rarest = mate === null && opened[`${kind} dual-stack`] === undefined;
        const family = mate?.family ?? (rarest ? 6 : random.pick(families));
        const place = mate?.place ?? (rarest ? "wildcard" : random.pick(places));
        const dual =
          mate?.dual ?? (rarest || (family === 6 && place === "wildcard" && random.oneIn(2)));
        const socket: Socket = { name, kind, family, place, dual, tag: name, listens: true };
        const stack = family === 4 ? [] : dual ? (["dual"] as const) : (["v6only"] as const);
        await using(lab, async () => {
          await port.change([...port.sockets, socket], async () => {
            const options = { options: ["reuseport", ...stack] as const };
            await lab.open(name, kind, addressOf(place, family), port.rule.port, options);
          });
          held.set(name, { lab, socket, child: null });
        });
        add(opened, `${kind}${dual ? " dual-stack" : ""}${mate === null ? "" : " in a group"}`);
        return true;
      },
      close: async () => {
        const port = freePort();
        const one = port && socketOf(port, () => true);
        if (port === undefined || one === undefined) return false;
        const { name } = one.socket;
        await port.changeAlone(
          port.sockets.filter((socket) => socket.name !== name),
          async () => {
            if (one.child === null) await one.lab.do("close", name);
            else await one.lab.do("end", name, { pid: one.child });
          },
        );
        held.delete(name);
        return true;
      },
      "stop listening, or connect": async () => {
        const port = freePort();
        const one = port && socketOf(port, ({ child, socket }) => child === null && socket.listens);
        if (port === undefined || one === undefined) return false;
        const socket = { ...one.socket, listens: false };
        const { loopback, client: peer } = addressesOf[socket.family];
        const target = socket.place === "public" ? peer : loopback;
        await port.changeAlone(replace(port, socket), async () => {
          if (socket.kind === "udp") {
            await one.lab.do("connect", socket.name, { address: target, port: 9 });
          } else {
            await one.lab.do("shutdown", socket.name);
          }
        });
        held.set(socket.name, { ...one, socket });
        return true;
      },
      "listen again, or disconnect": async () => {
        const port = freePort();
        // A disconnected IPv6 socket goes on to hear its former peer only, and one on the wildcard
        // loses its address.
        const one =
          port &&
          socketOf(
            port,
            ({ socket }) =>
              !socket.listens &&
              (socket.kind !== "udp" || (socket.family === 4 && socket.place !== "wildcard")),
          );
        if (port === undefined || one === undefined) return false;
        const socket = { ...one.socket, listens: true };
        await port.change(replace(port, socket), async () => {
          await one.lab.do(socket.kind === "udp" ? "disconnect" : "listen", socket.name);
        });
        held.set(socket.name, { ...one, socket });
        return true;
      },
      fork: async () => {
        const children = [...held.values()].filter(({ child }) => child !== null);
        const port = freePort();
        const one = port && socketOf(port, ({ child, socket }) => child === null && socket.listens);
        if (port === undefined || one === undefined || children.length > 30) return false;
        const socket = { ...one.socket, tag: `f${(serial += 1)}` };
        let child = 0;
        await port.change(replace(port, socket), async () => {
          const answer = await one.lab.do("fork", socket.name, { tag: socket.tag });
          child = Number(answer["pid"]);
        });
        held.set(socket.name, { ...one, socket, child });
        return true;
      },
      "hand over": async () => {
        const port = freePort();
        const one = port && socketOf(port, ({ child, socket }) => child === null && socket.listens);
        if (port === undefined || one === undefined) return false;
        const others = labs.filter((lab) => lab !== one.lab);
        const next = random.pick(others);
        const socket = { ...one.socket, tag: `h${(serial += 1)}` };
        const path = `${server.folder}/handover-${serial}`;
        await using(next, async () => {
          await port.change(replace(port, socket), async () => {
            await next.do("await", socket.name, { path });
            // The receiver waits for the sender, so it is asked first, and not waited for.
            const taken = next.do("take", socket.name, { path, tag: socket.tag });
            await one.lab.do("send_away", socket.name, { path });
            await taken;
          });
          held.set(socket.name, { lab: next, socket, child: null });
        });
        return true;
      },
      "end a process": async () => {
        if (!random.oneIn(10)) return false;
        const lab = random.pick(labs);
        const its = [...held.values()].filter((one) => one.lab === lab);
        const affected = ports.filter((port) =>
          port.sockets.some(({ name }) => held.get(name)?.lab === lab),
        );
        if ((users.get(lab) ?? 0) > 0 || affected.some((port) => port.busy)) return false;
        // From here on nobody chooses it, and no port of its is changed by another.
        labs.splice(labs.indexOf(lab), 1);
        let dead: Promise<void> | null = null;
        const die = async (): Promise<void> => {
          for (const { child, socket } of its) {
            if (child !== null) await lab.do("end", socket.name, { pid: child });
          }
          await lab.stop();
        };
        let waiting = affected.length;
        let alone: () => void = () => undefined;
        const all = new Promise<void>((resolve) => {
          alone = resolve;
        });
        await Promise.all(
          affected.map(async (port) => {
            const left = port.sockets.filter(({ name }) => held.get(name)?.lab !== lab);
            await port.changeAlone(left, async () => {
              if ((waiting -= 1) === 0) alone();
              await all;
              await (dead ??= die());
            });
          }),
        );
        await (dead ?? die());
        for (const { socket } of its) held.delete(socket.name);
        labs.push(await Lab.start(server));
        return true;
      },
      "activate rules": async () => {
        if (run !== null || !random.oneIn(5)) return false;
        await server.apply(rules((serial += 1) % 900));
        return true;
      },
      "start or kill run": async () => {
        if (!random.oneIn(10)) return false;
        if (run === null) run = await server.startRun(["-f", server.file(rules(serial % 900))]);
        else {
          const ending = run;
          run = null;
          await ending.stop(random.pick(["SIGTERM", "SIGKILL"] as const));
        }
        return true;
      },
    };

    const often = ["open", "open", "open", "close", "close", "fork", "hand over"];
    const seldom = ["stop listening, or connect", "listen again, or disconnect", "end a process"];
    const kinds = ["tcp", "mptcp", "udp"];
    const openings = kinds.flatMap((kind) => [kind, `${kind} dual-stack`, `${kind} in a group`]);
    const leastDials = 200;
    /** A busy machine takes longer until everything has been there once. */
    const isOver = (): boolean => {
      const late = Date.now() - deadline;
      const complete =
        [...often, ...seldom].every((what) => what in done) &&
        openings.every((what) => what in opened) &&
        dials > leastDials;
      return late >= (complete ? 0 : GRACE_MS);
    };

    const act = async (choices: readonly string[]): Promise<void> => {
      while (!isOver()) {
        const name = random.pick(choices);
        if ((await actions[name]?.()) === true) add(done, name);
        else await pause(1);
      }
    };

    const load = async (): Promise<void> => {
      const dialler = new Dialler(() => client.startPython("dial.py", []));
      while (!isOver()) {
        const port = random.pick(ports);
        if (port.closed) {
          await pause(1);
          continue;
        }
        const family = random.pick(families);
        const dialled = random.pick(["public", "second"] as const);
        const { protocol, port: number, sort } = port.rule;
        const flight = port.begin(family, dialled);
        const mptcp = random.oneIn(3) && protocol === "tcp";
        const dial = await dialler.dial(protocol, addressesOf[family][dialled], number, { mptcp });
        port.end(flight);
        dials += 1;
        const found = dial.answered ? dial.tag : dial.errno === "ECONNREFUSED" ? "" : dial.errno;
        if (!flight.allowed.has(found)) {
          const expected = [...flight.allowed].map((tag) => tag || "nobody").join(" or ");
          wrong.push(
            `${mptcp ? "mptcp" : protocol} ${dialled} ${number} IPv${family}, rule ${sort}: ${found || "nobody"} instead of ${expected}; ${JSON.stringify(port.sockets)}`,
          );
        }
      }
    };

    await Promise.all([
      ...Array.from({ length: 4 }, async () => await act([...often, ...seldom])),
      act(["activate rules", "start or kill run"]),
      ...Array.from({ length: DIALLERS }, load),
    ]);
    process.stdout.write(
      `\nsoak: seed ${seed}, ${dials} dials, ${held.size} sockets at the end, wrong or lost: ${wrong.length}\n` +
        `soak: ${JSON.stringify(done)}\nsoak: opened ${JSON.stringify(opened)}\n`,
    );
    expect(wrong.slice(0, 5)).toEqual([]);
    expect(wrong).toHaveLength(0);
    expect(dials).toBeGreaterThan(leastDials);
    expect(Object.keys(done)).toEqual(expect.arrayContaining([...often, ...seldom]));
    expect(Object.keys(opened)).toEqual(expect.arrayContaining(openings));
  },
  seconds * 1000 + GRACE_MS + 60_000,
);
