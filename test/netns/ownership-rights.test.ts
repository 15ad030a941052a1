/**
 * What an owner may that others may not, whom a mapping names besides, and what is never refused to
 * anybody.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Actor, owner, stranger } from "../support/actor.js";
import { EPHEMERAL, useLabs } from "../support/attacks.js";
import { kinds, type Lab, protocolOf } from "../support/lab.js";
import { addressesOf, families } from "../support/matrix.js";
import { useNetwork } from "../support/network.js";

const network = useNetwork();
const labOf = useLabs(network);
const member: Actor = { uid: 4002, gid: owner.gid ?? 0, cgroup: "other.service" };
const other: Actor = { uid: 4003, gid: 4003, cgroup: "other.service" };

const rules = (owned: string, more = ""): string => `
version: 1
strangers: refuse
services:
  app: { address: [127.0.1.10, "fd5e:ed00::10"], ${owned} }
  free: { address: [127.0.1.11, "fd5e:ed00::11"] }
mappings:
  - { protocol: [tcp, udp], port: [443, 6000, ${EPHEMERAL}], to: app${more} }
  - { protocol: [tcp, udp], port: 6001, to: free }
`;
const byNobody = "handover: auto";
const byUser = `user: ${owner.uid}`;

beforeAll(async () => {
  await network.server.apply(rules(byUser));
  await network.server.echo("listening", [
    ["tcp", "127.0.0.1", 7000],
    ["tcp", "::1", 7000],
  ]);
});

afterAll(async () => {
  await network.server.stopAll();
});

const errnoOf = async (
  lab: Lab,
  request: { readonly address: string } & Readonly<Record<string, unknown>>,
): Promise<string | undefined> =>
  (await lab.ask({ do: "open", name: request.address, ...request })).errno;

for (const kind of kinds) {
  for (const family of families) {
    const cell = addressesOf[family];
    const protocol = protocolOf(kind);
    const who = async (port: number): Promise<string> =>
      await network.client.who(protocol, cell.public, port);

    describe(`${kind} over ${cell.label}`, () => {
      test.each([
        ["user", byUser],
        ["unit", "unit: web"],
        ["group", `group: ${owner.gid}`],
        ["unit and user", `unit: web, ${byUser}`],
      ])("an owner by %s has any port of his own address, without a capability", async (_, by) => {
        const { server } = network;
        const lab = await labOf(owner);
        const request = { kind, address: cell.daemon, port: 443, tag: "owner" };
        await server.apply(rules(byNobody));
        expect(await errnoOf(lab, request)).toBe("EACCES");
        await server.apply(rules(by));
        expect(await errnoOf(lab, request)).toBeUndefined();
        expect(await who(443)).toBe("owner");
        // Nowhere else.
        expect(await errnoOf(lab, { ...request, address: cell.public })).toBe("EACCES");
        expect(await errnoOf(await labOf(stranger), request)).toBe("EACCES");
        await lab.do("close_all", "");
      });

      test("a group owns a service, whichever user of it listens", async () => {
        await network.server.apply(rules(`group: ${owner.gid}`));
        const lab = await labOf(member);
        await lab.open("member", kind, cell.daemon, 6000);
        expect(await who(6000)).toBe("member");
        await lab.do("close_all", "");
      });

      test("who is named in `listeners` keeps the dialled address, and nobody else", async () => {
        const { server } = network;
        const named = `, listeners: [{ unit: no.service }, { user: ${other.uid} }]`;
        const [lab, his] = [await labOf(other), await labOf(stranger)];
        await server.apply(rules(byUser, named));
        const request = { kind, address: cell.public, port: 6000 };
        expect(await errnoOf(his, request)).toBe("EACCES");
        await lab.open("named", kind, cell.public, 6000);
        expect(await who(6000)).toBe("named");
        await server.apply(rules(byUser));
        expect(await who(6000)).toBe("ECONNREFUSED");
        await server.apply(rules(byUser, named));
        expect(await who(6000)).toBe("named");
        await lab.do("close_all", "");
        await server.apply(rules(byUser, ", listeners: anyone"));
        await his.open("anyone", kind, cell.public, 6000);
        expect(await who(6000)).toBe("anyone");
        await his.do("close_all", "");
      });

      test("a service without an owner is anybody's, and its mapping's other addresses are not", async () => {
        const { server } = network;
        await server.apply(rules(byUser));
        const his = await labOf(stranger);
        expect(await errnoOf(his, { kind, address: cell.public, port: 6001 })).toBe("EACCES");
        await his.open("free", kind, cell.daemon2, 6001);
        expect(await who(6001)).toBe("free");
        await his.do("close_all", "");
      });

      test("what the kernel gives to clients is refused to nobody", async () => {
        const { server } = network;
        await server.apply(rules(byUser));
        const his = await labOf(stranger);
        const { daemon, wildcard, loopback } = cell;
        for (const [address, port] of [
          [cell.public, 0],
          [daemon, 0],
          [wildcard, 0],
          [cell.public, EPHEMERAL],
          // Its service is looked for on others.
          [daemon, EPHEMERAL + 1],
          [wildcard, EPHEMERAL],
        ] as const) {
          await his.open("client", kind, address, port, { listen: false });
          const to = { address: loopback, port: 7000 };
          const { errno = "EINPROGRESS" } = await his.ask({ do: "connect", name: "client", ...to });
          expect(errno).toBe("EINPROGRESS");
          await his.do("close_all", "");
        }
      });

      test("an owner that changes while sockets live loses and gets back what comes", async () => {
        const { server } = network;
        const lab = await labOf(owner);
        await server.apply(rules(byUser));
        await lab.open("owner", kind, cell.daemon, 6000);
        for (let round = 0; round < 3; round++) {
          expect(await who(6000)).toBe("owner");
          await server.apply(rules(`user: ${stranger.uid}`));
          expect(await who(6000)).toBe("ECONNREFUSED");
          await server.apply(rules(round === 1 ? byNobody : "unit: web"));
          expect(await who(6000)).toBe("owner");
          await server.apply(rules("unit: other"));
          expect(await who(6000)).toBe("ECONNREFUSED");
          await server.apply(rules(byUser));
        }
        await lab.do("close_all", "");
      });
    });
  }
}
