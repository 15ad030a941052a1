/**
 * Servers as they are written in Node, Python, Java and Go, for connections and for datagrams: each
 * takes `NAME PORT [ADDRESS]...`, and answers with both ends as its language tells them.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { buildGo } from "../go.js";
import { python, script } from "../paths.js";
import { must } from "../process.js";
import type { Server } from "../server.js";
import { pathOf, startUnit } from "../units.js";
import type { Ask, Own, Stock, Way } from "./types.js";

const ask: Ask = async (from, protocol, dialled, port) => {
  const dial = await from.dial(protocol, dialled, port);
  if (!dial.answered) throw new Error(dial.errno);
  // What an unconnected UDP socket has is what it was bound to.
  const itself = protocol === "tcp" ? { itself: dial.local } : {};
  return { name: dial.tag, peer: dial.peer.address, ...itself };
};

interface Language {
  readonly name: string;
  readonly service?: string;
  readonly lostToNat?: boolean;
  /** How its source says that it listens on port 80 of an address; null: where none is given. */
  readonly listens: (host: string | null) => string;
  readonly every: readonly Way[];
  /** Of both families; default: true. */
  readonly ipv6?: boolean;
  readonly command: (server: Server, way: Way) => Promise<readonly string[]>;
}

function stock({ listens, command, ipv6 = true, ...language }: Language): Stock {
  return {
    ...language,
    port: 80,
    protocols: ["tcp", "udp"],
    own: (own: Own) => {
      const hosts = ipv6 ? [own[4], own[6]] : [own[4]];
      const only = ipv6 ? {} : { families: [4 as const] };
      return [{ written: hosts.map(listens), hosts, ...only }];
    },
    start: async ({ server, name, unit, way }) => {
      const process = await startUnit(server, unit, [
        ...(await command(server, way)),
        name,
        "80",
        ...way.hosts,
      ]);
      await process.waitForOutput(/listening/);
      return { process, ask, log: () => "" };
    },
  };
}

/** What a program takes when it is given no address, and what it takes for 0.0.0.0. */
function everyWay(listens: Language["listens"]): readonly Way[] {
  return [
    { written: [listens(null)], hosts: [] },
    { written: [listens("0.0.0.0")], hosts: ["0.0.0.0"], families: [4] },
  ];
}

const nodeProgram = `
const [name, port, ...hosts] = process.argv.slice(1);
const answer = (peer, local) => JSON.stringify({ tag: name, peer, local }) + "\\n";
let missing = 0;
const ready = () => { if (--missing === 0) console.log("listening"); };
for (const host of hosts.length === 0 ? [undefined] : hosts) {
  missing += 2;
  require("node:net").createServer((socket) => socket.end(answer(
    { address: socket.remoteAddress, port: socket.remotePort },
    { address: socket.localAddress, port: socket.localPort }))).listen(port, host, ready);
  const udp = require("node:dgram").createSocket(host?.includes(".") ? "udp4" : "udp6");
  udp.on("message", (_, peer) => udp.send(answer(peer, udp.address()), peer.port, peer.address));
  udp.bind(port, host, ready);
}
`;

const nodeListens: Language["listens"] = (host) =>
  host === null ? "server.listen(80)" : `server.listen(80, "${host}")`;

const pythonListens: Language["listens"] = (host) => `create_server(("${host ?? ""}", 80))`;

const javaListens: Language["listens"] = (host) =>
  host === null ? "new ServerSocket(80)" : `bind(new InetSocketAddress("${host}", 80))`;

/** Compiled once for a server. */
async function java(server: Server, ...options: readonly string[]): Promise<readonly string[]> {
  if (!existsSync(join(server.folder, "Serve.class"))) {
    const source = "test/support/java/Serve.java";
    await must([await pathOf("javac"), "-proc:none", "-d", server.folder, source]);
  }
  const quick = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto", "-Xmx32m"];
  return [await pathOf("java"), ...quick, ...options, "-cp", server.folder, "Serve"];
}

const preferIPv4 = "-Djava.net.preferIPv4Stack=true";

const goListens: Language["listens"] = (host) => {
  const place = host?.includes(":") === true ? `[${host}]:80` : `${host ?? ""}:80`;
  return `net.Listen("tcp", "${place}")`;
};

/** For Go, 0.0.0.0 is every address of both families. */
const everyWayOfGo = everyWay(goListens).map(({ written, hosts }) => ({ written, hosts }));

const go119 = await buildGo("1.19");
const go124 = await buildGo("1.24");

export const languages: readonly Stock[] = [
  {
    name: "Node.js",
    listens: nodeListens,
    every: everyWay(nodeListens),
    command: async () => [await pathOf("node"), "-e", nodeProgram],
  },
  {
    name: "Python",
    listens: pythonListens,
    every: [
      {
        written: [`create_server(("::", 80), family=AF_INET6, dualstack_ipv6=True)`],
        hosts: ["::"],
      },
      { written: [pythonListens("")], hosts: ["0.0.0.0"], families: [4 as const] },
    ],
    command: async () => await Promise.resolve([python, script("serve.py")]),
  },
  {
    name: "Java",
    listens: javaListens,
    every: [{ written: [javaListens(null)], hosts: [] }],
    command: async (server: Server) => await java(server),
  },
  {
    name: `Java, \`${preferIPv4}\``,
    ipv6: false,
    listens: javaListens,
    every: [{ written: [javaListens(null)], hosts: [], families: [4 as const] }],
    command: async (server: Server) => await java(server, preferIPv4),
  },
  {
    name: "Go 1.19",
    listens: goListens,
    every: everyWayOfGo,
    command: async () => await Promise.resolve(go119.command),
  },
  {
    name: "Go 1.24",
    listens: goListens,
    lostToNat: true,
    every: everyWayOfGo,
    command: async () => await Promise.resolve(go124.command),
  },
  {
    name: "Go 1.24, `mptcp: off`",
    service: "mptcp: off",
    listens: goListens,
    every: everyWayOfGo,
    command: async () => await Promise.resolve(go124.command),
  },
].map(stock);
