/** Reads `nft -j list ruleset` into chains of rules. */
import { parseAddress, type Address } from "../../model/address.js";
import { asObject, word } from "../imported.js";
import {
  fieldOf,
  ofFamily,
  complement,
  union,
  valueRegion,
  widest,
  widestOf,
  type Field,
} from "./read-set.js";
import {
  followedFamilies,
  type Action,
  type Branch,
  type Chain,
  type Condition,
  type Rule,
} from "./rules.js";
import { everything, intersectRegions, type Region } from "./space.js";
import { ruleText } from "./text.js";

type Json = Readonly<Record<string, unknown>>;

/** Statements that change nothing that a later rule, or the way of the packet, depends on. */
const harmless = ["counter", "log", "last", "dup"];
const verdicts = ["accept", "drop", "return", "continue", "jump", "goto"];

interface NamedSet {
  readonly elements: readonly unknown[];
  /** True when elements come and go while the rules stay. */
  readonly changes: boolean;
}

/**
 * Reads chains. `texts` has the rules as nft prints them, by family, table and handle; `devices`
 * has what the JSON may lack, by family, table and chain.
 */
export function readNftables(
  items: readonly unknown[],
  texts: ReadonlyMap<string, string>,
  devices: ReadonlyMap<string, readonly string[]>,
): Chain[] {
  const objects = items.map(asObject).filter((item) => item !== null);
  const rules = objects.map((item) => asObject(item["rule"])).filter((rule) => rule !== null);
  const sets = namedSets(objects, rules);
  return objects.flatMap((item) => {
    const chain = asObject(item["chain"]);
    const family = followedFamilies.find((one) => one === chain?.["family"]);
    if (chain === null || family === undefined) return [];
    const own = rules.filter(
      (rule) =>
        rule["family"] === family &&
        rule["table"] === chain["table"] &&
        rule["chain"] === chain["name"],
    );
    return {
      family,
      table: String(chain["table"]),
      name: String(chain["name"]),
      base:
        chain["hook"] === undefined
          ? null
          : {
              hook: word(chain["hook"]),
              type: word(chain["type"]),
              priority: Number(chain["prio"] ?? 0),
              policy: chain["policy"] === "drop" ? ("drop" as const) : ("accept" as const),
              ...(chain["hook"] === "ingress" && { devices: devicesOf(chain, devices) }),
            },
      rules: own.map((rule) => readRule(rule, family, sets, texts)),
    };
  });
}

function devicesOf(
  chain: Json,
  listed: ReadonlyMap<string, readonly string[]>,
): readonly string[] | null {
  const { dev } = chain;
  return dev === undefined
    ? (listed.get(setKey(chain, chain["name"])) ?? null)
    : [dev].flat().map(word);
}

function setKey(of: Json, name: unknown): string {
  return `${String(of["family"])} ${String(of["table"])} ${String(name)}`;
}

function namedSets(objects: readonly Json[], rules: readonly Json[]): Map<string, NamedSet> {
  const updated = new Set(
    rules.flatMap((rule) =>
      statementsOf(rule).flatMap((statement) => {
        const update = asObject(statement["set"] ?? statement["map"]);
        const name = update?.["set"] ?? update?.["map"];
        return typeof name === "string" ? [setKey(rule, name.replace(/^@/, ""))] : [];
      }),
    ),
  );
  const sets = new Map<string, NamedSet>();
  for (const item of objects) {
    const set = asObject(item["set"] ?? item["map"]);
    if (set === null) continue;
    const key = setKey(set, set["name"]);
    const flags = [set["flags"] ?? []].flat();
    const elements = set["elem"];
    sets.set(key, {
      elements: Array.isArray(elements) ? elements.map(bare) : [],
      changes:
        updated.has(key) ||
        flags.includes("timeout") ||
        flags.includes("dynamic") ||
        set["timeout"] !== undefined,
    });
  }
  return sets;
}

