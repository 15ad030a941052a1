/** What lives at destinations, connections and flows, by the mapping that it came by. Pure. */
import {
  familyOf,
  isUnspecified,
  prefixAddress,
  prefixLength,
  type Address,
  type Prefix,
} from "../model/address.js";
import type { Connections } from "../model/connection.js";
import type { Flow, FlowEnd } from "../model/flow.js";
import type { Mapping, Protocol } from "../model/mapping.js";
import { type LazyMappings, toLazy } from "../model/mappings.js";
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
  const lists = toLazy(allMappings(rules));
  const isCovered = coveredBy(lists, indexes);
  const wanted = live.filter(({ protocol, dialled }) => isCovered(protocol, dialled.port));
  const found = new Map<number, number[]>();
  const owned = ownedBy(rules.file.services);
  const leadsOf = leading(lists, wanted);
  const known = new Map<string, Place | null>();
  for (const one of wanted) {
    const leads = leadsOf(one);
    if (leads === undefined) continue;
    const way = `${wayOf(one)} ${one.dialled.address}`;
    const key = leads.hasSources ? `${way} ${one.client}` : way;
    let place = known.get(key);
    if (place === undefined) known.set(key, (place = decide(leads, one, owned)));
    if (place === null) continue;
    const counts = found.get(place.index) ?? lists.toAt(place.index).map(() => 0);
    counts[place.destination] = (counts[place.destination] ?? 0) + one.count;
    found.set(place.index, counts);
  }
  return indexes.map((index) => found.get(index) ?? lists.toAt(index).map(() => 0));
}

/** Where something is counted. */
interface Place {
  /** The index of the mapping. */
  readonly index: number;
  /** The index into its `to`. */
  readonly destination: number;
}

/** Finds the first of the mappings to decide; null when an earlier one has led there. */
function decide(leads: Leads, one: Live, owned: ReadonlySet<Address>): Place | null {
  const asked = {
    protocol: one.protocol,
    local: one.dialled.address,
    localPort: one.dialled.port,
    remote: one.client,
    interface: null,
  };
  let first: (Candidate & { readonly claim: Rank }) | null = null;
  for (const { index, mapping } of leads.for(one.dialled.address)) {
    const claim = claimsOf(mapping, asked, owned).find(({ unmet }) => unmet !== "from");
    if (claim === undefined) continue;
    const order = first === null ? -1 : compareRanks(claim, first.claim);
    // Of equal ones, the first in the list.
    if (first === null || order < 0 || (order === 0 && index < first.index)) {
      first = { index, mapping, claim };
    }
  }
  if (first === null) return null;
  const destination = first.mapping.to.findIndex((each) => leadsTo(each, one));
  return { index: first.index, destination };
}

const PORTS = 65_536;

/** Returns a function that reports whether one of these mappings covers a port. */
function coveredBy(
  lists: LazyMappings,
  indexes: readonly number[],
): (protocol: Protocol, port: number) => boolean {
  const covered = { tcp: new Uint8Array(PORTS), udp: new Uint8Array(PORTS) };
  // A million mappings may have one range.
  const known = new Set<string>();
  for (const index of indexes) {
    const protocol = lists.protocolAt(index);
    for (const { first, last } of lists.portsAt(index)) {
      const range = `${protocol} ${first} ${last}`;
      if (!known.has(range)) covered[protocol].fill(1, first, last + 1);
      known.add(range);
    }
  }
  return (protocol, port) => covered[protocol][port] === 1;
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

/** Mappings that lead to a daemon, of which very many may be for one dialled address each. */
class Leads {
  readonly one: Live;
  /** True when one of them is for some clients only. */
  hasSources = false;
  readonly #byHost = new Map<Address, Candidate[]>();
  readonly #others: Candidate[] = [];

  constructor(one: Live) {
    this.one = one;
  }

  add(candidate: Candidate): void {
    const { on, from } = candidate.mapping;
    if (from !== undefined) this.hasSources = true;
    if (on.length === 0 || !on.every(isHost)) {
      this.#others.push(candidate);
      return;
    }
    for (const prefix of on) {
      const address = prefixAddress(prefix);
      const known = this.#byHost.get(address);
      if (known === undefined) this.#byHost.set(address, [candidate]);
      else known.push(candidate);
    }
  }

  /** Returns those that may be for the address. */
  for(address: Address): readonly Candidate[] {
    const own = this.#byHost.get(address);
    return own === undefined ? this.#others : [...own, ...this.#others];
  }
}

function isHost(prefix: Prefix): boolean {
  return prefixLength(prefix) === (familyOf(prefix) === 4 ? 32 : 128);
}

/**
 * Returns a function that returns the mappings that may have led there. All mappings are gone
 * through once: there may be a million.
 */
function leading(lists: LazyMappings, live: readonly Live[]): (one: Live) => Leads | undefined {
  const byPort = new Map<string, Leads[]>();
  const byWay = new Map<string, Leads>();
  for (const one of live) {
    const way = wayOf(one);
    if (byWay.has(way)) continue;
    const leads = new Leads(one);
    byWay.set(way, leads);
    const key = `${one.protocol} ${one.dialled.port}`;
    const known = byPort.get(key);
    if (known === undefined) byPort.set(key, [leads]);
    else known.push(leads);
  }
  for (let index = 0; byPort.size > 0 && index < lists.length; index++) {
    const protocol = lists.protocolAt(index);
    const ports = lists.portsAt(index);
    const [range] = ports;
    const isOne = ports.length === 1 && range !== undefined && range.first === range.last;
    const ways = isOne
      ? (byPort.get(`${protocol} ${range.first}`) ?? [])
      : [...byPort.values()].flat();
    if (ways.length === 0) continue;
    const mapping = lists.at(index);
    if (mapping === undefined) continue;
    for (const leads of ways) if (mayLead(mapping, leads.one)) leads.add({ index, mapping });
  }
  return (one) => byWay.get(wayOf(one));
}

/** Where something went, whichever address was dialled. */
function wayOf({ protocol, dialled, daemon }: Live): string {
  return [protocol, dialled.port, daemon.address, daemon.port].join(" ");
}
