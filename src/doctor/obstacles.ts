/**
 * Finds what keeps a packet from the decision, or may. This is done apart from the program, which
 * only sees packets that got that far. Pure.
 */
import type { Overtaken } from "../dataplane/types.js";
import { judgePacket, type Finding } from "../config/nft/packet.js";
import type { Chain } from "../config/nft/rules.js";
import type { Route } from "../kernel/route.js";
import { familyOf } from "../model/address.js";
import type { Packet } from "../model/decision.js";
import { lookupDetached, switchedOff, overtakenWarning, uncoveredWarning } from "./warnings.js";

export interface Obstacle {
  readonly kind:
    | "route"
    | "source"
    | "firewall"
    | "nat"
    | "program"
    | "interface"
    | "detached"
    | "off";
  /**
   * True when it is certainly in the way. Otherwise it may be, or is in the way of some packets
   * only.
   */
  readonly sure: boolean;
  readonly message: string;
  readonly remedy: string;
}

/** What decides on this host whether a packet reaches one of its sockets. */
export interface Way {
  readonly route: Route;
  /**
   * The name of the interface that the packet comes in on; empty when the machine itself sends, or
   * it is unknown.
   */
  readonly interfaceName: string;
  /** The interface that the packet would leave by, if it is for another host. */
  readonly routedTo: string | null;
  /** True when an XDP program is attached to the incoming interface. */
  readonly xdp: boolean;
  /** The rules of nftables and iptables that the packet meets. */
  readonly firewall: Firewall;
  /** True when the machine itself sends the packet. */
  readonly itself: boolean;
  /** Other people's sk_lookup programs. */
  readonly otherPrograms: readonly string[];
  /** True when the program that decides is not attached. */
  readonly detached: boolean;
  /** True while the rules are switched off (`ilm off`). */
  readonly off: boolean;
}

/** What is at ingress of the interfaces, where ingress hands over what was selected. */
export interface Ingress {
  readonly overtaken: readonly Overtaken[];
  /** The names of interfaces without the programs. */
  readonly uncovered: readonly string[];
}

export interface Firewall {
  readonly chains: readonly Chain[];
  /**
   * Chains that see packets first and whose rules are not followed, such as `netdev edge ingress on
   * eth0`.
   */
  readonly unfollowed: readonly string[];
  /** Why existing rules could not be read; null when all were. */
  readonly unread: string | null;
}

/** Finds obstacles on the way. `ingress` is null where sk_lookup selects. */
export function findObstacles(packet: Packet, way: Way, ingress: Ingress | null): Obstacle[] {
  const { interfaceName: name } = way;
  return [
    ...routeObstacle(packet, way),
    ...(way.xdp
      ? [
          {
            kind: "program" as const,
            sure: false,
            message: `an XDP program on ${name} sees every packet first, and may drop it or send it elsewhere`,
            remedy: `\`ip link show ${name}\` names it.`,
          },
        ]
      : []),
    ...firewallObstacles(packet, way),
    ...(ingress === null ? [] : ingressObstacles(name, ingress)),
    ...(way.off ? [{ ...switchedOff, sure: true }] : []),
    // What ingress hands over does not need sk_lookup.
    ...(way.detached && ingress === null
      ? [{ kind: "detached" as const, sure: true, ...lookupDetached }]
      : []),
    ...(way.otherPrograms.length === 0
      ? []
      : [
          {
            kind: "program" as const,
            sure: false,
            message: `${way.otherPrograms.join(", ")} (not ilm's) ${way.otherPrograms.length === 1 ? "selects" : "select"} sockets too, and the last program that selects one wins`,
            remedy:
              "Make sure that they do not handle the same ports; `bpftool link show` lists them.",
          },
        ]),
  ];
}

function ingressObstacles(name: string, { overtaken, uncovered }: Ingress): Obstacle[] {
  const found: Obstacle[] = [];
  if (uncovered.includes(name)) {
    const { message, remedy } = uncoveredWarning([name]);
    found.push({ kind: "interface", sure: true, message, remedy });
  }
  for (const one of overtaken) {
    if (one.interface !== name || one.direction !== "ingress") continue;
    const { message, remedy } = overtakenWarning(one);
    found.push({ kind: "program", sure: false, message, remedy });
  }
  return found;
}