/** Strips an element's comment, counter or timeout. */
function bare(element: unknown): unknown {
  if (Array.isArray(element)) return [bare(element[0]), element[1] as unknown];
  return asObject(asObject(element)?.["elem"])?.["val"] ?? element;
}

function statementsOf(rule: Json): Json[] {
  const { expr } = rule;
  return Array.isArray(expr) ? expr.map(asObject).filter((item) => item !== null) : [];
}

/** Collects what the statements of a rule come to, one after the other. */
class Reader {
  conditions: Condition[] = [];
  branches: Branch[] = [];
  also: string | null = null;
  alters: string | null = null;
  untracks = false;

  constructor(
    readonly rule: Json,
    readonly sets: ReadonlyMap<string, NamedSet>,
  ) {}

  statement(statement: Json): void {
    const [key = "", value] = Object.entries(statement)[0] ?? [];
    const of = asObject(value);
    if (harmless.includes(key)) return;
    if (key === "match" && of !== null) this.conditions.push(...this.#match(of));
    else if (verdicts.includes(key)) this.#end(verdict(statement));
    else if (key === "reject") this.#end({ kind: "drop" });
    else if (key === "snat" || key === "masquerade") this.#end({ kind: "accept" });
    else if (key === "vmap" && of !== null) this.#vmap(of);
    else if (key === "redirect" || key === "dnat") this.#nat(key, of ?? {});
    else if (key === "notrack") this.untracks = true;
    else if (key === "mangle") this.#mangle(of ?? {});
    else if (key === "xt") this.#xt(of);
    else if (key === "queue" || key === "tproxy" || key === "synproxy" || key === "fwd") {
      this.alters = `has ${key}, which may take the packets`;
    } else if (["limit", "quota", "ct count", "set", "map"].includes(key)) {
      this.#unknown(key === "set" || key === "map" ? "a set that it changes" : key, everything);
      this.also ??= key;
    } else if (["ct helper", "ct timeout", "ct expectation", "secmark", "flow"].includes(key)) {
      this.also ??= key;
    } else {
      this.#unknown(key, everything);
      this.#end({ kind: "unsayable", why: `what "${key}" does is not known to ilm` });
    }
  }

  /** Ends the rule. One without a verdict continues with the next. */
  finish(): Branch[] {
    if (this.branches.length === 0) this.#end({ kind: "continue" });
    return this.branches;
  }

  #end(action: Action, further: readonly Condition[] = []): void {
    this.branches.push({ conditions: [...this.conditions, ...further], action });
  }

