/**
 * A server and a client, each in a network namespace of its own, joined by a veth pair. Addresses
 * are from the documentation ranges (RFC 5737, RFC 3849), so that they look public and are
 * nobody's.
 */
import { afterAll, beforeAll } from "vitest";
import { Client } from "./client.js";
import { must } from "./process.js";
import { Server } from "./server.js";

const serverAddresses = [
  "203.0.113.1/24",
  "203.0.113.5/24",
  "198.51.100.1/24",
  "2001:db8::1/64",
  "2001:db8::5/64",
  "2001:db8:1::1/64",
];
const clientAddresses = ["203.0.113.100/24", "2001:db8::100/64"];

export interface Network {
  readonly server: Server;
  readonly client: Client;
  destroy(): Promise<void>;
}

function configure(addresses: readonly string[]): string {
  return [
    ...addresses.map((address) =>
      // nodad: a tentative address cannot be bound yet.
      address.includes(":") ? `addr add ${address} dev up0 nodad` : `addr add ${address} dev up0`,
    ),
    "link set up0 up",
    "",
  ].join("\n");
}

/** Makes `up0` in both namespaces, the two ends of one cable. */
export type Cable = (server: Server, client: Client, name?: string) => Promise<void>;

export const vethCable: Cable = async (server, client, name = "up0") => {
  const pair = `link add ${name} netns ${server.name} type veth peer name ${name} netns ${client.name}`;
  await must(["ip", "-batch", "-"], { input: `${pair}\n` });
};

/** Without Ethernet headers. */
export const tunCable: Cable = async (server, client) => {
  const cable = server.startPython("tun.py", ["up0", server.path, client.path]);
  await cable.waitForOutput(/connected/);
};

/** A device on top of another: its packets pass two. */
export const vxlanCable: Cable = async (server, client) => {
  await vethCable(server, client, "under0");
  const ends = [
    [server.name, "192.0.2.1", "192.0.2.2"],
    [client.name, "192.0.2.2", "192.0.2.1"],
  ] as const;
  for (const [name, own, other] of ends) {
    const input = [
      `addr add ${own}/24 dev under0`,
      "link set under0 up",
      `link add up0 type vxlan id 7 dstport 4789 local ${own} remote ${other} dev under0`,
      "",
    ].join("\n");
    await must(["ip", "-n", name, "-batch", "-"], { input });
  }
};

export async function makeNetwork(cable: Cable = vethCable): Promise<Network> {
  const server = await Server.make();
  const client = await Client.make();
  await cable(server, client);
  await must(["ip", "-n", server.name, "-batch", "-"], { input: configure(serverAddresses) });
  await must(["ip", "-n", client.name, "-batch", "-"], { input: configure(clientAddresses) });
  await must(["ip", "-n", client.name, "route", "add", "default", "via", "203.0.113.1"]);
  await must(["ip", "-n", client.name, "-6", "route", "add", "default", "via", "2001:db8::1"]);
  return {
    server,
    client,
    destroy: async () => {
      await client.destroy();
      await server.destroy();
    },
  };
}

/**
 * A network for the suite that calls this, made before its first test and taken away after its
 * last.
 */
export function useNetwork(cable: Cable = vethCable): Network {
  let network: Network | null = null;
  const made = (): Network => {
    if (network === null) {
      throw new Error("the network is made in beforeAll: use it in hooks and tests only");
    }
    return network;
  };
  beforeAll(async () => {
    network = await makeNetwork(cable);
  });
  afterAll(async () => {
    await network?.destroy();
  });
  return {
    get server() {
      return made().server;
    },
    get client() {
      return made().client;
    },
    destroy: async () => await made().destroy(),
  };
}
