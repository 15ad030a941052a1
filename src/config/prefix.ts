/**
 * Items of `on` and `from`: prefixes that packets can have, and what else is written in their
 * place.
 */
import {
  isBroadcast,
  isMulticast,
  isUnspecified,
  parseAddress,
  parsePrefix,
  prefixAddress,
  prefixLength,
  type Prefix,
} from "../model/address.js";
import { looksLikeInterface } from "./interface.js";
import {
  itemsOf,
  MAX_RECOGNISED,
  refuse,
  refuseVariable,
  yamlList,
  yamlText,
  type Meant,
  type Refused,
} from "./meant.js";
import { parsePort } from "../model/ports.js";
import { quote } from "./source.js";

type Key = "on" | "from";
type Parsed = { ok: true; prefix: Prefix } | Refused;

/** What a mapping is for without the key. */
const everything: Readonly<Record<Key, string>> = {
  on: "every local address",
  from: "connections from everywhere",
};

/** Parses a prefix of dialled local addresses. */
export function parseOn(text: string): Parsed {
  return parse("on", text);
}

/** Parses a prefix of remote addresses that connections come from. */
export function parseFrom(text: string): Parsed {
  return parse("from", text);
}

function parse(key: Key, text: string): Parsed {
  const parsed = parsePrefix(text);
  if (parsed.ok) return refuseUnmatched(key, parsed.prefix) ?? parsed;
  if (text.length > MAX_RECOGNISED) return parsed;
  return recognise(key, text, text.trim()) ?? parsed;
}

/**
 * Refuses prefixes that no packet seen by ilm has an address in. The kernel drops packets from such
 * a source or to an unspecified address (net/ipv4/route.c, ip_route_input_slow;
 * net/ipv6/ip6_input.c), and delivers multicast and broadcasts without looking up a single socket
 * (net/ipv4/udp.c, __udp4_lib_mcast_deliver). To the kernel, 0.0.0.0/8 and 240.0.0.0/4 are ordinary
 * addresses.
 */
function refuseUnmatched(key: Key, prefix: Prefix): Refused | null {
  const address = prefixAddress(prefix);
  const length = prefixLength(prefix);
  const bits = address.includes(":") ? 128 : 32;
  const shown = length === bits ? address : prefix;
  if (isMulticast(address) && length >= (bits === 32 ? 4 : 8)) {
    return key === "on"
      ? refuse(
          `${shown} is multicast, which the kernel gives to all sockets that joined the group, without asking ilm`,
          "remove it: a daemon that joins the group gets its datagrams without a mapping",
        )
      : refuse(
          `${shown} is multicast, and no packet comes from a multicast address`,
          "write the addresses of the clients, or leave from out for connections from everywhere",
        );
  }
  if (length !== bits) return null;
  if (isUnspecified(address)) {
    const all = bits === 32 ? "0.0.0.0/0" : "::/0";
    return refuse(
      `no packet ${key === "on" ? "is for" : "comes from"} ${address}, the wildcard address, on which daemons listen`,
      `leave ${key} out for ${everything[key]}, or write ${yamlText(all)} for ${bits === 32 ? "IPv4" : "IPv6"} alone`,
      { [key]: all } satisfies Meant,
    );
  }
  if (!isBroadcast(address)) return null;
  return key === "on"
    ? refuse(
        `${address} is the broadcast address, whose datagrams the kernel gives to all sockets that take them, without asking ilm`,
        "remove it: a daemon that listens on every address gets them without a mapping",
      )
    : refuse(
        `no packet comes from ${address}, the broadcast address`,
        "write the addresses of the clients, or leave from out for connections from everywhere",
      );
}

type Recognise = (key: Key, text: string, bare: string) => Refused | null;

const recognisers: readonly Recognise[] = [
  (_key, text) => refuseVariable(text),
  anywhere,
  negation,
  mask,
  list,
  span,
  shortPrefix,
  withPort,
  localhost,
  name,
];

function recognise(key: Key, text: string, bare: string): Refused | null {
  if (bare !== text && parse(key, bare).ok) {
    return refuse(`${quote(text)} contains white space`, `write ${yamlText(bare)}`, {
      [key]: bare,
    });
  }
  for (const each of recognisers) {
    const refused = each(key, text, bare);
    if (refused !== null) return refused;
  }
  return null;
}

