/** What `ilm drain` names: destinations that get nobody new. */
import type { Address } from "./address.js";
import { formatEndpoint } from "./endpoint.js";
import type { Protocol } from "./mapping.js";

/** Exactly one of `address` and `service` is set. */
export interface Drained {
  /** The protocol; null is both. */
  readonly protocol: Protocol | null;
  /** The address; `"*"` is the wildcard listener. */
  readonly address: Address | "*" | null;
  /** The service, by its name: whatever addresses it has. */
  readonly service: string | null;
  /** The daemon's port; null is every port. */
  readonly port: number | null;
}

/** Formats as the command takes it: `web`, `udp:web:53`, `127.0.1.10:80`, `tcp:[fd5e::10]:80`. */
export function formatDrained({ protocol, address, service, port }: Drained): string {
  const host =
    address === null
      ? `${service ?? ""}${port === null ? "" : `:${port}`}`
      : formatEndpoint(address, port ?? "same");
  return protocol === null ? host : `${protocol}:${host}`;
}

export function sameDrained(left: Drained, right: Drained): boolean {
  return formatDrained(left) === formatDrained(right);
}
