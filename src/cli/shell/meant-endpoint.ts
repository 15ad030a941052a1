/** Suggests the remedy for an address with a port that is written as in another program. */
import { parseDestination } from "../../config/destination.js";
import { formatTarget } from "../../config/target.js";
import { parseAddress } from "../../model/address.js";
import { formatEndpoint } from "../../model/endpoint.js";
import { parsePort } from "../../model/ports.js";

/**
 * Returns the hint that says what to write instead, or null when that is unknown. `what` is
 * `--from`, or the address dialled.
 */
export function remedyForEndpoint(text: string, what: string): string | null {
  const isClient = what === "--from";
  const bare = text
    .trim()
    .replace(/^(?:tcp|udp)(?::\/\/|[:/])/i, "")
    .replace(/[:/](?:tcp|udp)$/i, "");
  const anybody = /^(?:\*|any|all|0|)(?::([0-9]+|\*|any)|)$/i.exec(bare);
  if (anybody !== null && isClient) return "leave --from out for any client";
  const port = parsePort(bare).ok ? bare : (anybody?.[1] ?? "");
  if (parsePort(port).ok && !isClient) {
    return `write 203.0.113.5:${port}, with the address that the client dials`;
  }
  const [, six = "", last = ""] = /^(.*::.*|(?:[^:[]+:){7}[^:]+):([1-9][0-9]*)$/.exec(bare) ?? [];
  if (parseAddress(six).ok && parsePort(last).ok) return `write [${six}]:${last}`;
  const alone = parseAddress(bare.replace(/^\[(.*)\]$/, "$1"));
  if (alone.ok) {
    return isClient
      ? `write ${formatEndpoint(alone.address, 40_000)}, with a port of the client's: any will do`
      : `write ${formatEndpoint(alone.address, 443)}, with the port that the client dials`;
  }
  const [, host = "", hostPort = ""] = /^([a-z][a-z0-9.-]*):([0-9]+)$/i.exec(bare) ?? [];
  if (host === "localhost") return `write 127.0.0.1:${hostPort} or [::1]:${hostPort}`;
  if (host !== "") return `write the address of ${host} in its place: names are not looked up`;
  const parsed = parseDestination(bare);
  const to = parsed.ok ? formatTarget(parsed.target) : (parsed.meant?.to ?? "");
  return /^(?:[0-9.]+|\[[0-9a-f:.]+\]):[0-9]+$/i.test(to) ? `write ${to}` : null;
}
