/** An address with a port, as text. */
import type { Listener } from "./listener.js";

/**
 * `203.0.113.5:443`, `[2001:db8::5]:443`; `*` for the wildcard listener, without the port when it
 * is the dialled one.
 */
export function formatEndpoint(address: string, port: number | string): string {
  if (port === "same") return address;
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

/** `127.0.0.53%lo:53` for a socket that is bound to an interface, as ss(8) writes it. */
export function formatPlace({
  address,
  port,
  deviceName,
}: Pick<Listener, "address" | "port" | "deviceName">): string {
  return formatEndpoint(deviceName === "" ? address : `${address}%${deviceName}`, port);
}
