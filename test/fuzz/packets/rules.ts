/** The rules, the sockets and the addresses that the packets of ./generate.ts meet. */
import type { Address, Prefix } from "../../../src/model/address.js";
import type { Destination, HandoverChoice, Mapping, Protocol } from "../../../src/model/mapping.js";
import type { Rules } from "../../../src/model/rules.js";

export const deviceName = "ilm-tap";
export const hostMac = [2, 0, 0, 0, 0, 1] as const;
/** On the device. */
export const publics: readonly string[] = [
  "203.0.113.1",
  "203.0.113.2",
  "198.51.100.1",
  "2001:db8::1",
  "2001:db8::2",
  "2001:db8:1::1",
];
export const clients: readonly string[] = [
  "203.0.113.100",
  "192.0.2.9",
  "2001:db8::100",
  "2001:db8:9::9",
];
/** Client addresses that no host answers, or not beyond the link. */
export const oddClients: readonly string[] = [
  "0.0.0.0",
  "224.0.0.9",
  "127.0.0.1",
  "fe80::99",
  "ff01:db8::100",
  "::1",
  "::",
];
/**
 * Nobody's here: to be forwarded, or dropped; or not unicast, or the subnet's broadcast address.
 */
export const strangers: readonly string[] = [
  "198.18.0.1",
  "192.0.2.1",
  "203.0.113.255",
  "255.255.255.255",
  "127.255.255.255",
  "224.0.0.1",
  "239.255.255.250",
  "127.0.0.1",
  "2001:db8:2::1",
  "ff02::1",
  "ff05::1:3",
  "::1",
];
const first = { four: "127.0.1.1", six: "fd5e:ed00::1" };
const registered = { four: "127.0.1.2", six: "fd5e:ed00::2" };
const absent = { four: "127.0.1.3", six: "fd5e:ed00::3" };
const second = { four: "127.0.1.4", six: "fd5e:ed00::4" };
export const privates: readonly string[] = [first, registered, absent, second].flatMap((one) => [
  one.four,
  one.six,
]);

const services = { first, registered, absent, second };
type ServiceName = keyof typeof services;

const firstPort = 2000;
/** The ports that clients dial and rules have: 2000 on, the changed ones, and an unused one. */
export const dialledPorts: readonly number[] = [
  ...Array.from({ length: 17 }, (_, i) => firstPort + i),
  5001,
  5008,
];

/** `ingress`: it is nothing but ingress that gives to these. */
function to(
  protocol: Protocol,
  name: ServiceName,
  port: number | "same" = "same",
  weight?: number,
): Destination[] {
  const udp: HandoverChoice = name === "registered" ? "lookup" : "auto";
  const tcp: HandoverChoice = name === "registered" ? "auto" : "ingress";
  const { four, six } = services[name];
  return [four, six].map((address) => ({
    address: address as Address,
    port,
    service: name,
    handover: protocol === "udp" ? udp : tcp,
    ...(weight !== undefined && { weight }),
  }));
}

function mappingsOf(protocol: Protocol): Mapping[] {
  const mapping = (
    offset: number,
    destinations: Destination[],
    more: Partial<Mapping> = {},
  ): Mapping => ({
    name: `${protocol}-${offset}`,
    protocol,
    ports: [{ first: firstPort + offset, last: firstPort + offset }],
    on: [],
    to: destinations,
    existing: "exact",
    miss: "pass",
    origin: { file: "fuzz", line: offset + 1, column: 1 },
    ...more,
  });
  const lead = (name: ServiceName, port?: number): Destination[] => to(protocol, name, port);
  return [
    mapping(0, lead("first")),
    mapping(1, lead("first", 5001)),
    mapping(2, lead("registered")),
    mapping(3, lead("absent"), { miss: "reject" }),
    mapping(4, lead("first"), { on: ["203.0.113.0/24", "2001:db8::/64"] as Prefix[] }),
    mapping(5, lead("first"), { from: ["203.0.113.100/32", "2001:db8::100/128"] as Prefix[] }),
    mapping(6, [...lead("absent"), ...lead("registered"), ...lead("first")]),
    mapping(7, [...lead("absent"), ...lead("first")]),
    mapping(8, [{ address: "*", port: 5008, handover: protocol === "udp" ? "auto" : "ingress" }]),
    mapping(9, lead("first"), { existing: "any" }),
    mapping(10, lead("first")),
    mapping(11, lead("first"), { existing: "never" }),
    mapping(12, lead("first"), { interfaces: [deviceName] }),
    mapping(13, [...to(protocol, "first", "same", 3), ...to(protocol, "second", "same", 1)]),
    mapping(14, lead("first")),
    mapping(15, lead("first"), {
      on: ["203.0.113.1/32", "2001:db8::1/128"] as Prefix[],
      miss: "reject",
    }),
  ];
}

export const rules: Rules = {
  sources: [],
  file: {
    services: Object.entries(services).map(([name, { four, six }], index) => ({
      name,
      addresses: [four, six] as Address[],
      origin: { file: "fuzz", line: 100 + index, column: 1 },
    })),
    mappings: [...mappingsOf("udp"), ...mappingsOf("tcp")],
  },
  runtime: [],
};

export interface Wanted {
  readonly protocol: Protocol;
  readonly address: string;
  readonly port: number;
  readonly v6only: boolean;
  readonly mapped: boolean;
  readonly members: number;
  /** UDP: connected to there. */
  readonly peer?: readonly [string, number];
}

export const connected = [
  { address: "203.0.113.1", port: 2014, peer: ["203.0.113.100", 4000] },
  { address: "2001:db8::1", port: 2014, peer: ["2001:db8::100", 4000] },
] as const;

const listening = (protocol: Protocol): Wanted[] => {
  const plain = { protocol, v6only: false, mapped: false, members: 1 };
  const ports = Array.from({ length: 16 }, (_, i) => firstPort + i);
  return [
    ...[first.four, first.six].flatMap((address) =>
      [...ports, 5001].map((port) => ({ ...plain, address, port })),
    ),
    ...[registered.four, registered.six].flatMap((address) =>
      [2002, 2006].map((port) => ({ ...plain, address, port })),
    ),
    ...[second.four, second.six].map((address) => ({ ...plain, address, port: 2013 })),
    ...[5008, 2009].map((port) => ({ ...plain, address: "::", port })),
    ...[2010, 2011].flatMap((port) =>
      ["203.0.113.1", "2001:db8::1"].map((address) => ({ ...plain, address, port })),
    ),
  ];
};

export const sockets: readonly Wanted[] = [
  ...listening("udp"),
  ...listening("tcp"),
  ...connected.map(({ address, port, peer }) => ({
    protocol: "udp" as const,
    address,
    port,
    v6only: false,
    mapped: false,
    members: 1,
    peer: [...peer] as [string, number],
  })),
];
