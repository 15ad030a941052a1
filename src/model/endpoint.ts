/** An address with a port, as text. */

/** `203.0.113.5:443`, `[2001:db8::5]:443`; `*` for the wildcard listener, without the port when it is the dialled one. */
export function formatEndpoint(address: string, port: number | string): string {
  if (port === "same") return address;
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}
