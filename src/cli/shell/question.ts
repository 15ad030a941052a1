/** Questions of `ilm explain`: a packet, and what is expected to become of it. */
import { parseFrom, parseOn } from "../../config/prefix.js";
import { parseInterface } from "../../config/interface.js";
import { exampleRemote, examplePort } from "../../doctor/example.js";
import { asSentence, IlmError } from "../../errors.js";
import { familyOf, type Address } from "../../model/address.js";
import type { Packet } from "../../model/decision.js";
import { protocols, type Protocol } from "../../model/mapping.js";
import { parseEndpoint } from "./endpoint.js";

/** A question as text, from the command line or a line of a list. */
export interface QuestionText {
  readonly protocol: string;
  /** The address and the port that the client dials. */
  readonly dialled: string;
  /** The client's address and port. */
  readonly from?: string | undefined;
  readonly interface?: string | undefined;
  /** What is expected; see expectation.ts. */
  readonly expect?: string | undefined;
}

export interface Question {
  readonly packet: Omit<Packet, "interfaceIndex">;
  /** False when the client is an example. */
  readonly isFromGiven: boolean;
  readonly interface: string | null;
  readonly expect: string | null;
}

const CLIENT = "--from";
const DIALLED = "the address dialled";

/** Parses a question. Throws USAGE. */
export function parseQuestion(text: QuestionText): Question {
  const protocol = parseProtocol(text.protocol);
  const local = parseEndpoint(text.dialled, DIALLED);
  const remote =
    text.from === undefined
      ? { address: exampleRemote(local.address), port: examplePort() }
      : parseEndpoint(text.from, CLIENT);
  if (familyOf(remote.address) !== familyOf(local.address)) {
    throw new IlmError("USAGE", `--from: ${remote.address} and ${local.address} differ in family`, {
      remedy: "A packet has two IPv4 or two IPv6 addresses.",
    });
  }
  refuseUnasked(local.address, DIALLED, parseOn);
  refuseUnasked(remote.address, CLIENT, parseFrom);
  return {
    packet: {
      protocol,
      local: local.address,
      localPort: local.port,
      remote: remote.address,
      remotePort: remote.port,
    },
    isFromGiven: text.from !== undefined,
    interface: text.interface === undefined ? null : readInterface(text.interface),
    expect: text.expect ?? null,
  };
}

/**
 * Throws USAGE for an address about which the kernel never asks ilm: the answer would be about a
 * packet that does not exist.
 */
function refuseUnasked(address: Address, what: string, parse: typeof parseOn): void {
  const parsed = parse(address);
  if (parsed.ok) return;
  throw new IlmError("USAGE", `${what}: ${parsed.reason}`, {
    remedy: `Write the address of one ${what === CLIENT ? "client" : "host"}: ${what === CLIENT ? "198.51.100.7:40000" : "203.0.113.5:443"}.`,
  });
}

function parseProtocol(text: string): Protocol {
  const found = protocols.find((protocol) => protocol === text);
  if (found !== undefined) return found;
  throw new IlmError("USAGE", `${JSON.stringify(text)} is not a protocol`, {
    remedy: "Write tcp or udp, as in `ilm explain tcp 203.0.113.5:443`.",
  });
}

function readInterface(text: string): string {
  const parsed = parseInterface(text);
  if (parsed.ok) return parsed.name;
  throw new IlmError("USAGE", `--interface: ${parsed.reason}`, {
    remedy: asSentence(parsed.hint),
  });
}

/** The words of a line before what they introduce, in any order. */
const lineWords = { from: "from", by: "interface", expect: "expect" } as const;
const LINE_EXAMPLE = "tcp 203.0.113.5:443 from 198.51.100.7:5555 expect web";
const JSON_EXAMPLE =
  '{"protocol":"tcp","dialled":"203.0.113.5:443","from":"198.51.100.7:5555","expect":"web"}';

/**
 * Parses a line of a list. Returns null for an empty line and for a comment. Throws USAGE.
 */
export function parseQuestionLine(text: string): Question | null {
  const line = text.trim();
  if (line === "" || line.startsWith("#")) return null;
  return parseQuestion(line.startsWith("{") ? fromJson(line) : fromWords(line));
}

function fromWords(line: string): QuestionText {
  const [protocol = "", dialled, ...rest] = line.split(/\s+/);
  if (dialled === undefined) throw refused("there is no address and port", LINE_EXAMPLE);
  const found: Partial<Record<"from" | "interface" | "expect", string>> = {};
  while (rest.length > 0) {
    const [word = "", value] = rest.splice(0, 2);
    const key = Object.hasOwn(lineWords, word) ? lineWords[word as keyof typeof lineWords] : null;
    if (key === null) throw refused(`${JSON.stringify(word)} is not expected here`, LINE_EXAMPLE);
    if (value === undefined) throw refused(`nothing follows ${word}`, LINE_EXAMPLE);
    if (found[key] !== undefined) throw refused(`${word} is there twice`, LINE_EXAMPLE);
    found[key] = value;
  }
  return { protocol, dialled, ...found };
}

const jsonKeys: readonly (keyof QuestionText)[] = [
  "protocol",
  "dialled",
  "from",
  "interface",
  "expect",
];

function fromJson(line: string): QuestionText {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
    throw refused(`it is not JSON: ${cause.message}`, JSON_EXAMPLE);
  }
  const given = new Map(Object.entries(value as object));
  const unknown = [...given.keys()].find((key) => !jsonKeys.some((known) => known === key));
  if (unknown !== undefined) throw refused(`unknown key ${JSON.stringify(unknown)}`, JSON_EXAMPLE);
  const textAt = (key: keyof QuestionText): string | undefined => {
    const found: unknown = given.get(key);
    if (found === undefined || typeof found === "string") return found;
    throw refused(`${key} is not a text`, JSON_EXAMPLE);
  };
  const needed = (key: "protocol" | "dialled"): string => {
    const found = textAt(key);
    if (found === undefined) throw refused(`${key} is missing`, JSON_EXAMPLE);
    return found;
  };
  return {
    protocol: needed("protocol"),
    dialled: needed("dialled"),
    from: textAt("from"),
    interface: textAt("interface"),
    expect: textAt("expect"),
  };
}

function refused(message: string, example: string): IlmError {
  return new IlmError("USAGE", message, { remedy: `Write for example ${example}` });
}
