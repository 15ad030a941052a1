/**
 * Works out what rules decide about a packet from the rules alone, for rules that are loaded
 * nowhere. Pure. The tests compare it with the loaded programs (test/oracle).
 */
import {
  type Address,
  type Family,
  type Prefix,
  familyOf,
  isUnspecified,
} from "../model/address.js";
import type { MatchedBy, Verdict } from "../model/decision.js";
import type { Listener } from "../model/listener.js";
import { type Mapping, type PortRange, isWeighted } from "../model/mapping.js";
import { type LazyMappings, toLazy } from "../model/mappings.js";
import { formatPorts, portsContain } from "../model/ports.js";
import { type Rules, allMappings } from "../model/rules.js";
import { type Candidate, candidates } from "./candidates.js";
import { DrainedPlaces, isSplit } from "./drained.js";
import type { Judge } from "./judge.js";
import { Nesting } from "./nesting.js";
import { compareRanks, ownedBy, prefixesOf } from "./order.js";
import { type Claim, type Dialled, claimsOf } from "./passed-over.js";

/** The mapping that decides about a packet. */
export interface Chosen {
  readonly mapping: Mapping | null;
  /** Its index among all mappings of the rules; null when there is none. */
  readonly index: number | null;
  readonly matchedBy: MatchedBy;
}

/** What becomes of a packet, given who listens. */
export interface Outcome {
  readonly verdict: Verdict;
  /**
   * The destinations, as indexes into `to`, of which one is selected: several only when they have
   * weights and listen, as the client's draw then depends on a secret of the host. Empty unless the
   * verdict is `selected`.
   */
  readonly destinations: readonly number[];
}

/** Mappings with the same ports, by prefix. */
class SamePorts {
  readonly ports: readonly PortRange[];
  readonly #byPrefix = new Map<Prefix, number[]>();
  #nesting: Nesting | null = null;

  constructor(ports: readonly PortRange[]) {
    this.ports = ports;
  }

  add(index: number, on: readonly Prefix[]): void {
    for (const prefix of prefixesOf(on)) {
      const known = this.#byPrefix.get(prefix);
      if (known === undefined) this.#byPrefix.set(prefix, [index]);
      else known.push(index);
    }
  }

  /** Yields the indexes of the mappings with a prefix around the address. */
  *around(address: Address): Generator<number> {
    this.#nesting ??= new Nesting(this.#byPrefix.keys());
    let prefix: Prefix | undefined = hostPrefix(address);
    while (prefix !== undefined) {
      yield* this.#byPrefix.get(prefix) ?? [];
      prefix = this.#nesting.around(prefix);
    }
  }
}

function hostPrefix(address: Address): Prefix {
  return `${address}/${familyOf(address) === 4 ? 32 : 128}` as Prefix;
}

/** Rules, indexed for many questions. */
export class Evaluator {
  readonly rules: Rules;
  readonly #mappings: LazyMappings;
  readonly #owned: ReadonlySet<Address>;
  /** By protocol and port, those with one port. */
  readonly #single = new Map<string, SamePorts>();
  /** By protocol, those with several ports. */
  readonly #several = { tcp: [] as SamePorts[], udp: [] as SamePorts[] };

