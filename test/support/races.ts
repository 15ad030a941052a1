/**
 * Races for what comes to a service while its daemon restarts without a pause, and a client dials
 * without a pause: who does not own the service wins while nobody owns it, and never else.
 */
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { chownSync } from "node:fs";
import { type Actor, commandAs, owner, stranger } from "./actor.js";
import { EPHEMERAL, ownedRules } from "./attacks.js";
import { makeCgroup, removeCgroups } from "./cgroup.js";
import type { Kind } from "./lab.js";
import { addressesOf, families, type FamilyAddresses } from "./matrix.js";
import { type Network, useNetwork } from "./network.js";
import { python, script } from "./paths.js";
import type { Background } from "./process.js";
import { sizes } from "./sizes.js";

export interface Race {
  readonly title: string;
  readonly way: "bind" | "reuse" | "late" | "reconnect";
  readonly at: "daemon" | "public" | "wildcard";
  readonly port: number;
  readonly kinds?: readonly Kind[];
  readonly as?: Actor;
  readonly owned?: string;
  /** Cgroups of his own between which he moves. */
  readonly moves?: readonly string[];
  /** Wins in a thousand tries that the kernel's own search leaves to him; default: none. */
  readonly leaves?: number;
}

interface Taken {
  readonly tries: number;
  readonly opened: number;
  readonly refused: Readonly<Record<string, number>>;
  readonly won: number;
}

/** More than anybody needs to win once. */
const ENOUGH = 200_000;

async function start(network: Network, as: Actor, args: readonly string[]): Promise<Background> {
  const command = await commandAs(as, [python, script("race.py"), ...args]);
  const process = network.server.start(command);
  await process.waitForOutput(/^at it\n/);
  return process;
}

async function told(process: Background): Promise<unknown> {
  const { stdout, stderr } = await process.exited;
  const [, line] = stdout.split("\n");
  if (line === undefined || line === "") throw new Error(`${process.command}: ${stderr}`);
  return JSON.parse(line);
}

async function run(
  network: Network,
  race: Race,
  kind: Kind,
  cell: FamilyAddresses,
  tries: readonly string[],
): Promise<{ taken: Taken; answered: Record<string, number> }> {
  const port = String(race.port);
  const mine = ["take", "bind", kind, cell.daemon, port, "owner", "0"];
  const daemon = await start(network, owner, mine);
  const client = network.client.startPython("race.py", ["dial", kind, cell.public, port, "owner"]);
  const procs: string[] = [];
  for (const folder of race.moves ?? []) {
    const path = `${await makeCgroup(folder)}/cgroup.procs`;
    chownSync(path, (race.as ?? stranger).uid ?? 0, 0);
    procs.push(path);
  }
  const his = ["take", race.way, kind, cell[race.at], port, "stranger", ...tries, ...procs];
  const taken = (await told(await start(network, race.as ?? stranger, his))) as Taken;
  client.closeInput();
  const answered = (await told(client)) as Record<string, number>;
  daemon.closeInput();
  await daemon.exited;
  return { taken, answered };
}

export function testRaces(kind: Kind, races: readonly Race[]): void {
  const network = useNetwork();
  const tries = sizes.raceTries;

  beforeAll(async () => {
    await network.server.must(["ip", "addr", "replace", "fd5e:ed00::10/128", "dev", "lo", "nodad"]);
  });

  afterEach(async () => {
    await network.server.must(["sysctl", "-qw", "net.ipv4.ip_local_port_range=32768 60999"]);
    await network.server.stopStarted();
  });

  afterAll(async () => {
    await removeCgroups();
  });

  for (const race of races) {
    if (race.kinds?.includes(kind) === false) continue;
    for (const family of families) {
      const cell = addressesOf[family];
      const won = race.leaves === undefined ? "not" : `at most ${race.leaves} in 1000`;
      test(`${race.title} is won while nobody owns the service, and ${won} in ${tries} tries when somebody does, ${kind} over ${cell.label}`, async () => {
        const { server } = network;
        if (race.way === "late") {
          const range = `net.ipv4.ip_local_port_range=${EPHEMERAL} ${EPHEMERAL}`;
          await server.must(["sysctl", "-qw", range]);
        }
        const existing = race.port === EPHEMERAL ? "any" : "exact";
        await server.apply(ownedRules(null, existing));
        const open = await run(network, race, kind, cell, [String(ENOUGH), "until-won"]);
        expect(open.taken.won).toBeGreaterThan(0);

        // Also what was known of whom the other has answered.
        await server.unload();
        await server.apply(ownedRules(race.owned ?? `user: ${owner.uid}`, existing));
        const { taken, answered } = await run(network, race, kind, cell, [String(tries)]);
        expect(taken.tries).toBe(tries);
        const most = ((race.leaves ?? 0) * tries) / 1000;
        expect(taken.won).toBeLessThanOrEqual(most);
        expect(answered["stranger"] ?? 0).toBeLessThanOrEqual(most);
      });
    }
  }
}
