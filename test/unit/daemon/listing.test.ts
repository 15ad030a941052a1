// Goal: the daemon lists what was asked for of the active mappings, in the shape of `ilm mappings
// --json`, and says what is wrong with a question.
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Listings } from "../../../src/daemon/listing.js";
import type { MappingList } from "../../../src/api/api.js";
import { IlmError } from "../../../src/errors.js";
import { liveOf } from "../../../src/rules/live.js";
import { FakeDataPlane, activeRules, address, mapping, ruleSet } from "./fixtures.js";

let dataPlane: FakeDataPlane;

let listings: Listings;
/** How long each list waited for its second reading. */
let waited: number[];
/** What happens meanwhile. */
let meanwhile: () => void;

async function list(query: string): Promise<MappingList> {
  return await listings.list(new URLSearchParams(query));
}

async function names(query: string): Promise<string[]> {
  return (await list(query)).mappings.map(({ name }) => name);
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["performance"] });
  dataPlane = new FakeDataPlane();
  waited = [];
  meanwhile = () => undefined;
  listings = new Listings({
    withDataPlane: (read) => read(dataPlane),
    open: (own) => liveOf(own.connections(), own.flows()),
    wait: (seconds) => {
      waited.push(seconds);
      vi.advanceTimersByTime(seconds * 1000);
      meanwhile();
      return Promise.resolve();
    },
  });
  const port = (number: number) => ({ ports: [{ first: number, last: number }] });
  dataPlane.apply(
    activeRules(ruleSet(mapping("a"), mapping("b", port(81)), mapping("c", { protocol: "udp" })), [
      mapping("d", port(82)),
    ]),
  );
});

afterEach(() => {
  vi.useRealTimers();
});

describe("mappings are listed", () => {
  test.each([
    ["all", "", ["a", "b", "c", "d"]],
    ["of one name", "name=b", ["b"]],
    ["of several names", "name=d&name=a", ["a", "d"]],
    ["of a protocol", "protocol=udp", ["c"]],
    ["of a port", "port=81", ["b"]],
    ["to a destination", "to=127.0.1.10:82", ["d"]],
    ["that are all of this", "name=a&name=c&protocol=tcp", ["a"]],
  ])("%s", async (_, query, wanted) => {
    expect(await names(query)).toEqual(wanted);
    expect((await list(query)).total).toBe(wanted.length);
  });

  test("up to a limit, with how many there are", async () => {
    expect(await list("limit=2")).toMatchObject({
      total: 4,
      mappings: [{ name: "a" }, { name: "b" }],
    });
  });

  test("with what the command tells of each", async () => {
    expect((await list("name=d")).mappings[0]).toMatchObject({
      protocol: "tcp",
      port: "82",
      on: [],
      to: [{ address: "127.0.1.10", port: "same", service: null, listening: false }],
      runtime: true,
      counters: { existing: 0, selected: 0, missed: 0, errors: 0 },
    });
    expect((await list("name=a")).mappings[0]?.runtime).toBe(false);
  });

  test("10,000 at most", async () => {
    const many = Array.from({ length: 10_001 }, (_, i) => mapping(`m${i}`));
    dataPlane.apply(activeRules(ruleSet(...many)));
    for (const query of ["", "limit=20000"]) {
      const { total, mappings } = await list(query);
      expect([total, mappings.length]).toEqual([10_001, 10_000]);
    }
  });

  test("none when nothing is loaded", async () => {
    dataPlane = new FakeDataPlane();
    expect(await list("name=a")).toEqual({ total: 0, mappings: [] });
    expect(await list("sort=rate")).toEqual({ total: 0, mappings: [] });
  });
});

const counted = (selected: number, missed = 0) => ({ existing: 0, selected, missed, errors: 0 });

describe("in an order", () => {
  test.each([
    ["of the rules", "sort=rules", ["a", "b", "c", "d"]],
    ["of names", "sort=name&name=d&name=b&name=a", ["a", "b", "d"]],
    ["of the first port", "sort=port", ["a", "c", "b", "d"]],
    ["of what was selected", "sort=selected", ["c", "a", "b", "d"]],
    ["of what was missed", "sort=missed", ["d", "a", "b", "c"]],
    ["with a limit", "sort=selected&limit=1", ["c"]],
  ])("%s, and of the rules where that is the same", async (_, query, wanted) => {
    dataPlane.countedAt = [counted(5), counted(5), counted(9), counted(0, 1)];
    expect(await names(query)).toEqual(wanted);
    expect((await list(query)).total).toBe(query.includes("name=") ? 3 : 4);
    expect(waited).toEqual([]);
  });

  test("of the numbers of very many mappings", async () => {
    const many = Array.from({ length: 10_002 }, (_, i) => mapping(`m${i}`));
    dataPlane.apply(activeRules(ruleSet(...many)));
    dataPlane.countedAt = many.map((_, i) => counted(i));
    expect(await names("sort=selected&limit=2")).toEqual(["m10001", "m10000"]);
    meanwhile = () => {
      dataPlane.countedAt = many.map((_, i) => counted(i + (i === 7 ? 3 : 0)));
    };
    expect(await names("sort=rate&limit=2")).toEqual(["m7", "m0"]);
  });

  test("of what is open, which is counted then", async () => {
    const at = (port: number) => ({ address: address("127.0.1.10"), port });
    dataPlane.connected = [81, 82, 82].map((port) => ({
      dialled: { address: address("203.0.113.1"), port },
      client: address("192.0.2.7"),
      daemon: at(port),
      count: port === 81 ? 4 : 1,
    }));
    const { mappings } = await list("sort=connections");
    expect(mappings.map(({ name, to }) => [name, to[0]?.connections, to[0]?.flows])).toEqual([
      ["b", 4, null],
      ["d", 2, null],
      ["a", 0, null],
      ["c", null, 0],
    ]);
    expect((await list("name=d&connections=true")).mappings[0]?.to[0]?.connections).toBe(2);
    expect((await list("name=d")).mappings[0]?.to[0]?.connections).toBeNull();
  });
});