function anywhere(key: Key, text: string, bare: string): Refused | null {
  if (
    !/^(?:\*|any|all|every(?:where|body|one)?|anywhere|default|0\/0|\*\.\*\.\*\.\*)$/i.test(bare)
  ) {
    return null;
  }
  return refuse(`${quote(text)} is not a prefix`, `leave ${key} out for ${everything[key]}`, {});
}

function negation(key: Key, text: string, bare: string): Refused | null {
  const [, rest] = /^(?:!|\^|~|not\s)\s*(\S+)$/.exec(bare) ?? [];
  if (rest === undefined) return null;
  return refuse(
    `${quote(text)} is a negation, which is not supported`,
    `write a second mapping with ${key}: ${yamlText(rest)} and the other destination: it goes first, because it is more specific`,
  );
}

/** Recognises 10.0.0.0/255.0.0.0, 10.0.0.0 255.0.0.0, and access lists' 10.0.0.0 0.255.255.255. */
function mask(key: Key, text: string, bare: string): Refused | null {
  const [, network = "", written = ""] = /^([0-9.]+)(?:\/|\s+)([0-9.]+)$/.exec(bare) ?? [];
  const parsed = parseAddress(written);
  if (!parsed.ok) return null;
  const value = numberOf(parsed.address);
  const length = lengthOf(value) ?? lengthOf(0xffffffff - value);
  if (length === null) return null;
  return asPrefix(key, `${quote(text)} has a mask and not a prefix length`, network, length);
}

/** Returns how many bits are set, if they are the leading ones. */
function lengthOf(value: number): number | null {
  const zeros = Math.clz32(0xffffffff - value);
  return value === (zeros === 0 ? 0 : (0xffffffff << (32 - zeros)) >>> 0) ? zeros : null;
}

/** Refuses with the prefix that keeps the network's bits only. */
function asPrefix(key: Key, reason: string, network: string, length: number): Refused | null {
  if (!parseAddress(network).ok) return null;
  const value = numberOf(network);
  const size = 2 ** (32 - length);
  const prefix = `${textOf(value - (value % size))}/${length}`;
  return parse(key, prefix).ok ? refuse(reason, `write ${prefix}`, { [key]: prefix }) : null;
}

function list(key: Key, text: string, bare: string): Refused | null {
  const items = itemsOf(bare);
  if (items === null || !items.every((item) => parse(key, item).ok)) return null;
  return refuse(
    `${quote(text)} is several prefixes in one text`,
    `write a list: ${yamlList(items)}`,
    {
      [key]: items.join(","),
    },
  );
}

/** The maximum number of prefixes to suggest. More is not written by hand. */
const MAX_SPAN = 8;

/** Recognises 10.0.0.1-10.0.0.9, and 10.0.0.1-9. */
function span(key: Key, text: string, bare: string): Refused | null {
  const [, start = "", stop = ""] = /^([0-9.]+)\s*-\s*([0-9.]+)$/.exec(bare) ?? [];
  const end = /^[0-9]+$/.test(stop) ? start.replace(/[0-9]+$/, stop) : stop;
  if (!parseAddress(start).ok || !parseAddress(end).ok) return null;
  const prefixes = cover(numberOf(start), numberOf(end));
  const reason = `${quote(text)} is a range of addresses`;
  if (prefixes.length === 0) return null;
  if (prefixes.length > MAX_SPAN) {
    return refuse(
      reason,
      `write it as prefixes, such as ${prefixes[0]}, or a prefix that has all of it`,
    );
  }
  if (!prefixes.every((prefix) => parse(key, prefix).ok)) return null;
  return refuse(reason, `write it as prefixes: ${yamlList(prefixes)}`, {
    [key]: prefixes.join(","),
  });
}

/** Returns the prefixes that cover exactly these addresses. */
function cover(first: number, last: number): string[] {
  const prefixes: string[] = [];
  for (let at = first; at <= last;) {
    let length = 32;
    while (length > 0) {
      const size = 2 ** (32 - length + 1);
      if (at % size !== 0 || at + size - 1 > last) break;
      length--;
    }
    prefixes.push(length === 32 ? textOf(at) : `${textOf(at)}/${length}`);
    at += 2 ** (32 - length);
  }
  return prefixes;
}

