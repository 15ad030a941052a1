/** Looks for what is in the way of mappings, using sample packets for each. */
import type { HostAddress } from "../kernel/addresses.js";
import {
  familyOf,
  isLoopback,
  prefixAddress,
  prefixContains,
  prefixLength,
  type Address,
  type Family,
} from "../model/address.js";
import type { Packet } from "../model/decision.js";
import { type Mapping } from "../model/mapping.js";
import { type Rules, allMappings } from "../model/rules.js";
import { candidates } from "../rules/candidates.js";
import { examplePort, exampleRemote } from "./example.js";
import { missingInterface } from "./arriving.js";
import type { Obstacle } from "./obstacle.js";
import { findObstacles } from "./obstacles.js";
import { printable } from "../words/text.js";
import { entranceOf, isOpen, wayOf, type Places, type Surroundings } from "./way.js";

/** The maximum number of mappings to check, and of addresses for each. */
const MAX_MAPPINGS = 100;
const MAX_ADDRESSES = 3;

export interface Found {
  readonly obstacle: Obstacle;
  /** The mappings, as indexes into `allMappings(rules)`. */
  readonly mappings: readonly number[];
  /** One of the packets that meet the obstacle. */
  readonly packet: Packet;
}

export interface Survey {
  readonly found: readonly Found[];
  /** How many mappings were checked, from the first on. */
  readonly looked: number;
}

export function surveyMappings(rules: Rules, surroundings: Surroundings): Survey {
  const all = allMappings(rules);
  const services = new Set(rules.file.services.flatMap(({ addresses }) => addresses));
  const found = new Map<string, { obstacle: Obstacle; mappings: Set<number>; packet: Packet }>();
  for (const [index, mapping] of all.slice(0, MAX_MAPPINGS).entries()) {
    const { interfaces, from } = mapping;
    const entrances = interfaces === undefined ? null : findInterfaces(interfaces, surroundings);
    for (const packet of examplesOf(mapping, surroundings, services, entrances?.[0])) {
      const way = wayOf(packet, surroundings, {
        source: from === undefined ? "made up" : "among others",
        isLinkOnly: entrances !== null,
        floating: rules.file.floating,
      });
      const obstacles =
        interfaces === undefined || entrances?.length !== 0
          ? findObstacles(packet, way, null)
          : [missingInterface(interfaces)];
      for (const obstacle of obstacles) {
        const key = `${obstacle.sure} ${obstacle.message}`;
        const known = found.get(key);
        if (known === undefined) {
          found.set(key, { obstacle, mappings: new Set([index]), packet });
        } else known.mappings.add(index);
      }
    }
  }
  return {
    found: [...found.values()].map((one) => ({ ...one, mappings: [...one.mappings] })),
    looked: Math.min(all.length, MAX_MAPPINGS),
  };
}

/** The maximum number of names to show. More would not help. */
const MAX_NAMES = 5;

/** Names the mappings concerned, in words. */
export function namesOf({ mappings }: Found, rules: Rules): string {
  const all = allMappings(rules);
  const names = [...new Set(mappings.map((index) => all.at(index)?.name ?? "?"))];
  const shown = names.slice(0, MAX_NAMES).map(printable).join(", ");
  return names.length > MAX_NAMES ? `${shown} and ${names.length - MAX_NAMES} more` : shown;
}

/** Returns what was found of some mappings, without the others. `isOne` takes their indexes. */
export function surveyOf(survey: Survey, isOne: (index: number) => boolean): Survey {
  const found = survey.found.flatMap((one) => {
    const mappings = one.mappings.filter(isOne);
    return mappings.length === 0 ? [] : { ...one, mappings };
  });
  return { ...survey, found };
}

/**
 * Notes obstacles on standard error: of packets that reach no decision, counters and events say
 * nothing.
 */
export function noteObstacles(
  context: { readonly note: (text: string) => void },
  { found }: Survey,
  rules: Rules,
): void {
  for (const one of found) {
    if (!one.obstacle.sure) continue;
    const { kind, message, remedy } = one.obstacle;
    // That is about all mappings, and its remedy is one command.
    context.note(
      kind === "off"
        ? `ilm: ${message}. ${remedy}\n`
        : `ilm: in the way of ${namesOf(one, rules)}: ${message} (\`ilm doctor\` shows the remedy)\n`,
    );
  }
}

/** Returns the indexes of those interfaces that there are, first those on which packets come in. */
function findInterfaces(wanted: readonly string[], places: Places): number[] {
  const found = [...places.names].flatMap(([index, name]) => (wanted.includes(name) ? index : []));
  return found.toSorted((a, b) => Number(isOpen(places, b)) - Number(isOpen(places, a)));
}

function examplesOf(
  mapping: Mapping,
  places: Places,
  services: ReadonlySet<Address>,
  entrance: number | undefined,
): Packet[] {
  return ([4, 6] as const)
    .filter((family) => candidates(mapping, family).length > 0)
    .flatMap((family) => addressesOf(mapping, family, places, services))
    .flatMap((local) => {
      const remote = sourceOf(mapping, local);
      return remote === null
        ? []
        : {
            protocol: mapping.protocol,
            local,
            localPort: mapping.ports[0]?.first ?? 0,
            remote,
            remotePort: examplePort(),
            interfaceIndex: entrance ?? entranceOf(places, local, remote).interfaceIndex,
          };
    });
}

/** Returns a source address for an example, or null when the mapping is not for this family. */
function sourceOf({ from }: Mapping, local: Address): Address | null {
  if (from === undefined) return exampleRemote(local);
  const prefix = from.find((one) => familyOf(one) === familyOf(local));
  return prefix === undefined ? null : prefixAddress(prefix);
}

/**
 * Returns the host's addresses that the mapping is for. For a prefix that holds none of them,
 * returns its first address. Where the mapping names none, those of networks without anyone in them
 * are left out, such as of a bridge without containers.
 */
function addressesOf(
  { on, interfaces }: Mapping,
  family: Family,
  places: Places,
  services: ReadonlySet<Address>,
): readonly Address[] {
  const isDialled = ({ interfaceIndex, duplicate }: HostAddress): boolean =>
    isOpen(places, interfaceIndex) && duplicate !== "asking";
  const here = places.own
    .filter((one) => on.length > 0 || interfaces !== undefined || isDialled(one))
    .map(({ address }) => address)
    .filter((address) => familyOf(address) === family && !services.has(address));
  if (on.length === 0) {
    const outside = here.filter((address) => !isLoopback(address));
    return outside.filter((address) => !address.startsWith("fe80:")).slice(0, MAX_ADDRESSES);
  }
  return on
    .filter((prefix) => familyOf(prefix) === family)
    .flatMap((prefix) => {
      const inside = here.filter((address) => prefixContains(prefix, address));
      if (inside.length > 0) return inside.slice(0, MAX_ADDRESSES);
      // Nobody forgot to add an address for the whole family.
      return prefixLength(prefix) === 0 ? [] : [prefixAddress(prefix)];
    })
    .slice(0, MAX_ADDRESSES);
}
