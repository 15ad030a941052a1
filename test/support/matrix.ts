/** Protocol x family, generated once, so that no suite copies rows. */
export const protocols = ["tcp", "udp"] as const;
export const families = [4, 6] as const;
export type Protocol = (typeof protocols)[number];
export type Family = (typeof families)[number];

export interface FamilyAddresses {
  readonly family: Family;
  /** "IPv4" or "IPv6". */
  readonly label: string;
  /** The server's first public-looking address. */
  readonly public: string;
  /** Its second one, in the same network. */
  readonly second: string;
  /** Its address in another network. */
  readonly elsewhere: string;
  /** Prefixes that hold `public` and `second`, and `elsewhere`. */
  readonly network: string;
  readonly otherNetwork: string;
  readonly client: string;
  /** Private addresses for daemons; ilm puts them on `lo`. */
  readonly daemon: string;
  readonly daemon2: string;
  readonly daemon3: string;
  readonly wildcard: string;
  readonly loopback: string;
}

export const addressesOf: Readonly<Record<Family, FamilyAddresses>> = {
  4: {
    family: 4,
    label: "IPv4",
    public: "203.0.113.1",
    second: "203.0.113.5",
    elsewhere: "198.51.100.1",
    network: "203.0.113.0/24",
    otherNetwork: "198.51.100.0/24",
    client: "203.0.113.100",
    daemon: "127.0.1.10",
    daemon2: "127.0.1.11",
    daemon3: "127.0.1.12",
    wildcard: "0.0.0.0",
    loopback: "127.0.0.1",
  },
  6: {
    family: 6,
    label: "IPv6",
    public: "2001:db8::1",
    second: "2001:db8::5",
    elsewhere: "2001:db8:1::1",
    network: "2001:db8::/64",
    otherNetwork: "2001:db8:1::/64",
    client: "2001:db8::100",
    daemon: "fd5e:ed00::10",
    daemon2: "fd5e:ed00::11",
    daemon3: "fd5e:ed00::12",
    wildcard: "::",
    loopback: "::1",
  },
};

export interface Cell extends FamilyAddresses {
  readonly protocol: Protocol;
  /** "TCP over IPv4". */
  readonly title: string;
}

export const matrix: readonly Cell[] = protocols.flatMap((protocol) =>
  families.map((family) => ({
    ...addressesOf[family],
    protocol,
    title: `${protocol.toUpperCase()} over ${addressesOf[family].label}`,
  })),
);

/** `address:port`, with brackets around IPv6. */
export function endpoint(address: string, port: number): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}
