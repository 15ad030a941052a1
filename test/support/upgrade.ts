/**
 * What the state of an older release serves and holds, to be compared with what is there when
 * another has taken it over.
 */
import { expect } from "vitest";
import type { Client } from "./client.js";
import { type KernelObjects, objectsOf, pinnedPaths, stillThere } from "./kernel-state.js";
import { addressesOf, families, type Family, type Protocol, protocols } from "./matrix.js";
import type { Network } from "./network.js";
import { keptMovedLate } from "./one-app.js";
import { eventually } from "./process.js";
import type { Release } from "./releases.js";
import type { Server } from "./server.js";
import type { MappingRow } from "./shapes.js";
import { type Received, type Refusal, UdpEnds, type UdpSocket } from "./udp.js";

/** What every release can read; a changed one has a mapping more. */
export const configurations = {
  first: keptMovedLate,
  changed: `${keptMovedLate}  - { name: new, protocol: tcp, port: 6300, to: "app:6000" }\n`,
};

const serviceAddresses = ["127.0.1.10", "fd5e:ed00::10"];

/** Mappings that are added at run time. */
export const runTimeMappings = ["tcp:7000=127.0.1.10:6000", "udp:7001=[fd5e:ed00::10]:6000"];

type Dialled = readonly [Protocol, Family, number];

const ofFile: readonly Dialled[] = families.flatMap((family): readonly Dialled[] => [
  ["tcp", family, 6000],
  ["udp", family, 6000],
  ["udp", family, 6100],
]);
const ofRunTime: readonly Dialled[] = [
  ["tcp", 4, 7000],
  ["udp", 6, 7001],
];

/** One of each protocol and family: of the file only, or also of run time. */
const loads: Readonly<Record<"file" | "all", readonly Dialled[]>> = {
  file: [
    ["tcp", 4, 6000],
    ["tcp", 6, 6000],
    ["udp", 4, 6100],
    ["udp", 6, 6100],
  ],
  all: [["tcp", 6, 6000], ["udp", 4, 6100], ...ofRunTime],
};

/** Starts what the mappings lead to. The addresses may come later. */
export async function startDaemons(server: Server): Promise<void> {
  await server.must(["sh", "-c", "echo 1 > /proc/sys/net/ipv6/ip_nonlocal_bind"]);
  await server.echo(
    "app",
    families.flatMap((family) =>
      protocols.map((protocol) => [protocol, addressesOf[family].daemon, 6000] as const),
    ),
  );
}

async function expectServed({ client }: Network, dialled: readonly Dialled[]): Promise<void> {
  for (const [protocol, family, port] of dialled) {
    const { label, public: address } = addressesOf[family];
    const who = await client.who(protocol, address, port);
    expect(who, `${protocol} port ${port} over ${label}`).toBe("app");
  }
}

/** Does something while clients dial what is mapped; no dial may fail. */
export async function underLoad(
  client: Client,
  dialled: keyof typeof loads,
  action: () => Promise<unknown>,
): Promise<void> {
  const started = await Promise.all(
    loads[dialled].map(async ([protocol, family, port]) => {
      // Paused a little: what is tested is the change, not who gets the machine's two cores.
      const load = await client.load(protocol, addressesOf[family].public, port, 10);
      return { load, what: `${protocol} port ${port} over ${addressesOf[family].label}` };
    }),
  );
  const stopAll = async (): Promise<readonly object[]> =>
    await Promise.all(
      started.map(async ({ load, what }) => {
        const { failed, answered } = await load.stop();
        return { what, failed, by: Object.keys(answered) };
      }),
    );
  try {
    await action();
  } catch (error) {
    await stopAll();
    throw error;
  }
  expect(await stopAll()).toEqual(started.map(({ what }) => ({ what, failed: {}, by: ["app"] })));
}

/** A client that has dialled a daemon which answers late. */
interface Flow {
  readonly family: Family;
  readonly daemon: UdpSocket;
  readonly client: UdpSocket;
  /** The client, as the daemon sees it. */
  readonly peer: Received["from"];
}

/**
 * Daemons that answer UDP late, and their clients; their processes stay for all tests of a file.
 */
export class LateDaemons {
  readonly #server: UdpEnds;
  readonly #client: UdpEnds;

  constructor({ server, client }: Network) {
    this.#server = new UdpEnds(server);
    this.#client = new UdpEnds(client);
  }

  /** A daemon of each family has a datagram of a client, and does not answer yet. */
  async dial(): Promise<readonly Flow[]> {
    const flows: Flow[] = [];
    for (const family of families) {
      const { daemon: address, public: dialled } = addressesOf[family];
      const daemon = await this.#server.open(family, { bind: [address, 6001] });
      const client = await this.#client.open(family);
      await client.send([dialled, 6200], 10);
      const { from } = await daemon.receive();
      flows.push({ family, daemon, client, peer: from });
    }
    return flows;
  }

  async closeAll(): Promise<void> {
    await this.#server.closeAll();
    await this.#client.closeAll();
  }
}

/** The daemon answers from what was dialled, and they go on. */
async function expectGoesOn({ family, daemon, client, peer }: Flow): Promise<void> {
  const { label, public: address } = addressesOf[family];
  const dialled = { address, port: 6200 };
  const answer = async (): Promise<Received | Refusal> => {
    await daemon.send(peer, 20);
    return await client.tryReceive(10);
  };
  expect(await answer(), `the late answer over ${label}`).toMatchObject({ from: dialled });
  await client.send(dialled, 10);
  const next = await daemon.tryReceive(10);
  expect(next, `the client's next over ${label}`).toMatchObject({ from: peer });
  expect(await answer(), `the answer to it over ${label}`).toMatchObject({ from: dialled });
}

