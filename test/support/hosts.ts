/**
 * The hosts that people have: real tools and their own rules, beside the daemons of mappings. One
 * table of rows for each: TCP, UDP and MPTCP, over both families, dialled by whoever may dial.
 */
import { writeFileSync } from "node:fs";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { removeCgroups } from "./cgroup.js";
import type { Client } from "./client.js";
import { refused } from "./dialler.js";
import { Host } from "./host.js";
import { type Kind, Lab, kinds, protocolOf, stopLabs } from "./lab.js";
import { addressesOf, type Family, families } from "./matrix.js";
import type { Namespace } from "./namespace.js";
import { type Network, useNetwork } from "./network.js";
import { eventually } from "./process.js";
import type { Server } from "./server.js";

/**
 * 6000 keeps its port. 6004 is for an address that comes and goes. 6003 leads to where 6000 does:
 * firewalls are told of it by the tests only.
 */
export const hostRules = `
version: 1
services:
  app: { address: [127.0.1.10, "fd5e:ed00::10"] }
  dns: { address: [127.0.1.53, "fd5e:ed00::53"] }
mappings:
  - { name: same, protocol: [tcp, udp], port: 6000, to: app }
  - { name: moved, protocol: [tcp, udp], port: 6001, to: "app:6000" }
  - { name: closed, protocol: [tcp, udp], port: 6003, to: "app:6000" }
  - { name: published, protocol: [tcp, udp], port: 8080, to: "app:6000" }
  - { name: virtual, protocol: [tcp, udp], port: 6004, on: ["203.0.113.77", "2001:db8::77"], to: "app:6000" }
  - { name: kept, port: 8081, existing: any, to: "app:6000" }
  - { name: dns, protocol: [tcp, udp], port: 53, to: dns }
`;

type Addresses = Readonly<Record<Family, readonly string[]>>;

export interface HostSetup {
  readonly title: string;
  /** The script that starts the tools, with its arguments, for Host.start. Null: there are none. */
  readonly tools: readonly [string, ...string[]] | null;
  /** The families of which the tools take away what ingress gives: by NAT, or a packet socket. */
  readonly takes: readonly Family[];
  /** What a remote client dials; default: the server's public addresses. */
  readonly dialled?: Addresses;
  /** Somebody who dials from inside of the host. */
  readonly container?: (stage: Stage) => Promise<Client>;
  /** What that one dials beside the public address; default: nothing. */
  readonly gateway?: Addresses;
  /** What has to be there before the tests; default: nothing. */
  readonly prepare?: (stage: Stage) => Promise<void>;
}

/** What a host's tests have at hand; it is there in hooks and tests only. */
export interface Stage {
  readonly network: Network;
  readonly host: Host;
  readonly lab: Lab;
  readonly container: Client;
}

const publicAddresses: Addresses = { 4: [addressesOf[4].public], 6: [addressesOf[6].public] };
const none: Addresses = { 4: [], 6: [] };

/** What becomes of each kind of daemon. MPTCP is given at ingress only, which may be taken away. */
const outcomes: readonly {
  readonly kind: Kind;
  readonly taken: boolean;
  readonly outcome: "answers" | "is named as not reached";
  readonly handover: string;
}[] = [
  { kind: "tcp", taken: false, outcome: "answers", handover: "sockmap" },
  { kind: "tcp", taken: true, outcome: "answers", handover: "sockmap" },
  { kind: "udp", taken: false, outcome: "answers", handover: "ingress" },
  { kind: "udp", taken: true, outcome: "answers", handover: "sockmap" },
  { kind: "mptcp", taken: false, outcome: "answers", handover: "ingress" },
  { kind: "mptcp", taken: true, outcome: "is named as not reached", handover: "none" },
];

async function warningsOf(
  server: Server,
): Promise<readonly { readonly kind: string; readonly message: string }[]> {
  const { warnings } = await server.status();
  return warnings;
}

/** Waits until the listener on the address is given what is for it in that way. */
async function untilHandover(server: Server, at: string, handover: string): Promise<void> {
  await eventually(`the hand-over of ${at} is ${handover}`, async () => {
    const listeners = await server.listeners();
    return listeners.find(({ address }) => address === at)?.handover === handover ? true : null;
  });
}