  #unknown(what: string, region: Region): void {
    this.conditions.push({ kind: "unknown", what, region });
  }

  #mangle(of: Json): void {
    const key = Object.keys(asObject(of["key"]) ?? {})[0];
    if (key === "meta" || key === "ct") this.also ??= "set";
    else this.alters = "changes the packets";
  }

  #xt(of: Json | null): void {
    if (of?.["type"] === "match" && of["name"] === "comment") return;
    const name = of === null ? "" : ` (${String(of["name"])})`;
    this.#unknown(`what only iptables can show${name}`, everything);
    if (of?.["type"] === "match") return;
    this.#end({
      kind: "unsayable",
      why: `only iptables can show what it does${name}: give what iptables-save (or ip6tables-save) prints as well`,
    });
  }

  #match(of: Json): Condition[] {
    const { op, left, right } = of;
    const negated = op === "!=";
    const values = this.#values(right);
    const meta = asObject(asObject(left)?.["meta"])?.["key"];
    const ct = asObject(asObject(left)?.["ct"]);
    const direct = op === "==" || op === "in" || negated;
    const text = ruleText([{ match: of }], undefined);
    if (values !== null && direct) {
      if (meta === "iifname" || meta === "iif" || meta === "oifname" || meta === "oif") {
        const direction = meta.startsWith("i") ? "in" : "out";
        return [{ kind: "interface", direction, names: values.map(String), negated }];
      }
      if (ct?.["key"] === "state" && ct["dir"] === undefined) {
        return [{ kind: "state", states: values.flat().map(String), negated }];
      }
      const fields = fieldsOf(left);
      const region = fields === null ? null : union(values.map((value) => tuple(fields, value)));
      if (fields !== null && region !== null) {
        return [{ kind: "region", region: negated ? complement(fields, region) : region }];
      }
      if (fields?.length === 1 && !negated) {
        return [{ kind: "unknown", what: `"${text}"`, region: widestOf(fields[0]!, values) }];
      }
    }
    return [{ kind: "unknown", what: `"${text}"`, region: widest(left) }];
  }

  /**
   * Returns the elements of a set, or the single value. Returns null when they come and go, or are
   * unknown.
   */
  #values(right: unknown): readonly unknown[] | null {
    if (typeof right === "string" && right.startsWith("@")) {
      const set = this.sets.get(setKey(this.rule, right.slice(1)));
      return set === undefined || set.changes ? null : set.elements;
    }
    const set = asObject(right)?.["set"];
    if (Array.isArray(set)) return set.map(bare);
    return Array.isArray(right) ? (right as unknown[]) : [right];
  }

  #vmap(of: Json): void {
    const pairs = this.#pairs(of["key"], of["data"]);
    if (pairs === null) {
      this.#unknown(`"${ruleText([{ vmap: of }], undefined)}"`, widest(of["key"]));
      this.#end({ kind: "unsayable", why: "where its verdict map leads is not known to ilm" });
      return;
    }
    for (const { condition, value } of pairs) {
      this.#end(verdict(asObject(value) ?? {}), [condition]);
    }
  }

  /** Returns what a map has, each with the packets that it is for. */
  #pairs(key: unknown, data: unknown): { condition: Condition; value: unknown }[] | null {
    const fields = fieldsOf(key);
    const meta = asObject(asObject(key)?.["meta"])?.["key"];
    const ct = asObject(asObject(key)?.["ct"]);
    const isState = ct?.["key"] === "state" && ct["dir"] === undefined;
    const elements = this.#values(data);
    if (elements === null) return null;
    const pairs: { condition: Condition; value: unknown }[] = [];
    for (const element of elements) {
      if (!Array.isArray(element)) return null;
      const [index, value] = element as unknown[];
      if (meta === "iifname" || meta === "iif") {
        const names = [String(index)];
        pairs.push({
          condition: { kind: "interface", direction: "in", names, negated: false },
          value,
        });
        continue;
      }
      if (isState) {
        pairs.push({
          condition: { kind: "state", states: [index].flat().map(String), negated: false },
          value,
        });
        continue;
      }
      const region = fields === null ? null : tuple(fields, index);
      if (region === null) return null;
      pairs.push({ condition: { kind: "region", region }, value });
    }
    return pairs;
  }

  #nat(key: "redirect" | "dnat", of: Json): void {
    const family = of["family"] === "ip" ? 4 : of["family"] === "ip6" ? 6 : null;
    if (family !== null) this.conditions.push({ kind: "region", region: ofFamily(family) });
    const { addr, port, flags } = of;
    if (flags !== undefined && [flags].flat().some((flag) => flag !== "persistent")) {
      this.#end(unsayable("it chooses the port at random", addr));
      return;
    }
    const map = asObject(asObject(addr)?.["map"]) ?? asObject(asObject(port)?.["map"]);
    if (map === null) {
      this.#end(destination(key, addr, port));
      return;
    }
    const both =
      asObject(asObject(addr)?.["map"]) !== null && asObject(asObject(port)?.["map"]) !== null;
    const pairs = both ? null : this.#pairs(map["key"], map["data"]);
    if (pairs === null) {
      this.#end(unsayable("mappings cannot express where its map leads", addr));
      return;
    }
    const byAddress = asObject(asObject(addr)?.["map"]) !== null;
    for (const { condition, value } of pairs) {
      const joint = asObject(value)?.["concat"];
      const action = byAddress
        ? Array.isArray(joint)
          ? destination(key, joint[0], joint[1])
          : destination(key, value, port)
        : destination(key, addr, value);
      this.#end(action, [condition]);
    }
  }
}

