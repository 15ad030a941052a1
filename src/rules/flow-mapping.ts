/** Finds the mapping by which a flow came. Pure. */
import { isUnspecified } from "../model/address.js";
import type { Flow } from "../model/flow.js";
import { type Destination, type Mapping } from "../model/mapping.js";
import { type Rules, allMappings } from "../model/rules.js";
import { compareRanks, ownedBy } from "./order.js";
import { type Claim, type Dialled, claimsOf } from "./passed-over.js";

/**
 * Returns the first to decide among the active mappings that lead to the flow's daemon, or null
 * when an earlier mapping made the flow. A flow does not record its interface, so any will do.
 */
export function mappingOfFlow(rules: Rules, flow: Flow): Mapping | null {
  const { dialled, client } = flow;
  const asked: Dialled = {
    protocol: "udp",
    local: dialled.address,
    localPort: dialled.port,
    remote: client.address,
    interface: null,
  };
  const owned = ownedBy(rules.file.services);
  let found: { readonly mapping: Mapping; readonly claim: Claim } | null = null;
  for (const mapping of allMappings(rules)) {
    if (!mapping.to.some((to) => leadsTo(to, flow))) continue;
    const claim = claimsOf(mapping, asked, owned).find(({ unmet }) => unmet !== "from");
    if (claim === undefined) continue;
    if (found === null || compareRanks(claim, found.claim) < 0) found = { mapping, claim };
  }
  return found?.mapping ?? null;
}

/** Reports whether a destination is where a flow or a connection went. */
export function leadsTo(
  { address, port }: Destination,
  { dialled, daemon }: Pick<Flow, "dialled" | "daemon">,
): boolean {
  const there = address === "*" ? isUnspecified(daemon.address) : address === daemon.address;
  return there && (port === "same" ? dialled.port : port) === daemon.port;
}
