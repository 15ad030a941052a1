// Goal: it is known of each mapping where it is, in the tables or over them, through any number of
// revisions.
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type Placed,
  addedOf,
  indexOfPlace,
  mappingsAbove,
  meetsFile,
  overlaidBy,
  runsOfFile,
} from "../../../../src/dataplane/install/places.js";
import { countRuns } from "../../../../src/dataplane/description.js";
import type { Mapping } from "../../../../src/model/mapping.js";
import { allMappings, inMemory, readRules, toBeActive } from "../../../../src/model/rules.js";
import { type Piece, isKept } from "../../../../src/model/revision.js";
import { mapping } from "../../daemon/fixtures.js";

const never = (): boolean => false;

function placedAt(file: readonly Mapping[], runtime: readonly Mapping[] = []): Placed {
  const layers = { protocols: ["tcp"], mappings: file.length, rules: 1, destinations: 1 } as const;
  const rules = toBeActive({ sources: [], file: { services: [], mappings: file }, runtime });
  return { layers, overlaid: null, rules };
}

function listAfter(before: readonly Mapping[], pieces: readonly Piece[]): Mapping[] {
  return pieces.flatMap((piece) =>
    isKept(piece) ? before.slice(piece.first, piece.first + piece.count) : piece,
  );
}

function revised(placed: Placed, pieces: readonly Piece[]): Placed {
  const { file } = placed.rules;
  const found = overlaidBy(placed, { of: file, pieces, name: null }, never);
  if (found === null) throw new Error("it cannot be laid over");
  const mappings = listAfter([...file.read().mappings], pieces);
  const { runs, removed } = found;
  return {
    ...placed,
    overlaid: { runs, removed },
    rules: { ...placed.rules, file: inMemory({ services: [], mappings }) },
  };
}

/** What the tables and the overlay hold, by place. */
function byPlace(tables: readonly Mapping[], placed: Placed): Mapping[] {
  return [...tables, ...mappingsAbove(placed)];
}

const names = (list: Iterable<Mapping>): string[] => Array.from(list, ({ name }) => name);

test("every place of an active mapping leads to it, after any revisions", () => {
  const anyRevision = fc.array(
    fc.oneof(
      fc.record({ skip: fc.nat(2), count: fc.integer({ min: 1, max: 4 }) }),
      fc.integer({ min: 1, max: 2 }),
    ),
    { maxLength: 6 },
  );
  fc.assert(
    fc.property(
      fc.nat(6),
      fc.nat(2),
      fc.array(anyRevision, { maxLength: 4 }),
      (length, more, all) => {
        let fresh = 0;
        const tables = Array.from({ length }, (_, i) => mapping(`t${i}`));
        const runtime = Array.from({ length: more }, (_, i) => mapping(`r${i}`));
        let placed = placedAt(tables, runtime);
        for (const drawn of all) {
          const { mappings } = placed.rules.file.read();
          const pieces: Piece[] = [];
          let next = 0;
          for (const one of drawn) {
            if (typeof one === "number") {
              pieces.push(Array.from({ length: one }, () => mapping(`f${fresh++}`)));
              continue;
            }
            const first = Math.min(next + one.skip, mappings.length);
            const count = Math.min(one.count, mappings.length - first);
            if (count > 0) pieces.push({ first, count, lines: 0 });
            next = first + count;
          }
          placed = revised(placed, pieces);
        }
        const there = byPlace(tables, placed);
        const active = [...allMappings(readRules(placed.rules))];
        const removed = new Set(placed.overlaid?.removed.map(({ index }) => index));
        there.forEach((one, place) => {
          if (removed.has(place)) return;
          expect(active[indexOfPlace(placed, place)]?.name).toBe(one.name);
        });
        expect(active).toHaveLength(there.length - removed.size);
        const { mappings } = placed.rules.file.read();
        expect(countRuns(runsOfFile(placed))).toBe(mappings.length);
        const ofFile = runsOfFile(placed).flatMap(([place, count]) =>
          there.slice(place, place + count),
        );
        expect(names(ofFile)).toEqual(names(mappings));
        expect(names(addedOf(placed))).toEqual(
          names(mappings).filter((name) => name.startsWith("f")),
        );
      },
    ),
    { numRuns: 3000 },
  );
});

describe("a revision is not laid over", () => {
  const file = [mapping("a"), mapping("b"), mapping("c")];
  const kept: Piece = { first: 0, count: 3, lines: 0 };
  const lay = (placed: Placed, pieces: readonly Piece[], hasName = never): unknown =>
    overlaidBy(placed, { of: placed.rules.file, pieces, name: null }, hasName);

  test("when a name is there twice, or may be in the tables", () => {
    expect(lay(placedAt(file), [kept, [mapping("d"), mapping("d")]])).toBeNull();
    expect(lay(placedAt(file), [kept, [mapping("a")]], () => true)).toBeNull();
    // But not by the mapping that it replaces.
    const replaced: Piece[] = [[mapping("a")], { first: 1, count: 2, lines: 0 }];
    expect(lay(placedAt(file), replaced, () => true)).toMatchObject({ removed: [{ index: 0 }] });
  });

  test("when the tables have no room for overlays", () => {
    expect(lay({ ...placedAt(file), layers: null }, [kept])).toBeNull();
  });

  test("when more than 1,024 mappings are gone, one after the other or at once", () => {
    const many = Array.from({ length: 3000 }, (_, i) => mapping(`m${i}`));
    const without = (count: number): Piece[] => [
      { first: count, count: many.length - count, lines: 0 },
    ];
    expect(lay(placedAt(many), without(1025))).toBeNull();
    const once = revised(placedAt(many), without(1000));
    expect(lay(once, [{ first: 24, count: 1976, lines: 0 }])).not.toBeNull();
    expect(lay(once, [{ first: 25, count: 1975, lines: 0 }])).toBeNull();
  });
});

test("a name that was added at run time meets the file's, but not those that are gone", () => {
  const above = { removed: [{ index: 0, mapping: mapping("gone") }], added: [mapping("new")] };
  const inTables = (key: string): boolean => ["tcp gone", "tcp there"].includes(key);
  const meets = (name: string): boolean => meetsFile(above, [mapping(name)], inTables);
  expect([meets("gone"), meets("there"), meets("new"), meets("other")]).toEqual([
    false,
    true,
    true,
    false,
  ]);
});