function fieldsOf(left: unknown): readonly Field[] | null {
  const parts = asObject(left)?.["concat"];
  const fields = (Array.isArray(parts) ? parts : [left]).map(fieldOf);
  const known = fields.filter((field) => field !== null);
  return known.length === fields.length ? known : null;
}

/** Returns the packets that have all values of a concatenation. */
function tuple(fields: readonly Field[], value: unknown): Region | null {
  const parts = asObject(value)?.["concat"];
  const values: readonly unknown[] = Array.isArray(parts) ? parts : [value];
  if (values.length !== fields.length) return null;
  let region: Region = everything;
  for (const [at, field] of fields.entries()) {
    const one = valueRegion(field, values[at]);
    if (one === null) return null;
    region = intersectRegions(region, one);
  }
  return region;
}

function verdict(statement: Json): Action {
  const [kind = "", value] = Object.entries(statement)[0] ?? [];
  switch (kind) {
    case "accept":
    case "drop":
    case "return":
    case "continue":
      return { kind };
    case "jump":
    case "goto":
      return { kind, chain: String(asObject(value)?.["target"]) };
    default:
      return { kind: "unsayable", why: `what "${kind}" does is not known to ilm` };
  }
}

/** Returns the addresses that a destination of dnat names, or null for any. */
function spansOf(addr: unknown): (readonly [Address, Address])[] | null {
  const text = (value: unknown): Address | null => {
    const parsed = typeof value === "string" ? parseAddress(value) : null;
    return parsed?.ok === true ? parsed.address : null;
  };
  const of = asObject(addr);
  const range = of?.["range"];
  const map = asObject(asObject(of?.["map"])?.["data"])?.["set"];
  const concat = of?.["concat"];
  if (Array.isArray(map)) {
    const spans = map.map((pair) => (Array.isArray(pair) ? spansOf(pair[1]) : null));
    return spans.includes(null) ? null : spans.flatMap((span) => span ?? []);
  }
  const [first, last] = Array.isArray(range)
    ? [text(range[0]), text(range[1])]
    : [
        text(Array.isArray(concat) ? concat[0] : addr),
        text(Array.isArray(concat) ? concat[0] : addr),
      ];
  return first === null || last === null ? null : [[first, last]];
}

function unsayable(why: string, addr: unknown): Action {
  const to = spansOf(addr);
  return to === null ? { kind: "unsayable", why } : { kind: "unsayable", why, to };
}

function destination(key: "redirect" | "dnat", addr: unknown, port: unknown): Action {
  if (port !== undefined && typeof port !== "number") {
    return unsayable("it spreads connections over several ports", addr);
  }
  if (key === "redirect") return { kind: "redirect", address: null, port: port ?? "same" };
  if (addr === undefined) {
    return {
      kind: "unsayable",
      why: "it keeps the address and changes the port, which no mapping does",
    };
  }
  const parsed = typeof addr === "string" ? parseAddress(addr) : null;
  if (parsed?.ok !== true) return unsayable("it leads to no single address", addr);
  return { kind: "redirect", address: parsed.address, port: port ?? "same" };
}

function readRule(
  rule: Json,
  family: Chain["family"],
  sets: ReadonlyMap<string, NamedSet>,
  texts: ReadonlyMap<string, string>,
): Rule {
  const reader = new Reader(rule, sets);
  if (family === "ip" || family === "ip6") {
    reader.conditions.push({ kind: "region", region: ofFamily(family === "ip" ? 4 : 6) });
  }
  const statements = statementsOf(rule);
  for (const statement of statements) reader.statement(statement);
  const { table, chain, handle, comment } = rule;
  const place = `${family} ${String(table)} ${String(chain)} handle ${String(handle)}`;
  return {
    place,
    text:
      texts.get(`${family} ${String(table)} ${String(handle)}`) ?? ruleText(statements, comment),
    remove: `nft delete rule ${place}`,
    branches: reader.finish(),
    also: reader.also,
    alters: reader.alters,
    untracks: reader.untracks,
  };
}