function routeObstacle(packet: Packet, { route, interfaceName, routedTo }: Way): Obstacle[] {
  const { local, remote } = packet;
  const prefix = `${local}/${familyOf(local) === 6 ? 128 : 32}`;
  switch (route.type) {
    case "local":
      return [];
    case "source":
      return [
        {
          kind: "source",
          sure: true,
          message: `the kernel drops what comes from ${remote} to ${local} on ${interfaceName}, for its source (a martian, or net.ipv4.conf.${interfaceName}.rp_filter)`,
          remedy: `Is there a route back to ${remote} by ${interfaceName}? (\`ip route get ${remote}\`.) With several uplinks: sysctl net.ipv4.conf.${interfaceName}.rp_filter=2.`,
        },
      ];
    default:
      return [
        {
          kind: "route",
          sure: true,
          message: `${local} is not an address of this host: ${describeRoute(route.type, routedTo)}, and no socket here gets it`,
          remedy: `Add it to an interface; or, for one that is routed to this host, write anyip: ["${prefix}"] in the configuration (by hand: ip route add local ${prefix} dev lo).`,
        },
      ];
  }
}

function describeRoute(type: Route["type"], routedTo: string | null): string {
  switch (type) {
    case "none":
      return "there is no route to it";
    case "unicast":
      return `what is sent to it is routed on${routedTo === null ? "" : ` to ${routedTo}`} or dropped`;
    default:
      return `its route is of the type ${type}`;
  }
}

function firewallObstacles(packet: Packet, { firewall, interfaceName, itself }: Way): Obstacle[] {
  const found: Obstacle[] = judgePacket(firewall.chains, { packet, interfaceName, itself }).map(
    (finding) => ({
      kind: finding.what === "nat" ? "nat" : "firewall",
      sure: finding.doubt === null,
      message: describeFinding(finding),
      remedy: remedyFor(finding, packet),
    }),
  );
  const may = (message: string, remedy: string): void => {
    found.push({ kind: "firewall", sure: false, message, remedy });
  };
  for (const chain of firewall.unfollowed) {
    may(
      `the chain ${chain} sees packets first, and its rules are not followed here`,
      "`nft list ruleset` shows it.",
    );
  }
  if (firewall.unread !== null) {
    may(
      `there are rules of netfilter that could not be read: ${firewall.unread}`,
      "Install nftables (and iptables, where its rules are used), or look at the rules yourself.",
    );
  }
  return found;
}

function describeFinding({ what, chain, rule, doubt }: Finding): string {
  const who =
    rule === null
      ? `the policy of the chain ${chain.family} ${chain.table} ${chain.name}`
      : `the rule "${rule.text}" (${rule.place})`;
  const does =
    what === "drops"
      ? "drops it"
      : what === "nat"
        ? "leads it to another address or port, and ilm is asked about that one"
        : "may take it";
  return doubt === null
    ? `${who} ${does}`
    : `${who} ${does.replace(/^(drop|lead)s/, "may $1")}, but this is not certain: ${doubt}`;
}

/**
 * The suffix of the names of tables of iptables' old interface, which exist beside those of
 * nftables (config/nft/read-iptables.ts).
 */
const LEGACY = " (legacy)";
const iptablesTables = new Set(["filter", "mangle", "nat", "raw", "security"]);

/** Returns a remedy in terms of the tool that owns the rules. */
function remedyFor({ what, chain, rule }: Finding, packet: Packet): string {
  const { protocol, localPort: port } = packet;
  if (what !== "drops") return rule === null ? "" : `Remove it with: ${rule.remove}`;
  const names = [chain.name, ...(rule === null ? chain.rules : [rule]).map(({ text }) => text)];
  if (chain.table === "firewalld") {
    return `Accept it: firewall-cmd --add-port=${port}/${protocol} (and with --permanent).`;
  }
  const isUfw = names.some((name) => /\bufw6?-/.test(name));
  if (isUfw) return `Accept it: ufw allow ${port}/${protocol}.`;
  const isLegacy = chain.table.endsWith(LEGACY);
  // Its rules that use nothing beyond nft's own expressions are read as nft's.
  const isNamedSo =
    chain.family !== "inet" &&
    iptablesTables.has(chain.table) &&
    chain.name === chain.name.toUpperCase();
  if (isLegacy || isNamedSo || rule?.remove.includes("tables ") === true) {
    const program = `${chain.family === "ip6" ? "ip6tables" : "iptables"}${isLegacy ? "-legacy" : ""}`;
    const table = isLegacy ? chain.table.slice(0, -LEGACY.length) : chain.table;
    const where = table === "filter" ? "" : `-t ${table} `;
    return `Accept it first: ${program} ${where}-I ${chain.name} -p ${protocol} --dport ${port} -j ACCEPT`;
  }
  return `Accept it first: nft insert rule ${chain.family} ${chain.table} ${chain.name} ${protocol} dport ${port} accept`;
}
