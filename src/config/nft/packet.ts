/**
 * Follows a packet that opens a connection through the chains of nftables and iptables, on its way
 * to the sockets of this host. Where something decides that the packet alone does not tell (a mark,
 * a limit, a set that changes), nothing is certain any more.
 */
import {
  chainKey,
  type Action,
  type Base,
  type Branch,
  type Chain,
  type Condition,
  type Rule,
} from "./rules.js";
import { addressNumber } from "./sets.js";
import {
  ELSEWHERE,
  HERE,
  OTHER_PROTOCOLS,
  TCP,
  UDP,
  meet,
  universe,
  type Box,
  type Region,
} from "./space.js";
import type { Packet } from "../../model/decision.js";
import { familyOf, type Address } from "../../model/address.js";

export interface Arriving {
  readonly packet: Packet;
  /** The name of the interface that it comes in on; empty when unknown. */
  readonly interfaceName: string;
  /** True when the machine itself sends it, so it passes OUTPUT first and comes in through lo. */
  readonly itself: boolean;
}

export interface Finding {
  /**
   * What happens to the packet. `nat`: it is led to another address or port. `takes`: it may go
   * another way altogether.
   */
  readonly what: "drops" | "nat" | "takes";
  readonly chain: Chain;
  /** The rule; null for the policy of the chain. */
  readonly rule: Rule | null;
  /** Why it is uncertain; null when it is certain. */
  readonly doubt: string | null;
}

/**
 * Whether a packet may be at a place, and why that is uncertain. It is undefined when the packet is
 * not there.
 */
type Presence = { readonly doubt: string | null } | undefined;

interface Left {
  /** The packet at the end of the chain, or returned. */
  readonly through: Presence;
  /** The packet past the base chain. */
  readonly accepted: Presence;
}

/** What is followed through the chains. */
interface Followed extends Pick<Arriving, "interfaceName" | "itself"> {
  readonly point: Box;
  /** True when conntrack leaves it alone from the start. */
  readonly untracked: boolean;
}

type Hook = "output" | "ingress" | "prerouting" | "input";
/** The priority of conntrack (NF_IP_PRI_CONNTRACK). Before it, no connection is known. */
const CONNTRACK_PRIORITY = -200;
const DEEPEST = 32;
const NO_INTERFACE = "it asks for the interface, and that is not known (--interface)";
/** Conditions that only packets meet which NAT has led elsewhere before. */
const WAS_LED = /^"(?:ct status dnat|--ctstate DNAT)"/;
/**
 * Conditions on IPv6 extension headers, as nft and iptables write them. What clients send has none.
 */
const EXTENSION_HEADER =
  /^"(?:! )?(?:--(?:rt-|frag|hbh-|mh-type|ah(?:spi|len|res)|header|soft)|(?:rt|frag|hbh|mh|ah|exthdr) )/;

function either(a: Presence, b: Presence): Presence {
  if (a === undefined || b === undefined) return a ?? b;
  return a.doubt === null ? a : b;
}

class Walk {
  readonly findings: Finding[] = [];
  readonly #chains: ReadonlyMap<string, Chain>;
  readonly #arriving: Followed;
  readonly #point: Box;
  #untracked: boolean;

  constructor(chains: ReadonlyMap<string, Chain>, arriving: Followed) {
    this.#chains = chains;
    this.#arriving = arriving;
    this.#point = arriving.point;
    this.#untracked = arriving.untracked;
  }

