/** Reads when the listeners of destinations ended. */
import { endingLayout, endpointLayout } from "../../abi/generated.js";
import { decode } from "../../abi/layout.js";
import type { BpfMap } from "../../kernel/bpf/map.js";
import { monotonicStart } from "../../kernel/clock.js";
import { addressFromBytes } from "../../model/address.js";
import type { Ending } from "../../model/listener.js";

const IPPROTO_UDP = 17;

/** Returns what the map `endings` holds, in no particular order. */
export function readEndings(map: BpfMap): Ending[] {
  const started = monotonicStart();
  return map.snapshot().map(([key, value]): Ending => {
    const { address, port, protocol } = decode(endpointLayout, key);
    const { endedNs, unit, uid, gid } = decode(endingLayout, value);
    return {
      protocol: protocol === IPPROTO_UDP ? "udp" : "tcp",
      address: addressFromBytes(address),
      port,
      endedAt: started + Number(endedNs / 1_000_000n),
      identity: { uid, gid, unit: unit.toString() },
    };
  });
}
