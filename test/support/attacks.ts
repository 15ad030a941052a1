/**
 * How somebody without the right to gets himself a socket where a service's clients are looked for.
 * Each attack is first seen to succeed where nobody owns the service.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { type Actor, owner, stranger } from "./actor.js";
import { removeCgroups } from "./cgroup.js";
import { type Kind, Lab, type OpenOptions, protocolOf, stopLabs } from "./lab.js";
import { addressesOf, families, type Family, type FamilyAddresses } from "./matrix.js";
import { type Network, useNetwork } from "./network.js";

/**
 * A port that the kernel gives to nobody by itself, and one that it may. Attacks that are tried
 * side by side have those that follow.
 */
export const FIXED = 6000;
export const EPHEMERAL = 40_000;
const OWNER = "owner";
const STRANGER = "stranger";

export interface Ground {
  readonly network: Network;
  readonly kind: Kind;
  readonly cell: FamilyAddresses;
  /** This attack's alone. */
  readonly port: number;
  /** What its socket is called in a lab. */
  readonly name: string;
  /** Where the owner's sockets are. */
  readonly rival: Lab;
  /** A process of the attacker's that can be spoilt: it ends with the attack. */
  readonly fresh: () => Promise<Lab>;
}

export interface Attack {
  readonly title: string;
  /** FIXED, EPHEMERAL. */
  readonly ports: readonly number[];
  readonly kinds?: readonly Kind[];
  readonly families?: readonly Family[];
  /** Who attacks; default: another user in another unit. */
  readonly as?: Actor;
  /** What the service says of its owner; default: his user. */
  readonly owned?: string;
  /** The first half; null, or why it is refused. */
  readonly prepare: (lab: Lab, ground: Ground) => Promise<string | null>;
  /** What follows when the rules are active, if the attack has two halves. */
  readonly strike?: (lab: Lab, ground: Ground) => Promise<void>;
}

/** Opens the stranger's socket; null, or the errno. */
export async function openAt(
  lab: Lab,
  { kind, port, name }: Pick<Ground, "kind" | "port" | "name">,
  address: string,
  options: OpenOptions = {},
): Promise<string | null> {
  // The remains of a connection would keep its port from who does not choose it.
  const own = { name, tag: STRANGER, kind, address, port, closes: "last" };
  const { done, errno } = await lab.ask({ do: "open", ...own, ...options });
  return done ? null : (errno ?? "refused");
}

/** Which ports the kernel gives by itself, and which of those it does not. */
async function givePorts({ server }: Network, range: string, reserved: string): Promise<void> {
  const script =
    'cd /proc/sys/net/ipv4; echo "$0" > ip_local_port_range; echo "$1" > ip_local_reserved_ports';
  await server.must(["sh", "-ec", script, range, reserved]);
}

/**
 * Keeps the ports of attacks from who dials: the remains of a connection that the server itself
 * made from one of them would keep it from who binds to it.
 */
async function reservePorts(network: Network): Promise<void> {
  await givePorts(network, "32768 60999", `${EPHEMERAL}-${EPHEMERAL + MOST_PORTS}`);
}
const MOST_PORTS = 999;

/** While that goes on, the mapped port is the only one that the kernel gives by itself. */
export async function withOnlyPort<Value>(
  { network, port }: Pick<Ground, "network" | "port">,
  act: () => Promise<Value>,
): Promise<Value> {
  await givePorts(network, `${port} ${port}`, "");
  try {
    return await act();
  } finally {
    await reservePorts(network);
  }
}

/** What UDP needs to get a port: something sent to nobody. */
export async function sendSomething(lab: Lab, { cell, name }: Ground): Promise<void> {
  await lab.do("send", name, { address: cell.client, port: 9 });
}

export function ownedRules(
  owned: string | null,
  existing: string,
  ports: readonly number[] = [FIXED, EPHEMERAL],
): string {
  return `
version: 1
strangers: ${owned === null ? "allow" : "refuse"}
services:
  app: { address: [127.0.1.10, "fd5e:ed00::10"]${owned === null ? "" : `, ${owned}`} }
mappings:
  - { protocol: [tcp, udp], port: [${ports.join()}], to: app, existing: ${existing} }
`;
}

