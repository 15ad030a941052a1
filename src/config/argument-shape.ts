/**
 * Recognises arguments joined in another program's style (docker's 8080:80, ssh's
 * 8080:127.0.1.10:80, an arrow, a URL). Returns the same parts in our form, and what was wrong.
 * Each part is still checked by its own parser.
 */
import { parseAddress } from "../model/address.js";
import { parsePort, parsePortItem } from "../model/ports.js";
import { looksLikeInterface } from "./interface.js";
import { MAX_RECOGNISED, OWN_ADDRESS } from "./meant.js";
import { portOfName } from "./port-names.js";
import { quote } from "./source.js";

export interface Shape {
  /** The text in the form of an argument. */
  readonly text: string;
  readonly reason: string;
  /** What else to say about the text. */
  readonly note?: string;
}

/** The note for a destination that the user wrote alone. */
const OWN_PORTS = 'with the ports that clients dial before the "="';

/** Recognises a text. Returns null when it already has our form, or no known one. */
export function recogniseShape(text: string): Shape | null {
  if (text.length > MAX_RECOGNISED) return null;
  const arrow = /\s*(?:=+>|-+>|→|⇒|(?<!:):=|==)\s*/.exec(text);
  if (arrow !== null) {
    const joined = text.replace(arrow[0], "=");
    const inner = recogniseShape(joined);
    const reason = `${quote(text)} has ${quote(arrow[0].trim())} where "=" belongs`;
    return { note: inner?.note ?? "", text: inner?.text ?? joined, reason };
  }
  if (/\s/.test(text.trim()) || text.trim() !== text) return withoutSpace(text);
  return text.includes("=") ? withEquals(text) : withoutEquals(text);
}

/** Recognises `80 = web` and `tcp:8080 127.0.1.10:80`. */
function withoutSpace(text: string): Shape | null {
  const tight = text.trim().replace(/\s*([=@,+])\s*/g, "$1");
  const joined = tight.includes("=") ? tight : tight.replace(/\s+/, "=");
  if (/\s/.test(joined)) return null;
  const inner = recogniseShape(joined);
  const reason = tight.includes("=")
    ? `${quote(text)} contains white space`
    : `${quote(text)} has no "=" before the destination`;
  return { note: inner?.note ?? "", text: inner?.text ?? joined, reason };
}

function withEquals(text: string): Shape | null {
  const [, condition] =
    /^[^=]*@(from|interface|on|source|src|iface|if|dev)=(?=[^=]*=)/i.exec(text) ?? [];
  if (condition !== undefined) {
    const joined = text.replace(`${condition}=`, `${condition}:`);
    return {
      text: recogniseShape(joined)?.text ?? joined,
      reason: `${quote(text)} has "=" after ${condition}, where ":" belongs`,
    };
  }
  const equals = text.indexOf("=");
  const [head = "", ...conditions] = text.slice(0, equals).split("@");
  const to = text.slice(equals + 1);
  const renamed = conditions.map(rename);
  const meant = readHead(head, to);
  if (meant === null) {
    if (renamed.every((part, index) => part === conditions[index])) return null;
    return {
      text: `${[head, ...renamed].join("@")}=${to}`,
      reason: `${quote(text)} has a part that is not known`,
    };
  }
  const { ports, place = [], reason, to: otherTo = to } = meant;
  return { text: `${[ports, ...place, ...renamed].join("@")}=${otherTo}`, reason };
}

const otherNames: readonly (readonly [RegExp, string])[] = [
  [/^(?:on|to|dst|dest|daddr|address|listen):/i, ""],
  [/^(?:source|src|saddr|client|remote|From|FROM):/i, "from:"],
  [/^(?:iface|if|iif|iifname|dev|device|in|i|intf|Interface|INTERFACE):/i, "interface:"],
];

