// Goal: a user who may not use BPF has the daemon answer, or hears what would help.
import { beforeEach, describe, expect, test } from "vitest";
import type { ListedMapping } from "../../../../src/api/api.js";
import { destinationShape, mappingShape } from "../../../../src/api/mapping-shape.js";
import { nothingActive } from "../../../../src/api/result.js";
import { add } from "../../../../src/cli/commands/add.js";
import { apply } from "../../../../src/cli/commands/apply.js";
import { history } from "../../../../src/cli/commands/history.js";
import { mappings } from "../../../../src/cli/commands/mappings.js";
import { off } from "../../../../src/cli/commands/off.js";
import { on } from "../../../../src/cli/commands/on.js";
import { remove } from "../../../../src/cli/commands/remove.js";
import { status } from "../../../../src/cli/commands/status.js";
import { unload } from "../../../../src/cli/commands/unload.js";
import { wait } from "../../../../src/cli/commands/wait.js";
import type { Context } from "../../../../src/cli/shell/context.js";
import type { Performed } from "../../../../src/control/perform.js";
import { ExitStatus, IlmError } from "../../../../src/errors.js";
import { address, daemonState, daemonStatus, mapping } from "../../daemon/fixtures.js";
import { World } from "./world.js";

let world: World;

describe("a user who may not open the data plane", () => {
  const denied = new IlmError("NOT_PERMITTED", "this needs root", { remedy: "Run as root" });
  const asked: string[] = [];
  const performed: Performed = {
    ...nothingActive,
    generation: 3,
    mappings: 1,
    by: "daemon",
    follows: null,
  };
  const listed: ListedMapping = {
    ...mappingShape(mapping("web"), true),
    to: [
      {
        ...destinationShape({ address: address("127.0.1.10"), port: 80 }),
        listening: true,
        selected: 2,
        selectedPerSecond: 0.25,
        connections: 4,
        flows: null,
        ended: null,
        neverSince: null,
        drained: false,
      },
    ],
    counters: { existing: 1, selected: 2, missed: 3, errors: 0 },
    rates: {
      seconds: 4,
      existingPerSecond: 0,
      selectedPerSecond: 0.25,
      missedPerSecond: 12.4,
      errorsPerSecond: 0,
    },
  };

  beforeEach(() => {
    world = new World();
    asked.length = 0;
    world.failures.set("openDataPlane", denied);
    world.access = {
      status: async () => await Promise.resolve(daemonStatus),
      state: async () => await Promise.resolve(daemonState),
      services: async () =>
        await Promise.resolve([
          {
            name: "web",
            addresses: [address("127.0.1.10")],
            origin: { file: "rules.yaml", line: 1, column: 1 },
          },
        ]),
      metrics: () => Promise.resolve("ilm_loaded 1\n"),
      mappings: async (query) => {
        asked.push(query.toString());
        if (query.get("name") === "tcp:80=web") throw new IlmError("NOT_FOUND", "no such mapping");
        return await Promise.resolve({ total: 2, mappings: [listed] });
      },
      change: async (change) => {
        asked.push(JSON.stringify(change));
        return await Promise.resolve(performed);
      },
    };
  });

  test.each([
    ["status", status],
    ["mappings", (context: Context) => mappings(context, {}, [])],
    ["add", (context: Context) => add(context, {}, ["tcp:80=127.0.1.10"])],
    ["off", (context: Context) => off(context, {})],
    ["unload", (context: Context) => unload(context, {})],
  ])("hears from %s why, and what would help, when there is no daemon", async (_, command) => {
    world.access = null;
    const { out, err, status: ended } = await world.end(false, command);
    expect([out, ended]).toEqual(["", ExitStatus.notPossible]);
    expect(err).toMatch(
      /^ilm: this needs root\n {2}Run as root\. Other users need a daemon .*--readers GROUP/,
    );
  });

  test("gets the status from the daemon, with a note that the host was not looked at", async () => {
    expect(await world.text(status)).toMatch(
      /^state: +loaded\n[^]*daemon: +pid 42[^]*note: the daemon was asked/,
    );
    expect(await world.json("status", status)).toMatchObject({
      loaded: true,
      daemon: { pid: 42 },
      warnings: [],
    });
  });

  test("gets mappings from the daemon, by the same choice", async () => {
    const command = (context: Context): Promise<void> =>
      mappings(context, { protocol: "tcp", on: "203.0.113.5", port: "80-90", limit: "1" }, [
        "web",
        "db",
      ]);
    const { out, err } = await world.end(false, command);
    expect(out).toMatch(
      /^NAME[^]*\nweb \(run time\) +tcp +80 +every +127\.0\.1\.10:80 +listens +1 +2 +4 +3 +0\n$/,
    );
    expect(err).toContain("showing 1 of 2 mappings");
    expect(asked).toEqual(["name=web&name=db&protocol=tcp&on=203.0.113.5&port=80-90&limit=1"]);
    expect(await world.json("mappings", command)).toMatchObject([
      { name: "web", runtime: true, to: [{ listening: true, listener: null }], obstacles: null },
    ]);
  });

  test("has the daemon measure rates, sort, and count what is open", async () => {
    const options = { sort: "rate", rate: "4", connections: true } as const;
    const { out } = await world.end(false, async (context) => {
      await mappings(context, options, []);
    });
    expect(out).toMatch(
      /^NAME[^]* EXISTING\/S +SELECTED\/S +OPEN +MISSED\/S +ERRORS\/S\nweb[^\n]* 0 +0\.3 +4 +12 +0\n$/,
    );
    expect(asked).toEqual(["sort=rate&rate=4&connections=true"]);
    asked.length = 0;
    await world.end(false, async (context) => {
      await mappings(context, { sort: "rate" }, []);
    });
    expect(asked).toEqual(["sort=rate&rate=1"]);
  });

  test("adds and removes mappings through the daemon, which knows the services", async () => {
    await world.json("add", (context) => add(context, { replace: true }, ["tcp:80=web"]));
    await world.json("remove", (context) => remove(context, {}, ["old", "tcp:80=web"]));
    const [added, , removed] = asked.map((text): unknown =>
      text.startsWith("{") ? JSON.parse(text) : text,
    );
    expect(added).toMatchObject({
      kind: "add",
      replace: true,
      mappings: [{ name: "tcp:80", to: [{ address: "127.0.1.10", service: "web" }] }],
    });
    expect(removed).toMatchObject({ kind: "remove", names: ["old", "tcp:80"] });
  });

  test("applies, switches and unloads through the daemon", async () => {
    await world.json("apply", (context) =>
      apply(context, { replace: true }, ["tcp:80=127.0.1.10"]),
    );
    await world.json("off", (context) => off(context, {}));
    await world.json("on", (context) => on(context, {}));
    await world.json("unload", (context) => unload(context, {}));
    const kinds = asked.map((text) => (JSON.parse(text) as { kind: string }).kind);
    expect(kinds).toEqual(["apply", "off", "on", "unload"]);
  });

  describe("waits by what the daemon tells", () => {
    const waitFor =
      (...names: readonly string[]) =>
      (context: Context): Promise<ExitStatus> =>
        wait(context, { timeout: "0" }, names);
    const tells = (listening: boolean): void => {
      if (world.access === null) throw new Error("there is no daemon");
      world.access = {
        ...world.access,
        mappings: async (query) => {
          if (query.get("name") === "nosuch") throw new IlmError("NOT_FOUND", "no such mapping");
          const to = listed.to.map((one) => ({ ...one, service: "web", listening }));
          const mappings = query.has("down") && listening ? [] : [{ ...listed, to }];
          return await Promise.resolve({ total: mappings.length, mappings });
        },
      };
    };

    test.each([["site"], ["web"]])("for %s, a mapping or a service", async (name) => {
      tells(true);
      expect(await world.end(false, waitFor(name))).toMatchObject({
        status: ExitStatus.done,
        out: `${name}: the mapping has a listener\n`,
      });
      tells(false);
      expect(await world.end(false, waitFor(name))).toMatchObject({ status: ExitStatus.failed });
    });

    test("and not for a name that there is not", async () => {
      tells(true);
      const { err, status: ended } = await world.end(false, waitFor("nosuch"));
      expect(ended).toBe(ExitStatus.usage);
      expect(err).toContain("there is neither a mapping nor a service named nosuch");
    });
  });

  test("hears what a reader may, where a command is none of it", async () => {
    const command = (context: Context): Promise<void> => history(context, {}, undefined);
    const { err, status: ended } = await world.end(false, command);
    expect(ended).toBe(ExitStatus.notPossible);
    expect(err).toMatch(
      /^ilm: this takes root: .*readers.*\n {2}Run it as root\. A reader .*`wait`/,
    );
  });

  test.each([
    ["add", (context: Context) => add(context, { dryRun: true }, ["tcp:80=127.0.1.10"])],
    ["remove", (context: Context) => remove(context, { dryRun: true }, ["tcp:80"])],
    ["apply", (context: Context) => apply(context, { dryRun: true }, ["tcp:80=127.0.1.10"])],
  ])("cannot have %s do a dry run, and nothing is changed", async (_, command) => {
    const { err, status: ended } = await world.end(false, command);
    expect(ended).toBe(ExitStatus.notPossible);
    expect(err).toContain("this needs root");
    expect(asked).toEqual([]);
  });
});
