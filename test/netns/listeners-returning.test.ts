/**
 * A client that comes back from the same port within the minute in which the kernel keeps the
 * remains of its last connection (TIME_WAIT) is served at once, as on a host without us
 * (net/ipv4/tcp_minisocks.c, tcp_timewait_state_process). TCP, which sk_lookup serves, is the
 * control.
 */
import { beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { DialOptions } from "../support/dialler.js";
import { type Lab, type OpenOptions, useLab } from "../support/lab.js";
import { addressesOf, families, type Family, type FamilyAddresses } from "../support/matrix.js";
import type { Namespace } from "../support/namespace.js";
import { useNetwork } from "../support/network.js";
import { eventually, must } from "../support/process.js";

const network = useNetwork();
const port = 6000;
const wildcardPort = 6001;
const rounds = 4;

const rules = `
version: 1
services:
  app: { address: [127.0.1.10, "fd5e:ed00::10"] }
  spare: { address: [127.0.1.11, "fd5e:ed00::11"] }
mappings:
  - { port: ${port}, to: [app, spare] }
  - { port: ${wildcardPort}, to: ["*:${wildcardPort}", spare] }
`;

interface Place {
  readonly what: string;
  readonly dialler: () => Namespace;
  readonly from: (cell: FamilyAddresses) => string;
  readonly to: (cell: FamilyAddresses) => string;
  /** What its packets come in on, to ingress as to the kernel; null: the two are not the same. */
  readonly device: string | null;
}

const places: readonly Place[] = [
  {
    what: "from outside",
    dialler: () => network.client,
    from: (cell) => cell.client,
    to: (cell) => cell.public,
    device: "up0",
  },
  {
    what: "from the machine itself to its loopback address",
    dialler: () => network.server,
    from: (cell) => cell.loopback,
    to: (cell) => cell.loopback,
    device: "lo",
  },
  {
    what: "from the machine itself to its public address",
    dialler: () => network.server,
    from: (cell) => cell.public,
    to: (cell) => cell.public,
    device: null,
  },
];

const kinds = ["tcp", "mptcp"] as const;

/**
 * For how many milliseconds the kernel keeps a port from the client that closed first, with
 * tcp_tw_reuse; a second before Linux 6.14, which has no such file (net/ipv4/tcp_ipv4.c,
 * tcp_twsk_unique).
 */
const reuseDelay = "/proc/sys/net/ipv4/tcp_tw_reuse_delay";

let lab: Lab;
/** Each test has its own, so that it meets its own remains only. */
let sourcePort = 20_000;

beforeAll(async () => {
  const { server, client } = network;
  await must(["ip", "-n", server.name, "link", "add", "side0", "type", "veth", "peer", "side1"]);
  await must(["ip", "-n", server.name, "link", "set", "side0", "up"]);
  await server.apply(rules);
  for (const namespace of [server, client]) {
    await namespace.must(["sh", "-c", "echo 1 > /proc/sys/net/ipv4/tcp_tw_reuse"]);
    await namespace.must(["sh", "-c", `[ ! -e ${reuseDelay} ] || echo 1 > ${reuseDelay}`]);
  }
});

useLab(network, (started) => {
  lab = started;
});

beforeEach(() => {
  sourcePort += 1;
});

/** Who answers each round, all of them from one port. */
async function comeBack(
  place: Place,
  cell: FamilyAddresses,
  options: DialOptions,
  dialled = port,
): Promise<readonly string[]> {
  const answers: string[] = [];
  const again = { ...options, from: [place.from(cell), sourcePort] } as const;
  for (let round = 0; round < rounds; round += 1) {
    // The client's own kernel keeps the port while it has remains of its own, and sends nothing
    // then.
    const answer = await eventually("the client may use its port again", async () => {
      const tag = await place.dialler().who("tcp", place.to(cell), dialled, again);
      return tag === "EADDRNOTAVAIL" ? null : tag;
    });
    answers.push(answer);
  }
  return answers;
}

const all = (tag: string): readonly string[] => Array.from({ length: rounds }, () => tag);

/** Connections that ended, but of which the server's namespace keeps the daemon's end. */
async function remains(family: Family): Promise<number> {
  const filter = ["state", "time-wait", "sport", "=", `:${port}`, "dport", "=", `:${sourcePort}`];
  const shown = await network.server.must(["ss", "-Htan", `-${family}`, ...filter]);
  return shown.trim() === "" ? 0 : shown.trim().split("\n").length;
}

for (const place of places) {
  describe(place.what, () => {
    for (const family of families) {
      const cell = addressesOf[family];
      for (const kind of kinds) {
        for (const closes of ["first", "last"] as const) {
          const who = closes === "first" ? "the daemon" : "the client";
          const label = `${cell.label}, ${kind}, ${who} closed first`;
          const dialOptions: DialOptions = {
            closes: closes === "first" ? "last" : "first",
            mptcp: kind === "mptcp",
          };
          const open = async (name: string, options: OpenOptions = {}): Promise<void> => {
            const own = { closes, options: ["reuseport"], ...options } as const;
            await lab.open(name, kind, cell.daemon, port, own);
          };

          test(`${label}: the one listener`, async () => {
            await open("app");
            expect(await comeBack(place, cell, dialOptions)).toEqual(all("app"));
          });

          test(`${label}: beside one that is bound to another device`, async () => {
            await open("app");
            await open("other", { device: "side0" });
            expect(await comeBack(place, cell, dialOptions)).toEqual(all("app"));
          });

          test(`${label}: a plain client`, async () => {
            await open("app");
            const options = { ...dialOptions, mptcp: false };
            expect(await comeBack(place, cell, options)).toEqual(all("app"));
            expect(await remains(family)).toBe(closes === "first" ? 1 : 0);
          });

          test(`${label}: a listener on the wildcard address, as the first destination`, async () => {
            const own = { closes, options: ["reuseport"] } as const;
            await lab.open("any", kind, cell.wildcard, wildcardPort, own);
            await lab.open("spare", "tcp", cell.daemon2, wildcardPort, own);
            const plain = { ...dialOptions, mptcp: false };
            expect(await comeBack(place, cell, plain, wildcardPort)).toEqual(all("any"));
          });

          for (const device of place.device === null ? [] : [place.device]) {
            test(`${label}: bound to the device that it comes in on`, async () => {
              await open("app", { device });
              expect(await comeBack(place, cell, dialOptions)).toEqual(all("app"));
            });
          }
        }

        test(`${cell.label}, ${kind}: after so many bytes that the new connection's sequence numbers are behind`, async () => {
          // A first number is one higher after each 64 ns (net/core/secure_seq.c, seq_scale):
          // timestamps tell that it is newer.
          const bytes = 32 << 20;
          await lab.open("app", kind, cell.daemon, port, { reads: bytes });
          await lab.open("spare", "tcp", cell.daemon2, port, { reads: bytes });
          expect(await comeBack(place, cell, { uploads: bytes })).toEqual(all("app"));
        });
      }
    }
  });
}

describe("from the machine itself, after the same port was connected to the listener itself", () => {
  for (const family of families) {
    const cell = addressesOf[family];
    for (const kind of kinds) {
      test(`${cell.label}, ${kind}: the mapping leads there all the same`, async () => {
        const { server } = network;
        await lab.open("app", kind, cell.daemon, port, { closes: "first" });
        await lab.open("spare", "tcp", cell.daemon2, port, { closes: "first" });
        const options = { closes: "last", from: [cell.loopback, sourcePort] } as const;
        expect(await server.who("tcp", cell.daemon, port, options)).toBe("app");
        expect(await remains(family)).toBe(1);
        expect(await server.who("tcp", cell.loopback, port, options)).toBe("app");
      });
    }
  }
});

describe("with tcp_rfc1337, when the kernel keeps the remains", () => {
  for (const place of places) {
    for (const family of families) {
      const cell = addressesOf[family];
      test(`${place.what}, ${cell.label}: no answer, and the packet is not brought for ever`, async () => {
        const { server } = network;
        await server.must(["sh", "-c", "echo 1 > /proc/sys/net/ipv4/tcp_rfc1337"]);
        try {
          await lab.open("app", "mptcp", cell.daemon, port);
          const from = [place.from(cell), sourcePort] as const;
          const first = await place.dialler().who("tcp", place.to(cell), port, { from });
          expect(first).toBe("app");
          const others = await comeBack(place, cell, { timeout_s: 0.5 });
          expect(new Set(others)).toEqual(new Set(["ETIMEDOUT"]));
        } finally {
          await server.must(["sh", "-c", "echo 0 > /proc/sys/net/ipv4/tcp_rfc1337"]);
        }
      });
    }
  }
});
