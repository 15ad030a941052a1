/**
 * SO_REUSEPORT groups of real daemons: balanced by the kernel, and reloaded in every way that they
 * have, without a lost client.
 */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { haproxyConfiguration, startHaproxy, startNginxGroup } from "../support/daemons.js";
import { refused } from "../support/dialler.js";
import { addressesOf, families } from "../support/matrix.js";
import { useNetwork } from "../support/network.js";
import { type Background, eventually, pause, words } from "../support/process.js";
import type { ListenerRow } from "../support/shapes.js";

const network = useNetwork();

const rules = `
version: 1
services:
  app: { address: [127.0.1.10, "fd5e:ed00::10"] }
mappings:
  - { protocol: tcp, port: 80, to: "app:6000" }
`;

/**
 * What waits in the queue of a member that closes: lost with it, or handed to another member. Of
 * the kernel, not ours.
 */
async function migrate(on: boolean): Promise<void> {
  const value = on ? 1 : 0;
  await network.server.must(["sh", "-c", `echo ${value} > /proc/sys/net/ipv4/tcp_migrate_req`]);
}

afterEach(async () => {
  await network.client.stopStarted();
  await network.server.stopStarted();
});

for (const withRun of [false, true]) {
  describe(withRun ? "with the daemon running" : "after apply, with no daemon of ours", () => {
    beforeEach(async () => {
      const { server } = network;
      if (withRun) await server.startRun(["-f", server.file(rules)]);
      else await server.apply(rules);
    });

    // `run` has no part in it: that it does not disturb is shown once.
    for (const family of withRun ? ([4] as const) : families) {
      const { label, daemon, public: address } = addressesOf[family];

      const members = async (): Promise<readonly ListenerRow[]> =>
        (await network.server.listeners()).filter((row) => row.address === daemon);
      const load = async () => await network.client.load("http", address, 80, 2);
      /** Who answers now, and how often: at least so many dials. */
      const answers = async (least = 1): Promise<Readonly<Record<string, number>>> => {
        const sum: Record<string, number> = {};
        for (let dials = 0; dials < least;) {
          const short = await load();
          await pause(300);
          const { answered, failed } = await short.stop();
          expect(failed).toEqual({});
          for (const [tag, count] of Object.entries(answered)) {
            sum[tag] = (sum[tag] ?? 0) + count;
            dials += count;
          }
        }
        return sum;
      };
      const expectBalanced = async (tags: readonly string[]): Promise<void> => {
        // Enough that a third of its fair share is missed once in a million runs at most.
        const answered = await answers(40 * tags.length);
        expect(Object.keys(answered).sort()).toEqual([...tags].sort());
        const counts = Object.values(answered);
        const sum = counts.reduce((all, count) => all + count, 0);
        expect(Math.min(...counts)).toBeGreaterThan(sum / tags.length / 3);
      };

      test(`nginx gets more and fewer workers by reloads under load, ${label}`, async () => {
        const { server, client } = network;
        await migrate(true);
        const nginx = await startNginxGroup(server, daemon, 6000, 2);
        expect(await members()).toMatchObject([
          { groupSize: 2, command: "nginx", handover: "sockmap" },
          { groupSize: 2, command: "nginx", handover: "sockmap" },
        ]);
        const loads = [await load(), await load()];
        for (const count of [4, 1, 3]) {
          await nginx.resize(count);
          await eventually(`the group has ${count}`, async () =>
            (await members()).length === count ? true : null,
          );
        }
        for (const each of loads) {
          const { answered, failed } = await each.stop();
          expect(failed).toEqual({});
          expect(Object.keys(answered).length).toBeGreaterThan(3);
        }
        await expectBalanced(await nginx.workers());
        // Not at once: its workers would stay.
        await nginx.process.stop("SIGTERM");
        expect(await client.dial("tcp", address, 80)).toEqual(refused);
      });

      test(`one HAProxy after the other takes over its address under load (-sf), ${label}`, async () => {
        const { server, client } = network;
        await migrate(true);
        let last = await startHaproxy(server, daemon, 6000, "h0", { shards: 2 });
        const loads = [await load(), await load()];
        for (const [round, shards] of [3, 1, 2].entries()) {
          const before = await members();
          expect(before.map(({ pid }) => pid)).toContain(last.pid);
          last = await startHaproxy(server, daemon, 6000, `h${round + 1}`, { shards, after: last });
          // Every member is another one, so the one that was registered too.
          const now = await members();
          expect(now.map(({ pid }) => pid)).toEqual(now.map(() => last.pid));
          expect(now).toHaveLength(shards);
        }
        for (const each of loads) {
          const { answered, failed } = await each.stop();
          expect(failed).toEqual({});
          expect(Object.keys(answered)).toEqual(["h0", "h1", "h2", "h3"]);
        }
        await last.stop();
        expect(await client.dial("tcp", address, 80)).toEqual(refused);
      });

      test(`one HAProxy after the other is handed the sockets under load (-x), ${label}`, async () => {
        const { server } = network;
        // Nothing is closed, so nothing has to be handed on.
        await migrate(false);
        const shards = 2;
        let last = await startHaproxy(server, daemon, 6000, "h0", { shards });
        const cookies = async (): Promise<readonly string[]> =>
          (await members()).map(({ cookie }) => cookie).sort();
        const first = await cookies();
        const loads = [await load(), await load()];
        for (let round = 1; round <= 3; round += 1) {
          const options = { shards, after: last, takesSockets: true };
          last = await startHaproxy(server, daemon, 6000, `h${round}`, options);
          expect((await members()).map(({ pid }) => pid)).toEqual([last.pid, last.pid]);
          expect(await cookies()).toEqual(first);
        }
        for (const each of loads) expect((await each.stop()).failed).toEqual({});
      });

      test(`two instances of HAProxy share the load, and either may go, ${label}`, async () => {
        const { server } = network;
        await migrate(true);
        const instances = new Map<string, Background>();
        for (const tag of ["one", "two"]) {
          instances.set(tag, await startHaproxy(server, daemon, 6000, tag));
        }
        await expectBalanced(["one", "two"]);
        const busy = await load();
        // First the one that came first: it is the one that was registered.
        for (const [goes, stays] of [
          ["one", "two"],
          ["two", "one"],
        ] as const) {
          const instance = instances.get(goes);
          instance?.signal("SIGUSR1");
          await instance?.exited;
          expect(Object.keys(await answers())).toEqual([stays]);
          instances.set(goes, await startHaproxy(server, daemon, 6000, goes));
          await expectBalanced(["one", "two"]);
        }
        expect((await busy.stop()).failed).toEqual({});
      });

      test(`socket units with ReusePort share the load, restart their daemons, and go, ${label}`, async () => {
        const { server, client } = network;
        await migrate(true);
        const configuration = server.file(
          haproxyConfiguration("fd@3", "%[env(UNIT)]", "nbthread 1"),
          "haproxy-units.conf",
        );
        const manager = server.startPython("socket_units.py", [
          daemon,
          "6000",
          ...words(`haproxy -db -f ${configuration}`),
        ]);
        let told = 0;
        const tell = async (verb: "start" | "restart" | "stop", unit: string): Promise<void> => {
          manager.write(`${verb} ${unit}\n`);
          told += 1;
          await manager.waitFor((self) =>
            self.stdout.split("done\n").length > told ? true : null,
          );
        };
        for (const unit of ["a", "b", "c"]) await tell("start", unit);
        expect(await members()).toMatchObject([
          { groupSize: 3, handover: "sockmap" },
          { groupSize: 3, handover: "sockmap" },
          { groupSize: 3, handover: "sockmap" },
        ]);
        await expectBalanced(["a", "b", "c"]);
        const busy = await load();
        // While a daemon is not there, its clients wait in the socket that the manager keeps.
        for (const unit of ["a", "b", "c", "a"]) await tell("restart", unit);
        // "a" was the first, and so the one that was registered.
        for (const unit of ["a", "b"]) {
          await tell("stop", unit);
          expect(Object.keys(await answers())).not.toContain(unit);
        }
        for (const unit of ["a", "b"]) await tell("start", unit);
        await expectBalanced(["a", "b", "c"]);
        expect((await busy.stop()).failed).toEqual({});
        for (const unit of ["c", "a", "b"]) await tell("stop", unit);
        expect(await client.dial("tcp", address, 80)).toEqual(refused);
      });
    }
  });
}
