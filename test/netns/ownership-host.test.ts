/**
 * What root lets other users listen on for the host itself: a port that takes privilege to bind, on
 * a loopback address (systemd-resolved on 127.0.0.53).
 */
import { afterAll, afterEach, beforeEach, expect, test } from "vitest";
import { type Actor, stranger } from "../support/actor.js";
import { useLabs } from "../support/attacks.js";
import { kinds, protocolOf } from "../support/lab.js";
import { addressesOf, families } from "../support/matrix.js";
import { useNetwork } from "../support/network.js";

const network = useNetwork();
const labOf = useLabs(network);
const privileged: Actor = { ...stranger, capabilities: "+net_bind_service" };
const PORT = 53;
const DEFAULT_START = 1024;

const rules = `
version: 1
strangers: refuse
services:
  dns: { address: [127.0.1.10, "fd5e:ed00::10"], user: 4000 }
mappings:
  - { name: dns, protocol: [tcp, udp], port: ${PORT}, to: dns }
`;

async function setFirstUnprivileged(port: number): Promise<void> {
  await network.server.must(["sysctl", "-qw", `net.ipv4.ip_unprivileged_port_start=${port}`]);
}

beforeEach(async () => {
  await network.server.unload();
});

afterEach(async () => {
  await setFirstUnprivileged(DEFAULT_START);
});

afterAll(async () => {
  await network.server.stopAll();
});

for (const kind of kinds) {
  for (const family of families) {
    const protocol = protocolOf(kind);
    const local = family === 4 ? "127.0.0.53" : "::1";
    const { public: dialled, daemon } = addressesOf[family];

    test(`a ${kind} socket on ${local}, on a port that takes privilege, keeps it and is in no audit`, async () => {
      const { server } = network;
      const his = await labOf(privileged);
      await his.open("stub", kind, local, PORT);
      await server.apply(rules);
      expect(await server.who(protocol, local, PORT)).toBe("stub");
      await his.do("close", "stub");
      await his.open("stub", kind, local, PORT);
      expect(await server.who(protocol, local, PORT)).toBe("stub");
      expect((await server.ask(["audit"])).stdout).not.toContain("dns leads away from");
    });

    test(`a ${kind} socket on ${dialled} or ${daemon}, on a port that takes privilege, is a stranger's all the same`, async () => {
      const { server, client } = network;
      const his = await labOf(privileged);
      await his.open("dialled", kind, dialled, PORT);
      await his.open("daemon", kind, daemon, PORT, { options: ["freebind"] });
      expect(await client.who(protocol, dialled, PORT)).toBe("dialled");
      await server.apply(rules);
      expect(await client.who(protocol, dialled, PORT)).toBe("ECONNREFUSED");
      expect(await server.who(protocol, daemon, PORT)).toBe("ECONNREFUSED");
      for (const name of ["dialled", "daemon"]) await his.do("close", name);
      for (const address of [dialled, daemon]) {
        const request = { do: "open", name: "again", kind, address, port: PORT };
        expect(await his.ask(request)).toMatchObject({ done: false, errno: "EACCES" });
      }
    });

    test(`a ${kind} socket on ${local} is a stranger's once its port takes no privilege`, async () => {
      const { server } = network;
      const his = await labOf(stranger);
      await server.apply(rules);
      await setFirstUnprivileged(PORT);
      const request = { do: "open", name: "stub", kind, address: local, port: PORT };
      expect(await his.ask(request)).toMatchObject({ done: false, errno: "EACCES" });
      await server.unload();
      await his.open("stub", kind, local, PORT);
      expect(await server.who(protocol, local, PORT)).toBe("stub");
      await server.apply(rules);
      expect(await server.who(protocol, local, PORT)).toBe("ECONNREFUSED");
      expect((await server.ask(["audit"])).stdout).toContain("dns leads away from");
    });
  }
}
