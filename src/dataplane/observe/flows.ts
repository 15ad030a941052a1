/** What UDP clients dialled, as the kernel side remembers it (bpf/flow.h). */
import {
  ILM_FLOW_IDLE_SECONDS,
  flowKeyLayout,
  flowLayout,
  type Flow as Record,
  type FlowKey,
} from "../../abi/generated.js";
import { decodeAll } from "../../abi/layout.js";
import type { BpfMap } from "../../kernel/bpf/map.js";
import { addressFromBytes } from "../../model/address.js";
import type { Flow } from "../../model/flow.js";

/** The operations used on the kernel's map of flows. */
export type FlowMap = Pick<BpfMap, "keySize" | "batches" | "lookup" | "delete">;

const SECOND_NS = 1_000_000_000n;
const IDLE_NS = BigInt(ILM_FLOW_IDLE_SECONDS) * SECOND_NS;
/** The offset of seen_ns in a record: it is the first field. */
const SEEN_AT = 0;

/**
 * Returns the age of a CLOCK_MONOTONIC time, the clock that the programs read too. Theirs may be a
 * tick ahead of ours, hence the signed difference.
 */
function idleNs(seenNs: bigint): bigint {
  const idle = BigInt.asIntN(64, process.hrtime.bigint() - seenNs);
  return idle < 0n ? 0n : idle;
}

function toFlow(key: FlowKey, flow: Record): Flow {
  return {
    client: { address: addressFromBytes(key.remote), port: key.remotePort },
    dialled: { address: addressFromBytes(flow.dialled), port: flow.port },
    daemon: { address: addressFromBytes(key.local), port: key.localPort },
    idle_s: Number(idleNs(flow.seenNs) / SECOND_NS),
  };
}

export function liveFlows(map: Pick<FlowMap, "batches">): Flow[] {
  const found: Flow[] = [];
  for (const [keys, values] of map.batches()) {
    const flows = decodeAll(flowLayout, values);
    decodeAll(flowKeyLayout, keys).forEach((key, index) => {
      const flow = flows[index];
      if (flow !== undefined && idleNs(flow.seenNs) <= IDLE_NS) found.push(toFlow(key, flow));
    });
  }
  return found;
}

export function countLiveFlows(map: Pick<FlowMap, "batches">): number {
  let live = 0;
  for (const [, values] of map.batches()) live += count(values, (idle) => idle <= IDLE_NS);
  return live;
}

function count(values: Uint8Array, matches: (idle: bigint) => boolean): number {
  const view = new DataView(values.buffer, values.byteOffset, values.byteLength);
  let found = 0;
  for (let at = 0; at < values.byteLength; at += flowLayout.size) {
    if (matches(idleNs(view.getBigUint64(at + SEEN_AT, true)))) found += 1;
  }
  return found;
}

/**
 * Removes the flows that are over, checking again right before: a client that comes back in that
 * very moment loses one reply.
 */
export function forgetIdleFlows(map: FlowMap): void {
  const isOver = (value: Uint8Array): boolean => count(value, (idle) => idle > IDLE_NS) === 1;
  for (const [keys, values] of map.batches()) {
    for (let i = 0; i * flowLayout.size < values.byteLength; i++) {
      const value = values.subarray(i * flowLayout.size, (i + 1) * flowLayout.size);
      if (!isOver(value)) continue;
      const key = keys.slice(i * map.keySize, (i + 1) * map.keySize);
      const now = map.lookup(key);
      if (now !== undefined && isOver(now)) map.delete(key);
    }
  }
}
