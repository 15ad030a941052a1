/**
 * Redirections of `nft -j list ruleset`. Said can be: tcp and udp to ports (one, ranges, sets), on destination addresses, from
 * source addresses, by interface, redirected to a local port or changed to an address of this host. All else is listed.
 * nftables changes the destination whoever listens, so the entries have `existing: never` and `miss: reject`.
 */
import { familyOf, parseAddress, type Address } from "../model/address.js";
import { asObject, type Imported, type ImportedEntry } from "./imported.js";
import { takesFrom } from "./import-order.js";
import { quote } from "./source.js";

type Json = Readonly<Record<string, unknown>>;

/** Thrown for what a mapping cannot say. */
class Unsaid extends Error {}

/** `isLocal`: whether this host has the address. */
export function importNft(value: unknown, isLocal: (address: Address) => boolean): Imported {
  const items = asObject(value)?.["nftables"];
  const entries: ImportedEntry[] = [];
  const unsaid: string[] = [];
  if (!Array.isArray(items)) return { entries, unsaid: ['there is no list "nftables"'] };
  const objects = objectsOf(items);
  /** Chains that packets come to, with their priority: the least is first. */
  const incoming = new Map(
    objects.flatMap((item) => {
      const chain = asObject(item["chain"]);
      const hooked = chain?.["hook"] === "prerouting";
      return hooked ? [[chainKey(chain, "name"), Number(chain["prio"] ?? 0)] as const] : [];
    }),
  );
  const priorityOf = (rule: Json): number => incoming.get(chainKey(rule, "chain")) ?? 0;
  const rules = objects
    .map((item) => asObject(item["rule"]))
    .filter((rule) => rule !== null)
    .sort((a, b) => priorityOf(a) - priorityOf(b));
  const said: { readonly entry: ImportedEntry; readonly where: string }[] = [];
  for (const rule of rules) {
    const where = `${String(rule["family"])} ${String(rule["table"])} ${String(rule["chain"])} handle ${String(rule["handle"])}`;
    const statements = Array.isArray(rule["expr"]) ? objectsOf(rule["expr"]) : [];
    const redirects = statements.some((one) => "redirect" in one || "dnat" in one);
    if (!redirects) {
      unsaid.push(`${where}: redirects nothing`);
      continue;
    }
    try {
      if (!incoming.has(chainKey(rule, "chain"))) {
        throw new Unsaid("its chain is not hooked to prerouting");
      }
      const entry = toEntry(String(rule["family"]), statements, isLocal);
      const before = said.find((one) => takesFrom(entry, one.entry));
      said.push({ entry, where });
      if (before !== undefined) {
        throw new Unsaid(
          `${before.where} comes before it and has packets in common with it; as a mapping it would not`,
        );
      }
      entries.push(entry);
    } catch (error) {
      if (!(error instanceof Unsaid)) throw error;
      unsaid.push(`${where}: ${error.message}`);
    }
  }
  return { entries, unsaid };
}

function objectsOf(items: readonly unknown[]): Json[] {
  return items.map(asObject).filter((item) => item !== null);
}

function chainKey(of: Json, name: "name" | "chain"): string {
  return `${String(of["family"])} ${String(of["table"])} ${String(of[name])}`;
}

function toEntry(
  family: string,
  statements: readonly Json[],
  isLocal: (address: Address) => boolean,
): ImportedEntry {
  const entry: Record<string, unknown> = {};
  for (const statement of statements) {
    const match = asObject(statement["match"]);
    const redirect = asObject(statement["redirect"]);
    const dnat = asObject(statement["dnat"]);
    if (match !== null) Object.assign(entry, condition(match));
    else if (redirect !== null) entry["to"] = `*${portOf(redirect)}`;
    else if ("redirect" in statement) throw new Unsaid("it redirects to no port");
    else if (dnat !== null) entry["to"] = target(dnat, isLocal);
    else if (!("counter" in statement)) {
      throw new Unsaid(`a mapping has no ${quote(Object.keys(statement)[0] ?? "")}`);
    }
  }
  if (entry["port"] === undefined) throw new Unsaid("it is for no tcp or udp port");
  if (entry["on"] === undefined && family === "ip") entry["on"] = "0.0.0.0/0";
  if (entry["on"] === undefined && family === "ip6") entry["on"] = "::/0";
  return { ...entry, existing: "never", miss: "reject" };
}

function condition(match: Json): Json {
  const { op, left, right } = match;
  if (op !== "==" && op !== "in") throw new Unsaid(`a mapping has no ${quote(String(op))}`);
  const payload = asObject(asObject(left)?.["payload"]);
  const meta = asObject(asObject(left)?.["meta"])?.["key"];
  const field = payload?.["field"];
  const protocol = payload?.["protocol"];
  if (field === "dport" && (protocol === "tcp" || protocol === "udp")) {
    return { protocol, port: several(right).map(portRange) };
  }
  if (field === "daddr") return { on: several(right).map(prefix) };
  if (field === "saddr") return { from: several(right).map(prefix) };
  if (meta === "iifname" && typeof right === "string" && !right.endsWith("*")) {
    return { interface: right };
  }
  throw new Unsaid(`a mapping does not ask for ${quote(JSON.stringify(left) ?? "")}`);
}

function several(right: unknown): readonly unknown[] {
  const set = asObject(right)?.["set"];
  return Array.isArray(set) ? set : [right];
}

function portRange(value: unknown): number | string {
  if (typeof value === "number") return value;
  const range = asObject(value)?.["range"];
  if (Array.isArray(range)) return `${String(range[0])}-${String(range[1])}`;
  throw new Unsaid(`the port is ${quote(JSON.stringify(value) ?? "")}`);
}

function prefix(value: unknown): string {
  if (typeof value === "string" && parseAddress(value).ok) return value;
  const inner = asObject(asObject(value)?.["prefix"]);
  if (inner !== null) return `${String(inner["addr"])}/${String(inner["len"])}`;
  throw new Unsaid(`the address is ${quote(JSON.stringify(value) ?? "")}`);
}

function portOf(of: Json): string {
  const { port } = of;
  if (port === undefined) return "";
  if (typeof port === "number") return `:${port}`;
  throw new Unsaid("it spreads connections over several ports");
}

function target(dnat: Json, isLocal: (address: Address) => boolean): string {
  const { addr } = dnat;
  const parsed = typeof addr === "string" ? parseAddress(addr) : null;
  if (parsed?.ok !== true) throw new Unsaid("it leads to no single address");
  const { address } = parsed;
  if (!isLocal(address)) {
    throw new Unsaid(`${address} is not an address of this host, and ilm sends nothing elsewhere`);
  }
  return `${familyOf(address) === 6 ? `[${address}]` : address}${portOf(dnat)}`;
}
