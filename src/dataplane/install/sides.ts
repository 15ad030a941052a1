/** `sides` (bpf/tables.h): which side of the tables decides, and what is on each. */
import {
  ILM_OFF,
  ILM_PENDING,
  ILM_SIDES,
  type Generation as GenerationRecord,
  generationLayout,
  type Sides,
  sidesLayout,
} from "../../abi/generated.js";
import { decode, encode } from "../../abi/layout.js";
import { IlmError } from "../../errors.js";
import { bootSeconds } from "../../kernel/boot-time.js";
import type { BpfMap } from "../../kernel/bpf/map.js";

export type Side = 0 | 1;

export function otherSide(side: Side): Side {
  return side === 0 ? 1 : 0;
}

const zeroKey = new Uint8Array(4);

function readSides(map: BpfMap): Sides {
  const value = map.lookup(zeroKey);
  if (value === undefined) throw new IlmError("INTERNAL", "an array without its entry");
  return decode(sidesLayout, value);
}

export function readSide(map: BpfMap, side: Side): GenerationRecord {
  const { size } = generationLayout;
  const { generations } = readSides(map);
  return decode(generationLayout, generations.subarray(side * size, (side + 1) * size));
}

/** Describes one side. What is known of the other, and which one is active, does not change. */
export function describeSide(map: BpfMap, side: Side, generation: GenerationRecord): void {
  const sides = readSides(map);
  const generations = sides.generations.slice();
  generations.set(encode(generationLayout, generation), side * generationLayout.size);
  map.update(zeroKey, encode(sidesLayout, { ...sides, generations }));
}

/** A change that waits for its confirmation. */
export interface Pending {
  /** The end of the wait: CLOCK_BOOTTIME in seconds. */
  readonly until_s: number;
  /** True after that: the change has gone back, and no process of ours has settled it yet. */
  readonly over: boolean;
}

/** Which side decides now, and whether the rules are off. */
export interface ActiveSide {
  readonly side: Side;
  readonly off: boolean;
  readonly pending: Pending | null;
}

/** Reads which side decides now, as the programs do (bpf/generation.h, active_side). */
export function readActive(map: BpfMap): ActiveSide {
  const { current, untilS } = readSides(map);
  const off = (current & ILM_OFF) !== 0;
  const side = (current & (ILM_SIDES - 1)) === 1 ? 1 : 0;
  if ((current & ILM_PENDING) === 0) return { side, off, pending: null };
  const over = bootSeconds() >= untilS;
  return { side: over ? otherSide(side) : side, off, pending: { until_s: untilS, over } };
}

/** Returns when the last pending change went back, by CLOCK_BOOTTIME in seconds, or null. */
export function wentBackAt(map: BpfMap): number | null {
  const { current, untilS } = readSides(map);
  // A writer that was killed may have left a time to come.
  const isSet = (current & ILM_PENDING) === 0 && untilS !== 0 && untilS <= bootSeconds();
  return isSet ? untilS : null;
}

/**
 * Switches everything that reads the tables, at once: only one byte of what is written changes. The
 * side decides until `until_s`, or for good when that is null.
 */
export function activate(
  map: BpfMap,
  { side, off }: Pick<ActiveSide, "side" | "off">,
  until_s: number | null = null,
): void {
  const current = side + (off ? ILM_OFF : 0);
  if (until_s !== null) {
    // It is there before anything reads it.
    writeUntil(map, until_s);
    write(map, { current: current + ILM_PENDING });
    return;
  }
  write(map, { current });
  if (readSides(map).untilS !== 0) writeUntil(map, 0);
}

/** Switches the rules off or on. A change that waits for its confirmation goes on waiting. */
export function switchOff(map: BpfMap, off: boolean): void {
  const { current } = readSides(map);
  write(map, { current: off ? current | ILM_OFF : current & ~ILM_OFF });
}

/** Ends the wait for a confirmation now: the other side decides. */
export function endWait(map: BpfMap): void {
  writeUntil(map, Math.floor(bootSeconds()));
}

/**
 * Notes that a change has gone back, whose time is over: what decides stays the same. When it was
 * stays known until the next change.
 */
export function leaveBack(map: BpfMap): void {
  const { side, off, pending } = readActive(map);
  if (pending?.over !== true) throw new IlmError("INTERNAL", "nothing has gone back");
  write(map, { current: side + (off ? ILM_OFF : 0) });
}

function writeUntil(map: BpfMap, untilS: number): void {
  write(map, { untilS });
}

function write(map: BpfMap, changed: Partial<Pick<Sides, "current" | "untilS">>): void {
  map.update(zeroKey, encode(sidesLayout, { ...readSides(map), ...changed }));
}

/** Returns the number of the generation on a side, or 0 if there was none yet. */
export function generationOn(map: BpfMap, side: Side): number {
  return readSide(map, side).number;
}
