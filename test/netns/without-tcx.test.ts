/**
 * Kernels without tcx (before 6.6), played on one that has it: what docs/listeners.md and
 * docs/udp.md say of them.
 */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { refused } from "../support/dialler.js";
import { pinnedPaths } from "../support/kernel-state.js";
import { type Lab, useLab } from "../support/lab.js";
import { addressesOf, families } from "../support/matrix.js";
import { useNetwork } from "../support/network.js";
import { builtRoot } from "../support/paths.js";
import { type Background, eventually } from "../support/process.js";

const network = useNetwork();

const rules = `
version: 1
services:
  app: { address: [127.0.1.10, "fd5e:ed00::10"] }
mappings:
  - { protocol: [tcp, udp], port: 6000, to: app }
  - { protocol: udp, port: 6001, to: "app:6000" }
`;

let lab: Lab;
let following: Background;

function withoutTcx(verb: "apply" | "run"): readonly string[] {
  const { server } = network;
  return [process.execPath, `${builtRoot}test/support/without-tcx.js`, verb, server.file(rules)];
}

beforeEach(async () => {
  const { server } = network;
  following = server.start(withoutTcx("run"));
  await following.waitForOutput(/following/);
});

useLab(network, (started) => {
  lab = started;
});

afterEach(async () => {
  await following.stop();
  await network.server.unload();
});

async function handovers(): Promise<readonly unknown[]> {
  const { server } = network;
  const rows = (await server.ask(["listeners", "--json"])).json() as readonly {
    readonly handover: unknown;
  }[];
  return rows.map(({ handover }) => handover);
}

for (const family of families) {
  const cell = addressesOf[family];

  describe(cell.label, () => {
    test("a UDP daemon is reached a moment after its bind(), through a socket map, each time that it starts", async () => {
      const { server, client } = network;
      for (const tag of ["one", "two"]) {
        expect(await client.dial("udp", cell.public, 6000)).toEqual(refused);
        await lab.open(tag, "udp", cell.daemon, 6000);
        await eventually(`${tag} is reached`, async () =>
          (await client.who("udp", cell.public, 6000)) === tag ? true : null,
        );
        expect(await handovers()).toEqual(["sockmap"]);
        await lab.do("close", tag);
      }
      // What would be pinned: not every bpftool shows tcx.
      expect(pinnedPaths(server.inode).filter((path) => path.includes("gress-"))).toEqual([]);
    });

    test("its answers leave from the dialled address where the mapping keeps the port, and else as without us", async () => {
      const { client } = network;
      const options = { connected: false, timeout_s: 0.3 };
      await lab.open("app", "udp", cell.daemon, 6000);
      const dial = await eventually("an answer", async () => {
        const got = await client.dial("udp", cell.second, 6000, options);
        return got.answered ? got : null;
      });
      expect(dial).toMatchObject({ repliedFrom: { address: cell.second, port: 6000 } });
      // The kernel lets nothing out from 127.0.0.0/8.
      const silence = family === 4 ? options : { connected: false };
      expect(await client.dial("udp", cell.second, 6001, silence)).toMatchObject(
        family === 4
          ? { errno: "ETIMEDOUT" }
          : { tag: "app", repliedFrom: { address: cell.daemon, port: 6000 } },
      );
    });

    test("FIONREAD answers 0", async () => {
      const { client } = network;
      await lab.open("app", "udp", cell.daemon, 6000);
      await eventually("it is reached", async () =>
        (await client.who("udp", cell.public, 6000)) === "app" ? true : null,
      );
      await lab.do("hold", "app");
      const options = { length: 100, connected: false, timeout_s: 0.01 };
      await client.dial("udp", cell.public, 6000, options);
      expect(await lab.look("app")).toMatchObject({ length: 100, queued: 0 });
    });

    test("without run a daemon that starts is reached from the next apply", async () => {
      const { server, client } = network;
      await following.stop();
      await lab.open("late", "udp", cell.daemon, 6000);
      expect(await client.dial("udp", cell.public, 6000)).toEqual(refused);
      await server.must(withoutTcx("apply"));
      expect(await client.who("udp", cell.public, 6000)).toBe("late");
    });

    test("an MPTCP listener is no destination, and status warns", async () => {
      const { server, client } = network;
      await lab.open("app", "mptcp", cell.daemon, 6000);
      expect(await client.dial("tcp", cell.public, 6000)).toEqual(refused);
      expect(await handovers()).toEqual(["none"]);
      const { warnings } = await server.status();
      expect(warnings).toContainEqual(expect.objectContaining({ kind: "mptcp" }));
    });
  });
}
