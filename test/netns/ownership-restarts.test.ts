/**
 * A unit that owns a service starts again and again, its cgroup is made anew each time, and neither
 * its bind() nor what is dialled then is ever refused; also while no process of ilm's runs.
 */
import { afterAll, afterEach, describe, expect, test } from "vitest";
import { join } from "node:path";
import { owner } from "../support/actor.js";
import { FIXED, ownedRules } from "../support/attacks.js";
import { makeCgroup, removeCgroups } from "../support/cgroup.js";
import { kinds } from "../support/lab.js";
import { addressesOf, families } from "../support/matrix.js";
import { useNetwork } from "../support/network.js";
import { words } from "../support/process.js";
import { sizes } from "../support/sizes.js";

const network = useNetwork();
const count = sizes.unitRestarts;

afterEach(async () => {
  await network.server.stopStarted();
  await removeCgroups();
});

afterAll(async () => {
  await network.server.unload();
});

for (const isRunning of [false, true]) {
  describe(isRunning ? "while ilm run is running" : "while no process of ilm's runs", () => {
    for (const kind of kinds) {
      for (const family of families) {
        test(`a unit has its service after each of ${count} restarts, ${kind} over IPv${family}`, async () => {
          const { server, client } = network;
          const cell = addressesOf[family];
          const rules = ownedRules(`unit: web.service, user: ${owner.uid}`, "exact");
          if (isRunning) await server.startRun(["-f", server.file(rules)]);
          else await server.apply(rules);
          const slice = await makeCgroup("system.slice");
          const options =
            `--client-netns ${client.path} --cgroup ${join(slice, "web.service")} ` +
            `--uid ${owner.uid} --listen ${cell.daemon} ${FIXED} --dial ${cell.public} ${FIXED} ` +
            `--count ${count}`;
          const units = server.startPython("unit.py", [kind, ...words(options)]);
          const { stdout, stderr } = await units.exited;
          expect(JSON.parse(stdout === "" ? JSON.stringify(stderr) : stdout)).toEqual({
            restarts: count,
            failed: {},
          });
        });
      }
    }
  });
}
