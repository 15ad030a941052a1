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

/** A port that the kernel gives to nobody by itself, and one that it may. */
export const FIXED = 6000;
export const EPHEMERAL = 40_000;
const OWNER = "owner";
const STRANGER = "stranger";

export interface Ground {
  readonly network: Network;
  readonly kind: Kind;
  readonly cell: FamilyAddresses;
  readonly port: number;
  /** Where the owner's sockets are. */
  readonly rival: Lab;
  /** A process of the attacker's that can be spoilt: it ends with the attack. */
  readonly fresh: () => Promise<Lab>;
}

export interface Attack {
  readonly title: string;
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
  { kind, port }: Pick<Ground, "kind" | "port">,
  address: string,
  options: OpenOptions = {},
): Promise<string | null> {
  // The remains of a connection would keep its port from who does not choose it.
  const request = { do: "open", name: STRANGER, kind, address, port, closes: "last", ...options };
  const { done, errno } = await lab.ask(request);
  return done ? null : (errno ?? "refused");
}

/** While that goes on, the mapped port is the only one that the kernel gives by itself. */
export async function withOnlyPort<Value>(
  { network, port }: Pick<Ground, "network" | "port">,
  act: () => Promise<Value>,
): Promise<Value> {
  const set = async (range: string): Promise<void> => {
    await network.server.must(["sysctl", "-qw", `net.ipv4.ip_local_port_range=${range}`]);
  };
  await set(`${port} ${port}`);
  try {
    return await act();
  } finally {
    await set("32768 60999");
  }
}

/** What UDP needs to get a port: something sent to nobody. */
export async function sendSomething(lab: Lab, { cell }: Ground): Promise<void> {
  await lab.do("send", STRANGER, { address: cell.client, port: 9 });
}

export function ownedRules(owned: string | null, existing: string): string {
  return `
version: 1
strangers: ${owned === null ? "allow" : "refuse"}
services:
  app: { address: [127.0.1.10, "fd5e:ed00::10"]${owned === null ? "" : `, ${owned}`} }
mappings:
  - { protocol: [tcp, udp], port: [${FIXED}, ${EPHEMERAL}], to: app, existing: ${existing} }
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

async function attackOnce(attack: Attack, lab: Lab, terms: Omit<Ground, "fresh">): Promise<void> {
  const { network, rival } = terms;
  const { server } = network;
  const spoilt: Lab[] = [];
  const fresh = async (): Promise<Lab> => {
    const started = await Lab.start(server, attack.as ?? stranger);
    spoilt.push(started);
    return started;
  };
  const ground: Ground = { ...terms, fresh };
  const end = async (): Promise<void> => {
    for (const other of spoilt.splice(0)) await other.stop();
    await lab.do("close_all", "");
    await rival.do("close_all", "");
  };
  const owned = attack.owned ?? `user: ${owner.uid}`;
  const { kind, cell, port } = ground;
  const existing = port === EPHEMERAL ? "any" : "exact";
  const guarded = ownedRules(owned, existing);
  const begin = async (): Promise<string | null> => await attack.prepare(lab, ground);
  const strike = async (): Promise<void> => await attack.strike?.(lab, ground);

  // The attack is one.
  await server.apply(ownedRules(null, existing));
  expect(await begin()).toBeNull();
  await strike();
  expect(await answers(ground)).toContain(STRANGER);

  // The service gets an owner while the socket lives.
  await server.apply(guarded);
  expect(await answers(ground), "an owner is named while it lives").not.toContain(STRANGER);
  await end();

  // It was there before everything.
  await server.unload();
  expect(await begin()).toBeNull();
  await server.apply(guarded);
  await strike();
  expect(await answers(ground), "it was there before").not.toContain(STRANGER);
  await end();

  // It comes when the rules are active.
  const stands = (await begin()) === null;
  if (stands) await strike();
  expect(await answers(ground), "it comes later").not.toContain(STRANGER);

  // So does the owner, unless his address and port are taken: that gives the other nothing.
  const open = { do: "open", name: OWNER, kind, address: cell.daemon, port, closes: "last" };
  const { done, errno } = await rival.ask(open);
  const found = await answers(ground);
  expect(found, "the owner comes, too").not.toContain(STRANGER);
  if (done) expect(found).toContain(OWNER);
  else expect([errno, stands]).toEqual(["EADDRINUSE", true]);
  await end();
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
    // It can be bound before the rules put it there.
    await network.server.must(["ip", "addr", "replace", "fd5e:ed00::10/128", "dev", "lo", "nodad"]);
  });

  for (const attack of attacks) {
    if (attack.kinds?.includes(kind) === false) continue;
    describe(`${attack.title} gets nothing that is for the service`, () => {
      for (const family of attack.families ?? families) {
        for (const port of attack.ports) {
          const cell = addressesOf[family];
          test(`${kind} over ${cell.label}, port ${port}`, async () => {
            const as = attack.as ?? stranger;
            const lab = await labOf(as);
            await attackOnce(attack, lab, { network, kind, cell, port, rival: await labOf(owner) });
          });
        }
      }
    });
  }
}