/** The tags of who answers at each way that leads to the service. */
async function answers({ network, kind, cell, port }: Ground): Promise<readonly string[]> {
  const { server, client } = network;
  const protocol = protocolOf(kind);
  const closes = "first";
  return [
    await client.who(protocol, cell.public, port, { closes }),
    ...(kind === "udp"
      ? []
      : [await client.who(protocol, cell.public, port, { closes, mptcp: true })]),
    await server.who(protocol, cell.public, port, { closes }),
    await server.who(protocol, cell.loopback, port, { closes }),
    await server.who(protocol, cell.daemon, port, { closes }),
  ];
}

/** An attack at a place of its own, and what came of it. */
class Trial {
  readonly #attack: Attack;
  readonly #spoilt: Lab[] = [];
  #failure: Error | null = null;
  #parties: { readonly lab: Lab; readonly ground: Ground } | null = null;
  readonly title: string;
  readonly place: Pick<Ground, "network" | "kind" | "cell" | "port" | "name">;

  constructor(attack: Attack, place: Omit<Trial["place"], "name">) {
    const { kind, cell, port } = place;
    this.#attack = attack;
    this.title = `${attack.title} gets nothing that is for the service`;
    this.place = { ...place, name: `${STRANGER} ${kind} ${cell.family} ${port}` };
  }

  /** Who meets there. */
  async invite(labOf: (as: Actor) => Promise<Lab>): Promise<void> {
    const as = this.#attack.as ?? stranger;
    const fresh = async (): Promise<Lab> => {
      const started = await Lab.start(this.place.network.server, as);
      this.#spoilt.push(started);
      return started;
    };
    const rival = await labOf(owner);
    this.#parties = { lab: await labOf(as), ground: { ...this.place, rival, fresh } };
  }

  get #present(): { readonly lab: Lab; readonly ground: Ground } {
    if (this.#parties === null) throw new Error("nobody was invited");
    return this.#parties;
  }