/** Corrects `on:203.0.113.7`, `src:10.0.0.0/8`, `dev:eth0`. */
function rename(part: string): string {
  if (/^(?:from|interface):/.test(part)) return part;
  for (const [pattern, name] of otherNames) {
    if (pattern.test(part)) return part.replace(pattern, name);
  }
  return part;
}

interface Head {
  readonly ports: string;
  readonly place?: readonly string[];
  readonly to?: string;
  readonly reason: string;
}

/**
 * Recognises `*:80`, `0.0.0.0:80`, `[2001:db8::5]:443`, `tcp://0.0.0.0:80`, `60000:61000`,
 * `tcp/80`, `eth0:80`.
 */
function readHead(head: string, to: string): Head | null {
  const strict = /^(?:(?:tcp|udp)(?:\+(?:tcp|udp))*:)?[^:]*$/.test(head);
  if (strict) return null;
  const [, word = "", colon = "", rest = head] =
    /^([a-z][a-z0-9]*(?:[+,/|&][a-z]+)*)(:\/\/|:|\/)(.+)$/i.exec(head) ?? [];
  const isProtocol = /^(?:tcp|udp|sctp|dccp|icmp|any|all|both)/i.test(word);
  const scheme = colon === "://" ? portOfName(word) : null;
  const known = isProtocol ? `${word}:` : "";
  const inner = isProtocol || scheme !== null ? rest.replace(/\/$/, "") : head;
  const pair = /^([0-9]{1,5}):([0-9]{1,5})$/.exec(inner);
  if (pair !== null) return readPair(head, known, pair, to);
  const [, host = "", ports = ""] = /^(\[[^\]]*\]|[^:[\]]*):([^:]*)$/.exec(inner) ?? [];
  const place = placeOf(host);
  if (inner.includes(":") && place !== null && ports !== "") {
    return {
      ports: `${known}${ports}`,
      place,
      reason:
        host === ""
          ? `${quote(head)} has a colon before the port, and no protocol`
          : `${quote(head)} is more than a port, and where it is dialled comes after "@"`,
    };
  }
  const bare = placeOf(inner);
  if (scheme !== null && bare !== null) {
    return { ports: String(scheme), place: bare, reason: `${quote(head)} is a URL and not a port` };
  }
  if (isProtocol && colon !== ":" && !inner.includes(":")) {
    return {
      ports: `${known}${inner}`,
      reason: `${quote(head)} has ${quote(colon)} where ":" belongs`,
    };
  }
  return null;
}

/**
 * Recognises iptables' 60000:61000, and docker's 8080:80 with a destination that lacks the port.
 */
function readPair(
  head: string,
  known: string,
  [, left = "", right = ""]: RegExpExecArray,
  to: string,
): Head | null {
  if (parsePortItem(`${left}-${right}`).ok) {
    return {
      ports: `${known}${left}-${right}`,
      reason: `${quote(head)} is not a port range: a range has a minus`,
    };
  }
  const alone = /^[^:,[\]]+$/.test(to) || /^\[[^\]]+\]$/.test(to);
  if (!parsePort(left).ok || !parsePort(right).ok || !alone) return null;
  return {
    ports: `${known}${left}`,
    to: `${to}:${right}`,
    reason: `${quote(head)} is two ports: that of the daemon belongs to the destination`,
  };
}

/** Returns what belongs after the "@", or null when the text is no place. */
function placeOf(host: string): readonly string[] | null {
  if (/^(?:|\*|0\.0\.0\.0|\[(?:::|\*)?\]|::)$/.test(host)) return [];
  const address = host.replace(/^\[(.*)\]$/, "$1");
  if (parseAddress(address).ok) return [address];
  if (host === "localhost") return ["127.0.0.1,::1"];
  return looksLikeInterface(host) ? [`interface:${host}`] : null;
}

