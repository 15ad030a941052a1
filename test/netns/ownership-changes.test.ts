/**
 * Changes that make a stranger of who was selected, or the reverse: by the owner, and by which
 * ports a destination is for, as places of one port and of every port are kept apart.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { stranger } from "../support/actor.js";
import { useLabs } from "../support/attacks.js";
import { kinds, protocolOf } from "../support/lab.js";
import { addressesOf, families } from "../support/matrix.js";
import { useNetwork } from "../support/network.js";

const network = useNetwork();
const labOf = useLabs(network);
const PORT = 6000;
const shapes = { "one port": `${PORT}`, "every port": '"*"' } as const;
type Shape = keyof typeof shapes;
const shapeNames = Object.keys(shapes) as Shape[];

afterAll(async () => {
  await network.server.stopAll();
});

/** A service's own address, and the wildcard. */
const places = {
  "a service's address": (ports: string, theirs: boolean) => `
version: 1
strangers: refuse
services:
  app: { address: [127.0.1.10, "fd5e:ed00::10"]${theirs ? ", user: 4000" : ""} }
mappings:
  - { protocol: [tcp, udp], port: ${ports}, on: [203.0.113.1, "2001:db8::1"], to: app }
`,
  "the wildcard address": (ports: string, theirs: boolean) => `
version: 1
strangers: refuse
mappings:
  - { protocol: [tcp, udp], port: ${ports}, on: [203.0.113.1, "2001:db8::1"], to: "*"${theirs ? "" : ", listeners: anyone"} }
`,
} as const;

for (const [place, rules] of Object.entries(places)) {
  for (const before of shapeNames) {
    for (const after of shapeNames) {
      describe(`from ${before} to ${after}`, () => {
        beforeAll(async () => {
          await network.server.unload();
        });

        for (const kind of kinds) {
          for (const family of families) {
            test(`who listens with ${kind} on ${place}, over IPv${family}, is selected only while permitted`, async () => {
              const { server, client } = network;
              const { public: dialled, daemon, wildcard } = addressesOf[family];
              const who = async (): Promise<string> =>
                await client.who(protocolOf(kind), dialled, PORT);
              const his = await labOf(stranger);
              await server.apply(rules(shapes[before], false));
              const address = place === "the wildcard address" ? wildcard : daemon;
              await his.open("stranger", kind, address, PORT);
              expect(await who()).toBe("stranger");
              await server.apply(rules(shapes[after], true));
              expect(await who()).toBe("ECONNREFUSED");
              await server.apply(rules(shapes[before], false));
              expect(await who()).toBe("stranger");
            });
          }
        }
      });
    }
  }
}
