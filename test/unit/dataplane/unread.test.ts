// Goal: what has not been read can be read while the data plane is open, and keeps no descriptor
// for longer than that.
import { expect, test } from "vitest";
import { UnreadMaps } from "../../../src/dataplane/unread.js";

class FakeMap {
  readonly maxEntries = 2;
  open = true;

  readArray(count: number): Uint8Array<ArrayBuffer> {
    if (!this.open) throw new Error("closed");
    return new Uint8Array(count);
  }

  close(): void {
    this.open = false;
  }
}

test("a map is read as a whole, and then closed", () => {
  const map = new FakeMap();
  const read = new UnreadMaps().keep(map);
  expect(map.open).toBe(true);
  expect(read()).toHaveLength(2);
  expect(map.open).toBe(false);
});

test("what nobody reads is closed with all of them, and cannot be read afterwards", () => {
  const unread = new UnreadMaps();
  const map = new FakeMap();
  const read = unread.keep(map);
  unread.close();
  expect(map.open).toBe(false);
  expect(read).toThrow("closed before they were read");
});

test("the last four stay open, however many there were", () => {
  const unread = new UnreadMaps();
  const maps = Array.from({ length: 10 }, () => new FakeMap());
  for (const map of maps) unread.keep(map);
  expect(maps.map(({ open }) => open).lastIndexOf(false)).toBe(5);
  expect(maps.filter(({ open }) => open)).toHaveLength(4);
});
