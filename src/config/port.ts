/** One item of `port`, and what other programs write in its place. */
import { parseAddress } from "../model/address.js";
import type { PortRange } from "../model/mapping.js";
import { MAX_PORT, parsePort, parsePortItem } from "../model/ports.js";
import { looksLikeInterface } from "./interface.js";
import {
  itemsOf,
  MAX_RECOGNISED,
  refuse,
  refuseVariable,
  yamlText,
  type Meant,
  type Refused,
} from "./meant.js";
import { portOfName } from "./port-names.js";
import { refuseProtocol } from "./protocol.js";
import { quote } from "./source.js";

type Parsed = { ok: true; range: PortRange } | Refused;

/** Parses `443`, `8000-8099` or `*`. */
export function parsePorts(text: string): Parsed {
  const parsed = parsePortItem(text);
  if (parsed.ok || text.length > MAX_RECOGNISED) return parsed;
  return recognise(text, text.trim()) ?? parsed;
}

/** Parses one port number, with a remedy for a name, a leading zero and the like. */
export function parseOnePort(text: string): { ok: true; port: number } | Refused {
  const parsed = parsePort(text);
  if (parsed.ok || text.length > MAX_RECOGNISED) return parsed;
  const meant = recognise(text, text.trim());
  const one = meant?.meant?.ports;
  return meant !== null && one !== undefined && parsePort(one).ok && isAlone(meant.meant)
    ? refuse(meant.reason, `write ${one}`, { ports: one })
    : parsed;
}

type Recognise = (text: string, bare: string) => Refused | null;

const recognisers: readonly Recognise[] = [
  refuseVariable,
  everyPort,
  plainNumber,
  withProtocol,
  nameOfPort,
  range,
  pair,
  list,
  negation,
  withPlace,
];

function recognise(text: string, bare: string): Refused | null {
  for (const each of recognisers) {
    const refused = each(text, bare);
    if (refused !== null) return refused;
  }
  return null;
}

/** Returns the item that was meant, if it is nothing but ports. */
function repaired(text: string): string | null {
  if (text === "") return null;
  if (parsePortItem(text).ok) return text;
  const refused = recognise(text, text.trim());
  return isAlone(refused?.meant) ? (refused?.meant?.ports ?? null) : null;
}

function isAlone(meant: Meant | undefined): boolean {
  return meant !== undefined && Object.keys(meant).every((key) => key === "ports");
}

function notPort(text: string): string {
  return `${quote(text)} is not a port`;
}

function everyPort(text: string, bare: string): Refused | null {
  if (!/^(?:any|all|every|each|0-65535|0|\*-\*|1-)$/i.test(bare) || bare === "0") return null;
  return refuse(notPort(text), 'write "*" for every port', { ports: "*" });
}

/** Recognises blanks around it, leading zeros, a sign. */
function plainNumber(text: string, bare: string): Refused | null {
  const [, zeros = "", digits = ""] = /^\+?(0*)([0-9]+)$/.exec(bare) ?? [];
  if (!parsePort(digits).ok) return null;
  const reason =
    zeros === ""
      ? notPort(text)
      : `the port ${quote(text)} has a leading zero, which some programs read as octal`;
  return refuse(reason, `write ${digits}`, { ports: digits });
}

function nameOfPort(text: string, bare: string): Refused | null {
  if (!/^[A-Za-z][A-Za-z0-9_-]*$/.test(bare)) return null;
  const port = portOfName(bare);
  if (port !== null) {
    return refuse(
      `${quote(text)} is a name, and a port is a number`,
      `write ${port}, the port of ${bare.toLowerCase()}`,
      { ports: String(port) },
    );
  }
  if (looksLikeInterface(bare)) {
    return refuse(
      notPort(text),
      `write 443, "8000-8099" or "*"; an interface is interface: ${bare}`,
    );
  }
  return refuse(notPort(text), 'write the number, such as 443, "8000-8099" or "*"');
}

/**
 * Recognises other forms of ranges: 80..90, 80 - 90, 80–90, 80 to 90, 8000~8099, 1024-, 1024+,
 * -1023.
 */
function range(text: string, bare: string): Refused | null {
  const [, first, last] =
    /^0*([0-9]{1,5})\s*(?:-|\.{2,3}|[\u2010-\u2015\u2212]|~|to|through)\s*0*([0-9]{1,5})$/i.exec(
      bare,
    ) ?? [];
  if (first !== undefined && last !== undefined) return asRange(text, first, last);
  const [, least] = /^([0-9]{1,5})\s*(?:-|\+|:|\.\.)$/.exec(bare) ?? [];
  if (least !== undefined) return asRange(text, least, String(MAX_PORT));
  const [, most] = /^-\s*([0-9]{1,5})$/.exec(bare) ?? [];
  return most === undefined ? null : asRange(text, "1", most);
}

function asRange(text: string, first: string, last: string): Refused | null {
  const written = `${first}-${last}`;
  if (!parsePortItem(written).ok) return null;
  return refuse(`${quote(text)} is not a port range`, `write ${written}`, { ports: written });
}

