/**
 * Upgrades from each older release, and downgrades to it, under load: nothing fails, nothing is
 * forgotten. The releases make their states themselves: they are built from test/releases.
 */
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { pinnedPaths } from "../support/kernel-state.js";
import { useNetwork } from "../support/network.js";
import { random } from "../support/random.js";
import { olderFormats, refusesNewer, Release } from "../support/releases.js";
import { sizes } from "../support/sizes.js";
import {
  configurations,
  expectGone,
  expectKept,
  expectShown,
  fillState,
  foldersOf,
  kernelState,
  LateDaemons,
  type OldState,
  startDaemons,
  underLoad,
} from "../support/upgrade.js";

/** The field of `status --json` that has the format of another version's state. */
const formatField = "earlierFormat";

const network = useNetwork();
let late: LateDaemons;
let file: string;
let changed: string;

beforeAll(async () => {
  const { server } = network;
  file = server.file(configurations.first, "rules.yaml");
  changed = server.file(configurations.changed, "changed.yaml");
  await startDaemons(server);
  late = new LateDaemons(network);
});

afterEach(async () => {
  await late.closeAll();
  await network.server.unload();
});

/**
 * The release's state, with mappings of the file and of run time, counters, and clients who wait
 * for answers.
 */
async function stateOf(release: Release): Promise<OldState> {
  await release.done(network.server, ["apply", "-f", file]);
  return await fillState(network, release, late);
}

/** The newest always; ILM_SEED draws the same ones again. */
function chosenFormats(): readonly number[] {
  const formats = [...olderFormats()];
  const chosen = formats.splice(-1);
  const chance = random();
  while (chosen.length < sizes.releases && formats.length > 0) {
    chosen.push(...formats.splice(chance.integer(0, formats.length - 1), 1));
  }
  return chosen;
}

const formats = chosenFormats();

describe.each(formats)("the release that writes format %i", (format) => {
  let release: Release;

  beforeAll(async () => {
    release = await Release.build(format);
  });

  test("status and mappings show its state, and remove takes one of its mappings away and keeps the others", async () => {
    const { server, client } = network;
    const state = await stateOf(release);
    const pins = pinnedPaths(server.inode);
    expect(await server.status()).toMatchObject({
      loaded: true,
      mappings: 6,
      runtimeMappings: 2,
      [formatField]: format,
    });
    await expectShown(state);
    // Who only looks changes nothing.
    expect(pinnedPaths(server.inode)).toEqual(pins);
    await underLoad(client, "file", async () => await server.ilmDone(["remove", "tcp:7000"]));
    await expectKept(state, { removed: ["tcp:7000"] });
    await expectGone(state);
    expect(await client.who("tcp", "203.0.113.1", 7000)).toBe("ECONNREFUSED");
    expect(await client.who("udp", "2001:db8::1", 7001)).toBe("app");
    expect((await server.status()) as object).not.toHaveProperty(formatField, format);
  });

  // Each other release has the other file, where there is no time for both.
  const applied = [
    { title: "its file", more: [] },
    { title: "a changed file", more: ["new"] },
  ].filter((_, index) => sizes.upgradeFiles > 1 || index === format % 2);

  for (const { title, more } of applied) {
    test(`apply of ${title} under load fails no dial, and keeps what was added and counted`, async () => {
      const { server, client } = network;
      const state = await stateOf(release);
      const path = more.length === 0 ? file : changed;
      await underLoad(client, "all", async () => await server.ilmDone(["apply", "-f", path]));
      await expectKept(state, { more });
      await expectGone(state);
    });
  }

  test("run without a file takes its state over", async () => {
    const { server, client } = network;
    const state = await stateOf(release);
    await underLoad(client, "all", async () => await (await server.startRun([])).stop());
    await expectKept(state);
    await expectGone(state);
  });

  test("unload leaves nothing of it", async () => {
    const { server, client } = network;
    await release.done(server, ["apply", "-f", file]);
    const state = await kernelState(network);
    expect(await client.who("tcp", "203.0.113.1", 6000)).toBe("app");
    await server.ilmDone(["unload"]);
    await expectGone(state);
    expect(pinnedPaths(server.inode)).toEqual([]);
    expect(await server.loopbackAddresses()).toEqual([]);
    expect(await client.who("tcp", "203.0.113.1", 6000)).toBe("ECONNREFUSED");
    expect(await server.status()).toMatchObject({ loaded: false });
  });

  test("it takes over this version's state under load, and add takes it back and keeps all of it", async () => {
    const { server, client } = network;
    const back = ["apply", "-f", file, ...(refusesNewer(format) ? ["--over-newer"] : [])];
    await server.ilmDone(["apply", "-f", file]);
    await underLoad(client, "file", async () => await release.done(server, back));
    const state = await fillState(network, release, late);
    await underLoad(
      client,
      "all",
      async () => await server.ilmDone(["add", "tcp:7100=127.0.1.10:6000"]),
    );
    await expectKept(state, { more: ["tcp:7100"] });
    await expectGone(state);
    expect(await client.who("tcp", "203.0.113.1", 7100)).toBe("app");
    // One of each kind: no earlier state of this version lies beside it.
    expect(foldersOf(server.inode).map((name) => name.replace(/-\d+$/, ""))).toEqual([
      "generation",
      "programs",
      "registry",
    ]);
  });
});

describe.each(formats.filter(refusesNewer))(
  "the release that writes format %i, and knows of newer ones,",
  (format) => {
    test("refuses this version's state, and changes nothing", async () => {
      const { server, client } = network;
      const release = await Release.build(format);
      await server.ilmDone(["apply", "-f", file]);
      const before = foldersOf(server.inode);
      await underLoad(client, "file", async () => {
        await expect(release.done(server, ["apply", "-f", file])).rejects.toThrow(
          /exit 4\nilm: a newer version of ilm made the rules/,
        );
      });
      expect(foldersOf(server.inode)).toEqual(before);
      expect(await server.status()).toMatchObject({ loaded: true, mappings: 4 });
    });
  },
);
