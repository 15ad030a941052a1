/** What people write for a protocol other than `tcp` and `udp`, and what to write instead. */
import { protocols } from "../model/mapping.js";
import { refuse, type Refused } from "./meant.js";
import { portOfName } from "./port-names.js";
import { quote } from "./source.js";
import { nearest } from "./suggest.js";

/** Transport protocols that `sk_lookup` is not asked about. */
const unsupported = /^(?:sctp|dccp|udp-?lite|icmp(?:v?6)?|igmp|gre|esp|ah|ipip|any-?ip)$/;

/** Protocols that run over one of the two. */
const above: ReadonlyMap<string, string> = new Map(
  Object.entries({ tls: "tcp", ssl: "tcp", mptcp: "tcp", ws: "tcp", quic: "udp", http3: "udp" }),
);

/** How people write both. */
const both =
  /^(?:tcp[^a-z0-9]+udp|udp[^a-z0-9]+tcp|(?:tcp|udp) and (?:tcp|udp)|tcpudp|tcp_udp|any|all|both|\*)$/;

/** Refuses a text that is neither `tcp` nor `udp`. */
export function refuseProtocol(text: string): Refused {
  const shown = `${quote(text)} is not a protocol`;
  const word = text.trim().toLowerCase();
  if (both.test(word)) {
    return refuse(shown, "write [tcp, udp] for both", { protocols: "tcp+udp" });
  }
  const family = /^(tcp|udp)-?(?:v|ip|ipv)?([46])$/.exec(word);
  if (family !== null) {
    const [, protocol = "", version] = family;
    const prefix = version === "4" ? "0.0.0.0/0" : '"::/0"';
    return refuse(
      `${shown} of its own: a protocol is for IPv4 and IPv6`,
      `write ${protocol}; for IPv${version} alone also on: ${prefix}`,
    );
  }
  const number = word === "6" ? "tcp" : word === "17" ? "udp" : null;
  const meant = protocols.find((protocol) => protocol === word) ?? number ?? above.get(word);
  if (meant !== undefined && meant !== null) {
    const reason = above.has(word) ? `${shown} here: ${word} goes over ${meant}` : shown;
    return refuse(reason, `write ${meant}`, { protocols: meant });
  }
  if (unsupported.test(word)) {
    return refuse(
      `${quote(text)} is not supported`,
      "write tcp or udp: the kernel asks ilm about these two only",
    );
  }
  const port = portOfName(word);
  if (port !== null) {
    return refuse(
      `${quote(text)} is the name of a port and not a protocol`,
      `write tcp (or udp) as the protocol and ${port} as the port`,
    );
  }
  const near = nearest(word, protocols);
  if (near !== null) return refuse(shown, `did you mean ${near}?`, { protocols: near });
  return refuse(shown, "write tcp, udp or [tcp, udp]");
}
