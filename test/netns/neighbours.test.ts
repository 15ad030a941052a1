/**
 * Programs of others on the same interfaces: ours come first, so what theirs let pass is still
 * handed over.
 */
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { type Lab, protocolOf, useLab } from "../support/lab.js";
import { addressesOf, families } from "../support/matrix.js";
import { useNetwork } from "../support/network.js";
import type { Background } from "../support/process.js";

const network = useNetwork();
const kinds = ["mptcp", "udp"] as const;
const refused = "ECONNREFUSED";

/** Port 6100 is another one at the daemon, so that replies of UDP need egress. */
const rules = `
version: 1
services:
  app: { address: [127.0.1.10, "fd5e:ed00::10"] }
mappings:
  - { protocol: [tcp, udp], port: 6000, to: app }
  - { protocol: udp, port: 6100, to: "app:6000" }
`;

const verdicts = { next: -1, pass: 0 } as const;

let lab: Lab;

useLab(network, (started) => {
  lab = started;
});

async function stranger(
  direction: "ingress" | "egress",
  verdict: keyof typeof verdicts,
  place: "first" | "last",
): Promise<Background> {
  const words = ["up0", direction, String(verdicts[verdict]), place];
  const program = network.server.startPython("foreign_tcx.py", words);
  await program.waitForOutput(/attached/);
  return program;
}

/** Who answers each kind and family, and a datagram to the other port. */
async function answers(): Promise<Readonly<Record<string, string>>> {
  const seen: Record<string, string> = {};
  for (const family of families) {
    const { public: dialled, daemon } = addressesOf[family];
    for (const kind of kinds) {
      await lab.open(`${kind}${family}`, kind, daemon, 6000, { tag: "app" });
      seen[`${kind}${family}`] = await network.client.who(protocolOf(kind), dialled, 6000);
      if (kind === "udp") seen[`other${family}`] = await network.client.who("udp", dialled, 6100);
      await lab.do("close", `${kind}${family}`);
    }
  }
  return seen;
}

const served = {
  mptcp4: "app",
  udp4: "app",
  other4: "app",
  mptcp6: "app",
  udp6: "app",
  other6: "app",
};

async function told(verb: "doctor" | "status"): Promise<string> {
  return (await network.server.ask([verb])).text;
}

beforeAll(async () => {
  await network.server.apply(rules);
});

afterEach(async () => {
  await network.server.stopStarted();
});

describe("a program that lets everything pass", () => {
  for (const direction of ["ingress", "egress"] as const) {
    test(`and was on the interface before, at ${direction}`, async () => {
      const { server } = network;
      await server.unload();
      await stranger(direction, "pass", "last");
      await server.apply(rules);
      expect(await answers()).toEqual(served);
      expect(await told("doctor")).not.toContain("stranger");
    });

    test(`and comes behind ours, at ${direction}`, async () => {
      await stranger(direction, "pass", "last");
      expect(await answers()).toEqual(served);
      expect(await told("doctor")).not.toContain("stranger");
    });

    test(`and comes before ours is named, at ${direction}, and the remedy helps`, async () => {
      const { server } = network;
      await stranger(direction, "pass", "first");
      const text = await told("doctor");
      expect(text).toContain(`on up0, stranger runs before ilm at ${direction}`);
      expect(await told("status")).toContain(`on up0, stranger runs before ilm at ${direction}`);
      // At egress the reply is lost at the client, which nobody tells.
      if (direction === "ingress") {
        expect(await answers()).toMatchObject({ udp4: refused, udp6: refused });
      }
      await server.unload();
      await server.apply(rules);
      expect(await answers()).toEqual(served);
      expect(await told("doctor")).not.toContain("stranger");
    });
  }
});

test("a program before ours that passes on does no harm, and is named all the same", async () => {
  await stranger("ingress", "next", "first");
  expect(await answers()).toEqual(served);
  expect(await told("doctor")).toContain("on up0, stranger runs before ilm at ingress");
});
