/**
 * NAT in the server's network namespace takes away what ingress gives: who is served then, and how
 * the others are told of.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { type Lab, useLab } from "../support/lab.js";
import { addressesOf, endpoint, families, type Family } from "../support/matrix.js";
import { addFirewall, addNat, nft, removeRules, untilRegistered } from "../support/neighbours.js";
import { useNetwork } from "../support/network.js";
import { python, script } from "../support/paths.js";
import { eventually } from "../support/process.js";

const network = useNetwork();
const refused = "ECONNREFUSED";
let lab: Lab;

useLab(network, (started) => {
  lab = started;
});

/**
 * Rules with a mapping of both protocols: a wildcard listener on 6001 does not conflict with it.
 */
function rulesWith(handover: "auto" | "lookup" | "ingress", protocol = "udp"): string {
  return `
version: 1
services:
  app: { address: [127.0.1.10, "fd5e:ed00::10"], handover: ${handover} }
mappings:
  - { name: same, protocol: ${protocol}, port: 6000, to: app }
  - { name: moved, protocol: ${protocol}, port: 6001, to: "app:6000" }
`;
}
const rules = rulesWith("auto");

/** Neither rules nor a running ilm. */
async function clean(): Promise<void> {
  const { server } = network;
  await removeRules(server);
  await server.stopStarted();
  await server.unload();
}

/**
 * What each client gets: from outside on either mapping, and the machine itself on its public
 * address and on loopback.
 */
async function everybody(family: Family): Promise<readonly string[]> {
  const { server, client } = network;
  const { public: dialled, loopback } = addressesOf[family];
  return [
    await client.who("udp", dialled, 6000),
    await client.who("udp", dialled, 6001),
    await server.who("udp", dialled, 6001),
    await server.who("udp", loopback, 6001),
  ];
}

const served = Array<string>(4).fill("app");

/** How each UDP socket of the daemon is handed over, in the order of `families`. */
async function handovers(): Promise<readonly (string | undefined)[]> {
  const rows = await network.server.listeners();
  return families.map(
    (family) => rows.find(({ address }) => address === addressesOf[family].daemon)?.handover,
  );
}

async function openAll(): Promise<void> {
  for (const family of families) {
    await lab.open(`app${family}`, "udp", addressesOf[family].daemon, 6000, { tag: "app" });
  }
}

async function warningKinds(): Promise<readonly string[]> {
  const { warnings } = await network.server.status();
  return (warnings as readonly { readonly kind: string }[]).map(({ kind }) => kind);
}

/** A wildcard listener on the dialled port, which is not the daemon's own. */
async function openWild(family: Family): Promise<void> {
  const options = family === 6 ? (["v6only"] as const) : [];
  await lab.open("wild", "udp", addressesOf[family].wildcard, 6001, { options });
}

