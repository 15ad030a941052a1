/** Which mapping a flow came by. Pure; from the rules in force, so null for a flow that an earlier mapping made. */
import { type Address, isUnspecified, prefixContains, prefixLength } from "../model/address.js";
import type { Flow } from "../model/flow.js";
import { type Destination, type Mapping, type Rules } from "../model/mapping.js";
import { allMappings } from "../model/mappings.js";
import { countPorts, portsContain } from "../model/ports.js";

/**
 * The most specific one that covers the client and what it dialled, and leads to that daemon: the longest `on`, then the
 * fewest ports. A flow does not tell its interface, so neither does this.
 */
export function mappingOfFlow(rules: Rules, flow: Flow): Mapping | null {
  const [found] = allMappings(rules)
    .filter((mapping) => covers(mapping, flow) && mapping.to.some((to) => leadsTo(to, flow)))
    .toSorted(
      (left, right) =>
        specificity(right, flow.dialled.address) - specificity(left, flow.dialled.address) ||
        countPorts(left.ports) - countPorts(right.ports),
    );
  return found ?? null;
}

function covers(mapping: Mapping, { client, dialled }: Flow): boolean {
  return (
    mapping.protocol === "udp" &&
    (mapping.from?.some((prefix) => prefixContains(prefix, client.address)) ?? true) &&
    portsContain(mapping.ports, dialled.port) &&
    (mapping.on.length === 0 || specificity(mapping, dialled.address) >= 0)
  );
}

/** Length of the longest prefix of `on` that holds the address; -1 when none does. */
function specificity(mapping: Mapping, address: Address): number {
  return Math.max(
    -1,
    ...mapping.on.filter((prefix) => prefixContains(prefix, address)).map(prefixLength),
  );
}

function leadsTo({ address, port }: Destination, { dialled, daemon }: Flow): boolean {
  const there = address === "*" ? isUnspecified(daemon.address) : address === daemon.address;
  return there && (port === "same" ? dialled.port : port) === daemon.port;
}
