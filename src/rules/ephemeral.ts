/**
 * UDP mappings that cover ephemeral ports (net.ipv4.ip_local_port_range), from which the kernel
 * picks one for a socket that asks for none. An unconnected client on the host itself that has
 * such a port still gets the answers of those it sent to (bpf/flow.h, was_asked), but loses to the
 * mapping what others send it. That takes a mapping of many ports: one of a few is rarely hit. But
 * a stranger may open sockets until it has a port, and then gets what is the mapping's from those
 * it wrote to first: one port is enough for that.
 */
import type { Problem } from "../errors.js";
import type { PortRange } from "../model/mapping.js";
import { type Mappings, toLazy } from "../model/mappings.js";
import { countPorts, formatPorts, sharedPorts } from "../model/ports.js";

export interface EphemeralPorts {
  readonly range: PortRange;
  /**
   * Ports never given to a socket that asks for none (net.ipv4.ip_local_reserved_ports); merged.
   */
  readonly reserved: readonly PortRange[];
}

/** The share of ephemeral ports that clients are given by chance often enough to warn. */
const OFTEN = 0.01;

/** Returns how many of the ports may be given to a socket that asks for none. */
function given(ports: readonly PortRange[], { range, reserved }: EphemeralPorts): number {
  const inside = sharedPorts(ports, [range]);
  return countPorts(inside) - countPorts(sharedPorts(inside, reserved));
}

/**
 * Returns warnings of mappings that cover many ephemeral ports, or any at all. Mappings that leave
 * a wildcard socket what it has (`existing: any`) take no answers away.
 */
export function warnOfEphemeralPorts(
  mappings: Mappings,
  host: EphemeralPorts,
  from: "many" | "any" = "many",
): Problem[] {
  const all = given([host.range], host);
  const problems: Problem[] = [];
  const lists = toLazy(mappings);
  for (let index = 0; index < lists.length; index++) {
    const mapping = lists.protocolAt(index) === "udp" ? lists.at(index) : undefined;
    if (mapping === undefined || mapping.existing === "any") continue;
    const covered = given(mapping.ports, host);
    if (covered === 0 || (from === "many" && covered < all * OFTEN)) continue;
    const inside = sharedPorts(mapping.ports, [host.range]);
    problems.push({
      severity: "warning",
      ...mapping.origin,
      path: `mapping ${mapping.name}`,
      message:
        `covers ${covered} of the ${all} ports that this host gives to UDP sockets which ask for none: ` +
        "a client of the host's own that has one of them, and is not connected, loses to the mapping what arrives from an address that it did not send to; and any user's socket that gets one also gets what comes there from a client that it wrote to first",
      hint: `keep those ports from such clients (sysctl net.ipv4.ip_local_reserved_ports=${formatPorts(inside)}), or set existing: any`,
    });
  }
  return problems;
}
