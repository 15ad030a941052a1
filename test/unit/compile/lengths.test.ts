// Goal: a search by halving the lengths finds the longest prefix, in as few looks as was said.
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ILM_LENGTHS_MAX } from "../../../src/abi/generated.js";
import { type Search, maskOf, searchByLength } from "../../../src/compile/lengths.js";
import { PrefixColumns, type PrefixTable } from "../../../src/compile/tables.js";
import { type Address, addressBytes, addressFromBytes } from "../../../src/model/address.js";
import { SearchTable, longest } from "../../support/read-tables.js";

interface Given {
  readonly owner?: number;
  readonly ipv6: boolean;
  readonly address: Uint8Array;
  readonly length: number;
}

function cut(address: Uint8Array, length: number): Uint8Array {
  const mask = maskOf(length);
  return address.map((byte, at) => byte & (mask[at] ?? 0));
}

/** Targets are the numbers of the prefixes, from 1 on; the same prefix twice is one. */
function tableOf(given: readonly Given[]): PrefixTable {
  const columns = new PrefixColumns();
  const known = new Set<string>();
  for (const { owner = 1, ipv6, address, length } of given) {
    const network = cut(address, length);
    const key = `${owner} ${ipv6} ${network.join()} ${length}`;
    if (known.has(key)) continue;
    known.add(key);
    columns.pushBits(owner, { ipv6, address: network, length }, columns.count + 1);
  }
  return columns.table();
}

/** `ADDRESS/LENGTH` */
function prefix(text: string, owner = 1): Given {
  const [address = "", length = ""] = text.split("/");
  const ipv6 = address.includes(":");
  const bytes = addressBytes(address as Address);
  return { owner, ipv6, address: bytes, length: Number(length) + (ipv6 ? 0 : 96) };
}

function tree(search: Search, node: number): string {
  if (node === 0) return "";
  const { length, shorter, longer } = search.lengths;
  const [left, right] = [tree(search, shorter[node] ?? 0), tree(search, longer[node] ?? 0)];
  const own = String(length[node]);
  return left === "" && right === "" ? own : `(${left}<${own}>${right})`;
}

function treeOf(...texts: readonly string[]): string {
  const search = searchByLength(tableOf(texts.map((text) => prefix(text))), 1);
  return tree(search, search.roots[texts[0]?.includes(":") === true ? 6 : 4][1] ?? 0);
}

/** Each as `ADDRESS/LENGTH in LENGTH`, the lengths those of the 16 bytes. */
function markersOf(...texts: readonly string[]): string[] {
  const { markers } = searchByLength(tableOf(texts.map((text) => prefix(text))), 1);
  return Array.from({ length: markers.count }, (_, i) => {
    const address = addressFromBytes(markers.address, i * 16);
    return `${address}/${markers.length[i]} in ${markers.around[i]}: ${markers.target[i]}`;
  });
}

describe("the tree of lengths", () => {
  test("of one length is one look", () => {
    expect(treeOf("10.0.0.0/8", "11.0.0.0/8")).toBe("104");
  });

  test("of two lengths with one prefix each begins with the longer", () => {
    expect(treeOf("10.0.0.0/8", "10.1.0.0/16")).toBe("(104<112>)");
  });

  test("of equally common lengths begins in the middle", () => {
    const texts = [1, 2, 3, 4, 5, 6, 7].map((n) => `2001:db8::/${n * 16}`);
    expect(treeOf(...texts)).toBe("(((16<32>)<48>64)<80>(96<112>))");
  });

  test("ends where most prefixes are found after one look, if nothing longer has to be ruled out", () => {
    const many = Array.from({ length: 20 }, (_, i) => `10.0.${i}.0/24`);
    expect(treeOf("10.0.0.0/8", "10.0.0.0/16", "10.1.0.0/16", ...many)).toBe("((104<112>)<120>)");
    const wide = Array.from({ length: 20 }, (_, i) => `${i}.0.0.0/8`);
    expect(treeOf("10.0.0.0/16", "10.1.0.0/16", "10.1.1.0/24", ...wide)).toBe("(104<112>120)");
  });

  test("has every length that there can be within the looks of the program", () => {
    const given = Array.from({ length: 128 }, (_, i) => ({
      ipv6: true,
      address: new Uint8Array(16).fill(0xff),
      length: i + 1,
    }));
    const prefixes = tableOf(given);
    const table = new SearchTable(prefixes, 1);
    const looks = given.map(({ length }) => {
      // Alike up to the length, and different from there on.
      const address = maskOf(length);
      const found = table.find(1, true, address);
      expect(found).toMatchObject({ length, target: length });
      return found.looks;
    });
    expect(Math.max(...looks)).toBe(ILM_LENGTHS_MAX);
  });

  test("is within the looks of the program however unequal the lengths are", () => {
    // So many of each length that the commonest would be the first of all again and again.
    const given = Array.from({ length: 30 }, (_, i) => i + 1).flatMap((length) =>
      Array.from({ length: length > 12 ? 1 : 2 ** length }, (_, i) => ({
        ipv6: false,
        address: addressBytes(
          addressFromBytes(
            Uint8Array.from([...maskOf(0).subarray(0, 10), 255, 255, i >> 4, (i & 15) << 4, 0, 0]),
          ),
        ),
        length: length + 96,
      })),
    );
    const prefixes = tableOf(given);
    const table = new SearchTable(prefixes, 1);
    for (let i = 0; i < prefixes.count; i += 1) {
      const { looks } = table.find(1, false, prefixes.address.subarray(i * 16, i * 16 + 16));
      // The flattest tree of 30 has 5.
      expect(looks).toBeLessThanOrEqual(6);
    }
  });

  test("is one for all classes with the same lengths, and for parts of larger ones", () => {
    const texts = ["10.0.0.0/8", "10.0.0.0/16", "10.0.0.0/24"];
    const three = (owner: number): Given[] => texts.map((text) => prefix(text, owner));
    const four = [...texts, "10.0.0.0/25"].map((text) => prefix(text, 3));
    const { lengths, roots } = searchByLength(tableOf([...three(1), ...three(2), ...four]), 3);
    expect(roots[4][1]).toBe(roots[4][2]);
    expect(roots[4][3]).not.toBe(roots[4][1]);
    // [0], three lengths, and of the fourth class what is not there yet.
    expect(lengths.count).toBeLessThanOrEqual(1 + 3 + 4);
    expect([...roots[6]]).toEqual([0, 0, 0, 0]);
  });
});

