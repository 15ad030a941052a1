/**
 * What becomes of a listener in each situation, as rows: the suite runs each, and holds the table
 * of docs/listeners.md to them.
 */
import { expect } from "vitest";
import type { Client } from "./client.js";
import { type Kind, Lab, protocolOf } from "./lab.js";
import type { FamilyAddresses } from "./matrix.js";
import type { Namespace } from "./namespace.js";
import type { Server } from "./server.js";

/** Rules that the situations are played on. `app` is the first destination, `spare` the second. */
export const situationRules = `
version: 1
services:
  app: { address: [127.0.1.10, "fd5e:ed00::10"] }
  spare: { address: [127.0.1.11, "fd5e:ed00::11"] }
mappings:
  - { protocol: [tcp, udp], port: 6000, to: [app, spare] }
  - { protocol: [tcp, udp], port: 6001, to: ["*:6001", "spare:6001"] }
  - { protocol: [tcp, udp], port: 6002, to: app, existing: any }
  - { protocol: [tcp, udp], port: 6003, to: app, existing: never }
  - { protocol: [tcp, udp], port: 6004, to: [192.0.2.77, "2001:db8:77::77"] }
  - { protocol: [tcp, udp], port: 40000-40099, to: app }
`;

export interface Stage {
  readonly server: Server;
  readonly client: Client;
  readonly lab: Lab;
  readonly cell: FamilyAddresses;
  readonly kind: Kind;
  /** UDP sockets of destinations are in a socket map: sk_lookup gives them, and not ingress. */
  readonly registered: boolean;
  /** Who answers a client that dials the server's public address. */
  readonly outside: (port: number) => Promise<string>;
  /** Dials the loopback address from the machine itself: that arrives on lo. */
  readonly inside: (port: number) => Promise<string>;
  /** The public address, from the machine itself: that comes by lo, and arrives on up0. */
  readonly itself: (port: number) => Promise<string>;
}

export interface Situation {
  readonly what: string;
  readonly outcome: string;
  readonly kinds: readonly Kind[];
  readonly families?: readonly (4 | 6)[];
  play(stage: Stage): Promise<void>;
}

const all: readonly Kind[] = ["tcp", "mptcp", "udp"];
const streams: readonly Kind[] = ["tcp", "mptcp"];
const nobody = "ECONNREFUSED";

