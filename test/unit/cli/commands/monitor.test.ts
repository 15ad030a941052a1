// Goal: `monitor` shows each decision with the mapping of its generation, and ends when it is told.
import { beforeEach, describe, expect, test } from "vitest";
import { monitor, type MonitorOptions } from "../../../../src/cli/commands/monitor.js";
import type { Context } from "../../../../src/cli/shell/context.js";
import type { Prefix } from "../../../../src/model/address.js";
import type { DecisionFilter } from "../../../../src/model/decision.js";
import type { ObservedDecision } from "../../../../src/dataplane/types.js";
import { ExitStatus } from "../../../../src/errors.js";
import { packet } from "../fixtures.js";
import { address, mapping, ruleSet, activeRules } from "../../daemon/fixtures.js";
import { World } from "./world.js";

let world: World;

beforeEach(() => {
  world = new World();
});

const watching =
  (options: MonitorOptions) =>
  (context: Context): Promise<void> =>
    monitor(context, options);

function decision(changes: Partial<ObservedDecision> = {}): ObservedDecision {
  return {
    time: Date.UTC(2026, 0, 2, 3, 4, 5, 678),
    verdict: "selected",
    packet: packet("203.0.113.1", 80),
    mapping: 0,
    matchedBy: "default",
    strangers: false,
    destination: 0,
    attempts: [{ destination: 0, outcome: "selected" }],
    generation: 1,
    ...changes,
  };
}

function load(): void {
  const to = [{ address: address("127.0.1.10"), port: 8080 }];
  world.dataPlane.apply(activeRules(ruleSet(mapping("web", { to }), mapping("same"))));
}

