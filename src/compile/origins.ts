/**
 * Where a service's own datagrams leave from, if it asks for that: the one address and port that
 * lead to it. Then whoever calls back reaches it, and a service on 127.0.0.0/8 can send at all.
 */
import {
  type Address,
  type Family,
  type Prefix,
  familyOf,
  prefixAddress,
  prefixLength,
} from "../model/address.js";
import { candidates } from "../rules/candidates.js";
import { type Mapping, type Service, isConditional } from "../model/mapping.js";
import { type Rules, allMappings } from "../model/rules.js";
import { countPorts } from "../model/ports.js";
import type { Endpoint } from "./tables.js";

export interface Origin {
  readonly address: Address;
  /** The port in host byte order. */
  readonly port: number;
}

export interface Origins {
  of(endpoint: Endpoint): Origin | undefined;
  readonly refused: readonly { readonly service: Service; readonly message: string }[];
}

const none: Origins = { of: () => undefined, refused: [] };

function keyOf(address: Address, port: number): string {
  return `${address} ${port}`;
}

/**
 * Returns what a client of that family dials to come by this mapping, or null when there is more
 * than one such address or port, or not every client may.
 */
function dialledOf(mapping: Mapping, family: Family): Origin | null {
  const on = mapping.on.filter((prefix) => familyOf(prefix) === family);
  const [only] = on;
  if (only === undefined || on.length > 1 || isConditional(mapping)) return null;
  if (prefixLength(only) !== (family === 4 ? 32 : 128)) return null;
  if (countPorts(mapping.ports) !== 1) return null;
  return { address: prefixAddress(only), port: mapping.ports[0]?.first ?? 0 };
}

export function findOrigins(rules: Rules): Origins {
  const services = rules.file.services.filter(({ originate }) => originate === true);
  if (services.length === 0) return none;
  const owners = new Map(services.flatMap((one) => one.addresses.map((address) => [address, one])));
  const found = new Map<string, Origin>();
  const refused: { service: Service; message: string }[] = [];
  const served = new Set<Service>();
  for (const mapping of allMappings(rules)) {
    if (mapping.protocol !== "udp") continue;
    for (const family of [4, 6] as const) {
      const isOther = (prefix: Prefix): boolean => familyOf(prefix) !== family;
      if (mapping.on.length > 0 && mapping.on.every(isOther)) continue;
      for (const { address, port } of candidates(mapping, family)) {
        const service = owners.get(address);
        if (service === undefined || familyOf(address) !== family) continue;
        served.add(service);
        const dialled = dialledOf(mapping, family);
        if (dialled === null) {
          const message = `its datagrams should leave from the address and port that lead to it, and the mapping ${mapping.name} has more than one address or port, or does not cover all clients`;
          refused.push({ service, message });
          continue;
        }
        const key = keyOf(address, port === 0 ? dialled.port : port);
        const other = found.get(key);
        if (other === undefined) {
          found.set(key, dialled);
        } else if (other.address !== dialled.address || other.port !== dialled.port) {
          const message = `its datagrams should leave from the address and port that lead to it, and there are two: ${other.address} port ${other.port}, and ${dialled.address} port ${dialled.port}`;
          refused.push({ service, message });
        }
      }
    }
  }
  for (const service of services) {
    if (served.has(service)) continue;
    const message =
      "its datagrams should leave from the address and port that lead to it, and no UDP mapping leads to it";
    refused.push({ service, message });
  }
  return {
    of: ({ protocol, address, port }) =>
      protocol === "udp" ? found.get(keyOf(address, port)) : undefined,
    refused,
  };
}
