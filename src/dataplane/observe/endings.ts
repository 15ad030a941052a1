/** Reads when the listeners of destinations ended, and where there was none yet. */
import { endingLayout, endpointLayout } from "../../abi/generated.js";
import { decode } from "../../abi/layout.js";
import type { BpfMap } from "../../kernel/bpf/map.js";
import { monotonicStart } from "../../kernel/clock.js";
import { addressFromBytes } from "../../model/address.js";
import type { Ending } from "../../model/listener.js";
import type { Place } from "../../rules/endings.js";
import type { Registry } from "../install/registry.js";

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

/** Returns for each of the places since when nobody has been seen there; see `Unheard`. */
export function findUnheard(
  registry: Pick<Registry, "unheard">,
  places: readonly Place[],
): (number | null)[] {
  const started = monotonicStart();
  // Whose sockets a place takes says nothing here.
  const found = registry.unheard(places.map((place) => ({ ...place, permit: null })));
  return found.map((since) => (since === null ? null : started + Number(since / 1_000_000n)));
}