describe("decisions", () => {
  test("for strangers only are told from those for nobody", async () => {
    load();
    const rejected = { verdict: "rejected", destination: null, strangers: true } as const;
    world.dataPlane.decisions = [decision(rejected)];
    expect(await world.text(watching({ count: "1" }))).toContain("- (a stranger listens)\n");
  });

  test("are a line each, below a heading, with mapping and destination", async () => {
    load();
    const missed = { verdict: "missed", destination: null, mapping: 1 } as const;
    world.dataPlane.decisions = [decision(), decision(missed)];
    const text = await world.text(watching({ count: "2" }));
    expect(text).toMatch(
      /^TIME +VERDICT +PROTO +CLIENT +DIALLED +MAPPING +DESTINATION\n[0-9:]{8}\.678 +selected +tcp +198\.51\.100\.7:5555 +203\.0\.113\.1:80 +web +127\.0\.1\.10:8080\n[0-9:]{8}\.678 +missed +tcp .* same +-\n$/,
    );
  });

  test("are two lines each on a narrow terminal, and longer addresses go on below", async () => {
    load();
    const six = { packet: packet("2001:db8:1234:5678:9abc:def0:1234:5678", 80) };
    world.dataPlane.decisions = [decision(), decision(six)];
    const text = await world.text(async (context) => {
      await monitor({ ...context, width: 80 }, { count: "2" });
    });
    const lines = text.replaceAll(/\d\d:\d\d:/g, "14:03:").split("\n");
    expect(lines).toEqual([
      "TIME          VERDICT    PROTO  CLIENT                   DIALLED",
      "              MAPPING               DESTINATION",
      "14:03:05.678  selected   tcp    198.51.100.7:5555        203.0.113.1:80",
      "              web                   127.0.1.10:8080",
      "14:03:05.678  selected   tcp    [2001:db8:9::1]:5555",
      "                                     [2001:db8:1234:5678:9abc:def0:1234:5678]:80",
      "              web                   127.0.1.10:8080",
      "",
    ]);
  });

  test.each<[string, MonitorOptions, Partial<DecisionFilter>]>([
    ["of a protocol", { protocol: "udp" }, { protocol: "udp" }],
    ["of what was dialled", { on: "203.0.113.0/24" }, { local: "203.0.113.0/24" as Prefix }],
    ["of one address", { on: "2001:db8::2" }, { local: "2001:db8::2/128" as Prefix }],
    ["of a port", { port: "443" }, { ports: { first: 443, last: 443 } }],
    ["of ports", { port: "8000-8099" }, { ports: { first: 8000, last: 8099 } }],
    ["of clients", { from: "198.51.100.7" }, { remote: "198.51.100.7/32" as Prefix }],
    ["of mappings", { mapping: ["same", "web"] }, { mappings: ["same", "web"] }],
    ["with verdicts", { verdict: ["missed", "rejected"] }, { verdicts: ["missed", "rejected"] }],
    ["one of two", { sample: "2" }, { every: 2 }],
    ["so many a second", { rate: "20" }, { perSecond: 20 }],
  ])("are asked for: %s", async (_what, options, asked) => {
    load();
    world.dataPlane.decisions = [decision()];
    await world.jsonLines("monitor", watching({ ...options, count: "1" }));
    expect(world.dataPlane.filter).toEqual({
      protocol: null,
      local: null,
      ports: null,
      remote: null,
      mappings: null,
      verdicts: null,
      every: 1,
      perSecond: 2_000,
      ...asked,
    });
  });

  test.each<[MonitorOptions, RegExp]>([
    [{ on: "203.0.113.300" }, /^--on: /],
    [{ from: "nobody" }, /^--from: /],
    [{ on: "203.0.113.1", from: "::/0" }, /^--from: an IPv6 client does not dial an IPv4 address/],
    [{ port: "0" }, /^--port: /],
    [{ sample: "1.5" }, /^--sample: "1\.5" is not a whole number/],
    [{ sample: "0" }, /^--sample: "0" is not a positive number/],
    [{ sample: "5000000000" }, /^--sample: "5000000000" is more than 4294967295/],
    [{ rate: "2.5" }, /^--rate: "2\.5" is not a whole number/],
    [{ rate: "2000000" }, /^--rate: "2000000" is more than 1000000/],
  ])("are refused: %j", async (options, message) => {
    await expect(world.text(watching(options))).rejects.toMatchObject({
      code: "USAGE",
      message: expect.stringMatching(message) as string,
    });
  });

  test("are an object each in JSON, without a heading", async () => {
    load();
    const same = { mapping: 1, packet: packet("203.0.113.1", 80, { interfaceIndex: 2 }) };
    world.dataPlane.decisions = [decision(), decision(same)];
    expect(await world.jsonLines("monitor", watching({ count: "2" }))).toEqual([
      {
        time: "2026-01-02T03:04:05.678Z",
        verdict: "selected",
        protocol: "tcp",
        client: { address: "198.51.100.7", port: 5555 },
        dialled: { address: "203.0.113.1", port: 80 },
        mapping: "web",
        destination: { address: "127.0.1.10", port: 8080 },
        matchedBy: "default",
        strangers: false,
        interface: 0,
        generation: 1,
      },
      expect.objectContaining({
        mapping: "same",
        destination: { address: "127.0.1.10", port: 80 },
        interface: 2,
      }),
    ]);
  });

  test("without a mapping, or of rules no longer known, have none", async () => {
    load();
    const unmanaged = { verdict: "unmanaged", mapping: null, destination: null } as const;
    world.dataPlane.decisions = [decision(unmanaged), decision({ generation: 77 })];
    expect(await world.jsonLines("monitor", watching({ count: "2" }))).toMatchObject([
      { verdict: "unmanaged", mapping: null, destination: null },
      { verdict: "selected", mapping: null, destination: null },
    ]);
  });

  test("of rules that come while a monitor watches have the names of those rules", async () => {
    load();
    const next = activeRules(ruleSet(mapping("new")));
    const changing = {
      *[Symbol.iterator]() {
        yield decision();
        world.dataPlane.apply(next);
        yield decision({ generation: 2 });
        yield decision();
      },
    };
    world.dataPlane.decisions = changing as unknown as ObservedDecision[];
    expect(await world.jsonLines("monitor", watching({ count: "3" }))).toMatchObject([
      { mapping: "web", generation: 1 },
      { mapping: "new", generation: 2 },
      { mapping: "web", generation: 1 },
    ]);
  });

  test("cannot steer a terminal by the names of mappings", async () => {
    world.dataPlane.apply(activeRules(ruleSet(mapping("a\u001B[2Jb"))));
    world.dataPlane.decisions = [decision()];
    expect(await world.text(watching({ count: "1" }))).not.toContain("\u001B");
  });
});

