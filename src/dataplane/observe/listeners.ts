/** Turns the listing iterators' records into listeners. */
import type { Listener as Record } from "../../abi/generated.js";
import { addressFromBytes, isUnspecified } from "../../model/address.js";
import type { Listener, ListenerKind } from "../../model/listener.js";

const IPPROTO_UDP = 17;
const AF_INET = 2;

function kindOf(record: Record): ListenerKind {
  if (record.protocol === IPPROTO_UDP) return "udp";
  return record.mptcp === 1 ? "mptcp" : "tcp";
}

/**
 * Decodes a record. `nameOf` returns an interface's name by its index; `started` is when
 * CLOCK_MONOTONIC was 0.
 */
export function toListener(
  record: Record,
  nameOf: (index: number) => string,
  started: number,
): Listener {
  const address = addressFromBytes(record.address);
  return {
    protocol: record.protocol === IPPROTO_UDP ? "udp" : "tcp",
    kind: kindOf(record),
    family: record.family === AF_INET ? 4 : 6,
    address,
    port: record.port,
    wildcard: isUnspecified(address),
    v6only: record.v6only === 1,
    reuseport: record.reuseport === 1,
    groupSize: record.groupSize,
    groupProgram: record.groupProgram === 1,
    device: record.device,
    deviceName: record.device === 0 ? "" : nameOf(record.device),
    placed: record.placed === 1,
    since: record.sinceNs === 0n ? null : started + Number(record.sinceNs / 1_000_000n),
    queue: { waiting: record.waiting, limit: record.waitingMax, drops: record.drops },
    cookie: record.cookie.toString(),
    inode: Number(record.inode),
    cgroup: record.cgroup.toString(),
    identity: { uid: record.uid, gid: record.gid, unit: record.unit.toString() },
  };
}
