/** What the kernel counts of lost packets and connections in this network namespace. */
import { readFileSync } from "node:fs";
import type { Counted } from "./loss.js";

/** The counters of /proc/net/snmp and /proc/net/netstat that grow when something is lost. */
const NAMES = [
  "Icmp.OutDestUnreachs",
  "Udp.NoPorts",
  "Udp.InErrors",
  "Udp.RcvbufErrors",
  "Udp.SndbufErrors",
  "Udp.InCsumErrors",
  "Udp.MemErrors",
  "TcpExt.ListenOverflows",
  "TcpExt.ListenDrops",
  "Tcp.OutRsts",
  "Tcp.RetransSegs",
];

/** Two lines for each protocol: the names, and what they count. */
function readProtocols(text: string): [string, number][] {
  const lines = text
    .trim()
    .split("\n")
    .map((line) => line.split(/:? +/));
  return lines.flatMap((names, index) => {
    if (index % 2 === 1) return [];
    const values = lines[index + 1] ?? [];
    return names
      .slice(1)
      .map((name, place): [string, number] => [`${names[0]}.${name}`, Number(values[place + 1])]);
  });
}

export function readCounted(): Counted {
  const all = new Map(
    ["snmp", "netstat"].flatMap((file) => readProtocols(readFileSync(`/proc/net/${file}`, "utf8"))),
  );
  // A line for each CPU, in hexadecimal: processed, dropped because its queue was full, ...
  const dropped = readFileSync("/proc/net/softnet_stat", "utf8")
    .trim()
    .split("\n")
    .reduce((sum, line) => sum + Number.parseInt(line.split(" ")[1] ?? "", 16), 0);
  const counted: Record<string, number> = { "softnet.dropped": dropped };
  for (const name of NAMES) {
    const value = all.get(name);
    if (value === undefined) throw new Error(`this kernel does not count ${name}`);
    counted[name] = value;
  }
  return counted;
}

/** What grew, and by how much. */
export function countedSince(before: Counted): Counted {
  const grown = Object.entries(readCounted()).map(([name, now]): [string, number] => [
    name,
    now - (before[name] ?? 0),
  ]);
  return Object.fromEntries(grown.filter(([, by]) => by !== 0));
}
