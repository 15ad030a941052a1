/**
 * Decides which redirections mappings can replace exactly. A rule is taken as a whole or not at
 * all: one that stays comes before any mapping.
 */
import type { Address, Family } from "../../model/address.js";
import type { PortRange, Protocol } from "../../model/mapping.js";
import { chainKey, type Chain, type Rule } from "./rules.js";
import {
  addressNumber,
  everyInterface,
  everyPort,
  intersectRanges,
  ranges,
  subtractRanges,
  toPrefixes,
  type Ranges,
} from "./sets.js";
import {
  ELSEWHERE,
  HERE,
  intersectBoxes,
  meet,
  OTHER_PROTOCOLS,
  type Box,
  type Region,
} from "./space.js";
import { matchOf, reachableFrom, walkNat, type Hook, type Outcome, type Walked } from "./walk.js";

/** What decides on this host where packets go. */
export interface Host {
  /** The addresses of its interfaces. Those of 127.0.0.0/8 and ::1 are its own in any case. */
  readonly addresses: readonly Address[];
  /** The interfaces with their first address of each family, to which a redirection leads. */
  readonly interfaces: readonly { readonly name: string; readonly addresses: readonly Address[] }[];
  /** The sockets that listen on one address. */
  readonly bound: readonly {
    readonly protocol: Protocol;
    readonly address: Address;
    readonly port: number;
  }[];
  /** The families in which the host forwards packets to others. */
  readonly forwards: readonly Family[];
  /** The ephemeral ports; undefined when unknown. */
  readonly ephemeral: EphemeralRange | undefined;
}

/** Packets that a mapping gets, and where they go. */
export interface Share {
  readonly rule: Rule;
  readonly hook: Hook;
  readonly box: Box;
  /**
   * The destination address; null is the address of the interface, or 127.0.0.1 on the host itself.
   */
  readonly address: Address | null;
  readonly port: number | "same";
}

export interface Judgement {
  readonly shares: readonly Share[];
  readonly taken: readonly Rule[];
  /** Rules that get no packets because of earlier ones, but would decide once those are removed. */
  readonly shadowed: readonly Rule[];
  readonly left: readonly { readonly rule: Rule; readonly reason: string }[];
}

export function ownAddresses(host: Host, family: Family): Ranges {
  const own = host.addresses
    .filter((address) => address.includes(":") === (family === 6))
    .map((address): [bigint, bigint] => [addressNumber(address), addressNumber(address)]);
  const loopback: [bigint, bigint] = family === 4 ? [0x7f000000n, 0x7fffffffn] : [1n, 1n];
  return ranges([...own, loopback]);
}

/**
 * For at most this many rules without packets, find out which rule takes them: each takes a walk of
 * its own.
 */
const MOST_ASKED = 100;

const hooks: readonly Hook[] = ["prerouting", "output"];

export function judge(all: readonly Chain[], host: Host): Judgement {
  const chains = new Map(all.map((chain) => [chainKey(chain), chain]));
  const walked = new Map(hooks.map((hook) => [hook, walkNat(chains, hook)]));
  const rules = candidates(all);
  const reasons = new Map<Rule, string>();
  const shares = new Map<Rule, readonly Share[]>();
  const dead = new Set<Rule>();
  let asked = 0;
  for (const rule of rules) {
    const found = hooks.map((hook) => sharesAt(rule, hook, walked.get(hook)!, host));
    const reason = found.find((one) => typeof one === "string");
    const own = found.flatMap((one) => (typeof one === "string" ? [] : one));
    if (reason !== undefined) reasons.set(rule, reason);
    else if (own.length === 0) {
      const before = asked++ < MOST_ASKED ? decidesBefore(rule, walked, chains) : null;
      reasons.set(rule, unmet(rule, before, walked));
      if (before !== null) dead.add(rule);
    } else if (rule.also === null) shares.set(rule, own);
    else reasons.set(rule, `it also has "${rule.also}", which a mapping has not`);
  }
  while (drop(chains, dead, shares, reasons, host));
  const taken = rules.filter((rule) => shares.has(rule));
  return {
    shares: [...shares.values()].flat(),
    taken,
    shadowed: comingToLife(chains, new Set(taken), dead),
    left: rules.flatMap((rule) => {
      const reason = reasons.get(rule);
      return reason === undefined ? [] : [{ rule, reason }];
    }),
  };
}