describe("with rates", () => {
  const again = (name: string) =>
    mapping(name, {
      ports: [{ first: 90, last: 90 }],
      to: [{ address: address("127.0.1.20"), port: 90 }],
    });

  async function rates(query: string): Promise<Record<string, number | null>> {
    const { mappings } = await list(query);
    return Object.fromEntries(
      mappings.map(({ name, rates: found }) => [name, found && found.selectedPerSecond]),
    );
  }

  beforeEach(() => {
    dataPlane.countedAt = [counted(10), counted(20), counted(30), counted(40)];
    meanwhile = () => {
      dataPlane.countedAt = [counted(10), counted(27, 6), counted(33), counted(40)];
    };
  });

  test("a second apart, or as long as is said; sorted, the largest first", async () => {
    const { mappings } = await list("rate=2.5");
    expect(mappings.map((one) => one.rates?.selectedPerSecond)).toEqual([0, 2.8, 1.2, 0]);
    expect(mappings[1]).toMatchObject({
      rates: { seconds: 2.5, existingPerSecond: 0, missedPerSecond: 2.4, errorsPerSecond: 0 },
      to: [{ selectedPerSecond: 2.8 }],
    });
    // Nothing is counted any more.
    expect(await names("sort=rate&limit=3")).toEqual(["a", "b", "c"]);
    dataPlane.countedAt = [counted(10), counted(20), counted(30), counted(40)];
    expect(await names("sort=rate&limit=3")).toEqual(["b", "c", "a"]);
    expect(waited).toEqual([2.5, 1, 1]);
    expect((await list("")).mappings[0]).toMatchObject({
      rates: null,
      to: [{ selectedPerSecond: null }],
    });
  });

  test("a mapping that one change leaves alone has one, wherever it is then", async () => {
    meanwhile = () => {
      dataPlane.apply(activeRules(ruleSet(again("e"), mapping("b"), mapping("a"))));
      dataPlane.countedAt = [counted(2), counted(25), counted(11)];
    };
    expect(await rates("rate=1")).toEqual({ e: null, b: 5, a: 1 });
  });

  test.each<[string, () => void]>([
    [
      "after more changes, by which it may have gone and come back",
      () => {
        for (const name of ["e", "f"]) dataPlane.apply(activeRules(ruleSet(again(name))));
        dataPlane.apply(activeRules(ruleSet(mapping("a"))));
      },
    ],
    [
      "with other programs, which have counted nothing before",
      () => {
        dataPlane.registry = 2;
        dataPlane.apply(activeRules(ruleSet(mapping("a"))));
      },
    ],
    [
      "with a counter that has less than before",
      () => {
        dataPlane.countedAt = [counted(9)];
      },
    ],
  ])("there is none %s", async (_, change) => {
    dataPlane.apply(activeRules(ruleSet(mapping("a"))));
    meanwhile = () => {
      dataPlane.countedAt = [counted(99)];
      change();
    };
    expect(await rates("rate=1")).toEqual({ a: null });
  });

  test("four lists are measured at once, and one more is refused", async () => {
    let go: () => void = () => undefined;
    const waiting = new Promise<void>((resolve) => {
      go = resolve;
    });
    listings = new Listings({
      withDataPlane: (read) => read(dataPlane),
      open: () => [],
      wait: () => waiting,
    });
    const lists = Array.from({ length: 4 }, () => list("rate=1"));
    await expect(list("rate=1")).rejects.toMatchObject({ code: "LIMIT" });
    expect(await names("")).toEqual(["a", "b", "c", "d"]);
    go();
    await Promise.all(lists);
    expect((await list("rate=1")).total).toBe(4);
  });
});

test.each([
  ["colour=red", "USAGE", /^there is no colour/],
  ["port=80&port=81", "USAGE", /^port is given twice/],
  ["port=http", "USAGE", /^port: /],
  ["protocol=sctp", "USAGE", /^protocol: /],
  ["to=0.0.0.0", "USAGE", /^to: /],
  ["limit=0", "USAGE", /^limit: /],
  ["sort=size", "USAGE", /^sort: "size" is no order of mappings$/],
  ["rate=0", "USAGE", /^rate: "0" is not a number of seconds from 0\.1 to 60$/],
  ["rate=61", "USAGE", /^rate: /],
  ["rate=soon", "USAGE", /^rate: /],
  ["connections=yes", "USAGE", /^connections: /],
  ["name=e", "NOT_FOUND", /no mapping named e/],
])("%s is refused, with what would be right", async (query, code, message) => {
  const refused = await list(query).catch((error: unknown) => error);
  if (!(refused instanceof IlmError)) throw new Error("it was not refused");
  expect(refused.code).toBe(code);
  expect(refused.message).toMatch(message);
  expect(refused.remedy).toMatch(/\.$/);
});
