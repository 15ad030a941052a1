/**
 * Each daemon under each policy: alone, beside NAT, started again, and in a pair on one port. What
 * it then sees becomes a row of docs/daemons.md.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { removeCgroups } from "../cgroup.js";
import { addressesOf, endpoint, families, type Protocol } from "../matrix.js";
import { addNat, removeRules, untilRegistered } from "../neighbours.js";
import { useNetwork } from "../network.js";
import { eventually, words } from "../process.js";
import type { IlmRun } from "../server.js";
import { endUnit } from "../units.js";
import { type Name, names, ownOf, policies, type Policy, shifts, unitOf } from "./policies.js";
import { type Dial, type Heard, itself, logged, peer, served } from "./seen.js";
import { documented, renderSeen, type Seen } from "./table.js";
import type { Answer, Ask, Running, Stock, Way } from "./types.js";

/** Asks until it answers: it is starting. */
async function answers(ask: Ask, { from, protocol, dialled, port }: Dial): Promise<Answer> {
  let last: unknown = null;
  try {
    return await eventually(
      "an answer",
      async () => {
        try {
          return await ask(from, protocol, dialled, port);
        } catch (error) {
          last = error;
          return null;
        }
      },
      20_000,
    );
  } catch (error) {
    const what = `${protocol} ${endpoint(dialled, port)}: ${String(last)}`;
    throw new Error(what, { cause: error });
  }
}

