/**
 * Redirections of nftables and iptables as mappings that decide the same (nft/judge.ts says which can be taken). NAT changes the
 * destination whoever listens, so the entries have `existing: never` and `miss: reject`, but for ports that clients of the host may have.
 */
import { IlmError } from "../errors.js";
import { asObject, type Imported } from "./imported.js";
import { emit, ephemeralPorts } from "./nft/emit.js";
import { judge, type Host, type Share } from "./nft/judge.js";
import { readIptables } from "./nft/read-iptables.js";
import { readNftables } from "./nft/read-json.js";
import { chainKey, type Chain, type Rule } from "./nft/rules.js";
import { everyAddress, intersectRanges, subtractRanges } from "./nft/sets.js";
import { intersectBoxes, UDP } from "./nft/space.js";

export type { Host } from "./nft/judge.js";

/** What iptables-save or ip6tables-save printed. */
export interface Saved {
  /** For messages. */
  readonly name: string;
  readonly text: string;
  /** Of which interface of the kernel, where that is known to be the old one. */
  readonly variant?: "-legacy";
}

export interface NftSources {
  /** What `nft -j list ruleset` printed. */
  readonly rulesets: readonly { readonly name: string; readonly value: unknown }[];
  readonly saved: readonly Saved[];
  /** Rules as nft prints them, by family, table and handle; for those that are not there they are made up from the JSON. */
  readonly texts?: ReadonlyMap<string, string>;
}

/** Throws USAGE for what is no ruleset, LIMIT for one that cannot be followed. */
export function importNft(
  { rulesets, saved, texts = new Map() }: NftSources,
  host: Host,
): Imported {
  const chains = withoutTwins(
    rulesets.flatMap(({ name, value }) => readNftables(rulesetItems(name, value), texts)),
    saved.flatMap(({ name, text, variant }) => readIptables(text, name, variant)),
  );
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

/**
 * What iptables wrote through nftables is there twice, and iptables says more of it: unless somebody else wrote into its tables, of
 * which it does not say all.
 */
function withoutTwins(ofNft: readonly Chain[], ofIptables: readonly Chain[]): Chain[] {
  const tableOf = ({ family, table }: Chain): string => `${family} ${table}`;
  const differing = new Set<string>();
  for (const chain of ofNft) {
    const twin = ofIptables.find((other) => chainKey(other) === chainKey(chain));
    const same =
      twin !== undefined &&
      twin.rules.length === chain.rules.length &&
      (["hook", "type", "priority"] as const).every(
        (key) => twin.base?.[key] === chain.base?.[key],
      );
    if (!same) differing.add(tableOf(chain));
  }
  const kept = ofIptables.filter((chain) => !differing.has(tableOf(chain)));
  const shown = new Set(kept.map(tableOf));
  return [...ofNft.filter((chain) => !shown.has(tableOf(chain))), ...kept];
}

function rulesetItems(name: string, value: unknown): readonly unknown[] {
  const items = asObject(value)?.["nftables"];
  if (Array.isArray(items)) return items;
  throw new IlmError("USAGE", `${name} has no list "nftables"`, {
    remedy: "Give what `nft -j list ruleset` prints, or what iptables-save prints.",
  });
}

function notesOf(chains: readonly Chain[], shares: readonly Share[], host: Host): string[] {
  const notes: string[] = [];
  const outside = shares.filter(({ hook }) => hook === "prerouting");
  if (outside.length > 0) {
    notes.push(
      "Prerouting never sees what this host dials itself, so that is left as it is: by mappings whose `from` has the addresses of the host as they are now. Import again when they change, or remove those mappings if such connections are to be led, too.",
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

/** A filter after NAT that refuses something. */
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
