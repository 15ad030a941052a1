/**
 * The oracle's random rule sets, sockets and packets (test/oracle) against the program that asks
 * the kernel through the kfunc. BPF_PROG_TEST_RUN selects through it like a packet does: it runs
 * the program on a `bpf_sk_lookup_kern` of its own (net/bpf/test_run.c,
 * bpf_prog_test_run_sk_lookup), and gives the cookie of the socket that is selected there.
 */
import { execFileSync } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { openDataPlane } from "../../src/dataplane/open.js";
import { getsockopt } from "../../src/kernel/libc.js";
import { ownNetnsPath } from "../../src/kernel/netns.js";
import { type Rules, toBeActive } from "../../src/model/rules.js";
import {
  generatePacket,
  generateRules,
  generateSockets,
  hostAddresses,
  interfaceNames,
  type WantedSocket,
} from "../../test/oracle/generate.js";
import { agrees, decide, type Socket as Listening, drawSeed } from "../../test/oracle/oracle.js";
import { random } from "../../test/support/random.js";
import { capability } from "./report.js";
import { enterNetwork, Socket, unshareNetwork } from "./sockets.js";

const RULE_SETS = 5;
const PACKETS = 400;
const IPPROTO_IPV6 = 41;
const IPV6_V6ONLY = 26;

interface Opened {
  readonly socket: Socket;
  readonly listening: Listening;
}

/** As test/support/python/sockets.py does; a bind that the kernel refuses is left out. */
function openAll(wanted: readonly WantedSocket[]): Opened[] {
  return wanted.flatMap((one) =>
    Array.from({ length: one.members }, () => openOne(one)).flatMap((opened) => opened ?? []),
  );
}

function openOne({ protocol, address, port, v6only, mapped }: WantedSocket): Opened | undefined {
  const at = { address: mapped ? `::ffff:${address}` : address, port };
  const options = { v6: mapped, v6only: v6only && !mapped, reuseport: true, kind: protocol };
  let socket: Socket;
  try {
    socket = Socket.listener(at, options);
  } catch {
    // The kernel has its reasons; the oracle is told of those that there are.
    return undefined;
  }
  const only =
    address.includes(":") && getsockopt(socket.fd, IPPROTO_IPV6, IPV6_V6ONLY, 4)[0] === 1;
  const { cookie } = socket;
  // Without NAT it does not matter when it came.
  const mine = { uid: 0, gid: 0, cookie, early: false };
  return { socket, listening: { protocol, address, port, v6only: only, ...mine } };
}

/** Interface index -> name, of those that rules name. */
function prepare(): Map<number, string> {
  const ip = (...args: string[]): string =>
    execFileSync("/sbin/ip", args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  ip("link", "set", "lo", "up");
  for (const address of hostAddresses) {
    const [length, nodad] = address.includes(":") ? ["128", ["nodad"]] : ["32", []];
    ip("addr", "replace", `${address}/${length}`, "dev", "lo", ...nodad);
  }
  ip("link", "add", "ilm-a", "type", "veth", "peer", "name", "ilm-b");
  const links = JSON.parse(ip("-j", "link")) as readonly { ifindex: number; ifname: string }[];
  return new Map(
    links
      .filter(({ ifname }) => interfaceNames.includes(ifname))
      .map(({ ifindex, ifname }) => [ifindex, ifname]),
  );
}

function askOracle(): string {
  const names = prepare();
  const source = random();
  const plane = openDataPlane({ drawSeed });
  const tally: Record<string, number> = {};
  for (let round = 0; round < RULE_SETS; round++) {
    const made = generateRules(source, source.oneIn(2));
    const rules: Rules = { ...made, file: { ...made.file, engine: "kfunc" } };
    const wanted = generateSockets(source);
    const early = openAll(wanted.slice(0, wanted.length / 2));
    plane.apply(toBeActive(rules));
    const all = [...early, ...openAll(wanted.slice(wanted.length / 2))];
    const gone = all.filter(() => source.oneIn(3));
    for (const { socket } of gone) socket.close();
    const live = all.filter((one) => !gone.includes(one));
    const listening = live.map((one) => one.listening);
    for (let i = 0; i < PACKETS; i++) {
      const packet = generatePacket(source, [...names.keys(), 0]);
      const expected = decide(rules, listening, packet, names);
      const answer = plane.explain(packet);
      tally[expected.verdict] = (tally[expected.verdict] ?? 0) + 1;
      if (agrees(expected, answer)) continue;
      const story = { seed: source.seed, round, packet, expected, answer };
      throw new Error(JSON.stringify(story));
    }
    for (const { socket } of live) socket.close();
  }
  plane.unload();
  plane.close();
  for (const verdict of ["unmanaged", "existing", "selected", "missed", "rejected"]) {
    if ((tally[verdict] ?? 0) < (RULE_SETS * PACKETS) / 100) {
      throw new Error(`too few are ${verdict}: ${JSON.stringify(tally)}`);
    }
  }
  return `seed ${source.seed}, ${JSON.stringify(tally).replaceAll('"', "")}`;
}

/** In a namespace of its own. */
export async function runOracle(): Promise<void> {
  await capability(
    `engine kfunc: decides ${RULE_SETS * PACKETS} random packets as the oracle does`,
    () => {
      const home = openSync(ownNetnsPath, "r");
      unshareNetwork();
      try {
        return askOracle();
      } finally {
        enterNetwork(home);
        closeSync(home);
      }
    },
  );
}