/** Returns the rules without packets that would get some when others are removed. */
function comingToLife(
  chains: ReadonlyMap<string, Chain>,
  taken: ReadonlySet<Rule>,
  dead: ReadonlySet<Rule>,
): Rule[] {
  const alive = new Set<Rule>();
  for (let count = -1; count < alive.size;) {
    count = alive.size;
    for (const hook of hooks) {
      const { redirected } = walkNat(chains, hook, new Set([...taken, ...alive]));
      for (const { rule } of redirected) if (dead.has(rule)) alive.add(rule);
    }
  }
  return [...alive];
}

/**
 * Returns rules of chains reachable from NAT that redirect, or may, and those that would if their
 * chain were reached.
 */
function candidates(all: readonly Chain[]): Rule[] {
  const chains = new Map(all.map((chain) => [chainKey(chain), chain]));
  const reached = new Set<Chain>();
  for (const chain of all) {
    const { base } = chain;
    if (base?.type !== "nat" || (base.hook !== "prerouting" && base.hook !== "output")) continue;
    for (const each of reachableFrom(chains, chain)) reached.add(each);
  }
  return all.flatMap((chain) =>
    chain.rules.filter(({ branches }) =>
      branches.some(
        ({ action }) =>
          action.kind === "redirect" || (action.kind === "unsayable" && reached.has(chain)),
      ),
    ),
  );
}

/** Returns what mappings get of a rule at a hook, or why they cannot. */
function sharesAt(
  rule: Rule,
  hook: Hook,
  { redirected }: Walked,
  host: Host,
): readonly Share[] | string {
  const shares: Share[] = [];
  for (const outcome of redirected) {
    if (outcome.rule !== rule) continue;
    const reason = refusal(outcome, hook, host);
    if (reason !== null) return reason;
    const box = heardOf(outcome.box, hook, host);
    const { action } = outcome;
    if (box === null || action.kind !== "redirect") continue;
    shares.push({ rule, hook, box, address: action.address, port: action.port });
  }
  return shares;
}

/**
 * Returns the packets of the box that are delivered on this host and pass the hook at all, or null
 * when there are none.
 */
function heardOf(box: Box, hook: Hook, host: Host): Box | null {
  const own = ownAddresses(host, box.family);
  const from = hook === "output" ? intersectRanges(box.from, own) : subtractRanges(box.from, own);
  const { interfaces } = box;
  // Whatever comes in on lo was decided on its way out.
  const real = interfaces.except
    ? { except: true, names: interfaces.names.filter((name) => name !== "lo") }
    : { except: false, names: interfaces.names.filter((name) => name !== "lo") };
  const here = { ...box, places: box.places & HERE, from, interfaces: real };
  return intersectBoxes(here, here);
}

function refusal({ box, doubt, action, rule }: Outcome, hook: Hook, host: Host): string | null {
  const own = ownAddresses(host, box.family);
  if (action.kind === "unsayable") return action.why;
  if (action.kind !== "redirect") return null;
  const { address } = action;
  if (
    address !== null &&
    intersectRanges([[addressNumber(address), addressNumber(address)]], own).length === 0
  ) {
    return `${address} is not an address of this host, and ilm sends nothing elsewhere`;
  }
  if ((box.protocols & OTHER_PROTOCOLS) !== 0) {
    return "it redirects more than tcp and udp: for these alone, add `meta l4proto { tcp, udp }` to it";
  }
  if (doubt !== null) {
    return doubt.startsWith(`"${rule.text}" `) ? `it${doubt.slice(rule.text.length + 2)}` : doubt;
  }
  if ((box.places & ELSEWHERE) === 0) return null;
  const elsewhere = subtractRanges(box.on, own);
  if (elsewhere.length === 0) return null;
  const remedy =
    "add `fib daddr type local` to it (iptables: -m addrtype --dst-type LOCAL) if that is not intended";
  if (hook === "output") return `it redirects what this host dials elsewhere, too: ${remedy}`;
  const named = singles(rule, hook, box.family).find(
    (one) => intersectRanges([one], box.on).length > 0 && intersectRanges([one], own).length === 0,
  );
  if (named !== undefined) {
    const [prefix = ""] = toPrefixes([named], box.family);
    return `${prefix.replace(/\/.*/, "")} is not an address of this host, and a mapping gets only what this host delivers to itself`;
  }
  if (!host.forwards.includes(box.family)) return null;
  return `this host forwards IPv${box.family}, and it redirects what is forwarded, too: ${remedy}`;
}

/** Returns the single dialled addresses that the rule names. */
function singles(rule: Rule, hook: Hook, family: Family): (readonly [bigint, bigint])[] {
  return rule.branches
    .flatMap((branch) => matchOf(branch, hook, "nat").region)
    .filter((box) => box.family === family)
    .flatMap(({ on }) => on.filter(([first, last]) => first === last));
}

