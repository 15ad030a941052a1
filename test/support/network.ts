/**
 * A server and a client, each in a network namespace of its own, joined by a veth pair. Addresses are from the
 * documentation ranges (RFC 5737, RFC 3849), so that they look public and are nobody's.
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

export async function makeNetwork(): Promise<Network> {
  const server = await Server.make();
  const client = await Client.make();
  const pair = `link add up0 netns ${server.name} type veth peer name up0 netns ${client.name}`;
  await must(["ip", "-batch", "-"], { input: `${pair}\n` });
  await must(["ip", "-n", server.name, "-batch", "-"], { input: configure(serverAddresses) });
  await must(["ip", "-n", client.name, "-batch", "-"], { input: configure(clientAddresses) });
  // A refusal is a fact that the suites ask for often: the kernel's limits on ICMP errors would swallow some.
  for (const limit of ["ipv4/icmp_ratelimit", "ipv6/icmp/ratelimit"]) {
    await server.must(["sh", "-c", `echo 0 > /proc/sys/net/${limit}`]);
  }
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

/** A network for the suite that calls this, made before its first test and taken away after its last. */
export function useNetwork(): Network {
  let network: Network | null = null;
  const made = (): Network => {
    if (network === null) {
      throw new Error("the network is made in beforeAll: use it in hooks and tests only");
    }
    return network;
  };
  beforeAll(async () => {
    network = await makeNetwork();
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