  /** Returns where the packet is after all base chains of a hook. */
  hook(hook: Hook, begin: Presence): Presence {
    const family = this.#point.family === 4 ? "ip" : "ip6";
    const bases = [...this.#chains.values()]
      .flatMap((chain) => (chain.base?.hook === hook ? [{ chain, base: chain.base }] : []))
      .filter(({ chain }) => ["inet", "netdev", family].includes(chain.family))
      // What the machine sends to itself went through NAT on its way out.
      .filter(
        ({ base }) => !(base.type === "nat" && hook === "prerouting" && this.#arriving.itself),
      )
      .toSorted((a, b) => a.base.priority - b.base.priority);
    let presence = begin;
    for (const { chain, base } of bases) {
      if (presence === undefined) return undefined;
      const seen = this.#seesDevice(base.devices);
      if (seen === false) continue;
      const before = presence;
      const begins = { doubt: before.doubt ?? seen };
      const { through, accepted } = this.#chain(chain, begins, { hook, base: chain, depth: 0 });
      if (through !== undefined && base.policy === "drop") {
        this.findings.push({ what: "drops", chain, rule: null, doubt: through.doubt });
      }
      presence = either(base.policy === "drop" ? undefined : through, accepted);
      if (seen !== null) presence = either(presence, before);
    }
    return presence;
  }

  /** Reports whether a chain of these interfaces sees the packet, as `#meets` does. */
  #seesDevice(devices: Base["devices"]): false | null | string {
    if (devices === undefined) return null;
    if (devices === null) return "the interfaces of its chain are not known";
    const name = this.#interfaceAt("ingress", "in");
    if (name === null) return NO_INTERFACE;
    return devices.some((pattern) => matchesName(pattern, name)) ? null : false;
  }

  #chain(chain: Chain, begin: Presence, place: Place): Left {
    let here = begin;
    let accepted: Presence;
    let returned: Presence;
    for (const rule of chain.rules) {
      for (const branch of rule.branches) {
        if (here === undefined) break;
        const match = this.#match(branch, place);
        if (match === false) continue;
        const doubt: string | null = here.doubt ?? match;
        if (rule.alters !== null) {
          this.findings.push({ what: "takes", chain, rule, doubt: doubt ?? rule.alters });
        }
        if (rule.untracks && match === null) this.#untracked = true;
        const before = this.findings.length;
        const left = this.#act(rule, branch.action, { doubt }, chain, place);
        accepted = either(accepted, left.accepted);
        returned = either(returned, left.returned);
        const leads =
          left.accepted !== undefined ||
          left.returned !== undefined ||
          this.findings.length > before;
        if (match === null) here = left.further;
        else if (leads) here = { doubt };
        // The conditions of one rule's branches exclude each other.
        if (match === null) break;
      }
      if (here === undefined) break;
    }
    return { through: either(here, returned), accepted };
  }

