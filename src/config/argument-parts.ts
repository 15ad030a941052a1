/** The parts of an argument: their values, what is wrong with them, and how each was meant. */
import type { Prefix } from "../model/address.js";
import {
  MAX_WEIGHT,
  protocols as knownProtocols,
  type PortRange,
  type Protocol,
} from "../model/mapping.js";
import { parsePort } from "../model/ports.js";
import { parseDestination } from "./destination.js";
import { parseInterface } from "./interface.js";
import { refuse, type Meant, type Refused } from "./meant.js";
import { parsePorts } from "./port.js";
import { parseFrom, parseOn } from "./prefix.js";
import { refuseProtocol } from "./protocol.js";
import { quote } from "./source.js";
import { formatTarget, type Target } from "./target.js";

const CONDITIONS = "the parts are PREFIXES, from:PREFIXES and interface:NAMES, each once";

type Key = "protocols" | "ports" | "on" | "from" | "interface" | "to";

export interface ArgumentParts {
  readonly protocols: readonly Protocol[];
  readonly ports: readonly PortRange[];
  readonly on: readonly Prefix[];
  readonly from: readonly Prefix[];
  readonly interfaces: readonly string[];
  readonly to: readonly Target[];
  readonly errors: readonly Pick<Refused, "reason" | "hint">[];
  /** The argument as it was meant; null when that is unknown for some error. */
  readonly meant: string | null;
  /** Notes about parts of `meant` that are only examples. */
  readonly notes: readonly string[];
}

type Parsed<Value> = { readonly value: Value } | Refused;

/** Reads the parts of an argument. Returns null when there is no destination. */
export function readParts(text: string): ArgumentParts | null {
  const equals = text.indexOf("=");
  if (equals < 0) return null;
  const [head = "", ...conditions] = text.slice(0, equals).split("@");
  const reader = new Reader();
  const colon = head.indexOf(":");
  const protocols: readonly Protocol[] =
    colon < 0 ? ["tcp"] : readProtocols(head.slice(0, colon), reader);
  const ports = reader.list("ports", head.slice(colon + 1), parsePortRange);
  const where = readConditions(conditions, reader);
  const to = reader.list("to", text.slice(equals + 1), parseTo);
  const { errors, notes } = reader;
  return { protocols, ports, ...where, to, errors, meant: reader.meant(), notes };
}

class Reader {
  readonly errors: Pick<Refused, "reason" | "hint">[] = [];
  readonly notes: string[] = [];
  readonly #parts: Record<Key, string[]> = {
    protocols: [],
    ports: [],
    on: [],
    from: [],
    interface: [],
    to: [],
  };
  /** Protocols that were attached to ports or destinations. */
  readonly #attached = new Set<string>();
  #known = true;

  list<Value>(key: Key, text: string, parse: (item: string) => Parsed<Value>): Value[] {
    return text.split(",").flatMap((item) => {
      const parsed = parse(item);
      if ("value" in parsed) {
        this.keep(key, item);
        return [parsed.value];
      }
      this.refuse(parsed);
      return [];
    });
  }

  keep(key: Key, text: string): void {
    this.#parts[key].push(text);
  }

  refuse({ reason, hint, meant }: Refused, place: "head" | "part" = "part"): void {
    this.errors.push({ reason, hint });
    if (meant === undefined) this.#known = false;
    else this.#mean(meant, place);
  }

  #mean({ note, protocols, ...parts }: Meant, place: "head" | "part"): void {
    if (note !== undefined) this.notes.push(note);
    if (protocols !== undefined) {
      if (place === "head") this.keep("protocols", protocols);
      else this.#attached.add(protocols);
    }
    for (const [key, text] of Object.entries(parts)) this.keep(key as Key, text);
  }

  /** Returns the argument as it was meant, or null when that is unknown. */
  meant(): string | null {
    const { protocols, ports, on, from, interface: interfaces, to } = this.#parts;
    const protocol = this.#protocol(protocols, ports);
    if (!this.#known || protocol === null || ports.length === 0 || to.length === 0) return null;
    const left = [
      `${protocol}:${ports.join(",")}`,
      ...(on.length === 0 ? [] : [on.join(",")]),
      ...(from.length === 0 ? [] : [`from:${from.join(",")}`]),
      ...(interfaces.length === 0 ? [] : [`interface:${interfaces.join(",")}`]),
    ];
    return `${left.join("@")}=${to.join(",")}`;
  }

  /**
   * Works out the protocol. 53/tcp,53/udp is both, but 80/tcp,53/udp would be two mappings, and
   * tcp:53/udp is unclear.
   */
  #protocol(said: readonly string[], ports: readonly string[]): string | null {
    const attached = [...this.#attached].toSorted();
    if (attached.length === 0) return said.length === 0 ? "tcp" : [...new Set(said)].join("+");
    if (attached.length > 1 && new Set(ports).size > 1) return null;
    const joined = attached.join("+");
    return said.length === 0 || said.join("+") === joined ? joined : null;
  }
}

