// Goal: of `ports` only the lines that differ are written, and what a side has is known only while
// no other process can have written it.
import { describe, expect, test } from "vitest";
import { ILM_PORT_KEYS, ILM_PORT_LINE } from "../../../../src/abi/generated.js";
import { WrittenPorts, putPorts } from "../../../../src/dataplane/install/ports.js";

const LINES = ILM_PORT_KEYS / ILM_PORT_LINE;

/** The map of both sides. */
class Ports {
  readonly values = new Uint32Array(2 * ILM_PORT_KEYS);
  readonly written: number[] = [];
  reads = 0;

  readArray(count: number, first = 0): Uint8Array {
    this.reads += 1;
    const start = first * ILM_PORT_LINE;
    return new Uint8Array(this.values.slice(start, start + count * ILM_PORT_LINE).buffer);
  }

  updateAll(keys: Uint8Array, values: Uint8Array): void {
    const lines = new Uint32Array(keys.buffer, keys.byteOffset, keys.byteLength / 4);
    const numbers = new Uint32Array(new Uint8Array(values).buffer);
    lines.forEach((line, i) => {
      const own = numbers.subarray(i * ILM_PORT_LINE, (i + 1) * ILM_PORT_LINE);
      this.values.set(own, line * ILM_PORT_LINE);
      this.written.push(line);
    });
  }

  side(side: 0 | 1): Uint32Array {
    return this.values.slice(side * ILM_PORT_KEYS, (side + 1) * ILM_PORT_KEYS);
  }
}

function portsWith(...places: readonly number[]): Uint32Array {
  const ports = new Uint32Array(ILM_PORT_KEYS);
  for (const place of places) ports[place] = place + 1;
  return ports;
}

/** The places that have something, with it: half a megabyte is not compared number by number. */
function some(ports: Uint32Array | undefined): (readonly [number, number])[] | undefined {
  if (ports === undefined) return undefined;
  const found: (readonly [number, number])[] = [];
  ports.forEach((value, place) => {
    if (value !== 0) found.push([place, value]);
  });
  return found;
}

const last = ILM_PORT_KEYS - 1;

describe("putPorts", () => {
  for (const side of [0, 1] as const) {
    test(`writes the lines that differ to side ${side}, and no others`, () => {
      const map = new Ports();
      putPorts(map, side, portsWith(0, 1, 40_000, last));
      const first = side * LINES;
      const middle = first + Math.floor(40_000 / ILM_PORT_LINE);
      expect(map.written).toEqual([first, middle, first + LINES - 1]);
      expect(some(map.side(side))).toEqual(some(portsWith(0, 1, 40_000, last)));
      expect(some(map.side(side === 0 ? 1 : 0))).toEqual([]);
    });
  }

  test("reads nothing when it is told what is there", () => {
    const map = new Ports();
    putPorts(map, 0, portsWith(5), portsWith());
    putPorts(map, 0, portsWith(6_000), portsWith(5));
    expect(map.reads).toBe(0);
    expect(map.written).toEqual([0, 0, Math.floor(6_000 / ILM_PORT_LINE)]);
    expect(some(map.side(0))).toEqual(some(portsWith(6_000)));
  });

  test("writes nothing where nothing differs, and all where all does", () => {
    const map = new Ports();
    putPorts(map, 1, portsWith(7));
    putPorts(map, 1, portsWith(7));
    expect(map.written).toHaveLength(1);
    putPorts(map, 1, new Uint32Array(ILM_PORT_KEYS).fill(9));
    expect(map.written).toHaveLength(1 + LINES);
  });
});

describe("WrittenPorts", () => {
  test("knows what a generation that was activated has written, until its side is written again", () => {
    const written = new WrittenPorts();
    expect(written.take(0, 4)).toBeUndefined();
    written.put(0, 4, portsWith(1));
    written.put(1, 5, portsWith(2));
    expect(some(written.take(0, 4))).toEqual(some(portsWith(1)));
    // The change that took it may have failed half way.
    expect(written.take(0, 4)).toBeUndefined();
    expect(some(written.take(1, 5))).toEqual(some(portsWith(2)));
  });

  test("knows nothing of a side to which another writer has given another number", () => {
    const written = new WrittenPorts();
    written.put(0, 4, portsWith(1));
    expect(written.take(0, 6)).toBeUndefined();
    expect(written.take(0, 4)).toBeUndefined();
  });

  test("gives back arrays as zeros", () => {
    const written = new WrittenPorts();
    const used = portsWith(3, last);
    written.giveBack(used);
    expect(written.blank() === used).toBe(true);
    expect(some(used)).toEqual([]);
    expect(written.blank() === used).toBe(false);
  });
});