/** The rows of one host. `more`: what is to be tried on it besides. */
export function describeHost(setup: HostSetup, more?: (stage: Stage) => void): void {
  describe(setup.title, () => {
    const network = useNetwork();
    let host: Host;
    let lab: Lab;
    let container: Client | null = null;
    let configuration = "";
    const stage: Stage = {
      network,
      get host() {
        return host;
      },
      get lab() {
        return lab;
      },
      get container() {
        if (container === null) throw new Error(`${setup.title}: nobody is inside`);
        return container;
      },
    };

    beforeAll(async () => {
      const { server } = network;
      // The tools come later, as on a host that restarts one of them.
      configuration = server.file(hostRules);
      await server.startRun(["-f", configuration]);
      if (setup.tools !== null) host = await Host.start(server, setup.tools);
      lab = await Lab.start(server);
      container = (await setup.container?.(stage)) ?? null;
      await setup.prepare?.(stage);
    });

    afterEach(async () => {
      await lab.do("close_all", "");
      await container?.stopDaemons();
    });

    afterAll(async () => {
      await stopLabs();
      await container?.destroy();
      await network.server.stopStarted();
      await network.client.stopStarted();
      await removeCgroups();
    });

    const clients: readonly {
      readonly client: string;
      readonly from: () => Namespace;
      readonly to: Addresses;
    }[] = [
      {
        client: "a remote client",
        from: () => network.client,
        to: setup.dialled ?? publicAddresses,
      },
      {
        client: "the host itself",
        from: () => network.server,
        to: {
          4: [...(setup.dialled ?? publicAddresses)[4], addressesOf[4].loopback],
          6: [...(setup.dialled ?? publicAddresses)[6], addressesOf[6].loopback],
        },
      },
      {
        client: "a container",
        from: () => stage.container,
        to: {
          4: [...publicAddresses[4], ...(setup.gateway ?? none)[4]],
          6: [...publicAddresses[6], ...(setup.gateway ?? none)[6]],
        },
      },
    ];
    const rows = kinds.flatMap((kind) =>
      families.flatMap((family) =>
        clients
          .filter(({ client }) => client !== "a container" || setup.container !== undefined)
          .map((client) => ({ kind, family, label: addressesOf[family].label, ...client })),
      ),
    );

    for (const { kind, family, label, client, from, to } of rows) {
      const found = outcomes.find(
        (one) => one.kind === kind && one.taken === setup.takes.includes(family),
      );
      if (found === undefined) throw new Error(`no outcome for ${kind}`);
      const { outcome, handover } = found;

      test(`${kind.toUpperCase()} over ${label}, dialled by ${client}: the daemon ${outcome}`, async () => {
        const { server } = network;
        const { daemon } = addressesOf[family];
        await lab.open("app", kind, daemon, 6000);
        await untilHandover(server, daemon, handover);
        for (const address of to[family]) {
          for (const port of [6000, 6001]) {
            const options = kind === "mptcp" ? { mptcp: true } : {};
            const dial = await from().dial(protocolOf(kind), address, port, options);
            expect(dial, `${address} ${port}`).toMatchObject(
              outcome === "answers" ? { tag: "app", repliedFrom: { address, port } } : refused,
            );
            if (outcome === "answers" && kind === "mptcp") expect(dial).toMatchObject(options);
          }
        }
        const unreached = (await warningsOf(server)).filter((one) => one.kind === "unreached");
        expect(unreached).toHaveLength(outcome === "answers" ? 0 : 1);
        for (const { message } of unreached) expect(message).toContain(`pid ${lab.process.pid}`);
      });
    }

    more?.(stage);

    for (const remedy of setup.takes.length > 0 ? ["mptcp: off"] : []) {
      describe(`with ${remedy}`, () => {
        beforeAll(async () => {
          writeFileSync(configuration, `${hostRules}${remedy}\n`);
          await eventually("no program is given an MPTCP socket", async () => {
            const { daemon } = addressesOf[4];
            const probe = { kind: "mptcp", address: daemon, port: 6000 };
            const { done } = await lab.ask({ do: "open", name: "probe", ...probe });
            if (done) await lab.do("close", "probe");
            return done ? null : true;
          });
        });

        for (const { kind, family, label, client, from, to } of rows) {
          if (kind !== "mptcp") continue;

          test(`MPTCP over ${label}, dialled by ${client}: the daemon falls back to TCP, as Go does, and answers`, async () => {
            const socket = { address: addressesOf[family].daemon, port: 6000 };
            const asked = await lab.ask({ do: "open", name: "app", kind, ...socket });
            expect(asked).toMatchObject({ errno: "EPROTONOSUPPORT" });
            await lab.open("app", "tcp", socket.address, socket.port);
            for (const address of to[family]) {
              for (const port of [6000, 6001]) {
                const dial = await from().dial("tcp", address, port);
                expect(dial, `${address} ${port}`).toMatchObject({ tag: "app" });
              }
            }
            const warned = (await warningsOf(network.server)).map((one) => one.kind);
            expect(warned).not.toContain("unreached");
          });
        }
      });
    }
  });
}
