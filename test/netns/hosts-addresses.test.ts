/**
 * Tools that bring addresses, interfaces and listeners, beside ilm: keepalived, OpenVPN,
 * systemd-resolved.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { Host } from "../support/host.js";
import { describeHost } from "../support/hosts.js";
import { addressesOf, families, protocols } from "../support/matrix.js";
import { unboundTapsTake } from "../support/packet-sockets.js";
import { eventually, words } from "../support/process.js";

const virtual = { 4: "203.0.113.77", 6: "2001:db8::77" } as const;

describeHost(
  {
    title: "keepalived",
    tools: ["keepalived", `${virtual[4]}/24`, `${virtual[6]}/64`],
    // It holds a packet socket for IPv6, by which it tells of its addresses.
    takes: unboundTapsTake ? [6] : [],
    dialled: { 4: [virtual[4]], 6: [virtual[6]] },
  },
  (stage) => {
    test("a mapping that names a VRRP address answers there when it is here, and nowhere when it is not", async () => {
      const { network, host, lab } = stage;
      const { server, client } = network;
      for (const family of families) {
        const { daemon } = addressesOf[family];
        for (const protocol of protocols) {
          await lab.open(`app${protocol}${family}`, protocol, daemon, 6000, { tag: "app" });
        }
      }
      if (unboundTapsTake) {
        await eventually("run has registered the daemon of IPv6", async () => {
          const seen = await server.listeners();
          const late = seen.some(
            ({ kind, address, handover }) =>
              kind === "udp" && address === addressesOf[6].daemon && handover !== "sockmap",
          );
          return late ? null : true;
        });
      }
      const everybody = async (): Promise<readonly string[]> => {
        const seen: string[] = [];
        for (const family of families) {
          for (const protocol of protocols) {
            seen.push(await client.who(protocol, virtual[family], 6004, { timeout_s: 1 }));
          }
        }
        return seen;
      };
      const all = ["app", "app", "app", "app"];
      expect(await everybody()).toEqual(all);
      expect(await client.who("tcp", addressesOf[4].public, 6004)).toBe("ECONNREFUSED");
      await host.must(
        "kill $(cat /run/keepalived.pid); while [ -e /run/keepalived.pid ]; do sleep 0.05; done",
      );
      await eventually("the addresses are gone", async () => {
        const shown = await server.must(words("ip addr show dev up0"));
        return families.some((family) => shown.includes(virtual[family])) ? null : true;
      });
      expect(await everybody()).not.toContain("app");
      await host.must("sh /mnt/start-keepalived");
      await eventually("the addresses are back", async () =>
        (await everybody()).every((who) => who === "app") ? true : null,
      );
    });
  },
);

/** The folder with the files of both ends. */
const folder = mkdtempSync(join(tmpdir(), "ilm-openvpn-"));
const openvpnKey = join(folder, "key");

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

const tunnel = { 4: ["10.8.0.1", "10.8.0.2"], 6: ["fd00:8::1", "fd00:8::2"] } as const;

describeHost({
  title: "OpenVPN, through its tunnel",
  tools: [
    "openvpn",
    openvpnKey,
    addressesOf[4].public,
    addressesOf[4].client,
    ...tunnel[4],
    ...tunnel[6],
  ],
  takes: [],
  dialled: { 4: [tunnel[4][0]], 6: [tunnel[6][0]] },
  prepare: async ({ network: { client } }) => {
    await Host.start(client, [
      "openvpn",
      openvpnKey,
      addressesOf[4].client,
      addressesOf[4].public,
      ...[...tunnel[4]].toReversed(),
      ...[...tunnel[6]].toReversed(),
    ]);
    for (const family of families) {
      await eventually("the tunnel is up", async () => {
        const who = await client.who("tcp", tunnel[family][0], 6002, { timeout_s: 1 });
        return who === "ECONNREFUSED" ? true : null;
      });
    }
  },
});

describeHost({ title: "systemd-resolved", tools: ["systemd-resolved"], takes: [] }, (stage) => {
  test("its stub keeps the host's own questions, and a mapping of port 53 has all others", async () => {
    const { network, lab } = stage;
    const { server, client } = network;
    for (const family of families) {
      for (const protocol of protocols) {
        const address = family === 4 ? "127.0.1.53" : "fd5e:ed00::53";
        await lab.open(`dns${protocol}${family}`, protocol, address, 53, { tag: "dns" });
        expect(await client.who(protocol, addressesOf[family].public, 53)).toBe("dns");
      }
    }
    expect(await server.who("udp", "127.0.0.1", 53)).toBe("dns");
    for (const stub of ["127.0.0.53", "127.0.0.54"]) {
      for (const way of ["+notcp", "+tcp"]) {
        const answer = await server.must(words(`dig +short ${way} @${stub} localhost`));
        expect(answer.trim()).toBe("127.0.0.1");
      }
    }
  });
});