describe("markers", () => {
  test("are not needed for prefixes of one length, nor where a prefix is", () => {
    expect(markersOf("10.0.0.0/8", "11.0.0.0/8")).toEqual([]);
    expect(markersOf("10.0.0.0/8", "10.0.0.0/16", "10.0.0.0/24")).toEqual([]);
  });

  /** Makes 16 the first length, with 8 and 24 behind it. */
  const many = ["5000::/16", "5001::/16", "5002::/16"].concat(
    [6, 7, 8, 9].map((n) => `${n}000::/8`),
  );

  test("lead to what is longer, and know what is around them", () => {
    expect(treeOf(...many, "2001:d00::/24")).toBe("(8<16>24)");
    expect(markersOf(...many, "2001::/16", "2001:d00::/24")).toEqual([]);
    expect(markersOf("2000::/8", ...many, "2001:d00::/24")).toEqual(["2001::/16 in 8: 1"]);
    expect(markersOf(...many, "2001:d00::/24")).toEqual(["2001::/16 in 0: 0"]);
  });

  test("are shared by all prefixes that they lead to", () => {
    expect(markersOf(...many, "2001:d00::/24", "2001:e00::/24")).toHaveLength(1);
  });

  test("are of one class and one family", () => {
    const of = (owner: number, ...texts: readonly string[]): Given[] =>
      [...many, ...texts].map((text) => prefix(text, owner));
    const { markers } = searchByLength(
      tableOf([...of(1, "2000::/8", "2001:d00::/24"), ...of(2, "2001:d00::/24")]),
      2,
    );
    expect([...markers.owner]).toEqual([1, 2]);
    expect([...markers.around]).toEqual([8, 0]);
  });
});

/** Addresses that begin alike and part anywhere: few bits are set, or all but few. */
const address = fc
  .tuple(fc.boolean(), fc.array(fc.nat(127), { maxLength: 3 }))
  .map(([full, bits]) => {
    const bytes = new Uint8Array(16).fill(full ? 0xff : 0);
    for (const bit of bits) bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (0x80 >> (bit & 7));
    return bytes;
  });
const given: fc.Arbitrary<Given> = fc.record({
  owner: fc.integer({ min: 1, max: 3 }),
  ipv6: fc.constant(true),
  address,
  length: fc.oneof(fc.integer({ min: 1, max: 127 }), fc.constantFrom(32, 48, 64)),
});

test("the longest prefix is found, whatever the prefixes are", () => {
  fc.assert(
    fc.property(
      fc.array(given, { maxLength: 60 }),
      fc.array(address, { maxLength: 20 }),
      (list, addresses) => {
        const prefixes = tableOf(list);
        const table = new SearchTable(prefixes, 3);
        for (const owner of [1, 2, 3]) {
          for (const bytes of [...addresses, ...list.map((one) => one.address)]) {
            const { target, length, looks } = table.find(owner, true, bytes);
            expect(looks).toBeLessThanOrEqual(ILM_LENGTHS_MAX);
            // The families are kept apart, and an address of bytes that are IPv4's is IPv4 here.
            const expected = longest(prefixes, owner, bytes, true);
            expect(length > 0 ? target : undefined).toBe(expected);
          }
        }
      },
    ),
    { numRuns: 1000 },
  );
});