/** Recognises pairs: `60000:61000` is a range to iptables, `8080:80` is two ports to docker. */
function pair(text: string, bare: string): Refused | null {
  const [, left = "", right = ""] = /^([0-9]{1,5}):([0-9]{1,5})$/.exec(bare) ?? [];
  const [first, second] = [parsePort(left), parsePort(right)];
  if (!first.ok || !second.ok) return null;
  const split = `port: ${left} and to: with the port of the daemon, such as to: "127.0.1.10:${right}"`;
  if (first.port > second.port) {
    return refuse(
      `${quote(text)} is two ports, and port has the one that clients dial`,
      `write ${split}`,
    );
  }
  return refuse(
    `${quote(text)} is not a port`,
    first.port === second.port
      ? `write ${left}; the daemon's port is the same unless to: has another`
      : `write ${left}-${right} for the range; or, for one port that leads to another, ${split}`,
    first.port === second.port ? { ports: left } : { ports: `${left}-${right}` },
  );
}

/** Recognises 443/tcp, tcp/443, udp:53, 443:tcp, tcp://443. */
function withProtocol(text: string, bare: string): Refused | null {
  const [, back, word] = /^(.+?)(?:\/|:\/?\/?|\s+)([A-Za-z][A-Za-z0-9]*)$/.exec(bare) ?? [];
  const [, first, rest] = /^([A-Za-z][A-Za-z0-9]*)(?:\/|:\/?\/?|\s+)(.+)$/.exec(bare) ?? [];
  const port = back === undefined || !isProtocol(word) ? rest : back;
  const joined = /^(tcp|udp)([0-9]+)$/i.exec(bare);
  if (joined !== null) return withProtocol(text, `${joined[1]}:${joined[2]}`);
  const name = (back === undefined || !isProtocol(word) ? first : word) ?? "";
  if (port === undefined || !isProtocol(name)) return null;
  const ports = repaired(port);
  if (ports === null) return null;
  const protocol = name.toLowerCase();
  const known = protocol === "tcp" || protocol === "udp";
  const refused = refuseProtocol(name);
  return known
    ? refuse(
        `${quote(text)} is a port with a protocol`,
        `write port: ${yamlText(ports)} and protocol: ${protocol}`,
        { ports, protocols: protocol },
      )
    : refuse(`${quote(text)} is a port with a protocol, and ${refused.reason}`, refused.hint);
}

function isProtocol(word: string | undefined): boolean {
  return /^(?:tcp|udp|sctp|dccp|icmp|tcp[46]|udp[46])$/i.test(word ?? "");
}

function list(text: string, bare: string): Refused | null {
  const items = itemsOf(bare)?.map(repaired);
  if (items === undefined || items.includes(null)) return null;
  const ports = items.filter((item) => item !== null);
  return refuse(
    `${quote(text)} is several ports in one text`,
    `write a list: [${ports.map((item) => (item === "*" ? '"*"' : item)).join(", ")}]`,
    { ports: ports.join(",") },
  );
}

function negation(text: string, bare: string): Refused | null {
  const [, written = ""] = /^(?:!|\^|~|not\s)\s*([0-9]+)$/.exec(bare) ?? [];
  const parsed = parsePort(written);
  if (!parsed.ok) return null;
  const { port } = parsed;
  const around = [
    ...(port > 1 ? [`1-${port - 1}`] : []),
    ...(port < MAX_PORT ? [`${port + 1}-${MAX_PORT}`] : []),
  ];
  return refuse(
    `${quote(text)} is a negation, which is not supported`,
    `write what is left: ${yamlText(around[0] ?? "").startsWith('"') ? around.join(", ") : `[${around.join(", ")}]`}`,
    { ports: around.join(",") },
  );
}

/**
 * Recognises `0.0.0.0:80`, `:80`, `[2001:db8::5]:443`, `localhost:80`, `eth0:80`,
 * `http://203.0.113.7:8080/`.
 */
function withPlace(text: string, bare: string): Refused | null {
  const [, scheme = "", rest = ""] =
    /^(?:([a-z][a-z0-9+.-]*):\/\/)?([^/]*)\/?.*$/i.exec(bare) ?? [];
  const [, host = "", port = ""] = /^(\[[^\]]*\]|[^:]*)(?::([^:]*))?$/.exec(rest) ?? [];
  const ports = repaired(port === "" ? scheme : port);
  if ((bare === rest && !bare.includes(":")) || ports === null) return null;
  const reason = `${quote(text)} is more than a port`;
  if (/^(?:|\*|0\.0\.0\.0|\[(?:::|\*)\])$/.test(host)) {
    return refuse(reason, `write ${yamlText(ports)}: without on, it is for every local address`, {
      ports,
    });
  }
  const address = parseAddress(host.replace(/^\[(.*)\]$/, "$1"));
  if (address.ok) {
    return refuse(reason, `write port: ${yamlText(ports)} and on: ${yamlText(address.address)}`, {
      ports,
      on: address.address,
    });
  }
  if (host === "localhost") {
    return refuse(reason, `write port: ${yamlText(ports)} and on: [127.0.0.1, "::1"]`, {
      ports,
      on: "127.0.0.1,::1",
    });
  }
  if (looksLikeInterface(host)) {
    return refuse(reason, `write port: ${yamlText(ports)} and interface: ${host}`, {
      ports,
      interface: host,
    });
  }
  return refuse(
    reason,
    `write port: ${yamlText(ports)}, and on: with the address that clients dial`,
  );
}
