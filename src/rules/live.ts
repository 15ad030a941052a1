/** What lives at destinations, connections and flows, by the mapping that it came by. Pure. */
import { isUnspecified, type Address } from "../model/address.js";
import type { Connections } from "../model/connection.js";
import type { Flow, FlowEnd } from "../model/flow.js";
import type { Mapping, Protocol } from "../model/mapping.js";
import { toLazy } from "../model/mappings.js";
import { portsContain } from "../model/ports.js";
import { type Rules, allMappings } from "../model/rules.js";
import type { DrainedPlaces } from "./drained.js";
import { leadsTo } from "./flow-mapping.js";
import { type Rank, compareRanks, ownedBy } from "./order.js";
import { claimsOf } from "./passed-over.js";

/** Connections or flows that are alike. */
export interface Live {
  readonly protocol: Protocol;
  readonly dialled: FlowEnd;
  readonly client: Address;
  readonly daemon: FlowEnd;
  readonly count: number;
}

/** Makes one list of the connections of TCP and the flows of UDP. */
export function liveOf(connections: readonly Connections[], flows: readonly Flow[]): Live[] {
  return [
    ...connections.map((one): Live => ({ ...one, protocol: "tcp" })),
    ...flows.map(({ dialled, client, daemon }): Live => ({
      protocol: "udp",
      dialled,
      client: client.address,
      daemon,
      count: 1,
    })),
  ];
}

/** Counts what lives at destinations that are drained, by protocol, however it came there. */
export function liveAt(
  places: DrainedPlaces,
  live: readonly Live[],
): Readonly<Record<Protocol, number>> {
  const found = { tcp: 0, udp: 0 };
  for (const { protocol, daemon, count } of live) {
    const address = isUnspecified(daemon.address) ? "*" : daemon.address;
    if (places.has(protocol, address, daemon.port)) found[protocol] += count;
  }
  return found;
}

/**
 * Returns for each of the mappings with these indexes how many live at each of its destinations. As
 * for flows, the mapping is the first to decide among the active ones that lead there: an interface
 * is not recorded, and what an earlier mapping made belongs to none.
 */
export function liveIn(
  rules: Rules,
  indexes: readonly number[],
  live: readonly Live[],
): readonly (readonly number[])[] {
  const all = allMappings(rules);
  const chosen = indexes.map((index) => all.at(index));
  const ports = chosen.flatMap((one) => (one === undefined ? [] : [one]));
  const wanted = live.filter((one) => ports.some((mapping) => mayLead(mapping, one)));
  const found = new Map<number, number[]>();
  const candidatesOf = candidates(rules, wanted);
  const owned = ownedBy(rules.file.services);
  for (const one of wanted) {
    const asked = {
      protocol: one.protocol,
      local: one.dialled.address,
      localPort: one.dialled.port,
      remote: one.client,
      interface: null,
    };
    let first: { readonly index: number; readonly claim: Rank } | null = null;
    for (const { index, mapping } of candidatesOf(one)) {
      const claim = claimsOf(mapping, asked, owned).find(({ unmet }) => unmet !== "from");
      if (claim === undefined) continue;
      if (first === null || compareRanks(claim, first.claim) < 0) first = { index, claim };
    }
    if (first === null) continue;
    const to = all.at(first.index)?.to ?? [];
    const counts = found.get(first.index) ?? to.map(() => 0);
    const destination = to.findIndex((each) => leadsTo(each, one));
    counts[destination] = (counts[destination] ?? 0) + one.count;
    found.set(first.index, counts);
  }
  return indexes.map((index, row) => found.get(index) ?? (chosen[row]?.to ?? []).map(() => 0));
}

function mayLead({ protocol, ports, to }: Mapping, live: Live): boolean {
  return (
    protocol === live.protocol &&
    portsContain(ports, live.dialled.port) &&
    to.some((each) => leadsTo(each, live))
  );
}

interface Candidate {
  readonly index: number;
  readonly mapping: Mapping;
}

/**
 * Returns a function that returns the mappings that may have led there. All mappings are gone
 * through once: there may be a million.
 */
function candidates(rules: Rules, live: readonly Live[]): (one: Live) => readonly Candidate[] {
  const all = allMappings(rules);
  const lists = toLazy(all);
  const byPort = new Map<string, { readonly one: Live; readonly found: Candidate[] }[]>();
  const byWay = new Map<string, readonly Candidate[]>();
  for (const one of live) {
    const way = wayOf(one);
    if (byWay.has(way)) continue;
    const found: Candidate[] = [];
    byWay.set(way, found);
    const key = `${one.protocol} ${one.dialled.port}`;
    const known = byPort.get(key);
    if (known === undefined) byPort.set(key, [{ one, found }]);
    else known.push({ one, found });
  }
  for (let index = 0; byPort.size > 0 && index < lists.length; index++) {
    const protocol = lists.protocolAt(index);
    const ports = lists.portsAt(index);
    const [range] = ports;
    const isOne = ports.length === 1 && range !== undefined && range.first === range.last;
    const ways = isOne
      ? (byPort.get(`${protocol} ${range.first}`) ?? [])
      : [...byPort.values()].flat();
    for (const { one, found } of ways) {
      const mapping = all.at(index);
      if (mapping !== undefined && mayLead(mapping, one)) found.push({ index, mapping });
    }
  }
  return (one) => byWay.get(wayOf(one)) ?? [];
}

function wayOf({ protocol, dialled, daemon }: Live): string {
  return [protocol, dialled.address, dialled.port, daemon.address, daemon.port].join(" ");
}
