/** Reads what the guard and the look-ups have refused. */
import {
  ReasonCode,
  type Refused as RefusedRecord,
  refusalKeyLayout,
  refusalLayout,
  refusedLayout,
} from "../../abi/generated.js";
import { decode } from "../../abi/layout.js";
import { IlmError } from "../../errors.js";
import type { BpfMap } from "../../kernel/bpf/map.js";
import { monotonicStart } from "../../kernel/clock.js";
import { addressFromBytes } from "../../model/address.js";
import type { Refusal, RefusalReason, RefusedAttempt } from "../../model/refusal.js";

const IPPROTO_UDP = 17;

const reasons = new Map<number, RefusalReason>([
  [ReasonCode.ADDRESS, "address"],
  [ReasonCode.MAPPED, "mapped"],
  [ReasonCode.WILDCARD, "wildcard"],
  [ReasonCode.REPORTED, "reported"],
  [ReasonCode.LOOKUP, "lookup"],
]);

function textOf(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end === -1 ? bytes : bytes.subarray(0, end));
}

function toAttempt(record: RefusedRecord): RefusedAttempt {
  const reason = reasons.get(record.reason);
  if (reason === undefined) {
    throw new IlmError("INCOMPATIBLE", `the program gives the reason ${record.reason}`);
  }
  const isPacket = record.pid === 0;
  return {
    reason,
    protocol: record.protocol === IPPROTO_UDP ? "udp" : "tcp",
    address: addressFromBytes(record.address),
    port: record.port,
    uid: isPacket ? null : record.uid,
    gid: isPacket ? null : record.gid,
    pid: isPacket ? null : record.pid,
    command: isPacket ? null : textOf(record.command),
  };
}

/** Decodes a record of the ring buffer `refused`. */
export function decodeRefused(bytes: Uint8Array): RefusedAttempt {
  return toAttempt(decode(refusedLayout, bytes));
}

/** Returns what the map `refusals` holds, the latest first. */
export function readRefusals(map: BpfMap): Refusal[] {
  const started = monotonicStart();
  return map
    .snapshot()
    .map(([key, value]): Refusal => {
      const { count, lastNs, pid, command } = decode(refusalLayout, value);
      return {
        ...toAttempt({ ...decode(refusalKeyLayout, key), pid, command }),
        count: Number(count),
        lastAt: started + Number(lastNs / 1_000_000n),
      };
    })
    .toSorted((a, b) => b.lastAt - a.lastAt);
}
