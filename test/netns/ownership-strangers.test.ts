/** `strangers`: what a file says about them, and what it means when it says nothing. */
import { afterAll, beforeEach, expect, test } from "vitest";
import { stranger } from "../support/actor.js";
import { useLabs } from "../support/attacks.js";
import { kinds, protocolOf } from "../support/lab.js";
import { addressesOf, families } from "../support/matrix.js";
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

const shared = `
version: 1
mappings:
  - { protocol: [tcp, udp], port: 6000, to: "*:7000", listeners: anyone }
  - { protocol: [tcp, udp], port: 6001, to: "*:7000" }
  - { protocol: [tcp, udp], port: 6002, to: "*:7000", listeners: { user: ${stranger.uid} } }
`;

for (const kind of kinds) {
  for (const family of families) {
    test(`a ${kind} socket on the wildcard address is selected by the mappings that permit it, over IPv${family}`, async () => {
      const { server, client } = network;
      const dial = async (port: number): Promise<string> =>
        await client.who(protocolOf(kind), addressesOf[family].public, port);
      const his = await labOf(stranger);
      await server.apply(shared);
      await his.open("stranger", kind, family === 4 ? "0.0.0.0" : "::", 7000);
      const leading: [number, string][] = [
        [6000, "stranger"],
        [6001, "ECONNREFUSED"],
        [6002, "stranger"],
      ];
      for (const [port, who] of leading) expect(await dial(port)).toBe(who);
      const listening = (await server.mappings()).flatMap(({ protocol, to }) =>
        protocol === protocolOf(kind) ? to.map((one) => one.listening) : [],
      );
      expect(listening).toEqual([true, false, true]);
    });
  }
}

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
