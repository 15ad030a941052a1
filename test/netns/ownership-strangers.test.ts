/** `strangers`: what a file says about them, and what it means when it says nothing. */
import { afterAll, beforeEach, expect, test } from "vitest";
import { stranger } from "../support/actor.js";
import { useLabs } from "../support/attacks.js";
import { kinds, protocolOf } from "../support/lab.js";
import { useNetwork } from "../support/network.js";

const network = useNetwork();
const labOf = useLabs(network);

const rules = (strangers?: string): string => `
version: 1
${strangers === undefined ? "" : `strangers: ${strangers}`}
services:
  app: { address: 127.0.1.10 }
mappings:
  - { protocol: [tcp, udp], port: 6000, to: app }
`;

beforeEach(async () => {
  await network.server.unload();
});

afterAll(async () => {
  await network.server.stopAll();
});

for (const kind of kinds) {
  const who = async (): Promise<string> =>
    await network.client.who(protocolOf(kind), "203.0.113.1", 6000);

  test.each(["allow", "report"])(
    `a file without the key refuses strangers, also after one that had ${kind} strangers at %s`,
    async (before) => {
      const { server } = network;
      const his = await labOf(stranger);
      await his.open("stranger", kind, "203.0.113.1", 6000);
      await server.apply(rules(before));
      expect(await who()).toBe("stranger");
      await server.apply(rules());
      expect(await who()).toBe("ECONNREFUSED");
      await server.ilmDone(["add", "tcp:6001=127.0.1.10"]);
      expect(await who()).toBe("ECONNREFUSED");
      await server.apply(rules(before));
      expect(await who()).toBe("stranger");
      // What a file says is said until another file is applied.
      await server.ilmDone(["add", "tcp:6001=127.0.1.10"]);
      expect(await who()).toBe("stranger");
    },
  );
}
