/** An address with a port, as text. */
import type { Listener } from "./listener.js";

/**
 * Formats an endpoint: `203.0.113.5:443`, `[2001:db8::5]:443`, `*` for the wildcard listener.
 * Leaves out the port when it is the dialled one.
 */
export function formatEndpoint(address: string, port: number | string): string {
  if (port === "same") return address;
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

/** Formats where a listener is bound; on an interface as ss(8) writes it: `127.0.0.53%lo:53`. */
export function formatPlace({
  address,
  port,
  deviceName,
}: Pick<Listener, "address" | "port" | "deviceName">): string {
  return formatEndpoint(deviceName === "" ? address : `${address}%${deviceName}`, port);
}
