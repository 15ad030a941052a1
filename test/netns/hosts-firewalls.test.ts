/**
 * Firewalls as they are, beside ilm: what they let in at the dialled port comes to the daemon, and
 * nothing else does.
 */
import { expect, test } from "vitest";
import type { Host } from "../support/host.js";
import { describeHost, type Stage } from "../support/hosts.js";
import { protocolOf, type Kind } from "../support/lab.js";
import { addressesOf, endpoint, families } from "../support/matrix.js";
import { untilRegistered } from "../support/neighbours.js";
import { eventually } from "../support/process.js";

describeHost({ title: "a bare host", tools: null, takes: [] });

interface Firewall {
  readonly nat: boolean;
  /** What `explain` says that lets TCP in at port 6003. */
  readonly remedy: string;
  readonly open: (host: Host) => Promise<unknown>;
  /**
   * Whether `explain` has a doubt of an open port, over each family: firewalld looks up the way
   * back for IPv6.
   */
  readonly doubts: readonly boolean[];
}

/** The daemon's own port, 6000, is open; the mapping's, 6003, is not, until `open` opens it. */
function describeClosedPort(stage: Stage, { nat, remedy, open, doubts }: Firewall): void {
  const kinds: readonly Kind[] = ["tcp", "udp"];

  async function dialAll(port: number): Promise<readonly string[]> {
    const seen: string[] = [];
    for (const kind of kinds) {
      for (const family of families) {
        const { public: dialled, daemon } = addressesOf[family];
        await stage.lab.open("app", kind, daemon, 6000);
        if (nat && kind === "udp") await untilRegistered(stage.network.server);
        const options = { timeout_s: 1 };
        seen.push(await stage.network.client.who(protocolOf(kind), dialled, port, options));
        await stage.lab.do("close", "app");
      }
    }
    return seen;
  }

  /** What `explain` says, over each family. */
  async function explained(port: number): Promise<readonly string[]> {
    const { server } = stage.network;
    const seen: string[] = [];
    for (const family of families) {
      const { public: dialled, daemon, client } = addressesOf[family];
      await stage.lab.open("app", "tcp", daemon, 6000);
      const packet = [endpoint(dialled, port), "--from", endpoint(client, 50_000)];
      seen.push((await server.ask(["explain", "tcp", ...packet, "--interface", "up0"])).text);
      await stage.lab.do("close", "app");
    }
    return seen;
  }

  /** Whether it has a doubt of an open port. */
  async function doubtful(port: number): Promise<readonly boolean[]> {
    const texts = await explained(port);
    expect(
      texts.map((text) => /^ +\d+\. selected: /m.test(text)),
      texts.join("\n"),
    ).toEqual([true, true]);
    return texts.map((text) => text.includes("may be in the way"));
  }

  test("a port that it does not open is not reached, as explain says, although the daemon's own port is open; its rule names the dialled port", async () => {
    const all = kinds.flatMap(() => families);
    expect(await dialAll(6003)).not.toContain("app");
    expect(await dialAll(6000)).toEqual(all.map(() => "app"));
    for (const text of await explained(6003)) {
      expect(text).toContain(remedy);
      expect(text).toMatch(/^ +\d+\. blocked: /m);
    }
    expect(await doubtful(6000)).toEqual(doubts);
    await open(stage.host);
    await eventually("the port is open", async () =>
      (await dialAll(6003)).every((who) => who === "app") ? true : null,
    );
    expect(await doubtful(6003)).toEqual(doubts);
  });
}

describeHost({ title: "ufw", tools: ["ufw", "6000", "6001"], takes: [] }, (stage) => {
  describeClosedPort(stage, {
    nat: false,
    remedy: "ufw allow 6003/tcp",
    open: async (host) => await host.must("ufw allow 6003"),
    doubts: [false, false],
  });
});

describeHost(
  { title: "firewalld", tools: ["firewalld", "6000", "6001"], takes: families },
  (stage) => {
    describeClosedPort(stage, {
      nat: true,
      remedy: "firewall-cmd --add-port=6003/tcp",
      open: async (host) => {
        await host.must("firewall-offline-cmd --add-port=6003/tcp --add-port=6003/udp");
        await host.must("kill -HUP $(cat /run/firewalld.pid)");
      },
      doubts: [false, true],
    });
  },
);