describe("with the daemon running", () => {
  beforeAll(async () => {
    const { server } = network;
    await server.startRun(["-f", server.file(rules)]);
  });

  afterAll(clean);

  for (const family of families) {
    const { label, public: dialled, daemon } = addressesOf[family];

    test(`NAT that comes while a client asks costs no wrong answer, and the daemon is registered at once, ${label}`, async () => {
      const { server, client } = network;
      await lab.open("app", "udp", daemon, 6000);
      await openWild(family);
      expect((await handovers())[families.indexOf(family)]).toBe("ingress");
      const load = await client.load("udp", dialled, 6001);
      await eventually("the load is under way", async () =>
        (await server.mappings()).some(({ counters }) => counters.selected > 20) ? true : null,
      );
      await addNat(server, family);
      await untilRegistered(server);
      expect(await everybody(family)).toEqual(served);
      const { answered, failed } = await load.stop();
      expect(Object.keys(answered)).toEqual(["app"]);
      expect(Object.keys(failed).filter((errno) => errno !== refused)).toEqual([]);
      expect(await warningKinds()).not.toContain("unreached");
      // It goes again, and nothing changes.
      await removeRules(server);
      expect(await everybody(family)).toEqual(served);
    });

    test(`a daemon that restarts is served as soon as it is registered, and no other socket gets what is its own, ${label}`, async () => {
      const { server, client } = network;
      await addNat(server, family);
      await openWild(family);
      // Without a daemon the mapping goes on, as ever.
      expect(await client.who("udp", dialled, 6001)).toBe("wild");
      for (let start = 0; start < 20; start++) {
        await lab.open("app", "udp", daemon, 6000);
        await eventually("the daemon answers", async () => {
          const who = await client.who("udp", dialled, 6001);
          expect(["app", refused]).toContain(who);
          return who === "app" ? true : null;
        });
        expect(await everybody(family)).toEqual(served);
        await lab.do("close", "app");
        expect(await client.who("udp", dialled, 6001)).toBe("wild");
      }
    });

    test(`members of a SO_REUSEPORT group come and go, and each answers for the group, ${label}`, async () => {
      const { server, client } = network;
      await addNat(server, family);
      const who = async (): Promise<readonly string[]> => {
        await untilRegistered(server);
        const answers = new Set<string>();
        for (let n = 0; n < 40; n++) answers.add(await client.who("udp", dialled, 6001));
        return [...answers].toSorted();
      };
      const options = ["reuseport"] as const;
      const open = async (name: string): Promise<void> =>
        void (await lab.open(name, "udp", daemon, 6000, { options }));
      await open("a");
      expect(await who()).toEqual(["a"]);
      await open("b");
      await open("c");
      expect(await who()).toEqual(["a", "b", "c"]);
      await lab.do("close", "a");
      expect(await who()).toEqual(["b", "c"]);
      await open("d");
      await lab.do("close", "b");
      await lab.do("close", "c");
      expect(await who()).toEqual(["d"]);
      await lab.do("close", "d");
      expect(await who()).toEqual([refused]);
    });

    test(`a mapping that keeps the port is answered right by a host that masquerades all, and for a redirected port, ${label}`, async () => {
      const { server, client } = network;
      const ip = family === 4 ? "ip" : "ip6";
      await nft(
        server,
        `table ${ip} wide {
  chain out { type nat hook postrouting priority srcnat; oifname "up0" masquerade; }
  chain in { type nat hook prerouting priority dstnat; udp dport 6500 redirect to :6000; }
}
`,
      );
      await lab.open("app", "udp", daemon, 6000);
      await untilRegistered(server);
      const { second } = addressesOf[family];
      for (const address of [dialled, second]) {
        for (const port of [6000, 6500]) {
          expect(await client.dial("udp", address, port, { connected: false })).toMatchObject({
            tag: "app",
            repliedFrom: { address, port },
          });
        }
      }
      await nft(server, `delete table ${ip} wide\n`);
    });

    test(`a socket that systemd opened and passes on is served, ${label}`, async () => {
      const { server, client } = network;
      await addNat(server, family);
      const activator = server.start([
        "systemd-socket-activate",
        "--datagram",
        `--listen=${endpoint(daemon, 6000)}`,
        python,
        script("activated.py"),
      ]);
      await server.waitForListener("udp", daemon, 6000);
      await untilRegistered(server);
      for (let n = 0; n < 2; n++) {
        expect(await client.who("udp", dialled, 6001)).toBe(`activated ${activator.pid}`);
      }
      await activator.stop();
    });
  }
});

describe("without run", () => {
  afterEach(clean);

  for (const family of families) {
    const { label, public: dialled, daemon } = addressesOf[family];

    test(`a daemon that is not registered is refused, not replaced by another, and named with its remedy, ${label}`, async () => {
      const { server } = network;
      await server.apply(rules);
      await lab.open("app", "udp", daemon, 6000);
      await openWild(family);
      expect(await everybody(family)).toEqual(served);
      expect(await warningKinds()).toEqual([]);
      await addNat(server, family);

      expect((await handovers())[families.indexOf(family)]).toBe("none");
      for (const verb of ["status", "doctor"]) {
        const { text } = await server.ask([verb]);
        expect(text).toContain(`python3 (pid ${lab.process.pid})`);
        expect(text).toContain("is not reached");
        expect(text).toContain("Start `ilm run`");
      }
      expect(await warningKinds()).toEqual(["unreached", "unregistered"]);
      const explained = await server.ask(["explain", "udp", endpoint(dialled, 6001)]);
      expect(explained.text).toContain("listens, and is not reached");
      expect(explained.text).not.toContain("selected:");
      const asJson = await server.ask(["explain", "udp", endpoint(dialled, 6001), "--json"]);
      expect(asJson.json()).toMatchObject({
        verdict: "rejected",
        attempts: [{ outcome: "unreached" }],
      });

      const before = server.faults().unsteered;
      expect(await everybody(family)).toEqual(served.map(() => refused));
      expect(server.faults().unsteered).toBe(before + 4);
      const applied = await server.ilmDone(["apply", "-f", server.file(rules), "--json"]);
      expect(applied.json()).toMatchObject({ unreached: [{ kind: "unregistered" }] });
      expect(await everybody(family)).toEqual(served);
      expect(await warningKinds()).toEqual(["unregistered", "unsteered"]);
      expect((await handovers())[families.indexOf(family)]).toBe("sockmap");
      expect(
        (await server.ask(["explain", "udp", endpoint(dialled, 6001), "--json"])).json(),
      ).toMatchObject({ verdict: "selected" });
    });

    test(`NAT of the other family leaves it to ingress, ${label}`, async () => {
      const { server } = network;
      const other: Family = family === 4 ? 6 : 4;
      await server.apply(rules);
      await openAll();
      await addNat(server, other);
      const expected = family === 4 ? ["ingress", "none"] : ["none", "ingress"];
      expect(await handovers()).toEqual(expected);
      expect(await everybody(family)).toEqual(served);
      expect(await everybody(other)).toEqual(served.map(() => refused));
      await server.apply(`${rules}  - { name: more, protocol: udp, port: 6002, to: "app:6000" }\n`);
      expect(await handovers()).toEqual(expected.map((one) => (one === "none" ? "sockmap" : one)));
      expect([...(await everybody(family)), ...(await everybody(other))]).toEqual([
        ...served,
        ...served,
      ]);
    });
  }
});

