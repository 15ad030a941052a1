/**
 * Which mapping decides about who listens on a dialled address: the best one without conditions, as
 * there is no packet yet (bpf/bind.h). Pure.
 */
import { type Family, familyOf, isUnspecified } from "../model/address.js";
import type { Listener } from "../model/listener.js";
import type { Mapping, PortRange, Protocol } from "../model/mapping.js";
import { type LazyMappings, toLazy } from "../model/mappings.js";
import { countPorts } from "../model/ports.js";
import { type Rules, allMappings } from "../model/rules.js";
import { type Rank, compareRanks, conditionsOf, onLength, ownedBy } from "./order.js";

/** Where somebody listens, or has tried to. */
type Place = Pick<Listener, "protocol" | "address" | "port">;

/** Places by protocol and port, of which a mapping may have any. */
class ByPort<At extends Place> {
  readonly #places = new Map<string, At[]>();
  readonly #ports: Record<Protocol, number[]> = { tcp: [], udp: [] };

  constructor(places: readonly At[]) {
    for (const place of places) {
      const { protocol, port } = place;
      const known = this.#places.get(`${protocol} ${port}`);
      if (known === undefined) {
        this.#places.set(`${protocol} ${port}`, [place]);
        this.#ports[protocol].push(port);
      } else {
        known.push(place);
      }
    }
  }

  on(protocol: Protocol, ports: readonly PortRange[]): readonly At[] {
    return ports.flatMap(({ first, last }) => {
      const found =
        first === last
          ? [first]
          : this.#ports[protocol].filter((port) => port >= first && port <= last);
      return found.flatMap((port) => this.#places.get(`${protocol} ${port}`) ?? []);
    });
  }
}

function isUnconditional(mappings: LazyMappings, index: number, family: Family): boolean {
  if (!mappings.isConditionalAt(index)) return true;
  const mapping = mappings.at(index);
  return (
    mapping !== undefined &&
    conditionsOf(mapping, family).some(
      ({ from, interface: name }) => from === null && name === null,
    )
  );
}

/**
 * Returns the places whose protocol and port some mapping has, wherever it is for: only these are
 * looked up in the rules at all.
 */
export function onMappedPorts<At extends Place>(
  rules: Rules,
  places: readonly At[],
): ReadonlySet<At> {
  const found = new Set<At>();
  if (places.length === 0) return found;
  const byPort = new ByPort(places);
  const mappings = toLazy(allMappings(rules));
  for (let index = 0; index < mappings.length && found.size < places.length; index++) {
    const those = byPort.on(mappings.protocolAt(index), mappings.portsAt(index));
    for (const place of those) found.add(place);
  }
  return found;
}

/**
 * Returns the mapping that decides at each address and port, for those that have one. The wildcard
 * addresses are dialled by nobody.
 */
export function coveringMappings<At extends Place>(
  rules: Rules,
  places: readonly At[],
): ReadonlyMap<At, Mapping> {
  const candidates = places.filter(({ address }) => !isUnspecified(address));
  if (candidates.length === 0) return new Map();
  const mappings = toLazy(allMappings(rules));
  const byPort = new ByPort(candidates);
  const owned = ownedBy(rules.file.services);
  const best = new Map<At, { readonly index: number; readonly rank: Rank }>();
  for (let index = 0; index < mappings.length; index++) {
    const ports = mappings.portsAt(index);
    for (const place of byPort.on(mappings.protocolAt(index), ports)) {
      const { address } = place;
      const length = onLength({ on: mappings.onAt(index) }, address, owned);
      if (length === null || !isUnconditional(mappings, index, familyOf(address))) continue;
      const rank = { onLength: length, ports: countPorts(ports), fromLength: 0, interface: null };
      const known = best.get(place);
      if (known === undefined || compareRanks(rank, known.rank) < 0) {
        best.set(place, { index, rank });
      }
    }
  }
  return new Map(
    [...best].flatMap(([place, { index }]) => {
      const mapping = mappings.at(index);
      return mapping === undefined ? [] : [[place, mapping] as const];
    }),
  );
}
