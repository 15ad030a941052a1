// Goal: blocks are lines, all of them, wherever the text is cut into chunks; and a change moves few
// of them.
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { blocksOf, countLines, digestOfBlock } from "../../../src/config/blocks.js";

function lines(count: number): string[] {
  return Array.from({ length: count }, (_, i) => `{"name":"m${i}","to":"127.0.1.10:${i % 7}"}\n`);
}

function cut(text: string): Buffer[] {
  return [...blocksOf(Buffer.from(text), true)];
}

test("blocks are whole lines, and all of the text", () => {
  const text = lines(20_000).join("");
  const blocks = cut(text);
  expect(Buffer.concat(blocks).toString()).toBe(text);
  for (const block of blocks) expect(block.at(-1)).toBe(0x0a);
  expect(blocks.reduce((sum, block) => sum + countLines(block), 0)).toBe(20_000);
  const sizes = blocks.slice(0, -1).map(({ length }) => length);
  expect(Math.min(...sizes)).toBeGreaterThan(8 * 1024);
  expect(Math.max(...sizes)).toBeLessThan(64 * 1024);
});

test("text without an end of line, and none, are one block and none", () => {
  expect(cut("x".repeat(100_000))).toHaveLength(1);
  expect(cut("")).toEqual([]);
  expect(cut("\n")).toHaveLength(1);
});

test("they are the same wherever the text is cut into chunks", () => {
  const text = Buffer.from(lines(5_000).join(""));
  const whole = [...blocksOf(text, true)].map(digestOfBlock);
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 60_000 }), { minLength: 1 }), (sizes) => {
      const found: string[] = [];
      let left = Buffer.alloc(0);
      let at = 0;
      for (let turn = 0; at < text.length; turn++) {
        const size = sizes[turn % sizes.length] ?? 1;
        const bytes = Buffer.concat([left, text.subarray(at, at + size)]);
        at += size;
        let taken = 0;
        for (const block of blocksOf(bytes, at >= text.length)) {
          found.push(digestOfBlock(block));
          taken += block.length;
        }
        left = bytes.subarray(taken);
      }
      expect(found).toEqual(whole);
    }),
    { numRuns: 20 },
  );
});

test("a line that comes, goes or is another changes few of them", () => {
  const before = lines(50_000);
  const known = new Set(cut(before.join("")).map(digestOfBlock));
  for (const [at, remove, add] of [
    [0, 0, ["first\n"]],
    [25_000, 1, []],
    [25_000, 1, ["another\n"]],
    [49_999, 0, ["a\n", "b\n"]],
    [12_345, 500, []],
  ] as const) {
    const after = before.toSpliced(at, remove, ...add);
    const fresh = cut(after.join("")).filter((block) => !known.has(digestOfBlock(block)));
    expect(fresh.length, `at ${at}`).toBeLessThan(8);
  }
});
