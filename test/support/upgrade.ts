/** What a state in the kernel serves and holds, to be the same after another release has taken it over. */
import { expect } from "vitest";
import type { Client, Load } from "./client.js";
import { type KernelObjects, objectsOf, pinnedPaths, stillThere } from "./kernel-state.js";
import { addressesOf, families, type Family, type Protocol, protocols } from "./matrix.js";
import type { Network } from "./network.js";
import { eventually } from "./process.js";
import type { Release } from "./releases.js";
import type { Server } from "./server.js";
import type { MappingRow } from "./shapes.js";
import { type Received, type Refusal, UdpEnds, type UdpSocket } from "./udp.js";

const file = `
version: 1
services:
  app: { address: [127.0.1.10, "fd5e:ed00::10"] }
mappings:
  - { name: kept, protocol: [tcp, udp], port: 6000, to: app }
  - { name: moved, protocol: udp, port: 6100, to: "app:6000" }
  - { name: late, protocol: udp, port: 6200, to: "app:6001" }
`;

/** The file as it is first, and with a mapping more. */
export const files = {
  first: file,
  changed: `${file}  - { name: new, protocol: tcp, port: 6300, to: "app:6000" }\n`,
};

/** Added at run time, to both families. */
export const added = ["tcp:7000=127.0.1.10:6000", "udp:7001=[fd5e:ed00::10]:6000"];

type Dialled = readonly [Protocol, Family, number];

/** What is dialled: of the file, and of what is added at run time. */
const ofFile: readonly Dialled[] = families.flatMap((family): readonly Dialled[] => [
  ["tcp", family, 6000],
  ["udp", family, 6000],
  ["udp", family, 6100],
]);
const ofRunTime: readonly Dialled[] = [
  ["tcp", 4, 7000],
  ["udp", 6, 7001],
];

/** One of each protocol and family. */
const loadsOfFile: readonly Dialled[] = [
  ["tcp", 6, 6000],
  ["udp", 4, 6100],
  ["tcp", 4, 6000],
  ["udp", 6, 6100],
];
const loadsOfAll: readonly Dialled[] = [...loadsOfFile.slice(0, 2), ...ofRunTime];

/** Starts what the mappings lead to. Its addresses need not be there yet. */
export async function startDaemons(server: Server): Promise<void> {
  await server.must(["sh", "-c", "echo 1 > /proc/sys/net/ipv6/ip_nonlocal_bind"]);
  await server.echo(
    "app",
    families.flatMap((family) =>
      protocols.map((protocol) => [protocol, addressesOf[family].daemon, 6000] as const),
    ),
  );
}

/** Dials all that is mapped; each must be answered. */
async function dialAll({ client }: Network, runTime: boolean): Promise<void> {
  for (const [protocol, family, port] of [...ofFile, ...(runTime ? ofRunTime : [])]) {
    const address = addressesOf[family].public;
    expect(await client.who(protocol, address, port), `${protocol} ${address} port ${port}`).toBe(
      "app",
    );
  }
}

/** Does something while clients dial, over TCP and UDP; none of them may fail. */
export async function underLoad(
  client: Client,
  action: () => Promise<unknown>,
  { runTime }: { readonly runTime: boolean },
): Promise<void> {
  const dialled = runTime ? loadsOfAll : loadsOfFile;
  const loads = await Promise.all(
    // Paused a little: what is tested is the change, not who gets the machine's two cores.
    dialled.map(
      async ([protocol, family, port]) =>
        await client.load(protocol, addressesOf[family].public, port, 10),
    ),
  );
  const stop = async (load: Load): Promise<Awaited<ReturnType<Load["stop"]>>> => await load.stop();
  let results: readonly Awaited<ReturnType<Load["stop"]>>[] = [];
  try {
    await action();
  } finally {
    results = await Promise.all(loads.map(stop));
  }
  for (const [index, { failed, answered }] of results.entries()) {
    const what = dialled[index]?.join(" ");
    expect(failed, what).toEqual({});
    expect(Object.keys(answered), what).toEqual(["app"]);
  }
}

interface Flow {
  readonly family: Family;
  readonly daemon: UdpSocket;
  readonly client: UdpSocket;
  /** As the daemon sees it. */
  readonly peer: Received["from"];
}

/** Daemons that answer UDP late, and their clients; they stay for all tests of a file. */
export class LateDaemons {
  readonly #server: UdpEnds;
  readonly #client: UdpEnds;

  constructor({ server, client }: Network) {
    this.#server = new UdpEnds(server);
    this.#client = new UdpEnds(client);
  }

