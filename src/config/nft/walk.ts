/**
 * Leads regions of packets through chains as the kernel leads packets: what each redirection gets,
 * and what is uncertain.
 */
import { IlmError } from "../../errors.js";
import {
  chainKey,
  type Action,
  type Branch,
  type Chain,
  type Condition,
  type Rule,
} from "./rules.js";
import {
  ELSEWHERE,
  everything,
  HERE,
  intersectRegions,
  meet,
  narrowed,
  subtractRegions,
  type Box,
  type Region,
} from "./space.js";
import { everyInterface, subtractInterfaces } from "./sets.js";

/**
 * The hook at which packets meet NAT. `prerouting`: from outside. `output`: what the host itself
 * dials, which prerouting never decides.
 */
export type Hook = "prerouting" | "output";

/** Packets in a box. `doubt` says why some of them may have gone another way. */
export interface Piece {
  readonly box: Box;
  readonly doubt: string | null;
}

/** Packets for which a rule had the last word. */
export interface Outcome extends Piece {
  readonly rule: Rule;
  readonly action: Action;
}

export interface Walked {
  readonly redirected: readonly Outcome[];
  /** Packets accepted, dropped or returned by a rule. */
  readonly ended: readonly Outcome[];
}

/** The maximum number of pieces, far beyond what rules written by people lead to. */
const MOST_PIECES = 20_000;
const DEEPEST = 32;
/**
 * The priority at which all chains of type nat are called. Their own only orders them
 * (nf_nat_register_fn).
 */
const NAT_PRIORITY = -100;

const matches = new WeakMap<Branch, Map<string, Match>>();

interface Match {
  readonly region: Region;
  readonly unknown: string | null;
}

/** Returns the packets that may meet the conditions. `unknown` says that only some of them do. */
export function matchOf(branch: Branch, hook: Hook, type: string): Match {
  const cached = matches.get(branch) ?? new Map<string, Match>();
  matches.set(branch, cached);
  const known = cached.get(hook + type);
  if (known !== undefined) return known;
  const match = evaluateAll(branch, hook, type);
  cached.set(hook + type, match);
  return match;
}

function evaluateAll({ conditions }: Branch, hook: Hook, type: string): Match {
  let region: Region = everything;
  let unknown: string | null = null;
  for (const condition of conditions) {
    const one = evaluate(condition, hook, type);
    region = intersectRegions(region, one.region);
    unknown ??= one.unknown;
  }
  return { region, unknown };
}

function evaluate(condition: Condition, hook: Hook, type: string): Match {
  const sure = (region: Region) => ({ region, unknown: null });
  const unsure = (what: string) => ({ region: everything, unknown: what });
  switch (condition.kind) {
    case "region":
      return sure(condition.region);
    case "unknown":
      return { region: condition.region, unknown: condition.what };
    case "state": {
      // Only the first packet of a connection reaches chains of type nat.
      if (type !== "nat") return unsure("the state of the connection");
      const meets = condition.states.includes("new") !== condition.negated;
      return sure(meets ? everything : []);
    }
    case "interface": {
      const { direction, names, negated } = condition;
      if (names.some((name) => /[*+]$/.test(name))) {
        return unsure(`interfaces by the pattern ${names.join(", ")}`);
      }
      if (hook === "prerouting" && direction === "in") {
        const interfaces = { except: false, names };
        return sure(
          narrowed({
            interfaces: negated ? subtractInterfaces(everyInterface, interfaces) : interfaces,
          }),
        );
      }
      // What the host dials on itself goes out on lo, and nothing else does.
      if (hook === "output" && direction === "out" && names.length === 1 && names[0] === "lo") {
        return sure(narrowed({ places: negated ? ELSEWHERE : HERE }));
      }
      return unsure(`the interface that packets ${direction === "in" ? "come in" : "go out"} on`);
    }
  }
}

interface Leaving {
  readonly chain: Chain;
  readonly depth: number;
  /** Packets that continue with the next rule. */
  readonly further: Piece[];
  /** Packets that leave the base chain. */
  readonly accepted: Piece[];
  /** Packets that return to where the chain was called. */
  readonly returned: Piece[];
}

class Walk {
  readonly redirected: Outcome[] = [];
  readonly ended: Outcome[] = [];

