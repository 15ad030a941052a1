/** Suggests the remedy for an address with a port that is written as in another program. */
import { parseDestination } from "../../config/destination.js";
import { formatTarget } from "../../config/target.js";
import { isUnspecified, parseAddress } from "../../model/address.js";
import { formatEndpoint } from "../../model/endpoint.js";
import { parsePort } from "../../model/ports.js";

/** The port at which metrics are served in the documents. */
const METRICS_PORT = 9465;

/** Returns the hint for an address at which something listens, or is to. */
function remedyForListener(bare: string, what: "--metrics" | "--listening"): string {
  const isMetrics = what === "--metrics";
  const usual = isMetrics ? METRICS_PORT : 443;
  const [, anyPort = ""] = /^(?:\*|any|all|localhost)?:?([0-9]+)$/.exec(bare) ?? [];
  const port = parsePort(anyPort).ok ? Number(anyPort) : usual;
  const alone = parseAddress(bare.replace(/^\[(.*)\]$/, "$1"));
  if (alone.ok && !isUnspecified(alone.address)) {
    return `write ${formatEndpoint(alone.address, usual)}, with the port`;
  }
  return isMetrics
    ? `write 127.0.0.1:${port} or [::1]:${port}, which this host alone reaches`
    : `write 127.0.1.10:${port} or [fd5e:ed00::10]:${port}, or *:${port} for every address`;
}

/**
 * Returns the hint that says what to write instead, or null when that is unknown. `what` is an
 * option, or the address dialled.
 */
export function remedyForEndpoint(text: string, what: string): string | null {
  const isClient = what === "--from";
  const bare = text
    .trim()
    .replace(/^(?:tcp|udp)(?::\/\/|[:/])/i, "")
    .replace(/[:/](?:tcp|udp)$/i, "");
  // Metrics are for few, and listeners are the host's own: no example of theirs is public.
  if (what === "--metrics" || what === "--listening") return remedyForListener(bare, what);
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
