/**
 * Random rule sets, sockets and packets that meet each other often: few addresses and few ports,
 * nested prefixes.
 */
import type { Address, Prefix } from "../../src/model/address.js";
import type { Packet } from "../../src/model/decision.js";
import {
  type Destination,
  type Existing,
  type HandoverChoice,
  type Listeners,
  type Owner,
  type Mapping,
  type Miss,
  type PortRange,
  type Protocol,
  type Service,
  handovers as choices,
} from "../../src/model/mapping.js";
import { canonicalListeners } from "../../src/model/owner.js";
import { type Rules } from "../../src/model/rules.js";
import { mergePorts } from "../../src/model/ports.js";
import type { Random } from "../support/random.js";
import { bits, tie } from "./oracle.js";

/** Public-looking addresses: dialled, and sometimes listened on. */
const publics = [
  "203.0.113.1",
  "203.0.113.2",
  "203.0.113.130",
  "198.51.100.7",
  "127.0.0.1",
  "2001:db8::1",
  "2001:db8::2",
  "2001:db8:1::1",
  "::1",
];
/** Private addresses: services and destinations. */
const privates = [
  "127.0.1.1",
  "127.0.1.2",
  "127.0.1.3",
  "127.0.1.4",
  "fd5e:ed00::1",
  "fd5e:ed00::2",
  "fd5e:ed00::3",
];
const lengths4 = [1, 7, 8, 15, 16, 23, 24, 25, 30, 31, 32, 32, 32];
const lengths6 = [1, 16, 31, 32, 33, 47, 48, 64, 127, 128, 128, 128];
const firstPort = 2000;
const lastPort = 2006;

/** Whose sockets there are: a user and a group. */
const accounts = [
  [0, 0],
  [0, 0],
  [1001, 1001],
  [1002, 1002],
  [1001, 1002],
] as const;

/** Every address that a generated socket may be bound to, apart from the wildcards. */
export const hostAddresses: readonly string[] = [...publics, ...privates];

/** What the helper is asked to open; `mapped`: an IPv6 socket on the v4-mapped address. */
export interface WantedSocket {
  readonly protocol: Protocol;
  readonly address: string;
  readonly port: number;
  readonly v6only: boolean;
  readonly mapped: boolean;
  readonly uid: number;
  readonly gid: number;
  /** How many, as one SO_REUSEPORT group. */
  readonly members: number;
}

function port(random: Random): number {
  if (random.oneIn(12)) return random.pick([1, 80, 65535]);
  return random.integer(firstPort, lastPort);
}

function ports(random: Random): PortRange[] {
  if (random.oneIn(8)) return [{ first: 1, last: 65535 }];
  const ranges: PortRange[] = [];
  for (let count = random.integer(1, 3); count > 0; count -= 1) {
    const first = port(random);
    const length = random.pick([0, 0, 0, 1, 3, 7, 300]);
    ranges.push({ first, last: Math.min(65535, first + length) });
  }
  return mergePorts(ranges);
}

/** 32 or 128 bits as an address. */
function written(all: string): Address {
  if (all.length === 32) {
    const bytes = all.match(/.{8}/g) ?? [];
    return bytes.map((byte) => Number.parseInt(byte, 2)).join(".") as Address;
  }
  const groups = (all.match(/.{16}/g) ?? []).map((group) => Number.parseInt(group, 2).toString(16));
  // Documentation and private addresses only: RFC 5952's rules for several runs of zeros do not
  // matter here.
  return groups.join(":").replace(/(^|:)0(:0)+(:|$)/, "::") as Address;
}

/** The bits beyond `length` are zero. */
function prefix(address: string, length: number): Prefix {
  const all = bits(address);
  return `${written(all.slice(0, length).padEnd(all.length, "0"))}/${length}` as Prefix;
}

/**
 * The same but for one bit: inside of some of the prefixes around it, and outside of the others.
 */
function near(random: Random, address: string): Address {
  const all = bits(address);
  const at = random.integer(0, all.length - 1);
  const other = `${all.slice(0, at)}${all[at] === "0" ? "1" : "0"}${all.slice(at + 1)}`;
  // Beside ::1 is the wildcard, which is never dialled.
  return written(other.includes("1") ? other : all);
}

