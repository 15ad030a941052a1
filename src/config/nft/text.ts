/** Formats a rule of nft's JSON as nft prints it without -j, so that the user can find it. */
import { asObject, word } from "../imported.js";

type Json = Readonly<Record<string, unknown>>;

export function ruleText(statements: readonly Json[], comment: unknown): string {
  const words = statements.map(statementText);
  if (typeof comment === "string") words.push(`comment ${JSON.stringify(comment)}`);
  return words.join(" ");
}

function statementText(statement: Json): string {
  const [key = "", value] = Object.entries(statement)[0] ?? [];
  const of = asObject(value);
  switch (key) {
    case "match": {
      const op = of?.["op"] === "==" || of?.["op"] === "in" ? "" : `${String(of?.["op"])} `;
      return `${valueText(of?.["left"])} ${op}${valueText(of?.["right"], quoted(of?.["left"]))}`;
    }
    case "vmap":
      return `${valueText(of?.["key"])} vmap ${valueText(of?.["data"])}`;
    case "jump":
    case "goto":
      return `${key} ${String(of?.["target"])}`;
    case "redirect":
    case "dnat":
    case "snat":
    case "masquerade":
      return natText(key, of);
    case "counter":
      return of?.["packets"] === undefined
        ? "counter"
        : `counter packets ${word(of["packets"])} bytes ${word(of["bytes"])}`;
    case "mangle":
      return `${valueText(of?.["key"])} set ${valueText(of?.["value"])}`;
    case "limit":
      return `limit rate ${String(of?.["rate"])}/${String(of?.["per"])}`;
    case "set":
      return `${String(of?.["op"])} ${String(of?.["set"])} { ${valueText(of?.["elem"])} }`;
    case "xt":
      return `xt ${word(of?.["type"] ?? "match or target")} ${JSON.stringify(of?.["name"] ?? "?")}`;
    case "log":
      return of?.["prefix"] === undefined ? "log" : `log prefix ${JSON.stringify(of["prefix"])}`;
    default:
      return of === null ? key : `${key} ${JSON.stringify(of)}`;
  }
}

function natText(key: string, of: Json | null): string {
  if (of === null) return key;
  const family = of["family"] === undefined ? "" : ` ${word(of["family"])}`;
  const address = of["addr"] === undefined ? "" : valueText(of["addr"]);
  const shown = address.includes(":") && !address.includes(" ") ? `[${address}]` : address;
  const port = of["port"] === undefined ? "" : `:${valueText(of["port"])}`;
  const to = shown + port;
  const flags = [of["flags"] ?? []].flat().map(String);
  return [`${key}${family}`, ...(to === "" ? [] : ["to", to]), ...flags].join(" ");
}

/** Reports whether values are names of interfaces, which are quoted. */
function quoted(left: unknown): boolean {
  const key = String(asObject(asObject(left)?.["meta"])?.["key"]);
  return ["iifname", "oifname", "iif", "oif"].includes(key);
}

function valueText(value: unknown, quotes = false): string {
  if (Array.isArray(value)) return value.map((one) => valueText(one, quotes)).join(",");
  const of = asObject(value);
  if (of === null) return quotes ? JSON.stringify(value) : String(value);
  const [key = "", raw] = Object.entries(of)[0] ?? [];
  const inner = asObject(raw);
  switch (key) {
    case "payload":
      return `${String(inner?.["protocol"])} ${String(inner?.["field"])}`;
    case "meta": {
      const name = String(inner?.["key"]);
      return ["iifname", "oifname", "iif", "oif"].includes(name) ? name : `meta ${name}`;
    }
    case "ct":
      return `ct ${String(inner?.["key"])}`;
    case "fib":
      return `fib ${[inner?.["flags"] ?? []].flat().map(String).join(" . ")} ${String(inner?.["result"])}`;
    case "prefix":
      return `${String(inner?.["addr"])}/${String(inner?.["len"])}`;
    case "range":
      return Array.isArray(raw) ? `${String(raw[0])}-${String(raw[1])}` : String(raw);
    case "concat":
      return Array.isArray(raw) ? raw.map((one) => valueText(one)).join(" . ") : String(raw);
    case "set":
      return Array.isArray(raw)
        ? `{ ${raw.map((one: unknown) => elementText(one, quotes)).join(", ")} }`
        : String(raw);
    case "map":
      return `${valueText(inner?.["key"])} map ${valueText(inner?.["data"])}`;
    case "jump":
    case "goto":
      return `${key} ${String(inner?.["target"])}`;
    case "numgen":
      return `numgen ${String(inner?.["mode"])} mod ${String(inner?.["mod"])}`;
    case "&":
    case "|":
      return Array.isArray(raw)
        ? raw
            .map((one) => (Array.isArray(one) ? `(${one.join(" | ")})` : valueText(one)))
            .join(` ${key} `)
        : String(raw);
    case "accept":
    case "drop":
    case "return":
    case "continue":
      return key;
    default:
      return JSON.stringify(of);
  }
}

function elementText(element: unknown, quotes: boolean): string {
  if (!Array.isArray(element)) return valueText(element, quotes);
  return `${valueText(element[0], quotes)} : ${valueText(element[1])}`;
}

/**
 * Returns the lines of `nft -a list ruleset` by family, table and handle: the rules as nft itself
 * prints them.
 */
export function listedTexts(listing: string): Map<string, string> {
  const texts = new Map<string, string>();
  let table = "";
  for (const line of listing.split("\n")) {
    const opened = /^table (\S+) (\S+) \{/.exec(line);
    if (opened !== null) table = `${opened[1]} ${opened[2]}`;
    const rule = /^\t\t(.*) # handle ([0-9]+)$/.exec(line);
    if (rule !== null) texts.set(`${table} ${rule[2]}`, rule[1]!.replace(/ {2,}/g, " "));
  }
  return texts;
}

/**
 * Returns, by family, table and chain, the interfaces of chains at ingress, as `nft list ruleset`
 * prints them: its JSON may lack them, as that of version 1.0.6 does.
 */
export function listedDevices(listing: string): Map<string, string[]> {
  const devices = new Map<string, string[]>();
  let table = "";
  let chain = "";
  for (const line of listing.split("\n")) {
    const opened = /^table (\S+) (\S+) \{/.exec(line);
    if (opened !== null) table = `${opened[1]} ${opened[2]}`;
    chain = /^\tchain (\S+) \{/.exec(line)?.[1] ?? chain;
    const named = /^\t\ttype \S+ hook ingress devices?(?: "([^"]+)"| = \{ (.*?) \}) /.exec(line);
    if (named === null) continue;
    const names = named[1] === undefined ? (named[2] ?? "").split(", ") : [named[1]];
    devices.set(
      `${table} ${chain}`,
      names.map((name) => name.replaceAll('"', "")),
    );
  }
  return devices;
}
