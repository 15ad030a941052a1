/**
 * Sockets that share the service's very address and port with its owner's: who shares it without
 * the right to gets nothing, and the owner goes on being served.
 */
import { beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type Actor, owner, stranger } from "../support/actor.js";
import { EPHEMERAL, FIXED, ownedRules, useLabs, withOnlyPort } from "../support/attacks.js";
import { kinds, type Kind, protocolOf } from "../support/lab.js";
import { addressesOf, families, type FamilyAddresses } from "../support/matrix.js";
import { useNetwork } from "../support/network.js";

const network = useNetwork();
const labOf = useLabs(network);
const unit = "unit: web.service";
const sibling: Actor = { ...owner, cgroup: "other.service" };
const DIALS = 40;

beforeAll(async () => {
  await network.server.must(["ip", "addr", "replace", "fd5e:ed00::10/128", "dev", "lo", "nodad"]);
});

beforeEach(async () => {
  await network.server.unload();
});

/** How often each of them answers, from as many ports of the client's. */
async function dials(kind: Kind, cell: FamilyAddresses, port = FIXED): Promise<object> {
  const found: Record<string, number> = {};
  for (let i = 0; i < DIALS; i++) {
    const who = await network.client.who(protocolOf(kind), cell.public, port, { closes: "first" });
    found[who] = (found[who] ?? 0) + 1;
  }
  return found;
}

const reuseport = { options: ["reuseport"], closes: "last" } as const;

for (const kind of kinds) {
  for (const family of families) {
    const cell = addressesOf[family];

    describe(`a SO_REUSEPORT group, ${kind} over ${cell.label}`, () => {
      test("takes no socket of another user", async () => {
        const his = await labOf(stranger);
        const mine = await labOf(owner);
        await mine.open("owner", kind, cell.daemon, FIXED, reuseport);
        const request = { do: "open", name: "stranger", kind, address: cell.daemon, port: FIXED };
        expect(await his.ask({ ...request, ...reuseport })).toMatchObject({ errno: "EADDRINUSE" });
        await network.server.apply(ownedRules(`user: ${owner.uid}`, "exact"));
        expect(await his.ask({ ...request, ...reuseport })).toMatchObject({ errno: "EACCES" });
        expect(await dials(kind, cell)).toEqual({ owner: DIALS });
      });

      for (const first of ["owner", "sibling"]) {
        test(`gives nothing to the same user in another unit, and ${kind === "mptcp" ? "to nobody" : "all to the owner"}; the ${first} was first`, async () => {
          const { server } = network;
          const open = async (who: string): Promise<void> => {
            const lab = await labOf(who === "owner" ? owner : sibling);
            await lab.open(who, kind, cell.daemon, FIXED, reuseport);
          };
          await open(first);
          await open(first === "owner" ? "sibling" : "owner");
          await server.apply(ownedRules(null, "exact"));
          expect(Object.keys(await dials(kind, cell)).sort()).toEqual(["owner", "sibling"]);
          await server.apply(ownedRules(unit, "exact"));
          // No sockmap takes MPTCP's, and ingress cannot keep the two apart.
          const expected = kind === "mptcp" ? { ECONNREFUSED: DIALS } : { owner: DIALS };
          expect(await dials(kind, cell)).toEqual(expected);
        });
      }
    });
  }
}

for (const family of families) {
  const cell = addressesOf[family];

  describe(`SO_REUSEADDR, which shares a port of UDP's between users, over ${cell.label}`, () => {
    test("gives nothing to who bound before the rules were active, whoever was last", async () => {
      const { server } = network;
      const his = await labOf(stranger);
      const mine = await labOf(owner);
      for (const last of [his, mine]) {
        await server.unload();
        const order = [last === his ? mine : his, last];
        for (const lab of order) {
          const name = lab === his ? "stranger" : "owner";
          await lab.open(name, "udp", cell.daemon, FIXED, { options: ["reuseaddr"] });
        }
        await server.apply(ownedRules(null, "exact"));
        expect(await dials("udp", cell)).toEqual({ [last === his ? "stranger" : "owner"]: DIALS });
        await server.apply(ownedRules(`user: ${owner.uid}`, "exact"));
        expect(await dials("udp", cell)).not.toHaveProperty("stranger");
        await his.do("close_all", "");
        await mine.do("close_all", "");
      }
    });

    test("gives nothing to who got the port without bind()", async () => {
      const { server } = network;
      const his = await labOf(stranger);
      const mine = await labOf(owner);
      const ground = { network, kind: "udp" as const, cell, port: EPHEMERAL };
      const share = async (): Promise<void> => {
        await mine.open("owner", "udp", cell.daemon, EPHEMERAL, { options: ["reuseaddr"] });
        await withOnlyPort(ground, async () => {
          await his.open("stranger", "udp", cell.daemon, 0, { options: ["reuseaddr", "late"] });
          await his.do("send", "stranger", { address: cell.daemon, port: 9 });
        });
      };
      await server.apply(ownedRules(null, "exact"));
      await share();
      expect(await dials("udp", cell, EPHEMERAL)).toEqual({ stranger: DIALS });
      await server.apply(ownedRules(`user: ${owner.uid}`, "exact"));
      expect(await dials("udp", cell, EPHEMERAL)).not.toHaveProperty("stranger");
      await his.do("close_all", "");
      await mine.do("close_all", "");
      await share();
      expect(await dials("udp", cell, EPHEMERAL)).not.toHaveProperty("stranger");
    });
  });
}
