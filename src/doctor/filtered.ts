/** Finds which rules of nftables and iptables keep a packet away, and conntrack. Pure. */
import { judgePacket, type Finding } from "../config/nft/packet.js";
import { familyOf } from "../model/address.js";
import type { Packet } from "../model/decision.js";
import type { Obstacle, Way } from "./obstacle.js";

/** What a rule's text has that needs to know connections. */
const NEEDS_CONNTRACK =
  /\b(?:ct|conntrack|state|CT|connlimit|connmark|CONNMARK|connbytes|helper|synproxy|SYNPROXY)\b/;

/** Finds that netfilter has no room for new connections, where a rule has it follow them. */
export function conntrackObstacle({ local }: Packet, { conntrack, firewall }: Way): Obstacle[] {
  if (conntrack === null || conntrack.count < conntrack.limit) return [];
  const families = ["inet", familyOf(local) === 4 ? "ip" : "ip6"];
  const isFollowed = firewall.chains.some(
    ({ family, base, rules }) =>
      families.includes(family) &&
      rules.some(({ text }) => base?.type === "nat" || NEEDS_CONNTRACK.test(text)),
  );
  if (!isFollowed) return [];
  const { count, limit, dropped } = conntrack;
  return [
    {
      kind: "conntrack",
      // As long as it finds connections without an answer, it forgets those instead.
      sure: dropped > 0,
      message: `netfilter follows ${count} connections and has no room for more, so it drops new ones (${dropped} packets so far)`,
      remedy: `sysctl -w net.netfilter.nf_conntrack_max=${limit * 2} (in the host's own network namespace); \`conntrack -L\` shows what they are.`,
    },
  ];
}

export function firewallObstacles(
  packet: Packet,
  { firewall, interfaceName, itself }: Way,
): Obstacle[] {
  const found: Obstacle[] = judgePacket(firewall.chains, { packet, interfaceName, itself }).map(
    (finding) => ({
      kind: finding.what === "nat" ? "nat" : "firewall",
      sure: finding.doubt === null,
      message: describeFinding(finding),
      remedy: remedyForDropper(finding, selector(packet)),
    }),
  );
  const may = (message: string, remedy: string): void => {
    found.push({ kind: "unread", sure: false, message, remedy });
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

/** Names the rule, or the policy of a chain. */
export function nameOfDropper({ chain, rule }: Finding): string {
  return rule === null
    ? `the policy of the chain ${chain.family} ${chain.table} ${chain.name}`
    : `the rule "${rule.text}" (${rule.place})`;
}

function describeFinding(finding: Finding): string {
  const { what, doubt } = finding;
  const who = nameOfDropper(finding);
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

/** The packets to accept, as the tools name them. */
interface Selector {
  readonly iptables: string;
  readonly nft: string;
  /** As ufw and firewalld name it; absent where they accept it by themselves. */
  readonly service?: string;
}

function selector({ protocol, localPort: port }: Packet): Selector {
  return {
    iptables: `-p ${protocol} --dport ${port}`,
    nft: `${protocol} dport ${port}`,
    service: `${port}/${protocol}`,
  };
}

/** Returns a remedy in terms of the tool that owns the rules. */
export function remedyForDropper({ what, chain, rule }: Finding, those: Selector): string {
  if (what !== "drops") return rule === null ? "" : `Remove it with: ${rule.remove}`;
  const names = [chain.name, ...(rule === null ? chain.rules : [rule]).map(({ text }) => text)];
  const { service } = those;
  if (chain.table === "firewalld" && service !== undefined) {
    return `Accept it: firewall-cmd --add-port=${service} (and with --permanent).`;
  }
  const isUfw = names.some((name) => /\bufw6?-/.test(name));
  if (isUfw && service !== undefined) return `Accept it: ufw allow ${service}.`;
  const isLegacy = chain.table.endsWith(LEGACY);
  // Its rules that use nothing beyond nft's own expressions are read as nft's.
  const isNamedSo =
    (chain.family === "ip" || chain.family === "ip6") &&
    iptablesTables.has(chain.table) &&
    chain.name === chain.name.toUpperCase();
  if (isLegacy || isNamedSo || rule?.remove.includes("tables ") === true) {
    const program = `${chain.family === "ip6" ? "ip6tables" : "iptables"}${isLegacy ? "-legacy" : ""}`;
    const table = isLegacy ? chain.table.slice(0, -LEGACY.length) : chain.table;
    const where = table === "filter" ? "" : `-t ${table} `;
    return `Accept it first: ${program} ${where}-I ${chain.name} ${those.iptables} -j ACCEPT`;
  }
  return `Accept it first: nft insert rule ${chain.family} ${chain.table} ${chain.name} ${those.nft} accept`;
}
