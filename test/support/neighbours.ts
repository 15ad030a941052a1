/**
 * A host as people have it: NAT as Docker and libvirt set it up, a stateful firewall, and a program
 * of somebody else at ingress.
 */
import type { Family } from "./matrix.js";
import { eventually } from "./process.js";
import type { Server } from "./server.js";

/**
 * Rules about others' addresses and a port that nobody dials: no packet of the suites meets one,
 * and yet NAT's hooks are there for all.
 */
const natTables: Readonly<Record<Family, string>> = {
  4: `table ip people_nat {
  chain prerouting {
    type nat hook prerouting priority dstnat; policy accept;
    fib daddr type local tcp dport 49153 counter dnat to 172.17.0.2:80
    fib daddr type local udp dport 49153 counter dnat to 172.17.0.2:80
  }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr 172.17.0.0/16 oifname != "docker0" counter masquerade
    ip saddr 192.168.122.0/24 ip daddr != 192.168.122.0/24 counter masquerade
  }
}
`,
  6: `table ip6 people_nat {
  chain prerouting {
    type nat hook prerouting priority dstnat; policy accept;
    fib daddr type local tcp dport 49153 counter dnat to [fd00:d0c::2]:80
    fib daddr type local udp dport 49153 counter dnat to [fd00:d0c::2]:80
  }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ip6 saddr fd00:d0c::/64 oifname != "docker0" counter masquerade
  }
}
`,
};

/** `ports`: as nft writes a set's elements. */
function firewallTable(ports: string): string {
  return `table inet people_firewall {
  chain input {
    type filter hook input priority filter; policy drop;
    iifname "lo" accept
    ct state established,related accept
    ct state invalid counter drop
    meta l4proto { icmp, ipv6-icmp } accept
    tcp dport { ${ports} } accept
    udp dport { ${ports} } accept
  }
  chain output {
    type filter hook output priority filter; policy accept;
  }
}
`;
}

/** Adds to the server's nftables rules. */
export async function nft(server: Server, rules: string): Promise<void> {
  await server.must(["nft", "-f", "-"], { input: rules });
}

export async function addNat(server: Server, ...families: readonly Family[]): Promise<void> {
  await nft(server, families.map((family) => natTables[family]).join(""));
}

/** `ports`: those that the tests dial, which it lets in. */
export async function addFirewall(server: Server, ports: string): Promise<void> {
  await nft(server, firewallTable(ports));
}

/** No rules of nftables are left, and their hooks neither. */
export async function removeRules(server: Server): Promise<void> {
  await nft(server, "flush ruleset\n");
}

/** All three at once; the program lets everything pass, behind those that are there. */
export async function addNeighbours(server: Server, ports: string, device = "up0"): Promise<void> {
  await addNat(server, 4, 6);
  await addFirewall(server, ports);
  const pass = 0;
  const program = server.startPython("foreign_tcx.py", [device, "ingress", String(pass), "last"]);
  await program.waitForOutput(/attached/);
}

/** Waits until `run` has put every UDP socket that a mapping leads to where sk_lookup finds it. */
export async function untilRegistered(server: Server): Promise<void> {
  await eventually("run has registered the UDP sockets of destinations", async () => {
    const rows = await server.listeners();
    const missing = rows.some(
      ({ protocol, mappings, handover }) =>
        protocol === "udp" && mappings.length > 0 && handover !== "sockmap",
    );
    return missing ? null : true;
  });
}
