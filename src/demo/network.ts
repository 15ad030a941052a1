/**
 * Builds the demo's network: two namespaces of its own joined by a veth pair. All addresses are
 * from the ranges reserved for documentation, so that the output reads like a server on the
 * Internet.
 */
import { randomBytes } from "node:crypto";

import { ip } from "./commands.js";

export const publicAddresses = {
  client4: "198.51.100.7",
  client6: "2001:db8:c::7",
  server4: "203.0.113.1",
  secondServer4: "203.0.113.2",
  shop4: "203.0.113.3",
  blog4: "203.0.113.4",
  server6: "2001:db8::1",
  shop6: "2001:db8::3",
  blog6: "2001:db8::4",
} as const;

export interface DemoNetwork {
  /** The name of the server's namespace, for `ip netns`. */
  readonly server: string;
  /** The name of the client's namespace, for `ip netns`. */
  readonly client: string;
  /** The path of the server's namespace, for `nsenter --net=` and `ilm --netns`. */
  readonly serverPath: string;
  /** The path of the client's namespace, for `nsenter --net=` and `ilm --netns`. */
  readonly clientPath: string;
}

const namePattern = /^ilm-demo-(\d+)-(server|client)$/;

export function networkOf(pid: number): DemoNetwork {
  const server = `ilm-demo-${pid}-server`;
  const client = `ilm-demo-${pid}-client`;
  return {
    server,
    client,
    serverPath: `/run/netns/${server}`,
    clientPath: `/run/netns/${client}`,
  };
}

/**
 * Creates the namespaces, the veth pair, addresses and routes. The pair is created inside the
 * server's namespace, so neither end is ever in the host's.
 */
export async function createNetwork(network: DemoNetwork): Promise<void> {
  const { server, client } = network;
  const { client4, client6, ...servers } = publicAddresses;
  // The other end arrives in the client's namespace under its own name; a random one collides with
  // nothing.
  const far = `far${randomBytes(4).toString("hex")}`;
  await ip("netns", "add", server);
  await ip("netns", "add", client);
  await ip(
    "-n",
    server,
    "link",
    "add",
    "eth0",
    "type",
    "veth",
    "peer",
    "name",
    far,
    "netns",
    client,
  );
  await ip("-n", client, "link", "set", far, "name", "eth0");
  for (const namespace of [server, client]) {
    await ip("-n", namespace, "link", "set", "lo", "up");
    await ip("-n", namespace, "link", "set", "eth0", "up");
  }
  // Without duplicate address detection an IPv6 address works at once instead of a second later.
  for (const address of Object.values(servers)) {
    const [length, ...flags] = address.includes(":") ? [64, "nodad"] : [24];
    await ip("-n", server, "address", "add", `${address}/${length}`, "dev", "eth0", ...flags);
  }
  await ip("-n", client, "address", "add", `${client4}/24`, "dev", "eth0");
  await ip("-n", client, "address", "add", `${client6}/64`, "dev", "eth0", "nodad");
  await ip("-n", server, "route", "add", "198.51.100.0/24", "dev", "eth0");
  await ip("-n", client, "route", "add", "203.0.113.0/24", "dev", "eth0");
  await ip("-n", server, "route", "add", "2001:db8:c::/64", "dev", "eth0");
  await ip("-n", client, "route", "add", "2001:db8::/64", "dev", "eth0");
}

async function demoNamespaces(): Promise<{ readonly name: string; readonly pid: number }[]> {
  const listing = await ip("netns", "list");
  return listing.split("\n").flatMap((line) => {
    const match = namePattern.exec(line.split(" ")[0] ?? "");
    return match === null ? [] : [{ name: match[0], pid: Number(match[1]) }];
  });
}

export async function removeNetwork(network: DemoNetwork): Promise<void> {
  for (const { name } of await demoNamespaces()) {
    if (name === network.server || name === network.client) await ip("netns", "delete", name);
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return !(error instanceof Error && "code" in error && error.code === "ESRCH");
  }
}

/** Returns the networks of demos that were killed before they could clean up. */
export async function abandonedNetworks(): Promise<DemoNetwork[]> {
  const dead = new Set(
    (await demoNamespaces()).map(({ pid }) => pid).filter((pid) => !isAlive(pid)),
  );
  return [...dead].map(networkOf);
}