function isProtocol(word: string): word is Protocol {
  return knownProtocols.some((protocol) => protocol === word);
}

/** Reads `tcp`, `udp` or `tcp+udp`. */
function readProtocols(text: string, reader: Reader): Protocol[] {
  const found: Protocol[] = [];
  const whole = refuseProtocol(text);
  const words = text.split("+");
  if (!words.every(isProtocol) && whole.meant !== undefined) {
    reader.refuse(inArgument(whole), "head");
    return found;
  }
  for (const word of words) {
    if (isProtocol(word)) {
      reader.keep("protocols", word);
      found.push(word);
    } else {
      reader.refuse(inArgument(refuseProtocol(word)), "head");
    }
  }
  return found;
}

/** Adapts a message for files, by writing both protocols as an argument does. */
function inArgument(refused: Refused): Refused {
  return { ...refused, hint: refused.hint.replace("[tcp, udp]", "tcp+udp") };
}

interface Conditions {
  readonly on: Prefix[];
  readonly from: Prefix[];
  readonly interfaces: string[];
}

function readConditions(parts: readonly string[], reader: Reader): Conditions {
  const found: Conditions = { on: [], from: [], interfaces: [] };
  const seen = new Set<string>();
  for (const part of parts) {
    const kind = /^(?:from|interface)(?=:)/.exec(part)?.[0] ?? "on";
    const list = kind === "on" ? part : part.slice(kind.length + 1);
    if (seen.has(kind)) {
      reader.refuse(refuse(`${quote(part)} comes after another part of its kind`, CONDITIONS, {}));
    }
    seen.add(kind);
    if (kind === "interface") found.interfaces.push(...reader.list(kind, list, parseName));
    else if (kind === "from") found.from.push(...reader.list(kind, list, parseSource));
    else found.on.push(...reader.list("on", list, parseDialled));
  }
  return found;
}

function parsePortRange(item: string): Parsed<PortRange> {
  const parsed = parsePorts(item);
  return parsed.ok ? { value: parsed.range } : parsed;
}

function parseName(item: string): Parsed<string> {
  const parsed = parseInterface(item);
  return parsed.ok ? { value: parsed.name } : parsed;
}

function parseDialled(item: string): Parsed<Prefix> {
  const parsed = parseOn(item);
  return parsed.ok ? { value: parsed.prefix } : parsed;
}

function parseSource(item: string): Parsed<Prefix> {
  const parsed = parseFrom(item);
  return parsed.ok ? { value: parsed.prefix } : parsed;
}

function parseTo(item: string): Parsed<Target> {
  const at = item.indexOf("@");
  const parsed = parseDestination(at < 0 ? item : item.slice(0, at));
  if (at < 0) return parsed.ok ? { value: parsed.target } : parsed;
  const after = item.slice(at + 1);
  const written = /^weight:(0|[1-9][0-9]{0,3})$/.exec(after)?.[1];
  const weight = Number(written);
  const sound = written !== undefined && weight <= MAX_WEIGHT;
  if (sound && parsed.ok) return { value: { ...parsed.target, weight } };
  if (sound) return withWeight(parsed as Refused, after);
  return refuseWeight(item.slice(at), item.slice(0, at), parsed.ok ? parsed.target : null);
}

/** Refuses a destination that is wrong but has a valid weight. */
function withWeight({ reason, hint, meant }: Refused, after: string): Refused {
  if (meant?.to === undefined) return refuse(reason, hint);
  return refuse(reason, hint, { ...meant, to: `${meant.to}@${after}` });
}

function refuseWeight(written: string, host: string, target: Target | null): Refused {
  const shown = quote(written);
  const hint = `write @weight: and a whole number, 0 to ${MAX_WEIGHT}`;
  const [, weight = ""] = /^@(?:weight|w)[=:]?0*([1-9][0-9]{0,3})$/i.exec(written) ?? [];
  if (weight !== "" && Number(weight) <= MAX_WEIGHT) {
    return refuse(`${shown} is not a weight`, hint, { to: `${host}@weight:${weight}` });
  }
  const port = written.slice(1);
  if (target !== null && target.kind !== "none" && target.port === "same" && parsePort(port).ok) {
    return refuse(`${shown} is not a weight; a colon comes before a port`, hint, {
      to: formatTarget({ ...target, port: Number(port) }),
    });
  }
  return refuse(`${shown} is not a weight`, hint);
}