  constructor(
    readonly chains: ReadonlyMap<string, Chain>,
    readonly hook: Hook,
    readonly skipped: ReadonlySet<Rule>,
  ) {}

  /** Notes that no outcome for any of these packets is certain. */
  doubt(region: Region, doubt: string): void {
    for (const [at, outcome] of this.redirected.entries()) {
      if (outcome.doubt === null && meet([outcome.box], region)) {
        this.redirected[at] = { ...outcome, doubt };
      }
    }
  }

  /**
   * Leads packets through a chain. `through` are those that reach its end or are returned,
   * `accepted` those that leave the base chain.
   */
  chain(
    chain: Chain,
    entering: readonly Piece[],
    depth = 0,
  ): { through: Piece[]; accepted: Piece[] } {
    const leaving: Leaving = { chain, depth, further: [], accepted: [], returned: [] };
    let pieces: readonly Piece[] = entering;
    for (const rule of chain.rules) {
      if (this.skipped.has(rule)) continue;
      for (const branch of rule.branches) pieces = this.#branch(rule, branch, pieces, leaving);
      pieces = [...pieces, ...leaving.further.splice(0)];
      if (pieces.length > MOST_PIECES) {
        throw new IlmError("LIMIT", `${chainKey(chain)} has more exceptions than can be followed`, {
          remedy: "Import the tables of the redirections from a file of their own.",
        });
      }
    }
    return { through: [...pieces, ...leaving.returned], accepted: leaving.accepted };
  }

  /** Returns what is left for the next branch, or the next rule. */
  #branch(rule: Rule, branch: Branch, pieces: readonly Piece[], leaving: Leaving): Piece[] {
    const { region, unknown } = matchOf(branch, this.hook, "nat");
    if (rule.alters !== null) {
      return doubted(pieces, region, `"${rule.text}" comes before it and ${rule.alters}`);
    }
    if (branch.action.kind === "continue") return [...pieces];
    if (unknown === null) {
      this.#act(rule, branch.action, meeting(pieces, region, null), leaving);
      return outside(pieces, region);
    }
    // Some packets are led away, and it is unknown which: later rules cannot be certain of any.
    const doubt = `"${rule.text}" asks for ${unknown}, which no mapping does`;
    const perhaps = meeting(pieces, region, doubt);
    const back: Leaving = { ...leaving, further: [] };
    this.#act(rule, branch.action, perhaps, back);
    const led = subtractRegions(
      perhaps.map(({ box }) => box),
      back.further.filter((piece) => piece.doubt === doubt).map(({ box }) => box),
    );
    return doubted(pieces, led, `${doubt}, and comes before it`);
  }

  #act(rule: Rule, action: Action, matched: readonly Piece[], leaving: Leaving): void {
    if (matched.length === 0) return;
    const outcomes = matched.map((piece) => ({ ...piece, rule, action }));
    switch (action.kind) {
      case "continue":
        leaving.further.push(...matched);
        return;
      case "drop":
        this.ended.push(...outcomes);
        return;
      case "accept":
        this.ended.push(...outcomes);
        leaving.accepted.push(...matched);
        return;
      case "return":
        this.ended.push(...outcomes);
        leaving.returned.push(...matched);
        return;
      case "jump":
      case "goto": {
        const target = this.chains.get(chainKey({ ...leaving.chain, name: action.chain }));
        if (target === undefined || leaving.depth > DEEPEST) {
          const doubt = `"${rule.text}" leads where nothing is known of`;
          leaving.further.push(...matched.map(({ box }) => ({ box, doubt })));
          return;
        }
        const { through, accepted } = this.chain(target, matched, leaving.depth + 1);
        leaving.accepted.push(...accepted);
        (action.kind === "jump" ? leaving.further : leaving.returned).push(...through);
        return;
      }
      case "redirect":
      case "unsayable":
        this.redirected.push(...outcomes);
    }
  }
}

function meeting(pieces: readonly Piece[], region: Region, doubt: string | null): Piece[] {
  return pieces.flatMap((piece) =>
    intersectRegions([piece.box], region).map((box) => ({
      box,
      doubt: piece.doubt ?? doubt,
    })),
  );
}

function outside(pieces: readonly Piece[], region: Region): Piece[] {
  return pieces.flatMap(({ box, doubt }) =>
    subtractRegions([box], region).map((rest) => ({ box: rest, doubt })),
  );
}

