/** One item of `to`, and the addresses that daemons can have at all. */
import {
  familyOf,
  isBroadcast,
  isLinkLocal6,
  isMulticast,
  isUnspecified,
  parseAddress,
  type Address,
  type Refusal,
} from "../model/address.js";
import { parsePort } from "../model/ports.js";
import { quote } from "./source.js";

/** A destination as written, before the service is looked up. */
export type Target = (
  | { readonly kind: "address"; readonly address: Address | "*"; readonly port: number | "same" }
  | { readonly kind: "service"; readonly service: string; readonly port: number | "same" }
  // Nobody, on purpose.
  | { readonly kind: "none"; readonly port: "same" }
) & { readonly weight?: number };

/** Stands for no destination, so no service has this name. */
export const NONE = "none";

export const NAME = /^[a-z0-9][a-z0-9._-]*$/;
export const MAX_NAME_LENGTH = 64;

const FORMS = 'write "127.0.1.10", "127.0.1.10:80", "[fd5e:ed00::10]:80", a service, or "*:22"';

/** Parses an address that a daemon can listen on for itself. `what` names it in the refusal. */
export function parseUnicast(
  text: string,
  what: "service address" | "destination",
): { ok: true; address: Address } | Refusal {
  const parsed = parseAddress(text);
  if (!parsed.ok) return parsed;
  const { address } = parsed;
  if (isUnspecified(address)) {
    return {
      ok: false,
      reason: `${address} is the wildcard, not the address of one daemon`,
      hint:
        what === "destination"
          ? 'write "*" for the wildcard listener, or the address that the daemon listens on'
          : "write an address of its own, such as 127.0.1.10",
    };
  }
  const kind = notUnicast(address);
  if (kind === null) return parsed;
  return {
    ok: false,
    reason: `${address} is a ${kind} address, which cannot be a ${what}`,
    hint: `write a unicast address, such as ${familyOf(address) === 4 ? "127.0.1.10" : "fd5e:ed00::10"}`,
  };
}

function notUnicast(address: Address): string | null {
  if (isMulticast(address)) return "multicast";
  if (isBroadcast(address)) return "broadcast";
  return isLinkLocal6(address) ? "link-local" : null;
}

export function parseTarget(text: string): { ok: true; target: Target } | Refusal {
  if (text === "") return { ok: false, reason: "the destination is empty", hint: FORMS };
  if (/\s/.test(text)) {
    const hint = text.trim().includes(" ") ? "write several destinations as a list" : FORMS;
    return { ok: false, reason: `${quote(text)} contains white space`, hint };
  }
  if (text.startsWith("*")) return parseWildcard(text);
  if (text.startsWith("[")) return parseBracketed(text);

  const colon = text.indexOf(":");
  if (colon < 0) return parseHost(text, "same");
  if (text.includes(":", colon + 1)) return parseBareIpv6(text);
  const port = parseTargetPort(text, text.slice(colon + 1));
  return port.ok ? parseHost(text.slice(0, colon), port.port) : port;
}

/**
 * Formats `svc`, `svc:22`, `127.0.1.10:80`, `[fd5e:ed00::10]`, `*:22`; the inverse of parseTarget.
 */
export function formatTarget(target: Target): string {
  if (target.kind === "none") return NONE;
  const port = target.port === "same" ? "" : `:${target.port}`;
  if (target.kind === "service") return `${target.service}${port}`;
  const { address } = target;
  return `${address !== "*" && familyOf(address) === 6 ? `[${address}]` : address}${port}`;
}

/**
 * Reports whether a text without colons is meant as an address, so that its refusal should speak of
 * addresses.
 */
export function looksLikeAddress(text: string): boolean {
  return /^(?:[0-9.]+|0[xX].*)$/.test(text) || /[/%[\]]/.test(text);
}

function parseWildcard(text: string): { ok: true; target: Target } | Refusal {
  if (text === "*") return { ok: true, target: { kind: "address", address: "*", port: "same" } };
  if (text[1] !== ":") {
    return { ok: false, reason: `${quote(text)} is not a destination`, hint: FORMS };
  }
  const port = parseTargetPort(text, text.slice(2));
  if (!port.ok) return port;
  return { ok: true, target: { kind: "address", address: "*", port: port.port } };
}

function parseBracketed(text: string): { ok: true; target: Target } | Refusal {
  const end = text.indexOf("]");
  if (end < 0) {
    return { ok: false, reason: `${quote(text)} lacks the closing bracket`, hint: FORMS };
  }
  const inner = text.slice(1, end);
  const rest = text.slice(end + 1);
  if (!inner.includes(":") && parseAddress(inner).ok) {
    return {
      ok: false,
      reason: `${quote(text)} has an IPv4 address in brackets`,
      hint: `write ${inner}${rest}`,
    };
  }
  const parsed = parseUnicast(inner, "destination");
  if (!parsed.ok) return parsed;
  if (rest === "") {
    return { ok: true, target: { kind: "address", address: parsed.address, port: "same" } };
  }
  if (!rest.startsWith(":")) {
    return { ok: false, reason: `${quote(text)} is not a destination`, hint: FORMS };
  }
  const port = parseTargetPort(text, rest.slice(1));
  if (!port.ok) return port;
  return { ok: true, target: { kind: "address", address: parsed.address, port: port.port } };
}

function parseBareIpv6(text: string): { ok: true; target: Target } | Refusal {
  const parsed = parseUnicast(text, "destination");
  if (parsed.ok) {
    return { ok: true, target: { kind: "address", address: parsed.address, port: "same" } };
  }
  const last = text.lastIndexOf(":");
  const address = parseAddress(text.slice(0, last));
  if (address.ok && familyOf(address.address) === 6 && parsePort(text.slice(last + 1)).ok) {
    return { ...parsed, hint: `with a port, write "[${address.address}]:${text.slice(last + 1)}"` };
  }
  return parsed;
}

function parseTargetPort(text: string, port: string): { ok: true; port: number } | Refusal {
  if (port !== "") return parsePort(port);
  return { ok: false, reason: `${quote(text)} ends where a port is expected`, hint: FORMS };
}

function parseHost(host: string, port: number | "same"): { ok: true; target: Target } | Refusal {
  if (looksLikeAddress(host)) {
    const parsed = parseUnicast(host, "destination");
    return parsed.ok
      ? { ok: true, target: { kind: "address", address: parsed.address, port } }
      : parsed;
  }
  if (host === NONE) {
    if (port === "same") return { ok: true, target: { kind: "none", port } };
    return {
      ok: false,
      reason: `"${NONE}:${port}" has a port, and ${NONE} is no daemon`,
      hint: `write ${NONE}, to refuse connections`,
    };
  }
  if (NAME.test(host) && host.length <= MAX_NAME_LENGTH) {
    return { ok: true, target: { kind: "service", service: host, port } };
  }
  return {
    ok: false,
    reason: `${quote(host)} is neither an address nor a service name`,
    hint: FORMS,
  };
}
