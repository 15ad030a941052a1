/**
 * The addresses on which a daemon of this network namespace could listen now: of interfaces that
 * are up, and whatever else the kernel takes. Read without native code and without privileges, for
 * `ilm check` and `ilm import`, which work without libbpf. What the data plane asks of addresses,
 * also of interfaces that are down, `addresses.ts` reads from netlink: whose they are, and where.
 */
import { networkInterfaces } from "node:os";
import { familyOf, parseAddress, type Address } from "../model/address.js";

/** An interface that is up and has addresses. */
export interface UpInterface {
  readonly name: string;
  readonly addresses: readonly UpAddress[];
}

export interface UpAddress {
  readonly address: Address;
  /** True when the address means something only on this interface (fe80::/10). */
  readonly isScoped: boolean;
}

/** Returns the interfaces that are up, with their addresses, as getifaddrs(3) reports them. */
export function upInterfaces(): UpInterface[] {
  return Object.entries(networkInterfaces()).map(([name, entries = []]) => ({
    name,
    addresses: entries.flatMap(({ address, scopeid = 0 }) => {
      const parsed = parseAddress(address);
      return parsed.ok ? [{ address: parsed.address, isScoped: scopeid !== 0 }] : [];
    }),
  }));
}

/** Returns the addresses of the interfaces that are up. */
export function upAddresses(): Set<Address> {
  const all = upInterfaces().flatMap(({ addresses }) => addresses);
  return new Set(all.map(({ address }) => address));
}

/** The network that an interface is in, by one of its addresses. */
export interface LinkedNetwork {
  readonly interfaceName: string;
  readonly address: Address;
  /** The length of the network's prefix, in bits. */
  readonly length: number;
}

/** Returns the networks of the interfaces that are up, but lo: others are in them. */
export function linkedNetworks(): LinkedNetwork[] {
  return Object.entries(networkInterfaces()).flatMap(([interfaceName, entries = []]) =>
    entries.flatMap(({ address, cidr, internal }) => {
      const parsed = parseAddress(address);
      if (internal || cidr === null || !parsed.ok) return [];
      const length = Number(cidr.slice(cidr.indexOf("/") + 1));
      return [{ interfaceName, address: parsed.address, length }];
    }),
  );
}

/** The most addresses to ask about: each takes a socket. */
const MAX_ASKED = 100;

/**
 * Returns those addresses that no daemon could bind now without IP_FREEBIND. Asks the kernel
 * itself, which knows of interfaces that are down, AnyIP routes and net.ipv4.ip_nonlocal_bind.
 * Sends nothing and needs no privileges.
 */
export async function findAbsent(
  wanted: Iterable<Address>,
  present: ReadonlySet<Address> = upAddresses(),
): Promise<Set<Address>> {
  const unknown = [...wanted].filter((address) => !present.has(address)).slice(0, MAX_ASKED);
  if (unknown.length === 0) return new Set();
  const { createSocket } = await import("node:dgram");
  const answers = await Promise.all(
    unknown.map(
      async (address) =>
        new Promise<boolean>((resolve) => {
          const socket = createSocket(familyOf(address) === 4 ? "udp4" : "udp6");
          const answer = (absent: boolean): void => {
            socket.close();
            resolve(absent);
          };
          socket.once("error", (error) => answer(isAbsence(error)));
          socket.bind({ address, port: 0, exclusive: true }, () => answer(false));
        }),
    ),
  );
  return new Set(unknown.filter((_, index) => answers[index]));
}

/** Reports whether the error means absence. Other errors say nothing about the address. */
function isAbsence(error: Error): boolean {
  const code = "code" in error ? error.code : null;
  return code === "EADDRNOTAVAIL" || code === "EAFNOSUPPORT";
}