function on(random: Random): Prefix[] {
  if (random.oneIn(3)) return [];
  if (random.oneIn(6)) return nested(random);
  const prefixes = new Set<Prefix>();
  for (let count = random.integer(1, 3); count > 0; count -= 1) {
    const address = random.pick(random.oneIn(6) ? privates : publics);
    prefixes.add(prefix(address, random.pick(address.includes(":") ? lengths6 : lengths4)));
  }
  return [...prefixes];
}

/** Draws prefixes of many lengths, around one address or beside it. */
function nested(random: Random): Prefix[] {
  const address = random.pick(publics);
  const prefixes = new Set<Prefix>();
  for (let count = random.integer(3, 15); count > 0; count -= 1) {
    const inside = random.oneIn(3) ? near(random, address) : address;
    prefixes.add(prefix(inside, random.integer(1, bits(address).length)));
  }
  return [...prefixes];
}

/** Few, so that packets come from them; nested, and of both families. */
const remotes = ["203.0.113.100", "203.0.113.101", "198.51.100.9", "2001:db8::100", "2001:db9::1"];
/** Names of interfaces that there are in the namespace, and one that there is not. */
export const interfaceNames: readonly string[] = ["lo", "ilm-a", "ilm-b"];

function from(random: Random): Prefix[] {
  const prefixes = new Set<Prefix>();
  for (let count = random.integer(1, 3); count > 0; count -= 1) {
    const address = random.pick(remotes);
    prefixes.add(prefix(address, random.pick(address.includes(":") ? lengths6 : lengths4)));
  }
  return [...prefixes];
}

function interfaces(random: Random): string[] {
  const names = [...interfaceNames, "ilm-gone"].filter(() => random.oneIn(2));
  return names.length > 0 ? names : ["ilm-a"];
}

function destinations(random: Random, services: readonly Service[]): Destination[] {
  const weighted = random.oneIn(4);
  const list = destinationList(random, services);
  // 0 gets nobody: it may be all of them.
  return weighted ? list.map((one) => ({ ...one, weight: random.integer(0, 9) })) : list;
}

function destinationList(random: Random, services: readonly Service[]): Destination[] {
  const found: Destination[] = [];
  for (let count = random.pick([1, 1, 1, 2, 3]); count > 0; count -= 1) {
    const target = random.oneIn(3) ? random.integer(firstPort, lastPort) : ("same" as const);
    const kind = random.integer(1, 6);
    if (kind === 1) {
      found.push({ address: "*", port: target });
    } else if (kind <= 4 && services.length > 0) {
      const service = random.pick(services);
      // Twice in a row would make one run of two choices: the configuration says it only once.
      if (found.at(-1)?.service === service.name) continue;
      for (const address of service.addresses) {
        found.push({ address, port: target, service: service.name });
      }
    } else {
      found.push({
        address: random.pick([...privates, random.pick(publics)]) as Address,
        port: target,
      });
    }
  }
  return found.length > 0 ? found : [{ address: "*", port: "same" }];
}

function owner(random: Random): Owner {
  const [user, group] = random.pick(accounts);
  return random.pick([{ user }, { group }, { user, group }]);
}

function listeners(random: Random): Listeners {
  if (random.oneIn(2)) return "anyone";
  return canonicalListeners([owner(random), ...(random.oneIn(2) ? [owner(random)] : [])]);
}

export function generateMapping(
  random: Random,
  number: number,
  services: readonly Service[],
  conditions: boolean,
): Mapping {
  return {
    name: `mapping${number}`,
    protocol: random.pick(["tcp", "udp"]),
    ports: ports(random),
    on: on(random),
    ...(conditions && random.oneIn(3) && { from: from(random) }),
    ...(conditions && random.oneIn(4) && { interfaces: interfaces(random) }),
    // Long over, or in a hundred years.
    ...(conditions && random.oneIn(5) && { until: random.pick([1, 3_153_600_000]) }),
    existing: random.pick<Existing>(["exact", "exact", "any", "never"]),
    ...(random.oneIn(12)
      ? { to: [], miss: "reject" }
      : {
          to: destinations(random, services),
          miss: random.pick<Miss>(["pass", "pass", "reject"]),
        }),
    ...(random.oneIn(2) && { listeners: listeners(random) }),
    origin: { file: "random", line: number + 100, column: 1 },
  };
}

