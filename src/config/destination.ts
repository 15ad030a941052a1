/** Items of `to` and addresses of services, and what other programs write in their place. */
import { familyOf, parseAddress, type Address } from "../model/address.js";
import { MAX_WEIGHT } from "../model/mapping.js";
import { parsePort, parsePortItem } from "../model/ports.js";
import { looksLikeInterface } from "./interface.js";
import {
  itemsOf,
  MAX_RECOGNISED,
  OWN_ADDRESS,
  refuse,
  refuseVariable,
  yamlList,
  yamlText,
  type Refused,
} from "./meant.js";
import { parseOnePort } from "./port.js";
import { portOfName } from "./port-names.js";
import { quote } from "./source.js";
import { formatTarget, parseTarget, parseUnicast, type Target } from "./target.js";

export function parseDestination(text: string): { ok: true; target: Target } | Refused {
  const parsed = parseTarget(text);
  if (parsed.ok || text === "" || text.length > MAX_RECOGNISED) return parsed;
  return recognise(text, text.trim(), parsed.reason) ?? parsed;
}

/** Parses an address of a service. */
export function parseServiceAddress(text: string): { ok: true; address: Address } | Refused {
  const parsed = parseUnicast(text, "service address");
  if (parsed.ok || text === "" || text.length > MAX_RECOGNISED) return parsed;
  return recogniseServiceAddress(text, text.trim()) ?? parsed;
}

/**
 * Recognises a mistake. `reason` comes from the strict parser, which explains some mistakes well
 * enough.
 */
type Recognise = (text: string, bare: string, reason: string) => Refused | null;

const recognisers: readonly Recognise[] = [
  refuseVariable,
  unixSocket,
  url,
  weighted,
  blanks,
  portAlone,
  wildcard,
  withProtocol,
  portRange,
  portName,
  brackets,
  bareIpv6,
  mapped,
  separator,
  list,
  upperCase,
];

function recognise(text: string, bare: string, reason: string): Refused | null {
  for (const each of recognisers) {
    const refused = each(text, bare, reason);
    if (refused !== null) return refused;
  }
  return null;
}

/** Returns the destination that was meant, in the form of an argument. */
function repaired(text: string): string | null {
  return meantOf(text)?.to ?? null;
}

function meantOf(text: string): { readonly to: string; readonly note?: string } | null {
  const parsed = parseDestination(text);
  if (parsed.ok) return { to: formatTarget(parsed.target) };
  const { to, note, ...others } = parsed.meant ?? {};
  if (to === undefined || Object.keys(others).length > 0) return null;
  return note === undefined ? { to } : { to, note };
}

function write(reason: string, to: string, more = ""): Refused {
  return refuse(reason, `write ${yamlText(to)}${more}`, { to });
}

function unixSocket(text: string, bare: string): Refused | null {
  if (!/^(?:unix:|unix$|[/@~]|\.\.?\/)/i.test(bare)) return null;
  return refuse(
    `${quote(text)} is ${bare.startsWith("@") ? "a socket without a path" : "a path"}, and ilm leads to TCP and UDP sockets only`,
    "let the daemon listen on an address too, and write that, such as 127.0.1.10:80",
  );
}

const schemePorts: ReadonlyMap<string, string> = new Map([
  ["http", "80"],
  ["https", "443"],
]);

