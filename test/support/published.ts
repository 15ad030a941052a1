/** A port that a container publishes and that is mapped too: who gets what is dialled there. */
import { expect, test } from "vitest";
import type { Client } from "./client.js";
import type { Stage } from "./hosts.js";
import { addressesOf, families, type Family, protocols } from "./matrix.js";
import { untilRegistered } from "./neighbours.js";

/** By the container "web" of test/support/hosts/docker.sh and podman.sh. */
const PUBLISHED = 8080;

/** The container "web", as a place to dial from and to listen in. */
export async function webOf({ host }: Stage, engine: "docker" | "podman"): Promise<Client> {
  return await host.client(await host.must(`${engine} inspect -f '{{.State.Pid}}' web`));
}

/** The container, or the daemon to which the port is mapped. */
type Answer = "app" | "container";

interface Published {
  /** On the loopback address, by the host itself. Null: nobody answers, with ilm or without. */
  readonly loopback: Readonly<Record<Family, Answer | null>>;
  /** On the public address, by the container; null when there is no answer. */
  readonly inside: Answer | null;
}

export function describePublishedPort(stage: Stage, { loopback, inside }: Published): void {
  for (const protocol of protocols) {
    for (const family of families) {
      const { label, public: dialled, daemon, wildcard, loopback: own } = addressesOf[family];

      test(`a published port that is mapped too, ${protocol.toUpperCase()} over ${label}: the container has what comes from outside`, async () => {
        const { network, lab, container } = stage;
        const { server, client } = network;
        await container.echo("container", [[protocol, wildcard, 80]]);
        await lab.open("app", protocol, daemon, 6000);
        if (protocol === "udp") await untilRegistered(server);
        expect(await client.dial(protocol, dialled, PUBLISHED)).toMatchObject({
          tag: "container",
          repliedFrom: { address: dialled, port: PUBLISHED },
        });
        expect(await server.who(protocol, dialled, PUBLISHED)).toBe("container");
        const atLoopback = loopback[family];
        if (atLoopback !== null) {
          expect(await server.who(protocol, own, PUBLISHED)).toBe(atLoopback);
        }
        if (inside !== null) {
          expect(await container.who(protocol, dialled, PUBLISHED)).toBe(inside);
        }
        // And the others go on.
        expect(await client.who(protocol, dialled, 6001)).toBe("app");
      });
    }
  }
}
