/**
 * The programs at the interfaces against packets that no host would send. Each goes through the
 * loaded programs twice.
 *
 * - By BPF_PROG_TEST_RUN (net/bpf/test_run.c), as if it had come in on a device or on lo. There
 *   bpf_sk_assign() refuses (skb->tc_at_ingress is not set), so no socket can be given: what is
 *   seen is the return code, the packet afterwards, and the tokens that ingress leaves for
 *   sk_lookup. Nor can a VLAN's tag be beside the packet, and there is none with less than a
 *   network header. The socket of a test run is of no protocol: egress and delivery have to leave
 *   such a packet as it is, and what they change where there is a flow is for
 *   test/netns/udp.test.ts.
 * - In earnest, by a tap device: what is given is told by the ring buffer of `ilm monitor`, or by
 *   what waits to be told there, and what a daemon gets by the flows.
 *
 * All of it is compared with what ./packets/read.ts reads and test/oracle/oracle.ts decides. Half
 * of the packets come to a host that forwards. ILM_SEED repeats a run.
 */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Conversation } from "../support/conversation.js";
import { builtRoot } from "../support/paths.js";
import { run } from "../support/process.js";
import { random } from "../support/random.js";
import { Server } from "../support/server.js";
import { sizes } from "../support/sizes.js";
import type { Socket } from "../oracle/oracle.js";
import { sockets as wanted } from "./packets/rules.js";
import type { Report, Request } from "./packets/worker.js";

let server: Server;
beforeAll(async () => {
  server = await Server.make();
});
afterAll(async () => {
  await server.destroy();
});

const packets = sizes.fuzzPackets;
/**
 * What must have happened to at least one packet in a thousand: a generator that meets nothing
 * would prove nothing.
 */
const needed = [
  "read: udp selected",
  "read: udp existing",
  "read: udp rejected",
  "read: tcp selected",
  "read: tcp existing",
  "unreadable: version",
  "unreadable: header length",
  "unreadable: later fragment",
  "unreadable: segments left",
  "unreadable: too many headers",
  "unreadable: not unicast",
  "unreadable: for another host",
  "icmp: left",
  "icmp: given back",
  "given: udp",
  "given: udp, and dropped",
  "given: tcp",
  "given: tcp, and dropped",
  "selected: by sk_lookup",
  "delivered",
];

/** The first CPU that we may use: tokens are per CPU, so the worker stays on one. */
function oneCpu(): string {
  const status = readFileSync("/proc/self/status", "utf8");
  return /^Cpus_allowed_list:\s*(\d+)/m.exec(status)?.[1] ?? "0";
}

/**
 * What the kernel has complained of; the machine's log has that of others too, and is not readable
 * everywhere.
 */
async function complaints(): Promise<readonly string[]> {
  const { status, stdout, stderr } = await run(["dmesg"]);
  if (status !== 0) process.stdout.write(`the kernel's log is not looked at: ${stderr}`);
  return stdout.split("\n").filter((line) => /\b(WARNING|BUG|Oops|KASAN)\b/.test(line));
}

type Opened = readonly (readonly { readonly cookie: string; readonly v6only: boolean }[] | null)[];

test(
  `${packets} spoilt packets are read as the RFCs say, and given to no socket but the mapping's`,
  { timeout: 3_600_000 },
  async () => {
    const { seed } = random();
    process.stdout.write(`ILM_SEED=${seed}\n`);
    const before = await complaints();
    const helper = new Conversation(() => server.startPython("sockets.py", []));
    const worker = new Conversation(() =>
      server.start(["taskset", "-c", oneCpu(), "node", `${builtRoot}test/fuzz/packets/worker.js`]),
    );
    const ask = async (request: Request): Promise<unknown> => await worker.ask(request, 3_600_000);
    await ask({ prepare: true });
    const opened = (await helper.ask({ open: wanted })) as Opened;
    const sockets = wanted.flatMap(({ protocol, address, port, peer }, index): Socket[] => {
      const group = opened[index] ?? null;
      expect(group, `${protocol} ${address} ${port}`).not.toBeNull();
      // One that is connected listens to its peer alone.
      if (peer !== undefined) return [];
      return (group ?? []).map(({ cookie, v6only }) => ({
        protocol,
        address,
        port,
        v6only,
        cookie,
        uid: 0,
        gid: 0,
        early: true,
      }));
    });

    const { differences, tally } = (await ask({ run: { packets, seed, sockets } })) as Report;
    const summary = JSON.stringify(tally, null, 1);
    expect(differences, `ILM_SEED=${seed}\n${differences.join("\n")}\n${summary}`).toEqual([]);
    for (const what of needed) {
      expect(tally[what] ?? 0, `${what} in ${summary}`).toBeGreaterThan(packets / 1_000);
    }
    expect((await complaints()).filter((line) => !before.includes(line))).toEqual([]);
  },
);