/** Recognises 10/8, 192.168/16, 10.0.0.*, and the 192.168. of hosts.allow. */
function shortPrefix(key: Key, text: string, bare: string): Refused | null {
  const [, stars = ""] =
    /^([0-9]{1,3}(?:\.[0-9]{1,3}){0,2})(?:\.|(?:\.(?:\*|x))+)$/i.exec(bare) ?? [];
  const [, short = "", length] =
    /^([0-9]{1,3}(?:\.[0-9]{1,3}){0,2})\/([0-9]{1,2})$/.exec(bare) ?? [];
  const octets = (stars === "" ? short : stars).split(".");
  if (octets[0] === "" || octets.length > 3) return null;
  const network = [...octets, "0", "0", "0"].slice(0, 4).join(".");
  const bits = length === undefined ? octets.length * 8 : Number(length);
  return bits > 32 ? null : asPrefix(key, `${quote(text)} is a short form`, network, bits);
}

/** Recognises 203.0.113.5:443, [2001:db8::5]:443, and addresses in URLs. */
function withPort(key: Key, text: string, bare: string): Refused | null {
  const [, inside = ""] = /^(?:[a-z][a-z0-9+.-]*:\/\/)?([^/]*)(?:\/.*)?$/i.exec(bare) ?? [];
  const isUrl = bare.includes("://");
  const [, host = "", port] = /^(\[[^\]]*\]|[^:[\]]*)(?::([^:]*))?$/.exec(inside) ?? [];
  if (host === "" || (port === undefined && !isUrl && !host.startsWith("["))) return null;
  const address = host.replace(/^\[(.*)\]$/, "$1");
  const portParsed = port === undefined ? null : parsePort(port);
  const reason = isUrl
    ? `${quote(text)} is a URL, and ${key} takes addresses and prefixes`
    : `${quote(text)} has ${port === undefined ? "brackets" : "a port"}, and ${key} takes addresses and prefixes alone`;
  const also = portParsed?.ok === true && key === "on" ? `, and port: ${portParsed.port}` : "";
  if (address === "*" || address === "0.0.0.0" || address === "::") {
    return refuse(reason, `leave ${key} out for ${everything[key]}${also}`, {});
  }
  if (!parse(key, address).ok) return null;
  return refuse(reason, `write ${key}: ${yamlText(address)}${also}`, { [key]: address });
}

function localhost(key: Key, text: string, bare: string): Refused | null {
  if (!/^(?:localhost|loopback|ip6-localhost)(?:\.localdomain)?$/i.test(bare)) return null;
  const own = key === "on" ? ["127.0.0.1", "::1"] : ["127.0.0.0/8", "::1"];
  return refuse(`${quote(text)} is a name, and names are not looked up`, `write ${yamlList(own)}`, {
    [key]: own.join(","),
  });
}

function name(key: Key, text: string, bare: string): Refused | null {
  if (looksLikeInterface(bare)) {
    return refuse(
      `${quote(text)} is not an address but looks like the name of an interface`,
      `write interface: ${bare}`,
      { interface: bare },
    );
  }
  if (/^[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\.[A-Za-z][A-Za-z0-9-]*\.?$/.test(bare)) {
    return refuse(
      `${quote(text)} is the name of a host, and names are not looked up`,
      `write its address, such as ${key}: ${key === "on" ? "203.0.113.7" : "198.51.100.7"}`,
    );
  }
  if (!/^[A-Za-z][A-Za-z0-9_.-]{0,14}$/.test(bare)) return null;
  return refuse(
    `${quote(text)} is not an address`,
    `write a prefix such as ${key === "on" ? "203.0.113.0/24" : "198.51.100.0/24"}; the name of an interface goes into interface: ${bare}`,
  );
}

function numberOf(address: string): number {
  return address.split(".").reduce((sum, octet) => sum * 256 + Number(octet), 0);
}

function textOf(value: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join(".");
}