/** One for each address, as mappings that lead to one place have to agree. */
function handoversByAddress(random: Random): Map<string, HandoverChoice> {
  return new Map(
    [...privates, ...publics, "*"].flatMap((address) =>
      random.oneIn(4) ? [] : [[address, random.pick(choices)] as const],
    ),
  );
}

function withHandovers(mapping: Mapping, chosen: ReadonlyMap<string, HandoverChoice>): Mapping {
  const to = mapping.to.map((destination) => {
    const handover = chosen.get(destination.address);
    return handover === undefined ? destination : { ...destination, handover };
  });
  return { ...mapping, to };
}

/**
 * A rule set without ties; some of its mappings may have been added at run time. `conditions`: on
 * where a packet comes from.
 */
export function generateRules(random: Random, conditions: boolean): Rules {
  const free = [...privates];
  const services: Service[] = [];
  for (let count = random.integer(0, 4); count > 0; count -= 1) {
    const addresses: Address[] = [];
    for (let own = random.integer(1, 3); own > 0 && free.length > 0; own -= 1) {
      addresses.push(...(free.splice(random.integer(0, free.length - 1), 1) as Address[]));
    }
    if (addresses.length > 0) {
      services.push({
        name: `service${count}`,
        addresses,
        ...(random.oneIn(2) && { owner: owner(random) }),
        origin: { file: "random", line: count, column: 1 },
      });
    }
  }
  const mappings: Mapping[] = [];
  const handovers = random.oneIn(2) ? handoversByAddress(random) : undefined;
  for (let number = random.integer(1, 40); number > 0; number -= 1) {
    const drawn = generateMapping(random, number, services, conditions);
    const mapping = handovers === undefined ? drawn : withHandovers(drawn, handovers);
    if (!mappings.some((other) => tie(other, mapping))) mappings.push(mapping);
  }
  const split = random.oneIn(3) ? random.integer(0, mappings.length) : mappings.length;
  return {
    sources: [],
    file: {
      strangers: random.pick(["refuse", "refuse", "report", "allow"]),
      services,
      mappings: mappings.slice(0, split),
    },
    runtime: mappings.slice(split),
  };
}

export function generateSockets(random: Random): WantedSocket[] {
  const sockets: WantedSocket[] = [];
  const taken = new Set<string>();
  for (let count = random.integer(20, 120); count > 0; count -= 1) {
    const protocol = random.pick<Protocol>(["tcp", "udp"]);
    const wildcard = random.oneIn(6);
    const address = wildcard
      ? random.pick(["0.0.0.0", "::", "::"])
      : random.pick(random.oneIn(3) ? publics : privates);
    const at = port(random);
    // One bind per port and address; and per port one wildcard, or the kernel refuses one of the
    // two.
    const key = `${protocol} ${wildcard ? "*" : address} ${at}`;
    if (taken.has(key)) continue;
    taken.add(key);
    const [uid, gid] = random.pick(accounts);
    sockets.push({
      protocol,
      address,
      port: at,
      v6only: random.oneIn(3),
      mapped: !address.includes(":") && random.oneIn(5),
      uid,
      gid,
      members: random.oneIn(5) ? random.integer(2, 3) : 1,
    });
  }
  return sockets;
}

export function generatePacket(random: Random, interfaceIndexes: readonly number[]): Packet {
  const listed = random.pick(random.oneIn(6) ? privates : publics);
  const local = random.oneIn(4) ? near(random, listed) : listed;
  return {
    protocol: random.pick<Protocol>(["tcp", "udp"]),
    local: local as Address,
    localPort: random.oneIn(15) ? random.integer(1, 65535) : port(random),
    remote: random.pick(
      remotes.filter((remote) => remote.includes(":") === local.includes(":")),
    ) as Address,
    remotePort: random.integer(1024, 65535),
    interfaceIndex: random.pick(interfaceIndexes),
  };
}