  #act(
    rule: Rule,
    action: Action,
    at: { readonly doubt: string | null },
    chain: Chain,
    place: Place,
  ): { further: Presence; accepted: Presence; returned: Presence } {
    const gone = { further: undefined, accepted: undefined, returned: undefined };
    switch (action.kind) {
      case "continue":
        return { ...gone, further: at };
      case "accept":
        return { ...gone, accepted: at };
      case "return":
        return { ...gone, returned: at };
      case "drop":
        this.findings.push({ what: "drops", chain, rule, doubt: at.doubt });
        return gone;
      case "redirect":
        this.findings.push({ what: "nat", chain, rule, doubt: at.doubt });
        return gone;
      case "unsayable":
        this.findings.push(
          place.base.base?.type === "nat"
            ? { what: "nat", chain, rule, doubt: at.doubt }
            : { what: "takes", chain, rule, doubt: at.doubt ?? action.why },
        );
        return place.base.base?.type === "nat"
          ? gone
          : { ...gone, further: { doubt: at.doubt ?? action.why } };
      case "jump":
      case "goto": {
        const target = this.#chains.get(chainKey({ ...chain, name: action.chain }));
        if (target === undefined || place.depth > DEEPEST) {
          return { ...gone, further: { doubt: `"${rule.text}" leads where nothing is known of` } };
        }
        const { through, accepted } = this.#chain(target, at, { ...place, depth: place.depth + 1 });
        return action.kind === "jump"
          ? { further: through, accepted, returned: undefined }
          : { further: undefined, accepted, returned: through };
      }
    }
  }

  /**
   * Returns false when the branch does not match, null when it does, and a text when it may, saying
   * why that is uncertain.
   */
  #match({ conditions }: Branch, place: Place): false | null | string {
    let doubt: string | null = null;
    for (const condition of conditions) {
      const one = this.#meets(condition, place);
      if (one === false) return false;
      doubt ??= one;
    }
    return doubt;
  }

  #meets(condition: Condition, { hook, base }: Place): false | null | string {
    switch (condition.kind) {
      case "region":
        return meet([this.#point], condition.region) ? null : false;
      case "unknown":
        if (EXTENSION_HEADER.test(condition.what)) return false;
        if (WAS_LED.test(condition.what) && this.findings.every(({ what }) => what !== "nat")) {
          return false;
        }
        return meet([this.#point], condition.region) ? `it asks for ${condition.what}` : false;
      case "state": {
        if ((base.base?.priority ?? 0) < CONNTRACK_PRIORITY) return "it asks before conntrack";
        const state = this.#untracked ? "untracked" : "new";
        return condition.states.includes(state) !== condition.negated ? null : false;
      }
      case "interface": {
        const name = this.#interfaceAt(hook, condition.direction);
        if (name === null) return NO_INTERFACE;
        return condition.names.some((pattern) => matchesName(pattern, name)) !== condition.negated
          ? null
          : false;
      }
    }
  }

  /**
   * Returns the interface's name, which is empty where packets have none, or null when it is
   * unknown.
   */
  #interfaceAt(hook: Hook, direction: "in" | "out"): string | null {
    const { itself, interfaceName } = this.#arriving;
    if (hook === "output") return direction === "out" ? "lo" : "";
    if (direction === "out") return "";
    if (itself) return "lo";
    return interfaceName === "" ? null : interfaceName;
  }
}

interface Place {
  readonly hook: Hook;
  readonly base: Chain;
  readonly depth: number;
}

/** Matches `eth*` in nft, `eth+` in iptables. */
function matchesName(pattern: string, name: string): boolean {
  return /[*+]$/.test(pattern) ? name.startsWith(pattern.slice(0, -1)) : pattern === name;
}

const SOLICITED = 0xff02_0000_0000_0000_0000_0001_ff00_0000n;
/** A made-up neighbour: routers ask from fe80::/10. */
const ROUTER = 0xfe80_0000_0000_0000_0000_5eff_fe00_5301n;

const one = (value: bigint): Region[number]["on"] => [[value, value]];

function pointOf({ packet }: Arriving): Box {
  return {
    family: familyOf(packet.local),
    protocols: packet.protocol === "tcp" ? TCP : UDP,
    places: HERE,
    ports: one(BigInt(packet.localPort)),
    on: one(addressNumber(packet.local)),
    from: one(addressNumber(packet.remote)),
    // Interfaces are checked separately, by name.
    interfaces: { except: true, names: [] },
  };
}

/**
 * Returns what is in the way of the packet, or may be, in the order in which it meets it. Returns
 * nothing when it reaches the sockets.
 */
export function judgePacket(chains: readonly Chain[], arriving: Arriving): readonly Finding[] {
  return follow(chains, { ...arriving, point: pointOf(arriving), untracked: false });
}

/**
 * Returns what surely drops the question of a neighbour for the hardware address of an IPv6 address
 * (RFC 4861), which it sends before all else; undefined when nothing surely does. Rules on ICMPv6
 * are not followed, and make that unsure.
 */
export function judgeSolicitation(
  chains: readonly Chain[],
  asked: Address,
  interfaceName: string,
): Finding | undefined {
  // It goes to ff02::1:ff00:0/104, with the last 24 bits of the address that is asked for.
  const group = SOLICITED | (addressNumber(asked) & 0xff_ffffn);
  const point = {
    ...universe(6),
    protocols: OTHER_PROTOCOLS,
    places: ELSEWHERE,
    on: one(group),
    from: one(ROUTER),
  };
  const followed = { point, interfaceName, itself: false, untracked: true };
  return follow(chains, followed).find(({ what, doubt }) => what === "drops" && doubt === null);
}

function follow(chains: readonly Chain[], arriving: Followed): readonly Finding[] {
  const walk = new Walk(new Map(chains.map((chain) => [chainKey(chain), chain])), arriving);
  const hooks: readonly Hook[] = arriving.itself
    ? ["output", "ingress", "prerouting", "input"]
    : ["ingress", "prerouting", "input"];
  let presence: Presence = { doubt: null };
  for (const hook of hooks) {
    if (presence === undefined) break;
    presence = walk.hook(hook, presence);
  }
  const last = walk.findings.at(-1);
  if (presence !== undefined || last === undefined) return walk.findings;
  // Whichever of them meets the packet, it gets no further.
  return [...walk.findings.slice(0, -1), { ...last, doubt: null }];
}
