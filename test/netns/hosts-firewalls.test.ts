/** Firewalls as they are, beside ilm: what they let in at the dialled port comes to the daemon, and nothing else does. */
import { expect, test } from "vitest";
import { describeHost, type Stage } from "../support/hosts.js";
import { protocolOf, type Kind } from "../support/lab.js";
import { addressesOf, endpoint, families } from "../support/matrix.js";
import { untilRegistered } from "../support/neighbours.js";
import { eventually } from "../support/process.js";

describeHost({ title: "a bare host", tools: null, takes: [] });

/** The daemon's own port, 6000, is open; the mapping's, 6003, is not, until `open` opens it. */
function describeClosedPort(
  stage: Stage,
  nat: boolean,
  open: (stage: Stage) => Promise<unknown>,
): void {
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

  test("a port that it does not open is not reached, although the daemon's own port is open; its rule names the dialled port", async () => {
    const { server } = stage.network;
    const all = kinds.flatMap(() => families);
    expect(await dialAll(6003)).not.toContain("app");
    expect(await dialAll(6000)).toEqual(all.map(() => "app"));
    // ilm is not asked for what was dropped: it would lead it there.
    await stage.lab.open("app", "tcp", addressesOf[4].daemon, 6000);
    const dialled = endpoint(addressesOf[4].public, 6003);
    expect((await server.ask(["explain", "tcp", dialled, "--json"])).json()).toMatchObject({
      verdict: "selected",
    });
    await stage.lab.do("close", "app");
    await open(stage);
    await eventually("the port is open", async () =>
      (await dialAll(6003)).every((who) => who === "app") ? true : null,
    );
  });
}

describeHost({ title: "ufw", tools: ["ufw", "6000", "6001"], takes: [] }, (stage) => {
  describeClosedPort(stage, false, async ({ host }) => await host.must("ufw allow 6003"));
});

describeHost(
  { title: "firewalld", tools: ["firewalld", "6000", "6001"], takes: families },
  (stage) => {
    describeClosedPort(stage, true, async ({ host }) => {
      await host.must("firewall-offline-cmd --add-port=6003/tcp --add-port=6003/udp");
      await host.must("kill -HUP $(cat /run/firewalld.pid)");
    });
  },
);
