/**
 * The address parser against two others: it takes what `net.isIP` takes but for what it refuses on
 * purpose, and writes what URLs write.
 */
import { isIP } from "node:net";
import * as fc from "fast-check";
import { expect, test } from "vitest";

import {
  addressBytes,
  addressFromBytes,
  familyOf,
  parseAddress,
  parsePrefix,
  prefixAddress,
  prefixBits,
  prefixContains,
  prefixLength,
} from "../../src/model/address.js";

const bytes16 = fc.uint8Array({ minLength: 16, maxLength: 16 });
const address = fc.oneof(
  fc.ipV4(),
  bytes16.map((bytes) => addressFromBytes(bytes)),
  // Sparse ones, with runs of zeros.
  fc
    .array(fc.constantFrom(0, 0, 0, 1, 0x10, 0xffff), { minLength: 8, maxLength: 8 })
    .map((groups) => addressFromBytes(Uint8Array.from(groups.flatMap((g) => [g >> 8, g & 255])))),
);

const addressLike = fc.oneof(
  fc.string({ unit: fc.constantFrom(..."0123456789abcdefF:.:.::%/ x[]".split("")), maxLength: 24 }),
  fc.array(fc.nat(300), { minLength: 3, maxLength: 5 }).map((octets) => octets.join(".")),
  fc
    .array(
      fc.oneof(
        fc.constant(""),
        fc.nat(70_000).map((group) => group.toString(16)),
      ),
      { minLength: 2, maxLength: 10 },
    )
    .map((groups) => groups.join(":")),
  fc.tuple(fc.ipV6(), fc.constantFrom("", ":1.2.3.4", "%lo", "::")).map((parts) => parts.join("")),
  fc.ipV6(),
  fc.ipV4(),
);

test("it takes what net.isIP takes, but for v4-mapped addresses and zones", () => {
  fc.assert(
    fc.property(addressLike, (text) => {
      const parsed = parseAddress(text);
      if (!parsed.ok && /v4-mapped|zone/.test(parsed.reason)) {
        expect(text).toMatch(/ffff|%/i);
        return;
      }
      expect(parsed.ok ? familyOf(parsed.address) : 0).toBe(isIP(text));
    }),
    { numRuns: 20_000 },
  );
});

test("a canonical IPv6 address is written as in a URL", () => {
  fc.assert(
    fc.property(fc.ipV6(), (text) => {
      const parsed = parseAddress(text);
      if (!parsed.ok) expect(parsed.reason).toMatch(/v4-mapped/);
      else expect(`[${parsed.address}]`).toBe(new URL(`http://[${text}]/`).hostname);
    }),
    { numRuns: 5000 },
  );
});

test("bytes and text are each other's inverse", () => {
  fc.assert(
    fc.property(bytes16, (bytes) => {
      const text = addressFromBytes(bytes);
      expect(parseAddress(text)).toEqual({ ok: true, address: text });
      expect(addressBytes(text)).toEqual(bytes);
    }),
    { numRuns: 5000 },
  );
});

test("a prefix with host bits is refused, and the hint names one that is taken", () => {
  fc.assert(
    fc.property(address, fc.nat(128), (text, length) => {
      const parsed = parsePrefix(`${text}/${length}`);
      const base = parseAddress(text);
      if (!base.ok) throw new Error(base.reason);
      if (length > (familyOf(base.address) === 4 ? 32 : 128)) {
        expect(parsed.ok).toBe(false);
        return;
      }
      const network = parsed.ok
        ? parsed.prefix
        : (/^write (\S+) for the network/.exec(parsed.hint)?.[1] ?? "");
      const corrected = parsePrefix(network);
      if (!corrected.ok) throw new Error(`${network}: ${corrected.reason}`);
      expect(prefixLength(corrected.prefix)).toBe(length);
      expect(prefixContains(corrected.prefix, base.address)).toBe(true);
      expect(prefixContains(corrected.prefix, prefixAddress(corrected.prefix))).toBe(true);
    }),
    { numRuns: 5000 },
  );
});

test("a prefix contains what shares its leading bits", () => {
  fc.assert(
    fc.property(address, address, fc.nat(128), (left, right, some) => {
      const outer = parseAddress(left);
      const inner = parseAddress(right);
      if (!outer.ok || !inner.ok) throw new Error("not an address");
      const length = familyOf(outer.address) === 4 ? some % 33 : some;
      const hint = parsePrefix(`${outer.address}/${length}`);
      const text = hint.ok ? hint.prefix : (/^write (\S+)/.exec(hint.hint)?.[1] ?? "");
      const prefix = parsePrefix(text);
      if (!prefix.ok) throw new Error(prefix.reason);
      const bits = (bytes: Uint8Array): string =>
        Array.from(bytes, (byte) => byte.toString(2).padStart(8, "0")).join("");
      const leading = prefixBits(prefix.prefix);
      const shares =
        familyOf(outer.address) === familyOf(inner.address) &&
        bits(addressBytes(inner.address)).startsWith(bits(leading.bytes).slice(0, leading.length));
      expect(prefixContains(prefix.prefix, inner.address)).toBe(shares);
    }),
    { numRuns: 5000 },
  );
});
