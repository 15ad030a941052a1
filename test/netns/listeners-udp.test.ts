/** A UDP daemon that a mapping leads to sees no difference to one that nobody manages. */
import { beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type Lab, type Seen, useLab } from "../support/lab.js";
import { addressesOf, families } from "../support/matrix.js";
import { useNetwork } from "../support/network.js";

const network = useNetwork();

// The same daemon twice: "mapped" is dialled through the mapping, "plain" on its own public address
// and an unmanaged port.
const rules = `
version: 1
services:
  app: { address: [127.0.1.10, "fd5e:ed00::10"] }
mappings:
  - { protocol: udp, port: 6000, to: app }
`;

let lab: Lab;

beforeAll(async () => {
  await network.server.apply(rules);
});

useLab(network, (started) => {
  lab = started;
});

const names = ["mapped", "plain"] as const;
const port = { mapped: 6000, plain: 7000 };

for (const family of families) {
  const cell = addressesOf[family];

  /** What each of the two does: the same, or there is a difference. */
  async function both<Result>(act: (name: (typeof names)[number]) => Promise<Result>) {
    const [mapped, plain] = [await act("mapped"), await act("plain")];
    expect(mapped).toEqual(plain);
    return mapped;
  }

  async function send(name: (typeof names)[number], ...lengths: readonly number[]): Promise<void> {
    for (const length of lengths) {
      // The client waits for no answer: the daemon holds still.
      const options = { length, connected: false, timeout_s: 0.01 };
      await network.client.dial("udp", cell.public, port[name], options);
    }
  }

  describe(cell.label, () => {
    beforeEach(async () => {
      await lab.open("mapped", "udp", cell.daemon, port.mapped);
      await lab.open("plain", "udp", cell.public, port.plain);
      for (const name of names) await lab.do("hold", name);
    });

    test("FIONREAD tells the length of the first datagram, before and after one is read", async () => {
      const seen = await both(async (name): Promise<Seen> => {
        await send(name, 100, 7);
        return await lab.look(name);
      });
      expect(seen).toMatchObject({ queued: 100, length: 100, left: 7 });
    });

    test("a datagram of no bytes wakes poll() and is received as one", async () => {
      const seen = await both(async (name): Promise<Seen> => {
        await send(name, 0);
        return await lab.look(name);
      });
      expect(seen).toMatchObject({ queued: 0, length: 0, events: 1 });
    });

    test("poll() stays silent while nothing has come", async () => {
      const seen = await both(async (name) => await lab.look(name, { timeout_ms: 50 }));
      expect(seen).toMatchObject({ events: 0, queued: 0, errno: "EAGAIN" });
    });

    test("recvmmsg() gives every datagram that waits, in order and with its length", async () => {
      const seen = await both(async (name) => {
        await send(name, 10, 5, 1400, 8);
        return await lab.do("many", name);
      });
      expect(seen).toMatchObject({ lengths: [10, 5, 1400, 8] });
    });

    test("SO_TIMESTAMP comes with each datagram", async () => {
      const seen = await both(async (name) => {
        await lab.do("timestamps", name);
        await send(name, 5);
        return await lab.look(name);
      });
      // SOL_SOCKET, SCM_TIMESTAMP, struct timeval
      expect(seen.ancillary).toEqual([[1, 29, 16]]);
    });

    test("an error queue that is asked for is empty as long as there is no error", async () => {
      const seen = await both(async (name) => {
        await lab.do("error_queue", name);
        await send(name, 5);
        return [await lab.look(name, { errors: true }), await lab.look(name)];
      });
      expect(seen).toMatchObject([
        { events: 1, errno: "EAGAIN" },
        { events: 1, length: 5 },
      ]);
    });

    test("an error of the way to a client comes to the error queue", async () => {
      const seen = await both(async (name) => {
        await lab.do("error_queue", name);
        // Somebody who asks and is gone: the answer finds his port closed.
        await send(name, 5);
        await lab.do("answer", name);
        const { events, queued, errors, ancillary } = await lab.look(name, {
          errors: true,
          only_errors: true,
        });
        return { events, queued, errors, ancillary };
      });
      // ECONNREFUSED, of ICMP (2) or ICMPv6 (3)
      expect(seen.errors?.map(([errno, origin]) => [errno, origin])).toEqual([
        [111, family === 4 ? 2 : 3],
      ]);
    });
  });
}
