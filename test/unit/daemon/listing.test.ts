// Goal: the daemon lists what was asked for of the active mappings, in the shape of `ilm mappings
// --json`, and says what is wrong with a question.
import { beforeEach, describe, expect, test } from "vitest";
import { listMappings } from "../../../src/daemon/listing.js";
import { refusal } from "../../support/refusal.js";
import { FakeDataPlane, mapping, rules, ruleSet } from "./fixtures.js";

let dataPlane: FakeDataPlane;

function list(query: string): ReturnType<typeof listMappings> {
  return listMappings(dataPlane, new URLSearchParams(query));
}

function names(query: string): string[] {
  return list(query).mappings.map(({ name }) => name);
}

beforeEach(() => {
  dataPlane = new FakeDataPlane();
  const port = (number: number) => ({ ports: [{ first: number, last: number }] });
  dataPlane.apply(
    rules(ruleSet(mapping("a"), mapping("b", port(81)), mapping("c", { protocol: "udp" })), [
      mapping("d", port(82)),
    ]),
  );
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
  ])("%s", (_, query, wanted) => {
    expect(names(query)).toEqual(wanted);
    expect(list(query).total).toBe(wanted.length);
  });

  test("up to a limit, with how many there are", () => {
    expect(list("limit=2")).toMatchObject({ total: 4, mappings: [{ name: "a" }, { name: "b" }] });
  });

  test("with what the command tells of each", () => {
    expect(list("name=d").mappings[0]).toMatchObject({
      protocol: "tcp",
      port: "82",
      on: [],
      to: [{ address: "127.0.1.10", port: "same", service: null, listening: false }],
      runtime: true,
      counters: { existing: 0, selected: 0, missed: 0, errors: 0 },
    });
    expect(list("name=a").mappings[0]?.runtime).toBe(false);
  });

  test("10,000 at most", () => {
    const many = Array.from({ length: 10_001 }, (_, i) => mapping(`m${i}`));
    dataPlane.apply(rules(ruleSet(...many)));
    for (const query of ["", "limit=20000"]) {
      const { total, mappings } = list(query);
      expect([total, mappings.length]).toEqual([10_001, 10_000]);
    }
  });

  test("none when nothing is loaded", () => {
    dataPlane = new FakeDataPlane();
    expect(list("name=a")).toEqual({ total: 0, mappings: [] });
  });
});

test.each([
  ["colour=red", "USAGE", /^there is no colour/],
  ["port=80&port=81", "USAGE", /^port is given twice/],
  ["port=http", "USAGE", /^port: /],
  ["protocol=sctp", "USAGE", /^protocol: /],
  ["to=0.0.0.0", "USAGE", /^to: /],
  ["limit=0", "USAGE", /^limit: /],
  ["name=e", "NOT_FOUND", /no mapping named e/],
])("%s is refused, with what would be right", (query, code, message) => {
  const refused = refusal(() => list(query));
  expect(refused.code).toBe(code);
  expect(refused.message).toMatch(message);
  expect(refused.remedy).toMatch(/\.$/);
});
