// Goal: what one side of the socket encodes the other side decodes to the same; everything else is
// refused, never misread.
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  changeResult,
  changeRoutes,
  daemonStatus,
  encodeChange,
  isChangePath,
  reply,
  type ApiChange,
} from "../../../src/api/api.js";
import { errorBody, errorFromBody } from "../../../src/api/error-body.js";
import { DecodeError } from "../../../src/api/decode.js";
import { IlmError } from "../../../src/errors.js";
import { inMemory } from "../../../src/model/rules.js";
import { anyMapping, anyRuleSet, mapping, ruleSet } from "../daemon/fixtures.js";

const anyChange: fc.Arbitrary<ApiChange> = fc.oneof(
  fc.record({
    kind: fc.constant("apply" as const),
    sources: fc.array(fc.string({ minLength: 1 })),
    given: fc.array(fc.string({ minLength: 1 })),
    file: anyRuleSet.map(inMemory),
  }),
  fc.record({
    kind: fc.constant("add" as const),
    mappings: fc.array(anyMapping, { minLength: 1, maxLength: 3 }),
    replace: fc.boolean(),
  }),
  fc.record({
    kind: fc.constant("remove" as const),
    names: fc.array(fc.string({ minLength: 1 }), { minLength: 1 }),
  }),
  fc.record({
    kind: fc.constant("reapply" as const),
    sources: fc.array(fc.string({ minLength: 1 })),
    given: fc.array(fc.string({ minLength: 1 })),
    fileDigest: fc.string({ minLength: 64, maxLength: 64 }),
  }),
  fc.record({
    kind: fc.constant("revise" as const),
    sources: fc.array(fc.string({ minLength: 1 })),
    given: fc.array(fc.string({ minLength: 1 })),
    fileDigest: fc.string({ minLength: 64, maxLength: 64 }),
    pieces: fc.array(
      fc.oneof(
        fc.record({ first: fc.nat(), count: fc.nat().map((n) => n + 1), lines: fc.integer() }),
        fc.array(anyMapping, { minLength: 1, maxLength: 3 }),
      ),
    ),
    name: fc.option(fc.string({ minLength: 1 })),
    result: fc.string({ minLength: 64, maxLength: 64 }),
  }),
  fc.record({
    kind: fc.constant("remove" as const),
    names: fc.array(fc.string({ minLength: 1 }), { minLength: 1 }),
    confirmSeconds: fc.integer({ min: 1, max: 86_400 }),
  }),
  fc.constant({ kind: "confirm" as const }),
  fc.constant({ kind: "back" as const }),
  fc.constant({ kind: "unload" as const }),
  fc.constant({ kind: "reload" as const }),
);

function decode(path: string, body: unknown): ApiChange {
  if (!isChangePath(path)) throw new Error(`no route ${path}`);
  return changeRoutes[path].decode(body, "");
}

/** With the mappings of a file as a list of objects. */
function read(change: ApiChange): unknown {
  if (change.kind !== "apply") return change;
  const file = change.file.read();
  return { ...change, file: { ...file, mappings: [...file.mappings] } };
}

describe("changes", () => {
  test("survive encoding and decoding", () => {
    fc.assert(
      fc.property(anyChange, (change) => {
        const { path, body } = encodeChange(change);
        expect(read(decode(path, JSON.parse(body)))).toEqual(read(change));
      }),
    );
  });

  test("any JSON is decoded or refused with a DecodeError, for every route", () => {
    fc.assert(
      fc.property(fc.constantFrom(...Object.keys(changeRoutes)), fc.jsonValue(), (path, body) => {
        try {
          decode(path, body);
        } catch (error) {
          expect(error).toBeInstanceOf(DecodeError);
        }
      }),
      { numRuns: 2000 },
    );
  });

  test("a valid change with one value exchanged is refused, or is still a change of its kind", () => {
    fc.assert(
      fc.property(anyChange, fc.nat(), fc.jsonValue(), (change, place, value) => {
        const { path, body } = encodeChange(change);
        const document: unknown = JSON.parse(body);
        exchange(document, place, value);
        try {
          expect(decode(path, document).kind).toBe(change.kind);
        } catch (error) {
          expect(error).toBeInstanceOf(DecodeError);
        }
      }),
      { numRuns: 2000 },
    );
  });

  const good = mapping("web");
  test.each<[string, string, unknown]>([
    ["a reversed range", "mappings[0].ports[0]", { ...good, ports: [{ first: 9, last: 8 }] }],
    ["port 0", "mappings[0].ports[0].first", { ...good, ports: [{ first: 0, last: 8 }] }],
    ["a fraction", "mappings[0].ports[0].last", { ...good, ports: [{ first: 1, last: 1.5 }] }],
    [
      "adjacent ranges",
      "mappings[0].ports[1]",
      {
        ...good,
        ports: [
          { first: 1, last: 2 },
          { first: 3, last: 4 },
        ],
      },
    ],
    [
      "an octal address",
      "mappings[0].to[0].address",
      { ...good, to: [{ address: "010.0.0.1", port: 1 }] },
    ],
    [
      "an address not in canonical form",
      "mappings[0].to[0].address",
      { ...good, to: [{ address: "::0", port: 1 }] },
    ],
    ["host bits", "mappings[0].on[0]", { ...good, on: ["10.0.0.1/8"] }],
    ["no destination, and no refusal", "mappings[0].miss", { ...good, to: [] }],
    ["an unknown key", "mappings[0].weight", { ...good, weight: 1 }],
    ["an unknown protocol", "mappings[0].protocol", { ...good, protocol: "sctp" }],
    ["an empty name", "mappings[0].name", { ...good, name: "" }],
    ["a missing key", "mappings[0].origin", { ...good, origin: undefined }],
  ])("%s is refused at %s", (_what, place, bad) => {
    const body: unknown = JSON.parse(JSON.stringify({ mappings: [bad], replace: false }));
    expect(() => decode("/v1/add", body)).toThrow(place);
  });

  test("a rule set with __proto__ as a key is refused", () => {
    const body: unknown = JSON.parse(
      '{"source":null,"given":[],"file":{"__proto__":{},"services":[],"mappings":[]}}',
    );
    expect(() => decode("/v1/apply", body)).toThrow("__proto__");
  });

  test("paths that are no routes are told apart from inherited names", () => {
    expect(isChangePath("/v1/apply")).toBe(true);
    expect(isChangePath("constructor")).toBe(false);
  });
});