  constructor(rules: Rules) {
    this.rules = rules;
    this.#owned = ownedBy(rules.file.services);
    this.#mappings = toLazy(allMappings(rules));
    const known = new Map<string, SamePorts>();
    for (let index = 0; index < this.#mappings.length; index++) {
      const protocol = this.#mappings.protocolAt(index);
      const ports = this.#mappings.portsAt(index);
      const key = `${protocol} ${formatPorts(ports)}`;
      let same = known.get(key);
      if (same === undefined) {
        known.set(key, (same = new SamePorts(ports)));
        const [only] = ports.length === 1 ? ports : [];
        if (only?.first === only?.last && only !== undefined) this.#single.set(key, same);
        else this.#several[protocol].push(same);
      }
      same.add(index, this.#mappings.onAt(index));
    }
  }

  /** Finds the mapping that decides, whoever listens. */
  choose(dialled: Dialled): Chosen {
    const { protocol, local, localPort } = dialled;
    const single = this.#single.get(`${protocol} ${localPort}`);
    const all = [
      ...(single === undefined ? [] : [single]),
      ...this.#several[protocol].filter(({ ports }) => portsContain(ports, localPort)),
    ];
    let best: { readonly mapping: Mapping; readonly index: number; readonly claim: Claim } | null =
      null;
    for (const index of all.flatMap((same) => [...same.around(local)])) {
      const mapping = this.#mappings.at(index);
      if (mapping === undefined) continue;
      const claim = claimsOf(mapping, dialled, this.#owned).find(({ unmet }) => unmet === null);
      if (claim === undefined) continue;
      if (best === null || compareRanks(claim, best.claim) < 0) best = { mapping, index, claim };
    }
    if (best === null) {
      const isOwned = all.length > 0 && this.#owned.has(local);
      return { mapping: null, index: null, matchedBy: isOwned ? "owned" : "none" };
    }
    const { mapping, index, claim } = best;
    return { mapping, index, matchedBy: howMatched(claim, familyOf(local)) };
  }
}

function howMatched({ onLength }: Claim, family: Family): MatchedBy {
  if (onLength === 0) return "default";
  return onLength === (family === 4 ? 32 : 128) ? "exact" : "prefix";
}

/** Works out what the mapping does with a packet while these listen. */
export function outcomeOf(
  { mapping }: Pick<Chosen, "mapping">,
  dialled: Dialled,
  listeners: readonly Listener[],
  judge: Judge,
  drained: DrainedPlaces = nothingDrained,
): Outcome {
  if (mapping === null) return { verdict: "unmanaged", destinations: [] };
  const { protocol, local, localPort } = dialled;
  const family = familyOf(local);
  const of = listeners.filter((listener) => listener.protocol === protocol);
  const here = of.filter(({ port }) => port === localPort);
  const exact = here.filter(({ address }) => address === local);
  // Of a wildcard address all are asked, whichever family each takes.
  const wild = (["::", "0.0.0.0"] as Address[]).flatMap((wildcard) => {
    const there = here.filter(({ address }) => address === wildcard);
    return there.some((listener) => takes(listener, family)) ? there : [];
  });
  const at = { address: local, port: localPort };
  const areWelcome = (those: readonly Listener[]): boolean =>
    those.length > 0 &&
    (judge.strangers !== "refuse" ||
      those.every((listener) => judge.permitsAt(listener, at, mapping)));
  const keeps =
    exact.length > 0 ? areWelcome(exact) : mapping.existing === "any" && areWelcome(wild);
  if (keeps && mapping.existing !== "never") return { verdict: "existing", destinations: [] };

  const live = new Set<number>();
  for (const candidate of candidates(mapping, family)) {
    if (!isServed(candidate, mapping, { family, localPort, of, judge, drained })) continue;
    live.add(candidate.destination);
    if (!isWeighted(mapping)) break;
  }
  if (live.size > 0) return { verdict: "selected", destinations: [...live] };
  const heirs = exact.length > 0 ? exact : wild;
  const isRefused = heirs.length > 0 && !areWelcome(heirs);
  const verdict = mapping.miss === "reject" || isRefused ? "rejected" : "missed";
  return { verdict, destinations: [] };
}

interface Around {
  readonly family: Family;
  readonly localPort: number;
  /** The listeners of the packet's protocol. */
  readonly of: readonly Listener[];
  readonly judge: Judge;
  /** The destinations that get nobody new. */
  readonly drained: DrainedPlaces;
}

const nothingDrained = new DrainedPlaces([], []);

/** Reports whether somebody listens at the destination who may get the packet. */
function isServed(
  { destination, address, port }: Candidate,
  mapping: Mapping,
  { family, localPort, of, judge, drained }: Around,
): boolean {
  const to = mapping.to[destination];
  if (to === undefined || to.weight === 0) return false;
  const own = port === 0 && isSplit(mapping.ports) ? localPort : port;
  if (drained.has(mapping.protocol, address, own)) return false;
  return of.some(
    (listener) =>
      listener.port === (port === 0 ? localPort : port) &&
      listener.address === address &&
      (takes(listener, family) || (to.dualStack === true && listener.family === 6)) &&
      judge.selects(listener, to.address, mapping),
  );
}

/**
 * Reports whether a listener takes packets of a family. An IPv6 socket that is bound to one address
 * takes no IPv4 (net/ipv6/af_inet6.c, __inet6_bind).
 */
function takes({ address, v6only }: Listener, family: Family): boolean {
  return familyOf(address) === family || (family === 4 && isUnspecified(address) && !v6only);
}