describe("handover as configured", () => {
  afterEach(clean);

  test("lookup registers on a host without NAT, and ingress leaves the sockets alone, also TCP's", async () => {
    const { server, client } = network;
    await server.apply(rulesWith("auto", "[tcp, udp]"));
    await openAll();
    for (const family of families) {
      await lab.open(`tcp${family}`, "tcp", addressesOf[family].daemon, 6000, { tag: "app" });
    }
    const shown = async (): Promise<readonly string[]> =>
      (await server.listeners()).map(({ protocol, handover }) => `${protocol} ${handover}`);
    for (const choice of ["lookup", "ingress", "auto"] as const) {
      await server.apply(rulesWith(choice, "[tcp, udp]"));
      const udp = choice === "lookup" ? "udp sockmap" : "udp ingress";
      const tcp = choice === "ingress" ? "tcp ingress" : "tcp sockmap";
      expect(await shown()).toEqual([tcp, tcp, udp, udp]);
      for (const family of families) {
        expect(await everybody(family)).toEqual(served);
        for (const port of [6000, 6001]) {
          expect(await client.who("tcp", addressesOf[family].public, port)).toBe("app");
        }
      }
    }
  });

  test("ingress is refused behind NAT, run or not, and named with its remedy", async () => {
    const { server } = network;
    await addNat(server, 4, 6);
    await server.startRun(["-f", server.file(rulesWith("ingress"))]);
    await openAll();
    for (const family of families) {
      expect(await everybody(family)).toEqual(served.map(() => refused));
    }
    expect(await handovers()).toEqual(["none", "none"]);
    expect(await warningKinds()).toEqual(["unreached", "unreached", "unsteered"]);
    expect((await server.ask(["status"])).text).toContain("`handover: ingress`");
    // What it says helps.
    await server.apply(rulesWith("auto"));
    await untilRegistered(server);
    for (const family of families) expect(await everybody(family)).toEqual(served);
  });

  test("a change from lookup to ingress and back loses no request", async () => {
    const { server, client } = network;
    await server.apply(rulesWith("lookup"));
    await openAll();
    await server.apply(rulesWith("lookup"));
    const loads = await Promise.all(
      families.map(async (family) => await client.load("udp", addressesOf[family].public, 6001)),
    );
    const asked = async (): Promise<number> =>
      (await server.mappings()).reduce((sum, { counters }) => sum + counters.selected, 0);
    for (const choice of ["ingress", "lookup", "auto", "lookup", "ingress", "lookup"] as const) {
      await server.apply(rulesWith(choice));
      const before = await asked();
      await eventually("requests are answered", async () =>
        (await asked()) > before + 50 ? true : null,
      );
      const expected =
        choice === "lookup" ? "sockmap" : choice === "ingress" ? "ingress" : undefined;
      if (expected !== undefined) expect(await handovers()).toEqual([expected, expected]);
    }
    for (const load of loads) {
      const { answered, failed } = await load.stop();
      expect(failed).toEqual({});
      expect(Object.keys(answered)).toEqual(["app"]);
    }
  });
});

test("NAT of nftables' inet family is NAT of both", async () => {
  const { server } = network;
  await server.apply(rules);
  await openAll();
  await nft(
    server,
    `table inet both { chain out { type nat hook postrouting priority srcnat; ip saddr 172.17.0.0/16 masquerade; }; }\n`,
  );
  expect(await handovers()).toEqual(["none", "none"]);
  for (const family of families) {
    expect(await everybody(family)).toEqual(served.map(() => refused));
  }
  await clean();
});

test("answers of a mapping that changes the port are a flow of their own to conntrack, and pass a firewall that lets the host send", async () => {
  const { server, client } = network;
  await addFirewall(server, "6000-6001");
  await addNat(server, 4, 6);
  await nft(
    server,
    `table inet seen {
      chain out {
        type filter hook output priority filter + 1; policy accept;
        udp sport 6000 ct state new counter comment "new"
        udp sport 6000 ct state established counter comment "established"
      }
    }
`,
  );
  await server.startRun(["-f", server.file(rules)]);
  await openAll();
  await untilRegistered(server);
  const seen = async (): Promise<readonly number[]> => {
    const text = await server.must(["nft", "list", "chain", "inet", "seen", "out"]);
    return [...text.matchAll(/counter packets (\d+)/g)].map(([, count]) => Number(count));
  };
  for (const family of families) {
    const before = await seen();
    expect(await client.who("udp", addressesOf[family].public, 6000)).toBe("app");
    expect(await seen()).toEqual([before[0], (before[1] ?? 0) + 1]);
    expect(await client.who("udp", addressesOf[family].public, 6001)).toBe("app");
    expect(await seen()).toEqual([(before[0] ?? 0) + 1, (before[1] ?? 0) + 1]);
  }
});
