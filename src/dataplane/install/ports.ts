/** `ports` (bpf/tables.h): one number for each port of a protocol, on two sides. */
import { ILM_PORT_KEYS, ILM_PORT_LINE } from "../../abi/generated.js";
import type { BpfMap } from "../../kernel/bpf/map.js";
import type { Protocol } from "../../model/mapping.js";
import { CHUNK } from "../description.js";

export function portKey(protocol: Protocol, port: number): number {
  return port + (protocol === "udp" ? ILM_PORT_KEYS / 2 : 0);
}

const LINES = ILM_PORT_KEYS / ILM_PORT_LINE;
const LINE_BYTES = 4 * ILM_PORT_LINE;

/** Reads one side of `ports`: one number for each port, indexed by `portKey`. */
function readPorts(map: Pick<BpfMap, "readArray">, side: 0 | 1): Uint32Array {
  const bytes = map.readArray(LINES, side * LINES);
  return new Uint32Array(bytes.buffer, bytes.byteOffset, ILM_PORT_KEYS);
}

/** Packs ports for a map of their own: `ports` without an overlay. */
export function packPorts(ports: Uint32Array): Uint8Array {
  return bytesOf(ports);
}

export function readBelow(map: BpfMap): Uint32Array {
  const bytes = map.readArray((4 * ILM_PORT_KEYS) / CHUNK);
  return new Uint32Array(bytes.buffer, bytes.byteOffset, ILM_PORT_KEYS);
}

function bytesOf(ports: Uint32Array): Buffer {
  return Buffer.from(ports.buffer, ports.byteOffset, ports.byteLength);
}

/**
 * Writes only the lines in which `wanted` differs from `there`: the other side is mostly right
 * already.
 */
export function putPorts(
  map: Pick<BpfMap, "readArray" | "updateAll">,
  side: 0 | 1,
  wanted: Uint32Array,
  there: Uint32Array = readPorts(map, side),
): void {
  const bytes = bytesOf(wanted);
  const lines = changedLines(bytes, bytesOf(there));
  map.updateAll(
    new Uint8Array(Uint32Array.from(lines, (line) => side * LINES + line).buffer),
    Buffer.concat(lines.map((line) => bytes.subarray(line * LINE_BYTES, (line + 1) * LINE_BYTES))),
  );
}

/** Finds the lines by bisection, as few usually differ. */
function changedLines(wanted: Buffer, there: Buffer): number[] {
  const lines: number[] = [];
  const look = (first: number, count: number): void => {
    const [start, end] = [first * LINE_BYTES, (first + count) * LINE_BYTES];
    if (wanted.compare(there, start, end, start, end) === 0) return;
    if (count === 1) {
      lines.push(first);
      return;
    }
    look(first, count / 2);
    look(first + count / 2, count / 2);
  };
  look(0, LINES);
  return lines;
}

interface Written {
  /** The number of the generation. */
  readonly number: number;
  readonly ports: Uint32Array;
}

/**
 * What the `ports` of a program set hold, where this process has written and activated them. It
 * saves the next change from reading half a megabyte to see what differs. What is known of a side
 * holds while the side has that generation: a writer first gives the side another number, and no
 * number is activated twice.
 */
export class WrittenPorts {
  readonly #sides = new Map<0 | 1, Written>();
  #spare: Uint32Array | undefined;

  /**
   * Returns and forgets what is on the side, which is about to be written. `number` is that of the
   * generation on the side; returns undefined when its ports are unknown.
   */
  take(side: 0 | 1, number: number): Uint32Array | undefined {
    const written = this.#sides.get(side);
    this.#sides.delete(side);
    return written?.number === number ? written.ports : undefined;
  }

  /** Remembers the ports of the generation that has just become active. */
  put(side: 0 | 1, number: number, ports: Uint32Array): void {
    this.#sides.set(side, { number, ports });
  }

  /** Returns an array for all ports, filled with zeros. */
  blank(): Uint32Array {
    const spare = this.#spare?.fill(0) ?? new Uint32Array(ILM_PORT_KEYS);
    this.#spare = undefined;
    return spare;
  }

  /** Takes back an array that is no longer read, for `blank` to reuse. */
  giveBack(ports: Uint32Array | undefined): void {
    this.#spare = ports;
  }
}
