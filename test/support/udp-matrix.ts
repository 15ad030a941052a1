/**
 * Every reply of a mapped UDP daemon leaves from where the client dialled: family x mapping x size
 * on one device, judged by what a capture on the client's side shows, and by a connected client
 * socket, which takes nothing else.
 */
import { beforeAll, describe, expect, test } from "vitest";
import { addressesOf, families } from "./matrix.js";
import { type Cable, useNetwork } from "./network.js";
import { words } from "./process.js";
import type { Server } from "./server.js";
import { UdpEnds, type UdpSocket } from "./udp.js";

export const udpMatrixRules = `
version: 1
services:
  app: { address: [127.0.1.10, "fd5e:ed00::10"] }
mappings:
  - { name: same, protocol: udp, port: 7000, to: app }
  - { name: remap, protocol: udp, port: 7001, to: "app:7000" }
  - { name: range, protocol: udp, port: 7100-7109, to: "app:7000" }
`;

/** Where the requests and replies pass. */
export interface Device {
  readonly title: string;
  readonly cable: Cable;
  /** Server and client are one host. */
  readonly loopback?: true;
  readonly offload: "on" | "off";
}

const mappings = [
  { mapping: "the same port", dialled: 7000 },
  { mapping: "a port remap", dialled: 7001 },
  { mapping: "a range onto one port", dialled: 7105 },
];

interface Reply {
  readonly size: string;
  /** In one send call each; several: sendmmsg. */
  readonly sizes: readonly number[];
  readonly segment?: number;
  /** What the client is to receive. */
  readonly arrives: readonly number[];
  readonly fragmented?: true;
}

const replies: readonly Reply[] = [
  { size: "one byte", sizes: [1], arrives: [1] },
  { size: "a small reply", sizes: [300], arrives: [300] },
  { size: "a reply in fragments", sizes: [5001], arrives: [5001], fragmented: true },
  { size: "a reply of 60 kB", sizes: [60_000], arrives: [60_000], fragmented: true },
  {
    size: "UDP_SEGMENT",
    sizes: [3501],
    segment: 1000,
    arrives: [1000, 1000, 1000, 501],
  },
  { size: "sendmmsg", sizes: [200, 2001, 1], arrives: [200, 2001, 1] },
];

/**
 * The tests of a device. `prepare` is called when the rules are applied and the daemons bound;
 * default: nothing.
 */
export function describeUdpMatrix(
  { title, cable, loopback, offload }: Device,
  prepare?: (server: Server) => Promise<void>,
): void {
  describe(`${title}, checksum offload ${offload}`, () => {
    const network = useNetwork(cable);
    let clientEnds: UdpEnds;
    let serverEnds: UdpEnds;
    const daemons = new Map<number, UdpSocket>();

    beforeAll(async () => {
      const { server } = network;
      const client = loopback === true ? server : network.client;
      const device = loopback === true ? "lo" : "up0";
      if (loopback === true) await server.must(words("ip link set lo mtu 1500"));
      if (offload === "off") {
        for (const end of [server, client]) await end.must(words("ethtool -K up0 tx off"));
      }
      const features = await server.must(words(`ethtool -k ${device}`));
      if (!features.includes(`\ntx-checksumming: ${offload}`)) {
        throw new Error(`checksum offload of ${device} is not ${offload}`);
      }
      await server.apply(udpMatrixRules);
      serverEnds = new UdpEnds(server);
      clientEnds = new UdpEnds(client);
      for (const family of families) {
        const bind = [addressesOf[family].daemon, 7000] as const;
        daemons.set(family, await serverEnds.open(family, { bind }));
      }
      await prepare?.(server);
      await clientEnds.capture(device);
    });

    for (const family of families) {
      const { label, second } = addressesOf[family];
      test.each(mappings.flatMap((mapping) => replies.map((reply) => ({ ...mapping, ...reply }))))(
        `${label}: $mapping, $size`,
        async ({ dialled, sizes, segment, arrives, fragmented }) => {
          const daemon = daemons.get(family);
          const client = await clientEnds.open(family, { connect: [second, dialled] });
          await client.send(null);
          const asked = await daemon?.receive();
          expect(asked?.from.port).toBe(client.local.port);
          const options = segment === undefined ? {} : { segment };
          expect(await daemon?.send(asked?.from ?? null, sizes, options)).not.toHaveProperty(
            "error",
          );
          for (const size of arrives) {
            expect(await client.receive()).toMatchObject({
              size,
              from: { address: second, port: dialled },
            });
          }
          const seen = await clientEnds.captured(client.local.port);
          const answers = seen.filter(({ to }) => to.port === client.local.port);
          await client.close();
          expect(answers.reduce((sum, { size }) => sum + size, 0)).toBe(
            arrives.reduce((sum, size) => sum + size, 0),
          );
          for (const answer of answers) {
            expect(answer).toMatchObject({ sources: [second], port: dialled, header: true });
            if (offload === "off") expect(answer.checksum).toBe("valid");
            else expect(answer.checksum).not.toBe("wrong");
          }
          if (fragmented === true) {
            expect(answers.map(({ fragments }) => fragments > 1)).toEqual([true]);
          }
        },
      );
    }

    test("with the bytes that were sent, and without a fault", async () => {
      const { server } = network;
      const { faults } = (await server.status()) as { faults?: unknown };
      expect(faults).toEqual({ untracked: 0, unplaced: 0, flows: 0, unanswered: 0, unsteered: 0 });
    });
  });
}