  /** Does a part of it, unless one before has failed: its test tells what. */
  async part(act: (trial: this) => Promise<void>): Promise<void> {
    if (this.#failure !== null) return;
    try {
      await act(this);
    } catch (error) {
      this.#failure = error instanceof Error ? error : new Error(String(error));
    }
  }

  judge(): void {
    if (this.#failure !== null) throw this.#failure;
  }

  async begin(): Promise<string | null> {
    const { lab, ground } = this.#present;
    return await this.#attack.prepare(lab, ground);
  }

  async strike(): Promise<void> {
    const { lab, ground } = this.#present;
    await this.#attack.strike?.(lab, ground);
  }

  async answers(): Promise<readonly string[]> {
    return await answers(this.#present.ground);
  }

  /** The owner opens his socket. */
  async oppose(): Promise<{ readonly done: boolean; readonly errno?: string }> {
    const { rival, kind, cell, port } = this.#present.ground;
    const open = { do: "open", name: OWNER, kind, address: cell.daemon, port, closes: "last" };
    return await rival.ask(open);
  }

  /** Closes all sockets of those who met, also those of other attacks. */
  async end(): Promise<void> {
    const { lab, ground } = this.#present;
    for (const other of this.#spoilt.splice(0)) await other.stop();
    await lab.do("close_all", "");
    await ground.rival.do("close_all", "");
  }
}

/**
 * Tries attacks side by side, each at a port of its own: what takes long is to load the programs
 * anew, for those sockets that were there before.
 */
async function attackAll(
  { server }: Network,
  trials: readonly Trial[],
  owned: string,
  existing: string,
): Promise<void> {
  const ports = trials.map(({ place }) => place.port);
  const guarded = ownedRules(owned, existing, ports);
  const each = async (act: (trial: Trial) => Promise<void>): Promise<void> => {
    for (const trial of trials) await trial.part(act);
  };
  const endAll = async (): Promise<void> => {
    for (const trial of trials) await trial.end();
  };

  // The attack is one.
  await server.apply(ownedRules(null, existing, ports));
  await each(async (trial) => {
    expect(await trial.begin()).toBeNull();
    await trial.strike();
    expect(await trial.answers()).toContain(STRANGER);
  });

  // The service gets an owner while the socket lives.
  await server.apply(guarded);
  await each(async (trial) => {
    expect(await trial.answers(), "an owner is named while it lives").not.toContain(STRANGER);
  });
  await endAll();

  // It was there before everything.
  await server.unload();
  await each(async (trial) => {
    expect(await trial.begin()).toBeNull();
  });
  await server.apply(guarded);
  await each(async (trial) => {
    await trial.strike();
    expect(await trial.answers(), "it was there before").not.toContain(STRANGER);
  });
  await endAll();

  // It comes when the rules are active.
  await each(async (trial) => {
    const stands = (await trial.begin()) === null;
    if (stands) await trial.strike();
    expect(await trial.answers(), "it comes later").not.toContain(STRANGER);

    // So does the owner, unless his address and port are taken: that gives the other nothing.
    const { done, errno } = await trial.oppose();
    const found = await trial.answers();
    expect(found, "the owner comes, too").not.toContain(STRANGER);
    if (done) expect(found).toContain(OWNER);
    else expect([errno, stands]).toEqual(["EADDRINUSE", true]);
    await trial.end();
  });
  await endAll();
}

/** Labs of several actors, each started when it is first asked for, for the tests of a file. */
export function useLabs(network: Network): (as: Actor) => Promise<Lab> {
  const labs = new Map<string, Lab>();

  afterEach(async () => {
    for (const lab of labs.values()) if (lab.process.running) await lab.do("close_all", "");
  });

  afterAll(async () => {
    await stopLabs();
    await removeCgroups();
  });

  return async (as) => {
    const key = JSON.stringify(as);
    const known = labs.get(key);
    if (known?.process.running === true) return known;
    const lab = await Lab.start(network.server, as);
    labs.set(key, lab);
    return lab;
  };
}

/** The tests of these attacks, by one kind of socket. */
export function testAttacks(kind: Kind, attacks: readonly Attack[]): void {
  const network = useNetwork();
  const labOf = useLabs(network);

  beforeAll(async () => {
    await reservePorts(network);
    // It can be bound before the rules put it there.
    await network.server.must(["ip", "addr", "replace", "fd5e:ed00::10/128", "dev", "lo", "nodad"]);
  });

  for (const first of [FIXED, EPHEMERAL]) {
    for (const [owned, group] of byOwner(attacks, kind, first)) {
      const trials = group
        .flatMap((attack) => (attack.families ?? families).map((family) => ({ attack, family })))
        .map(
          ({ attack, family }, i) =>
            new Trial(attack, { network, kind, cell: addressesOf[family], port: first + i }),
        );
      describe(`of a service with ${owned}`, () => {
        beforeAll(async () => {
          for (const trial of trials) await trial.invite(labOf);
          await attackAll(network, trials, owned, first === EPHEMERAL ? "any" : "exact");
        });

        for (const trial of trials) {
          const { cell, port } = trial.place;
          test(`${trial.title}: ${kind} over ${cell.label}, port ${port}`, () => {
            trial.judge();
          });
        }
      });
    }
  }
}

/** The attacks by such sockets at such ports, by what the service says of its owner. */
function byOwner(
  attacks: readonly Attack[],
  kind: Kind,
  port: number,
): ReadonlyMap<string, readonly Attack[]> {
  const possible = attacks.filter(
    ({ kinds, ports }) => kinds?.includes(kind) !== false && ports.includes(port),
  );
  const found = new Map<string, Attack[]>();
  for (const attack of possible) {
    const owned = attack.owned ?? `user: ${owner.uid}`;
    found.set(owned, [...(found.get(owned) ?? []), attack]);
  }
  return found;
}