/** Returns the same pieces, with a doubt about those in the region. */
function doubted(pieces: readonly Piece[], region: Region, doubt: string | null): Piece[] {
  return pieces.flatMap((piece) => {
    if (piece.doubt !== null || !meet([piece.box], region)) return [piece];
    return [...meeting([piece], region, doubt), ...outside([piece], region)];
  });
}

function familiesOf(chain: Chain): readonly (4 | 6)[] {
  return chain.family === "ip" ? [4] : chain.family === "ip6" ? [6] : [4, 6];
}

/**
 * Returns what chains before NAT leave for it: some packets are exempted from it, and some are
 * changed.
 */
function prepare(
  chains: ReadonlyMap<string, Chain>,
  hook: Hook,
  skipped: ReadonlySet<Rule>,
): Piece[] {
  let pieces: Piece[] = everything.map((box) => ({ box, doubt: null }));
  for (const chain of chains.values()) {
    const { base } = chain;
    if (base === null || base.hook !== hook || base.type === "nat") continue;
    if (base.priority > NAT_PRIORITY) continue;
    for (const rule of [...reachableFrom(chains, chain)].flatMap(({ rules }) => rules)) {
      if (!rule.untracks && rule.alters === null) continue;
      if (skipped.has(rule)) continue;
      // Packets may not get as far as the rule. Assume at most all that it matches.
      for (const branch of rule.branches) {
        const { region: all } = matchOf(branch, hook, base.type);
        const region = all.filter(({ family }) => familiesOf(chain).includes(family));
        const what = rule.alters ?? "keeps packets from NAT";
        pieces = doubted(pieces, region, `"${rule.text}" comes before it and ${what}`);
      }
    }
  }
  return pieces;
}

/** Returns the chain, and those that its packets may reach. */
export function reachableFrom(chains: ReadonlyMap<string, Chain>, from: Chain): ReadonlySet<Chain> {
  const seen = new Set<Chain>([from]);
  for (const chain of seen) {
    for (const { branches } of chain.rules) {
      for (const { action } of branches) {
        if (action.kind !== "jump" && action.kind !== "goto") continue;
        const next = chains.get(chainKey({ ...from, name: action.chain }));
        if (next !== undefined) seen.add(next);
      }
    }
  }
  return seen;
}

/** Leads all packets through NAT at the hook, as if the `skipped` rules did not exist. */
export function walkNat(
  chains: ReadonlyMap<string, Chain>,
  hook: Hook,
  skipped: ReadonlySet<Rule> = new Set(),
): Walked {
  const walk = new Walk(chains, hook, skipped);
  let pieces = prepare(chains, hook, skipped);
  const nat = [...chains.values()]
    .flatMap((chain) =>
      chain.base?.hook === hook && chain.base.type === "nat" ? [{ chain, base: chain.base }] : [],
    )
    .sort((a, b) => a.base.priority - b.base.priority);
  for (const priority of new Set(nat.map(({ base }) => base.priority))) {
    const group = nat.filter(({ base }) => base.priority === priority);
    const begin = pieces;
    const rivals: { name: string; region: Region }[] = [];
    for (const { chain, base } of group) {
      const families = familiesOf(chain);
      const own = pieces.filter(({ box }) => families.includes(box.family));
      const others = pieces.filter(({ box }) => !families.includes(box.family));
      const { through, accepted } = walk.chain(chain, own);
      if (group.length > 1) {
        // Which of them the kernel asks first depends on which was created last, and that is not
        // shown.
        const alone = new Walk(chains, hook, skipped);
        alone.chain(
          chain,
          begin.filter(({ box }) => families.includes(box.family)),
        );
        const region = alone.redirected.map(({ box }) => box);
        for (const rival of rivals) {
          const doubt = `${chainKey(chain)} and ${rival.name} have the same priority, so their order is not known`;
          const common = intersectRegions(region, rival.region);
          walk.doubt(common, doubt);
          // Either may get what is led through the other one first here.
          walk.redirected.push(
            ...alone.redirected
              .filter(({ box }) => meet([box], common))
              .map((outcome) => ({ ...outcome, doubt })),
          );
        }
        rivals.push({ name: chainKey(chain), region });
      }
      pieces = [...others, ...(base.policy === "drop" ? accepted : [...through, ...accepted])];
    }
  }
  return walk;
}
