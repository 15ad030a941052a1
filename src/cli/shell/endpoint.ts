/** Parses addresses with ports on the command line. */
import { parseAddress, type Address } from "../../model/address.js";
import { parseOnePort } from "../../config/port.js";
import { remedyForEndpoint } from "./meant-endpoint.js";
import { usageError } from "./usage-error.js";

export interface Endpoint {
  readonly address: Address;
  readonly port: number;
}

/**
 * Parses `203.0.113.5:443` or `[2001:db8::5]:443`. Throws USAGE, which names `what` was being read.
 */
export function parseEndpoint(text: string, what: string): Endpoint {
  const bracketed = /^\[([^\]]*)\]:([^:]*)$/.exec(text);
  const plain = /^([^:[\]]*):([^:]*)$/.exec(text);
  const [, addressText, portText] = bracketed ?? plain ?? [];
  const remedy = (): string | null => remedyForEndpoint(text, what);
  if (addressText === undefined || portText === undefined) {
    throw usageError(
      what,
      `${JSON.stringify(text)} is not an address with a port`,
      remedy() ?? EXAMPLE,
    );
  }
  const address = parseAddress(addressText);
  if (!address.ok) throw usageError(what, address.reason, remedy() ?? address.hint);
  const port = parseOnePort(portText);
  if (!port.ok) throw usageError(what, port.reason, remedy() ?? port.hint);
  if (address.address.includes(":") !== (bracketed !== null)) {
    throw usageError(
      what,
      `${JSON.stringify(text)} has brackets around an IPv4 address`,
      remedy() ?? EXAMPLE,
    );
  }
  return { address: address.address, port: port.port };
}

const EXAMPLE = "write 203.0.113.5:443 or [2001:db8::5]:443";