describe("the end", () => {
  test("comes after so many decisions", async () => {
    load();
    world.dataPlane.decisions = [decision(), decision(), decision()];
    expect(await world.jsonLines("monitor", watching({ count: "2" }))).toHaveLength(2);
  });

  test("comes after so many seconds, with what there was", async () => {
    load();
    world.dataPlane.decisions = [decision()];
    const { out, status } = await world.end(true, watching({ seconds: "0.05" }));
    expect(out.match(/\n/g)).toHaveLength(1);
    expect(status).toBe(ExitStatus.done);
  });

  test("leaves no handler of signals", async () => {
    load();
    world.dataPlane.decisions = [decision()];
    const before = process.listenerCount("SIGTERM");
    await world.text(watching({ count: "1" }));
    expect(process.listenerCount("SIGTERM")).toBe(before);
  });
});

describe("standard error", () => {
  const counted = { decisions: 9, matched: 7, skipped: 2, dropped: 3 };
  const note = "ilm: 3 decisions came faster than they could be shown, and were dropped\n";

  test("tells what became of all decisions", async () => {
    load();
    world.dataPlane.decisions = [decision()];
    expect((await world.say(false, watching({ count: "1" }))).err).toBe(
      "ilm: 0 decisions, 0 matched, 1 shown, 0 dropped\n",
    );
    world.dataPlane.decided = counted;
    expect((await world.say(false, watching({ count: "1" }))).err).toBe(
      `${note}ilm: 9 decisions, 7 matched, 1 shown, 2 left out by --sample, 3 dropped\n`,
    );
  });

  test("tells with JSON how many came too fast, and the last line has the rest when asked for", async () => {
    load();
    world.dataPlane.decisions = [decision()];
    world.dataPlane.decided = counted;
    expect((await world.say(true, watching({ count: "1" }))).err).toBe(note);
    const lines = await world.jsonLines("monitor", watching({ count: "1", summary: true }));
    expect(lines).toEqual([
      expect.objectContaining({ verdict: "selected" }),
      { summary: { ...counted, shown: 1 } },
    ]);
  });

  test.each([
    [{ mapping: ["wbe"] }, /^ilm: there is no mapping named wbe\n {2}Did you mean web\?/, 1],
    [{ summary: true }, /^ilm: --summary: it adds a line to --json\n/, 2],
  ] as const)("refuses %j, rather than to be silent", async (options, message, status) => {
    load();
    const found = await world.end(false, watching(options));
    expect(found.err).toMatch(message);
    expect(found.status).toBe(status);
  });

  test("names what keeps packets from any decision", async () => {
    load();
    world.dataPlane.decisions = [decision()];
    world.around = { ...world.around, off: true };
    expect((await world.say(false, watching({ count: "1" }))).err).toMatch(
      /^ilm: ilm is switched off in this network namespace: .*\. Switch it on again: ilm on\.\n/,
    );
  });
});

describe("what cannot be watched", () => {
  test("is nothing: it says how to load rules", async () => {
    const { out, err, status } = await world.end(false, watching({}));
    expect(out).toBe("");
    expect(err).toMatch(/nothing is loaded .*\n {2}.*ilm apply -f FILE/);
    expect(status).toBe(ExitStatus.failed);
    expect(await world.failure(watching({}))).toMatchObject({ error: { code: "NOT_LOADED" } });
  });

  test.each([
    [{ count: "0" }, '--count: "0" is not a positive number', "`--count 10`"],
    [{ count: "-1" }, '--count: "-1"', "`--count 10`"],
    [{ count: "ten" }, '--count: "ten"', "`--count 10`"],
    [{ count: "1.5" }, '--count: "1.5" is not a whole number', "`--count 10`"],
    [{ seconds: "" }, '--seconds: ""', "`--seconds 10`"],
    [{ seconds: "1e9" }, '--seconds: "1e9"', "`--seconds 10`"],
    [{ seconds: "9999999" }, '--seconds: "9999999" is more than 2147483', "`--seconds 10`"],
  ])("is for a limit that is none: %j", async (options, what, right) => {
    load();
    const { err, status } = await world.end(false, watching(options));
    expect(err).toContain(what);
    expect(err).toContain(right);
    expect(status).toBe(ExitStatus.usage);
  });
});