function url(text: string, bare: string): Refused | null {
  const [, scheme = "", authority = "", path = ""] =
    /^([a-z][a-z0-9+.-]*):\/\/(?:[^/@]*@)?([^/?#]*)(.*)$/i.exec(bare) ?? [];
  if (authority === "") return null;
  const port = schemePorts.get(scheme.toLowerCase()) ?? portOfName(scheme)?.toString();
  const hasPort = /^(?:\[[^\]]*\]|[^:]*):[^:]+$/.test(authority);
  const bracketed = !authority.startsWith("[") && authority.split(":").length > 2;
  const host = bracketed ? `[${authority}]` : authority.replace(/:$/, "");
  const to = repaired(hasPort || port === undefined || bracketed ? authority : `${host}:${port}`);
  const reason = `${quote(text)} is a URL, and a destination is an address with a port`;
  if (to === null) return refuse(reason, `write such as "127.0.1.10:80", ${OWN_ADDRESS}`);
  return write(reason, to, path.length > 1 ? ": ilm looks at ports, never at paths" : "");
}

/** Recognises nginx's `127.0.1.10:80 weight=3`, and the `@weight:3` of arguments in a file. */
function weighted(text: string, bare: string): Refused | null {
  const [, host = "", weight = ""] = /^(\S+?)(?:\s+|@)weight\s*[=: ]\s*([0-9]+)$/i.exec(bare) ?? [];
  const to = host === "" ? null : repaired(host);
  if (to === null || Number(weight) > MAX_WEIGHT) return null;
  return refuse(
    `${quote(text)} is a destination with a weight`,
    `write { address: ${yamlText(to)}, weight: ${Number(weight)} }`,
    { to: `${to}@weight:${Number(weight)}` },
  );
}

/** Recognises blanks around the text or beside its colon. */
function blanks(text: string, bare: string): Refused | null {
  const joined = bare.replace(/\s*:\s*/g, ":");
  if (joined === text || /\s/.test(joined)) return null;
  const to = repaired(joined);
  return to === null ? null : write(`${quote(text)} contains white space`, to);
}

function portAlone(text: string, bare: string): Refused | null {
  const [, port = ""] = /^:?([0-9]+|[a-z]+)$/.exec(bare) ?? [];
  const parsed = /^[0-9]/.test(port) || bare.startsWith(":") ? parseOnePort(port) : null;
  const number = parsed === null ? null : parsed.ok ? parsed.port : portOfName(port);
  if (number === null || number === 0) return null;
  return refuse(
    `${quote(text)} is a port without an address`,
    `write "127.0.1.10:${number}", ${OWN_ADDRESS}, or "*:${number}" for a daemon that listens on every address`,
    {
      to: `127.0.1.10:${number}`,
      note: `${OWN_ADDRESS}, or *:${number} for one that listens on every address`,
    },
  );
}

/** Recognises 0.0.0.0:80, [::]:80, :::80, [*]:80, *80, *.80, any:80, *:*. */
function wildcard(_text: string, bare: string, reason: string): Refused | null {
  const [, port] =
    /^(?:0\.0\.0\.0|0|\[::\]|\[\*\]|::|\*)(?:[:.#/]([0-9A-Za-z*]+)|)$/i.exec(bare) ??
    /^\*([0-9]+)$/.exec(bare) ??
    /^::ffff:0\.0\.0\.0(?::([0-9]+))?$/.exec(bare) ??
    [];
  if (port === undefined && !/^(?:0\.0\.0\.0|::|\[::\]|\[\*\])$/.test(bare)) return null;
  const parsed = port === undefined || port === "*" ? null : parseOnePort(port);
  const number = parsed === null ? null : parsed.ok ? port : portOfName(port ?? "")?.toString();
  if (number === undefined) return null;
  const to = number === null ? "*" : `*:${number}`;
  return refuse(
    reason,
    `write ${JSON.stringify(to)} for the daemon that listens on every address, or the one address that it listens on`,
    { to },
  );
}

/** Recognises tcp:127.0.1.10:80, 127.0.1.10:80/tcp, udp/53. */
function withProtocol(text: string, bare: string): Refused | null {
  const [, before, rest] = /^(tcp|udp)[46]?(?::|\/)(.+)$/i.exec(bare) ?? [];
  const [, start, after] = /^(.+)(?:\/|:)(tcp|udp)[46]?$/i.exec(bare) ?? [];
  const protocol = (before ?? after)?.toLowerCase();
  const meant = meantOf(rest ?? start ?? "");
  if (protocol === undefined || meant === null) return null;
  return refuse(
    `${quote(text)} has a protocol, which is the mapping's and not the destination's`,
    `write ${yamlText(meant.to)}, and protocol: ${protocol} in the mapping`,
    { ...meant, protocols: protocol },
  );
}

/** Recognises ranges: a destination has one port, or the one that was dialled. */
function portRange(text: string, bare: string): Refused | null {
  const [, host = "", ports = ""] = /^(\[[^\]]*\]|[^:]+):(\*|any|[0-9]+-[0-9]+)$/i.exec(bare) ?? [];
  if (ports === "" || (/[0-9]/.test(ports) && !parsePortItem(ports).ok)) return null;
  const to = host === "*" ? "*" : repaired(host);
  if (to === null) return null;
  return write(
    `${quote(text)} has ${/[0-9]/.test(ports) ? "a range of ports" : "no single port"}, and a destination has one`,
    host.startsWith("[") ? to.replace(/[[\]]/g, "") : to,
    ", which keeps the port that was dialled",
  );
}

/** Recognises 127.0.1.10:http, web:080. */
function portName(_text: string, bare: string): Refused | null {
  const [, host = "", port = ""] = /^(\[[^\]]*\]|[^:]+):([^:]+)$/.exec(bare) ?? [];
  if (host === "" || parsePort(port).ok) return null;
  const parsed = parseOnePort(port);
  if (parsed.ok || !parsed.hint.startsWith("write ")) return null;
  const number = parsed.hint.slice("write ".length);
  const to = repaired(`${host}:${number}`);
  return to === null ? null : write(parsed.reason, to);
}

/** Recognises [web]:80, [fd5e::10:80], [fd5e::10]80, fd5e::10]:80. */
function brackets(text: string, bare: string): Refused | null {
  const [, open, host = "", close, port] = /^(\[?)([^[\]]+)(\]?)(?::?([0-9]+))?$/.exec(bare) ?? [];
  if ((open ?? "") === "" && (close ?? "") === "") return null;
  const parsed = parseAddress(host);
  const six = parsed.ok && familyOf(parsed.address) === 6;
  const to =
    port === undefined ? (six ? host : null) : six ? `[${host}]:${port}` : `${host}:${port}`;
  if (to === null || to === bare || repaired(to) !== to) return null;
  const reason = six
    ? `${quote(text)} is not a destination`
    : `${quote(text)} has brackets, which are for IPv6 addresses`;
  return write(reason, to);
}

/** Recognises 1:2:3:4:5:6:7:8:80, and fd5e::10:8080 with a port that is not a group. */
function bareIpv6(text: string, bare: string): Refused | null {
  const [, host = "", port = ""] = /^([0-9a-f:.]+):([0-9]+)$/i.exec(bare) ?? [];
  const parsed = parseAddress(host);
  if (!parsed.ok || familyOf(parsed.address) === 4 || !parsePort(port).ok) return null;
  const to = `[${parsed.address}]:${port}`;
  if (repaired(to) !== to) return null;
  return write(`${quote(text)} is an IPv6 address with a port, which needs brackets`, to);
}

/** Recognises ::ffff:127.0.1.10:80, as `ss` and logs show it. */
function mapped(_text: string, bare: string): Refused | null {
  const [, host = "", port = ""] = /^\[?::ffff:([0-9.]+)\]?:([0-9]+)$/i.exec(bare) ?? [];
  const to = host === "" ? null : repaired(`${host}:${port}`);
  return to === null ? null : write(`"::ffff:${host}" is a v4-mapped address`, to);
}

/**
 * Recognises 127.0.1.10/80, 127.0.1.10#53, 127.0.1.10@53, 127.0.1.10.80, 127.0.1.10 80,
 * 127.0.1.10,80.
 */
function separator(text: string, bare: string): Refused | null {
  const [, host = "", mark = "", port = ""] =
    /^(.+?)(\/|#|@|\.|\s+|,|;|->|=)([0-9]+)$/.exec(bare) ?? [];
  const parsed = parseAddress(host);
  const isName = /^[a-z][a-z0-9_-]*$/.test(host) && mark !== ".";
  if (!parsePort(port).ok || (!parsed.ok && !isName)) return null;
  // A prefix length is not a port.
  if (mark === "/" && parsed.ok && Number(port) <= (familyOf(parsed.address) === 4 ? 32 : 128)) {
    return null;
  }
  const six = parsed.ok && familyOf(parsed.address) === 6;
  const to = six ? `[${host}]:${port}` : `${host}:${port}`;
  if (repaired(to) !== to) return null;
  return write(`${quote(text)} is not a destination: a colon comes before the port`, to);
}

function list(text: string, bare: string): Refused | null {
  const items = itemsOf(bare)?.map(repaired);
  if (items === undefined || items.includes(null)) return null;
  const targets = items.filter((item) => item !== null);
  return refuse(
    `${quote(text)} is several destinations in one text`,
    `write a list: ${yamlList(targets)}`,
    { to: targets.join(",") },
  );
}

/** Recognises upper case: names of services are in lower case. */
function upperCase(text: string, bare: string): Refused | null {
  const lower = bare.toLowerCase();
  if (lower === bare || !parseTarget(lower).ok) return null;
  return write(`${quote(text)} is neither an address nor the name of a service`, lower);
}

function recogniseServiceAddress(text: string, bare: string): Refused | null {
  const variable = refuseVariable(text);
  if (variable !== null) return variable;
  const items = itemsOf(bare);
  if (items !== null && items.every((item) => parseUnicast(item, "service address").ok)) {
    return refuse(
      `${quote(text)} is several addresses in one text`,
      `write a list: ${yamlList(items)}`,
    );
  }
  const [, scheme = "", authority = ""] =
    /^(?:([a-z][a-z0-9+.-]*):\/\/)?([^/]*)\/?.*$/i.exec(bare) ?? [];
  const [, host = ""] = /^(\[[^\]]*\]|[^:[\]]+)(?::[^:]*)?$/.exec(authority) ?? [];
  const inside = host.replace(/^\[(.*)\]$/, "$1");
  if (
    inside !== bare &&
    bare.includes(":") &&
    !bare.includes("%") &&
    parseUnicast(inside, "service address").ok
  ) {
    return refuse(
      `${quote(text)} ${scheme === "" ? (bare.endsWith("]") ? "has brackets" : "has a port") : "is a URL"}, and an address alone is needed`,
      `write ${yamlText(inside)}; a port goes into to: of a mapping`,
    );
  }
  if (/^(?:\*|any|all)$/i.test(inside)) {
    return refuse(
      `${quote(text)} is not the address of one daemon`,
      "write an address of its own, such as 127.0.1.10, and let the daemon listen there",
    );
  }
  if (inside === "localhost") {
    return refuse(
      `${quote(text)} is a name, and names are not looked up`,
      "write an address of the daemon's own, such as 127.0.1.10: others listen on 127.0.0.1 too",
    );
  }
  if (looksLikeInterface(inside)) {
    return refuse(
      `${quote(text)} looks like the name of an interface`,
      "write an address of the daemon's own, such as 127.0.1.10; interface: is a condition of mappings",
    );
  }
  if (/^[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z][A-Za-z0-9-]*\.?$/.test(inside)) {
    return refuse(
      `${quote(text)} is the name of a host, and names are not looked up`,
      "write an address of the daemon's own, such as 127.0.1.10",
    );
  }
  return null;
}
