/** Lists who listens, and finds the map of flows. */
import { listenerLayout, listingConstantsLayout } from "../../abi/generated.js";
import { decodeAll, encode } from "../../abi/layout.js";
import { runIterator } from "../../kernel/bpf/iterator.js";
import type { BpfMap } from "../../kernel/bpf/map.js";
import { BpfObject } from "../../kernel/bpf/object.js";
import { rootCgroupId } from "../../kernel/mounts.js";
import { interfaces } from "../../kernel/interfaces.js";
import type { Listener } from "../../model/listener.js";
import { Earlier } from "../earlier.js";
import type { State } from "../install/state.js";
import { objectPath } from "../objects.js";
import { toListener } from "./listeners.js";
import { monotonicStart } from "../../kernel/clock.js";

export function listListeners(state: State): Listener[] {
  const loaded = state.own();
  const records = loaded === undefined ? listWithoutRegistry() : loaded.registry.list();
  let names: ReadonlyMap<number, string> | undefined;
  // Read the names only when needed: few listeners are bound to an interface.
  const nameOf = (index: number): string => (names ??= interfaces()).get(index) ?? "?";
  const started = monotonicStart();
  return decodeAll(listenerLayout, records).map((record) => toListener(record, nameOf, started));
}

/** Returns the map of flows, or null when nothing is loaded or the map is incomplete. */
export function mapOfFlows(state: State): BpfMap | null {
  const current = state.current();
  const map = current instanceof Earlier ? current.flows : current?.registry.map("flows");
  return map ?? null;
}

function listWithoutRegistry(): Uint8Array {
  const object = new BpfObject(objectPath("listing"));
  try {
    object.setConstants(encode(listingConstantsLayout, { rootCgroup: rootCgroupId() }));
    object.load();
    return Buffer.concat(
      ["ilm_list_tcp", "ilm_list_udp"].map((name) => {
        const program = object.program(name);
        try {
          return runIterator(program);
        } finally {
          program.close();
        }
      }),
    );
  } finally {
    object.close();
  }
}