interface Row extends MappingRow {
  readonly runtime: boolean;
}

interface Differences {
  /** Names of mappings that were removed. */
  readonly removed?: readonly string[];
  /** Names of those that came. */
  readonly more?: readonly string[];
}

/** The state of a release as it was. */
export interface OldState {
  readonly network: Network;
  readonly objects: KernelObjects;
  /** The folders that hold its pins. */
  readonly folders: readonly string[];
  /** The addresses of services on `lo`. */
  readonly addresses: readonly string[];
  readonly rows: readonly Row[];
  readonly flows: readonly Flow[];
}

/** What is in the kernel, and nothing else. */
export async function kernelState(network: Network): Promise<OldState> {
  const { inode } = network.server;
  const objects = await objectsOf(inode);
  return { network, objects, folders: foldersOf(inode), addresses: [], rows: [], flows: [] };
}

/**
 * The release adds mappings to what it has applied, all are dialled, so that they have counters,
 * and clients wait for answers.
 */
export async function fillState(
  network: Network,
  release: Release,
  late: LateDaemons,
): Promise<OldState> {
  const { server } = network;
  await release.done(server, ["add", ...runTimeMappings]);
  await expectServed(network, [...ofFile, ...ofRunTime]);
  const flows = await late.dial();
  const [shown, state, addresses] = await Promise.all([
    release.done(server, ["mappings", "--json"]),
    kernelState(network),
    server.loopbackAddresses(),
  ]);
  const rows = JSON.parse(shown) as readonly Row[];
  const used = rows.filter(({ counters }) => counters.selected + counters.existing > 0);
  expect(used.length, "mappings that were dialled").toBe(4 + runTimeMappings.length);
  return { ...state, addresses, rows, flows };
}

/** What it had is shown as it was, and no counter went back. */
export async function expectShown(
  { network, rows }: OldState,
  { removed = [], more = [] }: Differences = {},
): Promise<void> {
  const now = (await network.server.mappings()) as readonly Row[];
  const wanted = rows.filter(({ name }) => !removed.includes(name));
  const kept = now.filter(({ name }) => !more.includes(name));
  expect(kept.map(shape)).toEqual(wanted.map(shape));
  expect(now.length - kept.length, "new mappings").toBe(more.length);
  for (const [index, { name, counters }] of wanted.entries()) {
    for (const key of ["existing", "selected", "missed", "errors"] as const) {
      const count = kept[index]?.counters[key];
      expect(count, `${key} of ${name}`).toBeGreaterThanOrEqual(counters[key]);
    }
  }
}

/**
 * And it serves: its addresses are there, the daemons' late answers arrive, and all that is mapped
 * can be dialled.
 */
export async function expectKept(state: OldState, differences: Differences = {}): Promise<void> {
  const { network } = state;
  await expectShown(state, differences);
  const addresses = await network.server.loopbackAddresses();
  // Formats 4 and 5 put none of 127.0.0.0/8 there.
  expect(addresses.toSorted()).toEqual(serviceAddresses);
  expect(addresses).toEqual(expect.arrayContaining([...state.addresses]));
  for (const flow of state.flows) await expectGoesOn(flow);
  await expectServed(network, [...ofFile, ...(differences.removed === undefined ? ofRunTime : [])]);
}

/**
 * Nothing of it is pinned, attached or loaded any more, but for what its successor goes on with:
 * the link of sk_lookup, and the maps of what clients dialled.
 */
export async function expectGone({ network, objects, folders }: OldState): Promise<void> {
  const { inode } = network.server;
  expect(foldersOf(inode).filter((name) => folders.includes(name))).toEqual([]);
  const now = await objectsOf(inode);
  expect(objects.link.filter((id) => now.link.includes(id)).length).toBeLessThanOrEqual(1);
  expect(objects.map.filter((id) => now.map.includes(id)).length).toBeLessThanOrEqual(4);
  let left = "";
  // The kernel frees what is unused a moment later.
  const look = async (): Promise<true | null> => {
    const still = await stillThere(objects);
    const links = still.link.filter((id) => !now.link.includes(id));
    const maps = still.map.filter((id) => !now.map.includes(id));
    left = JSON.stringify({ programs: still.prog, links, maps });
    return still.prog.length + links.length + maps.length === 0 ? true : null;
  };
  try {
    await eventually("nothing of the older state is in the kernel", look, 10_000);
  } catch (error) {
    throw new Error(`of the older state there are still ${left}`, { cause: error });
  }
}

/** The folders of a namespace's pins: of its registries, generations and program sets. */
export function foldersOf(inode: number): readonly string[] {
  const names = pinnedPaths(inode).map((path) => path.split("/")[1] ?? "");
  return [...new Set(names.filter((name) => /-\d+$/.test(name)))];
}

/** What a mapping says, in words that all releases have. */
function shape({ name, protocol, port, runtime, to }: Row): object {
  return {
    name,
    protocol,
    port,
    runtime,
    to: to.map((destination) => ({ address: destination.address, port: destination.port })),
  };
}
