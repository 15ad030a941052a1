/**
 * A reader of decisions: a seat of its own in the registry, with a filter that the programs apply,
 * and a ring buffer into which they put what it wants (bpf/readers.h). A seat is held by a lease,
 * so a reader that was killed costs nothing after seconds, and blocks nobody.
 */
import { randomBytes } from "node:crypto";
import {
  ILM_READERS,
  ILM_READER_MAPPINGS,
  VerdictCode,
  readerCountsLayout,
  readerLayout,
  readerPaceLayout,
  watchLayout,
  type Reader as Seat,
  type ReaderCounts,
} from "../../abi/generated.js";
import { decode, decodeAll, encode } from "../../abi/layout.js";
import { IlmError } from "../../errors.js";
import { type BpfMap, createRing } from "../../kernel/bpf/map.js";
import { Readiness, RingBuffer } from "../../kernel/ringbuf.js";
import { type Prefix, familyOf, prefixBits } from "../../model/address.js";
import {
  addCounts,
  type DecisionCounts,
  type DecisionFilter,
  nothingCounted,
  type Verdict,
} from "../../model/decision.js";
import { u32 } from "../install/batches.js";
import type { Watching } from "../types.js";

const AF_INET = 2;
const AF_INET6 = 10;
const protocolNumbers = { tcp: 6, udp: 17 } as const;
const verdictCodes: Readonly<Record<Verdict, number>> = {
  unmanaged: VerdictCode.UNMANAGED,
  existing: VerdictCode.EXISTING,
  selected: VerdictCode.SELECTED,
  missed: VerdictCode.MISSED,
  rejected: VerdictCode.REJECTED,
};
const LEASE_NS = 3_000_000_000n;
const SECOND_NS = 1_000_000_000;
/**
 * From this many a second on, tenths of seconds have a share each: the ring buffer has room for
 * half a second.
 */
const MANY = 1_000;
/** What a decision takes in a ring buffer, with its header. */
const RECORD_BYTES = 96;
/** Room for what comes in half a second. */
const SECONDS_OF_ROOM = 0.5;
const LEAST_ROOM = 1 << 18;
const zeroKey = new Uint8Array(4);

/** Mappings as the programs number them in one generation. */
export interface NumberedMappings {
  readonly generation: number;
  readonly counters: readonly number[];
}

/** Runs an action while no other process takes or leaves a seat. */
export type Alone = <T>(action: () => T) => T;

const mapNames = [
  "watch",
  "readers",
  "seats",
  "reader_rings",
  "reader_counts",
  "reader_pace",
] as const;
type ReaderMap = (typeof mapNames)[number];
/** A registry, as far as readers need it. */
interface Seats {
  map(name: ReaderMap): BpfMap;
}

export class DecisionReader {
  /** Our own descriptors: a registry that is replaced is closed, and has counts and decisions. */
  readonly #maps: ReadonlyMap<ReaderMap, BpfMap>;
  readonly #seats: Seats;
  readonly #alone: Alone;
  readonly #ringMap: BpfMap;
  readonly #ring: RingBuffer;
  readonly #readiness: Readiness;
  readonly #owner = randomBytes(8).readBigUInt64LE();
  readonly #mine: Seat;
  #seat = 0;
  /** The sums of the seat when this reader took it, and when it last looked. */
  #before = nothingCounted;
  #last = nothingCounted;
  /** What was counted at seats that this reader lost while it was stopped. */
  #earlier = nothingCounted;
  #left = false;
  #closed = false;

  /** Takes a free seat. Throws LIMIT when there is none. */
  constructor(registry: Seats, filter: DecisionFilter, alone: Alone) {
    this.#alone = alone;
    this.#mine = seatFor(filter, this.#owner);
    const maps = new Map(mapNames.map((name) => [name, registry.map(name).duplicate()]));
    this.#maps = maps;
    this.#seats = { map: (name) => maps.get(name) ?? registry.map(name) };
    this.#ringMap = createRing("ilm_reader", roomFor(filter.perSecond));
    this.#ring = new RingBuffer(this.#ringMap);
    this.#readiness = new Readiness([this.#ringMap.fd]);
    try {
      alone(() => {
        this.#take();
      });
    } catch (error) {
      this.close();
      throw error;
    }
  }