  /** Of each family, a daemon that has a client's datagram. */
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

/** The daemon answers, and the client goes on with whom it dialled. */
async function expectGoesOn({ family, daemon, client, peer }: Flow): Promise<void> {
  const dialled = { address: addressesOf[family].public, port: 6200 };
  const answer = async (): Promise<Received | Refusal> => {
    await daemon.send(peer, 20);
    return await client.tryReceive(10);
  };
  expect(await answer(), "the late answer").toMatchObject({ from: dialled });
  await client.send(dialled, 10);
  expect(await daemon.tryReceive(10), "the client's next").toMatchObject({ from: peer });
  expect(await answer(), "the answer to it").toMatchObject({ from: dialled });
}

type Row = Pick<MappingRow, "name" | "protocol" | "port" | "counters"> & {
  readonly runtime: boolean;
  readonly to: readonly {
    readonly address: string;
    readonly port: unknown;
    readonly service: unknown;
  }[];
};

interface Differences {
  readonly removed?: readonly string[];
  readonly more?: readonly string[];
}

/** The state of a release, while it is in force and afterwards. */
export class OldState {
  readonly #network: Network;
  readonly #flows: readonly Flow[];
  readonly #rows: readonly Row[];
  readonly #addresses: readonly string[];
  readonly #objects: KernelObjects;
  readonly #folders: readonly string[];

  private constructor(
    network: Network,
    flows: readonly Flow[],
    rows: readonly Row[],
    objects: KernelObjects,
    addresses: readonly string[],
  ) {
    this.#network = network;
    this.#flows = flows;
    this.#rows = rows;
    this.#objects = objects;
    this.#addresses = addresses;
    this.#folders = foldersOf(network.server.inode);
  }

  /** The release adds mappings to what it has applied, and everything is dialled: counters are not 0, and clients wait for answers. */
  static async fill(network: Network, release: Release, late: LateDaemons): Promise<OldState> {
    const { server } = network;
    await release.done(server, ["add", ...added]);
    await dialAll(network, true);
    const flows = await late.dial();
    const rows = JSON.parse(await release.done(server, ["mappings", "--json"])) as readonly Row[];
    const counted = rows.filter(({ counters }) => counters.selected > 0 || counters.existing > 0);
    // All that were dialled.
    expect(counted.length, "mappings that were dialled").toBe(rows.length);
    expect(rows.length).toBe(4 + added.length);
    const objects = await objectsOf(server.inode);
    return new OldState(network, flows, rows, objects, await server.loopbackAddresses());
  }

  /** What it had is shown as it is, also its counters, but for mappings that were removed; `more`: names of those that came. */
  async expectShown({ removed = [], more = [] }: Differences = {}): Promise<void> {
    const now = (await this.#network.server.mappings()) as unknown as readonly Row[];
    const wanted = this.#rows.filter(({ name }) => !removed.includes(name));
    const kept = now.filter(({ name }) => !more.includes(name));
    expect(kept.map(shape).sort(byName)).toEqual(wanted.map(shape).sort(byName));
    expect(now.length - kept.length, "new mappings").toBe(more.length);
    for (const { name, protocol, counters } of wanted) {
      const after = now.find((row) => row.name === name && row.protocol === protocol)?.counters;
      for (const key of ["existing", "selected", "missed", "errors"] as const) {
        expect(after?.[key], `${key} of ${name}`).toBeGreaterThanOrEqual(counters[key]);
      }
    }
  }

  /** And it serves: its addresses are there, the daemons' late answers arrive, and all that is mapped can be dialled. */
  async expectKept(differences: Differences = {}): Promise<void> {
    await this.expectShown(differences);
    const addresses = await this.#network.server.loopbackAddresses();
    expect([...addresses].sort()).toEqual([...this.#addresses].sort());
    for (const flow of this.#flows) await expectGoesOn(flow);
    await dialAll(this.#network, differences.removed === undefined);
  }

  /** Nothing of it is pinned, attached or loaded. Only the link of sk_lookup may be handed over. */
  async expectGone({ link = true }: { readonly link?: boolean } = {}): Promise<void> {
    const { inode } = this.#network.server;
    expect(foldersOf(inode).filter((name) => this.#folders.includes(name))).toEqual([]);
    const handedOver = link ? (await objectsOf(inode)).link : [];
    // The kernel frees them a moment later.
    let left: KernelObjects | null = null;
    const gone = await eventually(
      "nothing of the old state is left",
      async () => {
        left = await stillThere(this.#objects);
        const links = left.link.filter((id) => !handedOver.includes(id));
        return left.prog.length + left.map.length + links.length === 0 ? true : null;
      },
      5_000,
    ).catch((error: unknown) => {
      throw new Error(`left: ${JSON.stringify(left)}`, { cause: error });
    });
    expect(gone).toBe(true);
    expect(handedOver.filter((id) => this.#objects.link.includes(id)).length).toBeLessThanOrEqual(
      1,
    );
  }
}

/** The folders of a namespace's pins: of registries, generations and program sets. */
export function foldersOf(inode: number): readonly string[] {
  return pinnedPaths(inode)
    .map((path) => path.split("/")[1] ?? "")
    .filter((name) => /-\d+$/.test(name))
    .filter((name, index, all) => all.indexOf(name) === index);
}

function shape({ name, protocol, port, runtime, to }: Row): { readonly name: string } {
  const destinations = to.map(({ address, port, service }) => ({ address, port, service }));
  return { name: `${name} ${protocol}`, ...{ port, runtime, to: destinations } };
}

function byName(one: { readonly name: string }, other: { readonly name: string }): number {
  return one.name < other.name ? -1 : 1;
}