/** Tests of daemons, of which docs/daemons.md has a part. */
export function describeStock(part: string, daemons: readonly Stock[]): void {
  const network = useNetwork();
  const seen: Seen[] = [];

  afterEach(async () => {
    for (const name of names) await endUnit(unitOf(name));
    await removeRules(network.server);
  });

  afterAll(async () => {
    await removeCgroups();
  });

  /** What is dialled to reach one of them. */
  function dials(daemon: Stock, name: Name): readonly Dial[] {
    const { server, client } = network;
    const { port } = daemon;
    const shifted = port + shifts[name];
    return families.flatMap((family) => {
      const cell = addressesOf[family];
      const own = name === "first" ? cell.public : cell.second;
      return daemon.protocols.flatMap((protocol) =>
        [
          { from: client, dialled: own, port },
          { from: client, dialled: cell.elsewhere, port: shifted },
          { from: server, dialled: cell.loopback, port: shifted },
          { from: server, dialled: own, port },
        ].map((dial) => ({ ...dial, family, protocol })),
      );
    });
  }

  /** Does the daemon, told to listen like this, serve what is dialled? */
  function isHeard(daemon: Stock, way: Way, { family, protocol, port }: Dial): boolean {
    if (!(way.families ?? families).includes(family)) return false;
    const deaf = (daemon.deaf?.(way) ?? []).find(
      (one) => one.protocol === protocol && one.families.includes(family),
    );
    return deaf === undefined || (deaf.ownPort && port === daemon.port);
  }

  /** Each dial is answered by that one. */
  async function expectServed(
    ask: Ask,
    name: Name,
    all: readonly Dial[],
  ): Promise<readonly Heard[]> {
    expect(all.length).toBeGreaterThan(0);
    return await Promise.all(
      all.map(async (dial) => {
        const answer = await answers(ask, dial);
        const what = `${dial.protocol} ${endpoint(dial.dialled, dial.port)}`;
        expect(answer.name, what).toBe(name);
        return { ...dial, answer };
      }),
    );
  }

  /** None of these is answered. */
  async function expectUnserved(ask: Ask, all: readonly Dial[]): Promise<void> {
    await Promise.all(
      all.map(async ({ from, protocol, dialled, port }) => {
        const what = `${protocol} ${endpoint(dialled, port)}`;
        await expect(ask(from, protocol, dialled, port), what).rejects.toThrow(
          /ECONNREFUSED|end of file|timed out/,
        );
      }),
    );
  }

  async function shownSockets(port: number): Promise<string> {
    const shown = async (protocol: Protocol): Promise<string> => {
      const flag = protocol === "tcp" ? "-t" : "-u";
      const listed = await network.server.must(words(`ss -H -n -l ${flag} sport = :${port}`));
      const places = listed
        .split("\n")
        .filter(Boolean)
        .map((line) => words(line)[3] ?? "");
      return [...new Set(places)]
        .sort()
        .map((place) => `\`${place}\``)
        .join(" ");
    };
    const [tcp, udp] = [await shown("tcp"), await shown("udp")];
    if (tcp === udp || udp === "") return tcp;
    return tcp === "" ? udp : `TCP: ${tcp} UDP: ${udp}`;
  }

  async function start(daemon: Stock, way: Way, name: Name): Promise<Running> {
    return await daemon.start({ server: network.server, name, unit: unitOf(name), way });
  }

  async function row(
    daemon: Stock,
    way: Way,
    policy: Policy,
    running: Running,
    heard: readonly Heard[],
  ): Promise<Omit<Seen, "kept">> {
    const outside = heard.filter(({ from }) => from === network.client);
    return {
      daemon: daemon.name,
      written: way.written,
      policy: policy.name,
      sockets: await shownSockets(daemon.port),
      serves: served(daemon, outside),
      itself: itself(daemon, ownOf.first, outside),
      peer: peer(outside),
      log: await logged(daemon, running, outside),
    };
  }

  /** Beside NAT, also when it is started again there. */
  async function besideNat(
    daemon: Stock,
    policy: Policy,
    all: readonly Dial[],
    first: () => Running,
    restart: () => Promise<void>,
  ): Promise<void> {
    const { server } = network;
    // A socket on every address still gets what is dialled on its own port.
    const lost = (dial: Dial): boolean =>
      daemon.lostToNat === true &&
      dial.protocol === "tcp" &&
      (policy.pairs || dial.port !== daemon.port);
    const kept = all.filter((dial) => !lost(dial));
    await addNat(server, ...families);
    await untilRegistered(server);
    await expectServed(first().ask, "first", kept);
    await restart();
    await untilRegistered(server);
    await expectServed(first().ask, "first", kept);
    for (const { from, protocol, dialled, port } of all.filter(lost)) {
      expect(await from.who(protocol, dialled, port)).toBe("ECONNREFUSED");
    }
    await removeRules(server);
  }

  /** One after the other, of what the table says in this row. */
  async function play(daemon: Stock, policy: Policy, index: number): Promise<void> {
    const wayOf = (name: Name): Way => {
      const way = policy.ways(daemon, name)[index];
      if (way === undefined) throw new Error(`${daemon.name} has no such way to listen`);
      return way;
    };
    const way = wayOf("first");
    const all = dials(daemon, "first").filter((dial) => isHeard(daemon, way, dial));
    const unheard = dials(daemon, "first").filter((dial) => !isHeard(daemon, way, dial));
    let first = await start(daemon, way, "first");
    const restart = async (): Promise<void> => {
      await endUnit(unitOf("first"), "SIGTERM");
      first = await start(daemon, way, "first");
    };
    const heard = await expectServed(first.look ?? first.ask, "first", all);
    const alone = await row(daemon, way, policy, first, heard);
    await expectUnserved(first.ask, unheard);
    const kept = ["a restart"];
    if (daemon.reload !== undefined && first.reload !== undefined) {
      await first.reload();
      await expectServed(first.ask, "first", all);
      kept.push(daemon.reload);
    }
    await besideNat(daemon, policy, all, () => first, restart);
    if (policy.pairs) {
      const other = wayOf("second");
      const second = await start(daemon, other, "second");
      const others = dials(daemon, "second").filter((dial) => isHeard(daemon, other, dial));
      const both = async (): Promise<void> => {
        await expectServed(first.ask, "first", all);
        await expectServed(second.ask, "second", others);
      };
      await both();
      await restart();
      await both();
    }
    seen.push({ ...alone, kept: kept.join(", ") });
  }

  for (const policy of policies) {
    for (const service of new Set(daemons.map((daemon) => daemon.service ?? ""))) {
      const chosen = daemons.filter((daemon) => (daemon.service ?? "") === service);
      describe(service === "" ? policy.name : `${policy.name}, ${service}`, () => {
        let running: IlmRun;

        beforeAll(async () => {
          const { server } = network;
          const ports = [...new Set(chosen.map(({ port }) => port))];
          running = await server.startRun(["-f", server.file(policy.rules(ports, service))]);
        });

        afterAll(async () => {
          await running.stop();
          await network.server.reset();
        });

        const how = policy.pairs ? "alone, beside NAT and in a pair" : "alone and beside NAT";
        for (const daemon of chosen) {
          for (const [index, { written }] of policy.ways(daemon, "first").entries()) {
            const told = written.join(" ") || "nothing";
            test(`${daemon.name}, told ${told}, is served ${how}`, async () => {
              await play(daemon, policy, index);
            });
          }
        }
      });
    }
  }

  test("docs/daemons.md has just what was seen: `make daemons` writes it", () => {
    const table = renderSeen(seen);
    expect(documented(part, table)).toBe(table);
  });
}