  #take(): void {
    freeAbandoned(this.#seats);
    const seats = readSeats(this.#seats);
    const free = seats.findIndex(({ untilNs }) => untilNs === 0n);
    if (free < 0) throw allTaken(seats);
    this.#seat = free;
    this.#before = this.#last = this.#sums();
    // Periods of another length have other numbers.
    this.#seats.map("reader_pace").update(word(free), new Uint8Array(readerPaceLayout.size));
    this.#seats.map("reader_rings").update(word(free), word(this.#ringMap.fd));
    setTaken(this.#seats, free, true);
    this.#extend();
  }

  #extend(): void {
    const untilNs = process.hrtime.bigint() + LEASE_NS;
    this.#mine.untilNs = untilNs;
    this.#write();
    setWatched(this.#seats, untilNs, [watchedUntil(this.#seats)]);
  }

  #write(): void {
    this.#seats.map("readers").update(word(this.#seat), encode(readerLayout, this.#mine));
  }

  /** Keeps the seat for seconds more, or takes another when it was lost: a stopped process. */
  renew(): void {
    if (this.#mine.untilNs > process.hrtime.bigint()) {
      this.#last = this.#sums();
      this.#extend();
      return;
    }
    this.#alone(() => {
      if (this.#holds()) {
        this.#extend();
        return;
      }
      this.#earlier = this.#until(this.#last);
      this.#take();
    });
  }

  #holds(): boolean {
    return readSeats(this.#seats)[this.#seat]?.owner === this.#owner;
  }

  /** Says that this generation is known: only the decisions of another one wake this reader. */
  know(generation: number): void {
    this.#mine.known = generation;
    this.#write();
  }

  /** Has the programs pass on only what these mappings decide in their generation. */
  choose({ generation, counters }: NumberedMappings): void {
    // While the list changes, it counts for no generation.
    this.#mine.generation = 0;
    this.#write();
    if (counters.length > ILM_READER_MAPPINGS) return;
    const list = new Uint32Array(ILM_READER_MAPPINGS);
    list.set(counters);
    this.#mine.mappings = new Uint8Array(list.buffer);
    this.#mine.mappingCount = counters.length;
    this.#write();
    this.#mine.generation = generation;
    this.#write();
  }

  /** Resolves after so long, or when rules have changed that decide. */
  async wait(milliseconds: number): Promise<void> {
    await this.#readiness.wait(milliseconds);
  }

  /** Passes the records to `take`, oldest first, at most `limit`. Returns their number. */
  drain(take: (record: Uint8Array) => void, limit: number): number {
    return this.#ring.drain(take, limit);
  }

  counts(): DecisionCounts {
    if (!this.#left) this.#last = this.#sums();
    return this.#until(this.#last);
  }

  #until(sums: DecisionCounts): DecisionCounts {
    return addCounts(this.#earlier, sums, this.#before);
  }

  #sums(): DecisionCounts {
    const [own, all] = [this.#seat, ILM_READERS].map((seat) => {
      const bytes = this.#seats.map("reader_counts").lookup(word(seat)) ?? new Uint8Array();
      const each = decodeAll(readerCountsLayout, bytes);
      const sum = (name: keyof ReaderCounts): number =>
        Number(each.reduce((total, counts) => total + counts[name], 0n));
      return { matched: sum("matched"), skipped: sum("skipped"), dropped: sum("dropped") };
    });
    return {
      decisions: all?.matched ?? 0,
      matched: own?.matched ?? 0,
      skipped: own?.skipped ?? 0,
      dropped: (own?.dropped ?? 0) + (all?.dropped ?? 0),
    };
  }

  /** Gives the seat back. What the ring still holds can be read until `close`. */
  leave(): void {
    if (this.#left) return;
    this.#left = true;
    this.#alone(() => {
      if (!this.#holds()) return;
      this.#last = this.#sums();
      freeSeat(this.#seats, this.#seat);
      setWatched(
        this.#seats,
        0n,
        readSeats(this.#seats).map(({ untilNs }) => untilNs),
      );
    });
  }

  /** Releases the ring, whether or not the seat was given back. */
  close(): void {
    if (this.#closed) return;
    this.#left = true;
    this.#closed = true;
    this.#readiness.close();
    this.#ring.close();
    this.#ringMap.close();
    for (const map of this.#maps.values()) map.close();
  }
}

/** Frees the seats, and the memory, of readers that were killed. The caller is alone. */
export function freeAbandoned(registry: Seats): void {
  const now = process.hrtime.bigint();
  readSeats(registry).forEach(({ untilNs }, seat) => {
    if (untilNs !== 0n && untilNs < now) freeSeat(registry, seat);
  });
}

/** Tells the programs whether to look at a seat. The caller is alone. */
function setTaken(registry: Seats, seat: number, isTaken: boolean): void {
  const map = registry.map("seats");
  const bits = decode(u32, map.lookup(zeroKey) ?? word(0));
  const bit = 1 << seat;
  map.update(zeroKey, word((isTaken ? bits | bit : bits & ~bit) >>> 0));
}

/** Counts who watches now, and what all of them did not get since the registry was created. */
export function countWatching(registry: Seats): Watching {
  const now = process.hrtime.bigint();
  const seats = Array.from({ length: ILM_READERS + 1 }, (_, seat) => seat);
  const dropped = seats.flatMap((seat) => {
    const bytes = registry.map("reader_counts").lookup(word(seat)) ?? new Uint8Array();
    return decodeAll(readerCountsLayout, bytes).map((counts) => counts.dropped);
  });
  return {
    readers: readSeats(registry).filter(({ untilNs }) => untilNs > now).length,
    dropped: Number(dropped.reduce((sum, one) => sum + one, 0n)),
  };
}

function freeSeat(registry: Seats, seat: number): void {
  setTaken(registry, seat, false);
  registry.map("readers").update(word(seat), new Uint8Array(readerLayout.size));
  registry.map("reader_rings").delete(word(seat));
}

function readSeats(registry: Seats): Seat[] {
  return decodeAll(readerLayout, registry.map("readers").readArray(ILM_READERS));
}

function watchedUntil(registry: Seats): bigint {
  const there = registry.map("watch").lookup(zeroKey);
  return there === undefined ? 0n : decode(watchLayout, there).untilNs;
}

/** Has the programs report until the latest of these times. */
function setWatched(registry: Seats, untilNs: bigint, others: readonly bigint[]): void {
  const latest = others.reduce((most, time) => (time > most ? time : most), untilNs);
  registry.map("watch").update(zeroKey, encode(watchLayout, { untilNs: latest }));
}

function word(value: number): Uint8Array {
  return encode(u32, value);
}

function allTaken(seats: readonly Seat[]): IlmError {
  const processes = seats.map(({ process: id }) => id).join(", ");
  return new IlmError(
    "LIMIT",
    `${ILM_READERS} readers watch this namespace's decisions already, which is the most`,
    { remedy: `End one of these \`ilm monitor\` first: processes ${processes}` },
  );
}

/** The room in bytes for so many decisions a second: a power of two, as ring buffers have. */
function roomFor(perSecond: number): number {
  const wanted = perSecond * SECONDS_OF_ROOM * RECORD_BYTES;
  return Math.max(LEAST_ROOM, 2 ** Math.ceil(Math.log2(wanted)));
}

function seatFor(filter: DecisionFilter, owner: bigint): Seat {
  const { protocol, local, ports, remote, verdicts, every, perSecond } = filter;
  const [localBits, remoteBits] = [masked(local), masked(remote)];
  const either = local ?? remote;
  const codes = verdicts?.map((verdict) => verdictCodes[verdict]) ?? Object.values(verdictCodes);
  return {
    untilNs: 0n,
    owner,
    local: localBits.address,
    localMask: localBits.mask,
    remote: remoteBits.address,
    remoteMask: remoteBits.mask,
    every,
    burst: perSecond < MANY ? perSecond : Math.floor(perSecond / 10),
    paceNs: perSecond < MANY ? SECOND_NS : SECOND_NS / 10,
    generation: 0,
    mappingCount: 0,
    mappings: new Uint8Array(4 * ILM_READER_MAPPINGS),
    process: process.pid,
    known: 0,
    firstPort: ports?.first ?? 0,
    lastPort: ports?.last ?? 65_535,
    protocol: protocol === null ? 0 : protocolNumbers[protocol],
    family: either === null ? 0 : familyOf(either) === 4 ? AF_INET : AF_INET6,
    verdicts: codes.reduce((bits, code) => bits | (1 << code), 0),
  };
}

function masked(prefix: Prefix | null): { address: Uint8Array; mask: Uint8Array } {
  const mask = new Uint8Array(16);
  if (prefix === null) return { address: new Uint8Array(16), mask };
  const { bytes, length } = prefixBits(prefix);
  for (let bit = 0; bit < length; bit++) {
    mask[bit >> 3] = (mask[bit >> 3] ?? 0) | (128 >> (bit & 7));
  }
  return { address: bytes.map((byte, at) => byte & (mask[at] ?? 0)), mask };
}
