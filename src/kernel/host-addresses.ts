/** The addresses of this network namespace. */
import { networkInterfaces } from "node:os";
import { familyOf, parseAddress, type Address } from "../model/address.js";

/** Returns the addresses of interfaces that are up, as getifaddrs(3) reports them. */
export function hostAddresses(): Set<Address> {
  const addresses = new Set<Address>();
  for (const entries of Object.values(networkInterfaces())) {
    for (const entry of entries ?? []) {
      const parsed = parseAddress(entry.address);
      if (parsed.ok) addresses.add(parsed.address);
    }
  }
  return addresses;
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
  present: ReadonlySet<Address> = hostAddresses(),
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