/** Replaces the n-th value of the document, counted depth first. */
function exchange(document: unknown, place: number, value: unknown): void {
  const slots: { holder: object; key: string }[] = [];
  const visit = (holder: unknown): void => {
    if (typeof holder !== "object" || holder === null) return;
    for (const [key, inner] of Object.entries(holder)) {
      slots.push({ holder, key });
      visit(inner);
    }
  };
  visit(document);
  const slot = slots[place % Math.max(1, slots.length)];
  if (slot !== undefined) Reflect.set(slot.holder, slot.key, value);
}

describe("replies", () => {
  const result = {
    generation: 3,
    changed: true,
    difference: {
      added: { count: 1, names: ["web"], protocols: ["tcp"] },
      removed: { count: 0, names: [], protocols: [] },
      changed: { count: 200, names: ["a", "b"], protocols: ["udp", "udp"] },
      drained: [{ destination: "web", mappings: { count: 1, names: ["web"], protocols: ["tcp"] } }],
      undrained: [],
    },
    mappings: 2,
    incremental: true,
    addressesAdded: ["fd5e:ed00::10"],
    addressesRemoved: [],
    interfacesMissing: [],
    kfuncTrouble: null,
    repaired: ["sk_lookup"],
    off: false,
    takenOverFormat: 7,
    lost: null,
    pending: { until: "2026-01-02T03:05:05.000Z", backTo: 2 },
    steps: [{ step: "compiling", milliseconds: 0.3 }],
  };

  test("a result is decoded", () => {
    expect(reply(changeResult)({ ok: true, result }, "")).toEqual({ ok: true, result });
  });

  test("an error comes out as it went in, with its problems", () => {
    const error = new IlmError("CONFIGURATION", "the configuration has 1 error", {
      remedy: "Mend it.",
      problems: [
        {
          severity: "error",
          file: "rules.yaml",
          line: 1,
          column: 2,
          path: "mappings[0]",
          message: "is wrong",
          hint: "be right",
        },
      ],
    });
    const sent: unknown = JSON.parse(JSON.stringify({ ok: false, error: errorBody(error) }));
    const received = reply(changeResult)(sent, "");
    if (received.ok) throw new Error("an error came out as a result");
    const copy = errorFromBody(received.error);
    expect(copy).toMatchObject({ code: error.code, message: error.message, remedy: error.remedy });
    expect(copy.problems).toEqual(error.problems);
  });

  test("an error that is none of ours becomes INTERNAL", () => {
    expect(errorBody(new TypeError("x is not a function"))).toMatchObject({ code: "INTERNAL" });
  });

  test("any JSON is decoded or refused with a DecodeError", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        for (const decoder of [reply(changeResult), reply(daemonStatus)]) {
          try {
            decoder(value, "");
          } catch (error) {
            expect(error).toBeInstanceOf(DecodeError);
          }
        }
      }),
      { numRuns: 1000 },
    );
  });

  test("an unknown error code is refused", () => {
    const error = { code: "EXPLODED", message: "", remedy: null, problems: [] };
    expect(() => reply(changeResult)({ ok: false, error }, "")).toThrow("error.code");
  });
});

test("a rule set of a daemon's own making passes its own decoder", () => {
  const file = inMemory(ruleSet(mapping("web")));
  const change = { kind: "apply", sources: [], given: [], file } as const;
  const { path, body } = encodeChange(change);
  expect(read(decode(path, JSON.parse(body)))).toEqual(read(change));
});
