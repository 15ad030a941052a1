/** The addresses of this network namespace, as getifaddrs(3) has them of interfaces that are up. */
import { networkInterfaces } from "node:os";
import { parseAddress, type Address } from "../model/address.js";

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