const reached = (rule: Rule, walked: ReadonlyMap<Hook, Walked>): boolean =>
  [...walked.values()].some(({ redirected }) => redirected.some((one) => one.rule === rule));

/**
 * Returns the first of the rules that take the packets of one that gets none, or null when it would
 * get none without them.
 */
function decidesBefore(
  rule: Rule,
  walked: ReadonlyMap<Hook, Walked>,
  chains: ReadonlyMap<string, Chain>,
): Rule | null {
  if (reached(rule, walked)) return null;
  for (const hook of hooks) {
    const { ended, redirected } = walked.get(hook)!;
    const region = rule.branches.flatMap((branch) => matchOf(branch, hook, "nat").region);
    const before = [...redirected, ...ended].filter(
      (outcome) => outcome.rule !== rule && meet([outcome.box], region),
    );
    const without = walkNat(chains, hook, new Set(before.map((outcome) => outcome.rule)));
    if (without.redirected.some((outcome) => outcome.rule === rule)) return before[0]!.rule;
  }
  return null;
}

/** Explains why mappings would get nothing of a rule. */
function unmet(rule: Rule, before: Rule | null, walked: ReadonlyMap<Hook, Walked>): string {
  if (before !== null) {
    return `no packet comes to it: "${before.text}" comes before it and decides`;
  }
  return reached(rule, walked)
    ? "no packet that it is for comes to this host from outside, or is dialled on the host itself (prerouting never sees these)"
    : "no packet that it is for comes to it, neither from prerouting nor from output";
}

/** Drops taken rules that would not be exact beside what stays. Returns whether there were any. */
function drop(
  chains: ReadonlyMap<string, Chain>,
  dead: ReadonlySet<Rule>,
  shares: Map<Rule, readonly Share[]>,
  reasons: Map<Rule, string>,
  host: Host,
): boolean {
  const without = new Set([...shares.keys(), ...dead]);
  const after = new Map(hooks.map((hook) => [hook, walkNat(chains, hook, without)]));
  const conflicts = [...shares].flatMap(([rule, own]) => {
    const reason = conflict(own, after, host);
    return reason === null ? [] : [[rule, reason] as const];
  });
  for (const [rule, reason] of conflicts) {
    shares.delete(rule);
    reasons.set(rule, reason);
  }
  return conflicts.length > 0;
}

/**
 * Returns which remaining rule comes between the packets and the mapping, once the taken rules are
 * removed.
 */
function conflict(
  own: readonly Share[],
  after: ReadonlyMap<Hook, Walked>,
  host: Host,
): string | null {
  for (const { box, hook } of own) {
    const next = after.get(hook)!.redirected.find((outcome) => meet([outcome.box], [box]));
    if (next !== undefined) {
      return `once it is removed, "${next.rule.text}" would get its packets, and cannot be taken itself`;
    }
  }
  for (const [hook, { redirected }] of after) {
    for (const outcome of redirected) {
      const arriving = arrival(outcome, hook, host);
      if (own.some(({ box }) => meet([box], arriving))) {
        return `"${outcome.rule.text}", which stays, leads to a port that the mapping would lead on`;
      }
    }
  }
  return null;
}

/**
 * Returns the packets of a remaining rule as they arrive at mappings: those that it leads to this
 * host.
 */
function arrival({ box, action }: Outcome, hook: Hook, host: Host): Region {
  const own = ownAddresses(host, box.family);
  const from = hook === "output" ? intersectRanges(box.from, own) : subtractRanges(box.from, own);
  const spans: readonly (readonly [Address, Address])[] | null =
    action.kind === "redirect"
      ? action.address && [[action.address, action.address]]
      : ((action.kind === "unsayable" ? action.to : null) ?? null);
  const on =
    spans === null
      ? own
      : intersectRanges(
          ranges(
            spans
              .filter(([first]) => first.includes(":") === (box.family === 6))
              .map(([first, last]) => [addressNumber(first), addressNumber(last)]),
          ),
          own,
        );
  const ports: Ranges =
    action.kind !== "redirect"
      ? everyPort
      : action.port === "same"
        ? box.ports
        : [[BigInt(action.port), BigInt(action.port)]];
  const region = { ...box, places: HERE, interfaces: everyInterface, on, from, ports };
  return on.length === 0 || from.length === 0 ? [] : [region];
}

/**
 * The ports that the kernel gives to sockets that ask for none, and those of them that it reserves.
 */
export interface EphemeralRange {
  readonly range: PortRange;
  readonly reserved: readonly PortRange[];
}
