/**
 * Turns redirections of nftables and iptables into mappings that decide the same (nft/judge.ts says
 * which can be taken). NAT changes the destination whoever listens, so the entries have `existing:
 * never` and `miss: reject`, except for ports that clients on the host may have.
 */
import type { Imported } from "./imported.js";
import { emit, ephemeralPorts } from "./nft/emit.js";
import { judge, type Host, type Share } from "./nft/judge.js";
import type { Chain, Rule } from "./nft/rules.js";
import { everyAddress, intersectRanges, subtractRanges } from "./nft/sets.js";
import { chainsOf, type NftSources } from "./nft/sources.js";
import { intersectBoxes, UDP } from "./nft/space.js";

export type { Host } from "./nft/judge.js";

/**
 * Imports rulesets. Throws USAGE for what is no ruleset, and LIMIT for one that is too complex to
 * follow.
 */
export function importNft(sources: NftSources, host: Host): Imported {
  const chains = chainsOf(sources);
  const { shares, taken, shadowed, left } = judge(chains, host);
  const emitted = emit(shares, host);
  const removed = [...taken, ...shadowed];
  return {
    entries: emitted.map(({ entry }) => entry),
    remarks: emitted.map(({ remarks }) => remarks),
    unsaid: left.map(({ rule, reason }) => `${rule.place}: ${rule.text}: ${reason}`),
    taken: removed.map(({ place, text, remove }) => ({ place, rule: text, remove })),
    left: left.map(({ rule, reason }) => ({ place: rule.place, rule: rule.text, reason })),
    notes: taken.length === 0 ? [] : notesOf(chains, shares, host),
  };
}

function notesOf(chains: readonly Chain[], shares: readonly Share[], host: Host): string[] {
  const notes: string[] = [];
  const outside = shares.filter(({ hook }) => hook === "prerouting");
  if (outside.length > 0) {
    notes.push(
      "Prerouting never sees what this host dials itself, so that is left as it is: by mappings whose `from` has the addresses of the host as they are now. Import again when they change, or remove those mappings if such connections should be redirected too.",
    );
  }
  if (outside.some(({ address }) => address === null)) {
    notes.push(
      'A redirection leads to the address of the interface; its mapping leads to the listener on all addresses ("*"), and to one on that address alone only if it is there now. Import again when such a daemon comes, or write its address in `to`.',
    );
  }
  const ephemeral = ephemeralPorts(host);
  const clients = shares.filter(
    ({ box }) => (box.protocols & UDP) !== 0 && intersectRanges(box.ports, ephemeral).length > 0,
  );
  if (clients.length > 0 && host.ephemeral !== undefined) {
    const { first, last } = host.ephemeral.range;
    notes.push(
      `UDP ports ${first}-${last} are also those of this host's own clients (net.ipv4.ip_local_port_range). conntrack keeps their answers from NAT; a mapping does with \`existing: exact\`, so a socket on exactly the dialled address and port keeps what comes there, too. Of ${listed(clients.map(({ rule }) => rule))}.`,
    );
  }
  const filters = chains.filter(filtersPorts);
  if (filters.length > 0) {
    notes.push(
      `After a redirection a firewall sees the new port, with a mapping the one that was dialled. Let the ports dialled in where these chains do not: ${filters.map(({ family, table, name }) => `${family} ${table} ${name}`).join(", ")}.`,
    );
  }
  for (const share of shares) {
    const next = shares.find((other) => leadsOn(share, other));
    if (next === undefined) continue;
    notes.push(
      `"${share.rule.text}" leads to a port that "${next.rule.text}" is for. Remove both at the same moment: with the mappings active and the first one still there, its connections would be led on.`,
    );
    break;
  }
  return notes;
}

function listed(rules: readonly Rule[]): string {
  return [...new Set(rules)].map(({ text }) => `"${text}"`).join(", ");
}

/** Reports whether the chain is a filter after NAT that refuses something. */
function filtersPorts({ base, rules }: Chain): boolean {
  if (base === null || base.type === "nat") return false;
  if (base.hook !== "input" && !(base.hook === "prerouting" && base.priority > -100)) return false;
  return (
    base.policy === "drop" ||
    rules.some(({ branches }) => branches.some(({ action }) => action.kind === "drop"))
  );
}

function leadsOn({ box, port, rule }: Share, other: Share): boolean {
  if (other.rule === rule || port === "same") return false;
  const everywhere = { on: everyAddress(box.family), interfaces: other.box.interfaces };
  const arrives = { ...box, ...everywhere, ports: [[BigInt(port), BigInt(port)]] as const };
  return (
    intersectBoxes(arrives, other.box) !== null &&
    subtractRanges(arrives.ports, box.ports).length > 0
  );
}
