/** The addresses of this network namespace. */
import { networkInterfaces } from "node:os";
import { familyOf, parseAddress, type Address } from "../model/address.js";

/** As getifaddrs(3) has them of interfaces that are up. */
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

/** More than this are not asked about: each takes a socket. */
const MAX_ASKED = 100;

/**
 * Those of the addresses that no daemon could bind now without IP_FREEBIND. The kernel itself is
 * asked, which knows of interfaces that are down, of AnyIP routes and of net.ipv4.ip_nonlocal_bind;
 * nothing is sent, and no privilege is needed.
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

/** Other errors say nothing of the address. */
function isAbsence(error: Error): boolean {
  const code = "code" in error ? error.code : null;
  return code === "EADDRNOTAVAIL" || code === "EAFNOSUPPORT";
}