export const situations: readonly Situation[] = [
  {
    what: "It listens on a destination",
    outcome:
      "It gets what clients dial, from the return of its `listen()` or `bind()` until it closes",
    kinds: all,
    play: async ({ lab, cell, kind, outside, inside }) => {
      expect(await outside(6000)).toBe(nobody);
      await lab.open("app", kind, cell.daemon, 6000);
      expect([await outside(6000), await inside(6000)]).toEqual(["app", "app"]);
      await lab.do("close", "app");
      expect([await outside(6000), await inside(6000)]).toEqual([nobody, nobody]);
    },
  },
  {
    what: "It listens on exactly what is dialled",
    outcome:
      "It keeps its traffic (`existing: exact` and `any`); with `existing: never` the mapping takes precedence",
    kinds: all,
    play: async ({ lab, cell, kind, outside }) => {
      for (const port of [6000, 6002, 6003]) {
        await lab.open(`app${port}`, kind, cell.daemon, port);
        await lab.open(`exact${port}`, kind, cell.public, port);
      }
      expect(await outside(6000)).toBe("exact6000");
      expect(await outside(6002)).toBe("exact6002");
      expect(await outside(6003)).toBe("app6003");
      await lab.do("close", "exact6000");
      expect(await outside(6000)).toBe("app6000");
    },
  },
  {
    what: "It listens on the wildcard address of the dialled port",
    outcome:
      "The mapping takes precedence unless it says `existing: any`; whether the mapping's own listener came before or after makes no difference",
    kinds: all,
    play: async ({ lab, cell, kind, outside }) => {
      const options = { options: ["reuseport"] as const };
      for (const port of [6000, 6002, 6003]) {
        await lab.open(`wild${port}`, kind, cell.wildcard, port, options);
        expect(await outside(port)).toBe(`wild${port}`);
        await lab.open(`app${port}`, kind, cell.daemon, port, options);
        expect(await outside(port)).toBe(port === 6002 ? "wild6002" : `app${port}`);
        await lab.do("close", `wild${port}`);
        expect(await outside(port)).toBe(`app${port}`);
        await lab.open(`wild${port}`, kind, cell.wildcard, port, options);
        expect(await outside(port)).toBe(port === 6002 ? "wild6002" : `app${port}`);
      }
    },
  },
  {
    what: "It is bound, and does not listen",
    outcome:
      "It does not count as a listener: on a destination, the next one is tried; on the dialled address, the mapping applies",
    kinds: streams,
    play: async ({ lab, cell, kind, outside }) => {
      await lab.open("silent", kind, cell.daemon, 6000, { listen: false });
      await lab.open("exact", kind, cell.public, 6000, { listen: false });
      expect(await outside(6000)).toBe(nobody);
      await lab.open("spare", kind, cell.daemon2, 6000);
      expect(await outside(6000)).toBe("spare");
      await lab.do("listen", "silent");
      expect(await outside(6000)).toBe("silent");
      await lab.do("listen", "exact");
      expect(await outside(6000)).toBe("exact");
    },
  },
  {
    what: "It calls `listen()` again",
    outcome: "Only its backlog changes",
    kinds: streams,
    play: async ({ lab, cell, kind, outside }) => {
      await lab.open("app", kind, cell.daemon, 6000);
      await lab.do("listen", "app");
      await lab.do("listen", "app");
      expect(await outside(6000)).toBe("app");
      await lab.do("close", "app");
      expect(await outside(6000)).toBe(nobody);
    },
  },
  {
    what: "It calls `shutdown()`, and `listen()` once more",
    outcome: "Between the two calls it does not count as a listener",
    kinds: streams,
    play: async ({ lab, cell, kind, outside }) => {
      await lab.open("spare", kind, cell.daemon2, 6000);
      for (const [name, address] of [
        ["app", cell.daemon],
        ["exact", cell.public],
      ] as const) {
        await lab.open(name, kind, address, 6000);
        expect(await outside(6000)).toBe(name);
        await lab.do("shutdown", name);
        expect(await outside(6000)).toBe("spare");
        await lab.do("listen", name);
        expect(await outside(6000)).toBe(name);
        await lab.do("close", name);
      }
    },
  },
  {
    what: "It is a UDP socket that connects",
    outcome:
      "It gets only its peer's datagrams and does not count as a listener; after `connect(AF_UNSPEC)` it counts again (over IPv6 only for its former peer: the kernel keeps that address)",
    kinds: ["udp"],
    play: async ({ lab, cell, kind, registered, outside }) => {
      await lab.open("spare", kind, cell.daemon2, 6000);
      for (const [name, address] of [
        ["app", cell.daemon],
        ["exact", cell.public],
      ] as const) {
        await lab.open(name, kind, address, 6000);
        expect(await outside(6000)).toBe(name);
        // To another host nothing connects from 127.0.0.0/8.
        const peer = name === "app" ? cell.loopback : cell.client;
        await lab.do("connect", name, { address: peer, port: 9 });
        expect(await outside(6000)).toBe("spare");
        await lab.do("disconnect", name);
        // An IPv6 socket goes on to hear that peer only (net/ipv4/udp.c, __udp_disconnect, leaves
        // sk_v6_daddr); out of a socket map it is given what comes from anybody.
        const hears = cell.family === 4 || peer !== cell.loopback || registered;
        expect(await outside(6000)).toBe(hears ? name : "spare");
        await lab.do("close", name);
      }
    },
  },
  {
    what: "It is bound to port 0",
    outcome:
      "It listens on the port that the kernel assigned; a mapping of many ports that keeps the port leads there",
    kinds: all,
    play: async ({ lab, cell, kind, outside }) => {
      const { port } = await lab.open("app", kind, cell.daemon, 0);
      expect(await outside(port)).toBe("app");
    },
  },
  {
    what: "It is bound to a device, as a destination",
    outcome:
      "It gets only what arrives on that device (over IPv4 ahead of a listener bound to none); for other packets it does not exist",
    kinds: all,
    play: async ({ lab, cell, kind, outside, inside }) => {
      await lab.open("on up0", kind, cell.daemon, 6000, { device: "up0" });
      expect([await outside(6000), await inside(6000)]).toEqual(["on up0", nobody]);
      await lab.open("spare", kind, cell.daemon2, 6000);
      expect([await outside(6000), await inside(6000)]).toEqual(["on up0", "spare"]);
      await lab.do("close", "on up0");
      // The kernel takes two on one address and port when their devices differ, or with
      // SO_REUSEPORT.
      const options = ["reuseport"] as const;
      await lab.open("on none", kind, cell.daemon, 6000, { options });
      expect([await outside(6000), await inside(6000)]).toEqual(["on none", "on none"]);
      await lab.open("on up0", kind, cell.daemon, 6000, { device: "up0", options });
      // Over IPv6 the kernel itself takes whichever of the two was first.
      if (cell.family === 4) expect(await outside(6000)).toBe("on up0");
      expect(await inside(6000)).toBe("on none");
    },
  },
  {
    what: "It is bound to a device, on exactly what is dialled",
    outcome: "It keeps what arrives on its device; everything else is mapped",
    kinds: all,
    play: async ({ lab, cell, kind, outside, inside }) => {
      await lab.open("app", kind, cell.daemon, 6000);
      await lab.open("out on lo", kind, cell.public, 6000, { device: "lo" });
      await lab.open("in on up0", kind, cell.loopback, 6000, {
        device: "up0",
        options: ["freebind"],
      });
      expect([await outside(6000), await inside(6000)]).toEqual(["app", "app"]);
      await lab.do("close", "out on lo");
      await lab.do("close", "in on up0");
      await lab.open("out on up0", kind, cell.public, 6000, { device: "up0" });
      await lab.open("in on lo", kind, cell.loopback, 6000, { device: "lo" });
      expect([await outside(6000), await inside(6000)]).toEqual(["out on up0", "in on lo"]);
    },
  },
  {
    what: "It is bound to a device and the wildcard address",
    outcome: "With `existing: any` it keeps what arrives on its device",
    kinds: all,
    play: async ({ lab, cell, kind, outside, inside }) => {
      const options = ["reuseport"] as const;
      await lab.open("app", kind, cell.daemon, 6002, { options });
      await lab.open("on up0", kind, cell.wildcard, 6002, { device: "up0", options });
      expect([await outside(6002), await inside(6002)]).toEqual(["on up0", "app"]);
    },
  },
  {
    what: "It is bound to a device, and the machine dials an address of its own",
    outcome:
      "To sockets this arrives on the interface that has the address, as without `ilm`: bound to that one, it keeps what is dialled exactly, and nothing else",
    kinds: all,
    play: async ({ lab, cell, kind, inside, itself }) => {
      await lab.open("app", kind, cell.daemon, 6000);
      for (const device of ["up0", "lo"]) {
        await lab.open("exact", kind, cell.public, 6000, { device });
        expect([await itself(6000), await inside(6000)]).toEqual([
          device === "up0" ? "exact" : "app",
          "app",
        ]);
        await lab.do("close", "exact");
      }
    },
  },
  {
    what: "It is bound to a device, as a destination, and the machine dials an address of its own",
    outcome:
      "It gets what arrives on its device; MPTCP and UDP sockets only what arrives on `lo`: for an address of another interface, the next destination is tried",
    kinds: all,
    play: async ({ lab, cell, kind, registered, inside, itself }) => {
      await lab.open("spare", kind, cell.daemon2, 6000);
      await lab.open("on up0", kind, cell.daemon, 6000, { device: "up0" });
      const owner = kind === "tcp" || (kind === "udp" && registered) ? "on up0" : "spare";
      expect([await itself(6000), await inside(6000)]).toEqual([owner, "spare"]);
      await lab.do("close", "on up0");
      await lab.open("on lo", kind, cell.daemon, 6000, { device: "lo" });
      expect([await itself(6000), await inside(6000)]).toEqual(["spare", "on lo"]);
    },
  },
  {
    what: "It listens on `::` and takes IPv4 too (dual-stack)",
    outcome:
      '`to: "*:PORT"` leads there over IPv4 and IPv6, and `existing: any` counts it for both',
    kinds: all,
    play: async ({ lab, kind, outside }) => {
      const options = ["dual", "reuseport"] as const;
      await lab.open("wild", kind, "::", 6001, { options });
      await lab.open("spare4", kind, "127.0.1.11", 6001, { options: ["reuseport"] });
      await lab.open("spare6", kind, "fd5e:ed00::11", 6001, { options: ["reuseport"] });
      expect(await outside(6001)).toBe("wild");
      await lab.open("any", kind, "::", 6002, { options });
      await lab.open("app4", kind, "127.0.1.10", 6002, { options: ["reuseport"] });
      await lab.open("app6", kind, "fd5e:ed00::10", 6002, { options: ["reuseport"] });
      expect(await outside(6002)).toBe("any");
    },
  },
  {
    what: "It listens on `::` with IPV6_V6ONLY",
    outcome: "It gets no IPv4, neither through a mapping nor as an existing listener",
    kinds: all,
    play: async ({ lab, kind, cell, outside }) => {
      const options = ["v6only", "reuseport"] as const;
      await lab.open("wild", kind, "::", 6001, { options });
      await lab.open("spare", kind, cell.daemon2, 6001, { options: ["reuseport"] });
      expect(await outside(6001)).toBe(cell.family === 6 ? "wild" : "spare");
      await lab.open("any", kind, "::", 6002, { options });
      await lab.open("app", kind, cell.daemon, 6002, { options: ["reuseport"] });
      expect(await outside(6002)).toBe(cell.family === 6 ? "any" : "app");
    },
  },
  {
    what: "It is an IPv6 socket on a v4-mapped address (`::ffff:127.0.1.10`)",
    outcome: "It is an IPv4 listener, as it is to the kernel",
    kinds: all,
    families: [4],
    play: async ({ lab, kind, outside }) => {
      await lab.open("mapped", kind, "::ffff:127.0.1.10", 6000, { options: ["dual"] });
      expect(await outside(6000)).toBe("mapped");
    },
  },
  {
    what: "It listens on an address that the host lacks (IP_FREEBIND, IP_TRANSPARENT)",
    outcome: "It is a destination like any other",
    kinds: all,
    play: async ({ lab, kind, cell, outside }) => {
      const address = cell.family === 4 ? "192.0.2.77" : "2001:db8:77::77";
      for (const option of ["freebind", "transparent"] as const) {
        await lab.open(option, kind, address, 6004, { options: [option] });
        expect(await outside(6004)).toBe(option);
        await lab.do("close", option);
      }
    },
  },
  {
    what: "A process inherits it by `fork()`, and the one that opened it ends",
    outcome:
      "The mapping follows the socket: the child gets what clients dial until it closes the socket too",
    kinds: all,
    play: async ({ lab, kind, cell, outside }) => {
      await lab.open("app", kind, cell.daemon, 6000);
      await lab.do("fork", "app", { tag: "child" });
      expect(await outside(6000)).toBe("child");
      await lab.stop();
    },
  },
  {
    what: "It is handed to another process (SCM_RIGHTS), and the first ends",
    outcome: "The other process gets the connections; no dial in between is refused",
    kinds: all,
    play: async ({ server, lab, kind, cell, outside }) => {
      const next = await Lab.start(server);
      const path = `${server.folder}/handover-${cell.family}-${kind}`;
      await lab.open("app", kind, cell.daemon, 6000);
      await next.do("await", "new", { path });
      const [taken] = await Promise.all([
        next.do("take", "new", { path, tag: "successor" }),
        lab.do("send_away", "app", { path, keep: false }),
      ]);
      expect(taken.done).toBe(true);
      expect(await outside(6000)).toBe("successor");
      await lab.stop();
      expect(await outside(6000)).toBe("successor");
      await next.stop();
      expect(await outside(6000)).toBe(nobody);
    },
  },
];

export function renderSituations(): string {
  const names: Readonly<Record<Kind, string>> = { tcp: "TCP", mptcp: "MPTCP", udp: "UDP" };
  const rows = situations.map(
    ({ what, outcome, kinds }) =>
      `| ${what} | ${kinds.map((kind) => names[kind]).join(", ")} | ${outcome} |`,
  );
  return ["| the listener | proven for | what happens |", "|---|---|---|", ...rows].join("\n");
}

/**
 * `settle`: waits until UDP sockets are registered, between what the lab does and a dial; default:
 * they are left to ingress.
 */
export function makeStage(
  server: Server,
  client: Client,
  lab: Lab,
  cell: FamilyAddresses,
  kind: Kind,
  settle?: () => Promise<void>,
): Stage {
  const dialFrom = (from: Namespace, address: string) => async (port: number) => {
    await settle?.();
    return await from.who(protocolOf(kind), address, port, { mptcp: kind === "mptcp" });
  };
  return {
    server,
    client,
    lab,
    cell,
    kind,
    registered: settle !== undefined,
    outside: dialFrom(client, cell.public),
    inside: dialFrom(server, cell.loopback),
    itself: dialFrom(server, cell.public),
  };
}