/** Recognises a text without "=": it has no destination, or is joined in another way. */
function withoutEquals(text: string): Shape | null {
  const [, first = "", rest = text] =
    /^((?:tcp|udp|sctp)(?:[+,/|&](?:tcp|udp))?)(?::\/\/|:|\/)(.+)$/i.exec(text) ?? [];
  const [, body = rest, last = ""] = /^(.+)\/(tcp|udp|sctp)$/i.exec(rest) ?? [];
  const protocol = (last === "" ? first : last) === "" ? "tcp" : last === "" ? first : last;
  const [head = "", ...conditions] = body.split("@");
  const bare = head.replace(/^[a-z][a-z0-9+.-]*:\/\//i, "").replace(/\/$/, "");
  const colonless = bare.startsWith(":") && !bare.startsWith("::") ? bare.slice(1) : bare;
  const join = (ports: string, to: string, place: readonly string[] = []): string =>
    `${[`${protocol}:${ports}`, ...place, ...conditions.map(rename)].join("@")}=${to}`;
  const items = parseAddress(bare).ok ? [bare] : (colonless.match(/\[[^\]]*\]|[^:[\]]+/g) ?? []);
  const kinds = items.map((item, index) => kindOf(item, index === 0)).join("");
  const [a = "", b = "", c = "", d = ""] = items;
  const noDestination = `${quote(text)} has no destination`;
  const colons = `${quote(text)} has a colon where "=" belongs`;
  switch (kinds) {
    case "P":
      return {
        text: join(a, `127.0.1.10${/^[0-9]+$/.test(a) ? `:${a}` : ""}`),
        reason: noDestination,
        note: OWN_ADDRESS,
      };
    case "PP":
      return parsePort(b).ok || portOfName(b) !== null
        ? { text: join(a, `127.0.1.10:${b}`), reason: noDestination, note: pairNote(a, b) }
        : {
            text: join(a, "127.0.1.10"),
            reason: noDestination,
            note: `${OWN_ADDRESS}; it keeps the port that was dialled, and other ports need a mapping each`,
          };
    case "PH":
      return { text: join(a, b), reason: colons };
    case "PHP":
      return { text: join(a, `${b}:${c}`), reason: colons };
    case "HP":
      return aloneWithPort(text, a, b, join);
    case "H":
      return parseAddress(a.replace(/^\[(.*)\]$/, "$1")).ok
        ? { text: join("80", a), reason: `${quote(text)} has no ports`, note: OWN_PORTS }
        : null;
    case "HPP":
      return placeOf(a) === null
        ? null
        : {
            text: join(b, `127.0.1.10:${c}`, placeOf(a) ?? []),
            reason: noDestination,
            note: OWN_ADDRESS,
          };
    case "HPHP":
      return placeOf(a) === null
        ? null
        : { text: join(b, `${c}:${d}`, placeOf(a) ?? []), reason: colons };
    default:
      return null;
  }
}

function aloneWithPort(
  text: string,
  host: string,
  port: string,
  join: (ports: string, to: string) => string,
): Shape | null {
  const place = placeOf(host);
  if (place?.length === 0) {
    return {
      text: join(port, `127.0.1.10:${port}`),
      reason: `${quote(text)} has no destination`,
      note: OWN_ADDRESS,
    };
  }
  if (!parsePort(port).ok || portOfName(host) !== null) return null;
  return {
    text: join(port, `${host}:${port}`),
    reason: `${quote(text)} has no ports that clients dial`,
    note: OWN_PORTS,
  };
}

function pairNote(left: string, right: string): string {
  const isRange = parsePort(left).ok && parsePort(right).ok && parsePortItem(`${left}-${right}`).ok;
  return isRange && left !== right
    ? `${OWN_ADDRESS}; a range of ports is ${left}-${right}`
    : OWN_ADDRESS;
}

/**
 * Tells ports (P) from a host (H). A service may have the name of a port, which takes precedence
 * when it comes first.
 */
function kindOf(item: string, first: boolean): "P" | "H" {
  const isPorts = item.split(",").every((one) => /^[0-9]/.test(one) && !/\./.test(one));
  return isPorts || (first && portOfName(item) !== null) ? "P" : "H";
}
