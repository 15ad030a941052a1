/** What a mapping matches, in one line. */
import type { Prefix } from "./address.js";
import type { PortRange, Protocol } from "./mapping.js";
import { formatPorts } from "./ports.js";

/**
 * Formats a match: `tcp:443`, `udp:53@203.0.113.0/24,2001:db8::/32`,
 * `tcp:80@from:10.0.0.0/8@interface:eth0`.
 */
export function matchText(
  protocol: Protocol,
  ports: readonly PortRange[],
  on: readonly Prefix[],
  from: readonly Prefix[],
  interfaces: readonly string[],
): string {
  let text = `${protocol}:${formatPorts(ports)}`;
  if (on.length > 0) text += `@${on.join(",")}`;
  if (from.length > 0) text += `@from:${from.join(",")}`;
  if (interfaces.length > 0) text += `@interface:${interfaces.join(",")}`;
  return text;
}
