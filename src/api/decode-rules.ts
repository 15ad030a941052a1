/**
 * Decoders for rules that came over the socket. They check again everything that the
 * configuration's validator guarantees.
 */
import { parseAddress, parsePrefix, type Address, type Prefix } from "../model/address.js";
import {
  type Destination,
  type Existing,
  type Mapping,
  type Miss,
  type Origin,
  type PortRange,
  type Service,
  MAX_INTERFACE_LENGTH,
  MAX_WEIGHT,
  engines,
  mptcpModes,
  handovers,
  protocols,
} from "../model/mapping.js";
import type { RuleSet } from "../model/rules.js";
import { MAX_PORT } from "../model/ports.js";
import { DecodeError, integer, list, object, oneOf, record, text, type Decode } from "./decode.js";

/**
 * The maximum length of a name: names are shown and counted by, and no configuration has longer
 * ones.
 */
const NAME_LENGTH_MAX = 4096;
const POSITION_MAX = 2 ** 32;

export const nameText = text(NAME_LENGTH_MAX, 1);
const portNumber = integer(1, MAX_PORT);

export const address: Decode<Address> = (value, path) => {
  const given = text(64, 1)(value, path);
  const parsed = parseAddress(given);
  if (!parsed.ok) throw new DecodeError(path, `${parsed.reason}; ${parsed.hint}`);
  if (parsed.address !== given) throw new DecodeError(path, `must be written ${parsed.address}`);
  return parsed.address;
};

const prefix: Decode<Prefix> = (value, path) => {
  const given = text(64, 1)(value, path);
  const parsed = parsePrefix(given);
  if (!parsed.ok) throw new DecodeError(path, `${parsed.reason}; ${parsed.hint}`);
  if (parsed.prefix !== given) throw new DecodeError(path, `must be written ${parsed.prefix}`);
  return parsed.prefix;
};

const portRange: Decode<PortRange> = (value, path) => {
  const range = object({ first: portNumber, last: portNumber })(value, path);
  if (range.first > range.last) throw new DecodeError(path, "is reversed");
  return range;
};

/** Checks that ports are sorted, disjoint and not adjacent, which the compiler relies on. */
const ports: Decode<readonly PortRange[]> = (value, path) => {
  const ranges = list(portRange, 1)(value, path);
  let last = -1;
  for (const [index, range] of ranges.entries()) {
    if (range.first <= last + 1) {
      throw new DecodeError(`${path}[${index}]`, "must begin beyond the range before it");
    }
    last = range.last;
  }
  return ranges;
};

const prefixes: Decode<readonly Prefix[]> = (value, path) => {
  const decoded = list(prefix)(value, path);
  if (new Set(decoded).size !== decoded.length) throw new DecodeError(path, "has a duplicate");
  return decoded;
};

const destination: Decode<Destination> = record<Destination>({
  always: {
    address: (part, path) => (part === "*" ? "*" : address(part, path)),
    port: (part, path) => (part === "same" ? "same" : portNumber(part, path)),
  },
  sometimes: {
    service: nameText,
    weight: integer(1, MAX_WEIGHT),
    handover: oneOf(...handovers),
  },
});

/** Checks that either all destinations have weights, or none has. */
const destinations: Decode<readonly Destination[]> = (value, path) => {
  const decoded = list(destination, 1)(value, path);
  const weighted = decoded.filter((one) => one.weight !== undefined).length;
  if (weighted > 0 && weighted < decoded.length) {
    throw new DecodeError(path, "has weights for some of the destinations only");
  }
  return decoded;
};

const interfaceNames: Decode<readonly string[]> = (value, path) => {
  const decoded = list(text(MAX_INTERFACE_LENGTH, 1))(value, path);
  if (new Set(decoded).size !== decoded.length) throw new DecodeError(path, "has a duplicate");
  return decoded;
};

/**
 * Refuses an empty list: absent and empty would mean the same, and only one of them is accepted.
 */
function someOf<T>(decode: Decode<readonly T[]>): Decode<readonly T[]> {
  return (value, path) => {
    const decoded = decode(value, path);
    if (decoded.length === 0) throw new DecodeError(path, "must have at least 1 entries");
    return decoded;
  };
}

export const origin: Decode<Origin> = object({
  file: text(NAME_LENGTH_MAX),
  line: integer(0, POSITION_MAX),
  column: integer(0, POSITION_MAX),
});

export const mapping: Decode<Mapping> = record<Mapping>({
  always: {
    name: nameText,
    protocol: oneOf(...protocols),
    ports,
    on: prefixes,
    to: destinations,
    existing: oneOf<Existing>("exact", "any", "never"),
    miss: oneOf<Miss>("pass", "reject"),
    origin,
  },
  sometimes: { from: someOf(prefixes), interfaces: someOf(interfaceNames) },
});

const onlyTrue: Decode<true> = (value, path) => {
  if (value !== true) throw new DecodeError(path, "must be true");
  return true;
};

const service: Decode<Service> = record<Service>({
  always: { name: nameText, addresses: list(address, 1), origin },
  sometimes: { handover: oneOf(...handovers), originate: onlyTrue },
});

export const ruleSet: Decode<RuleSet> = record<RuleSet>({
  always: { services: list(service), mappings: list(mapping) },
  sometimes: { engine: oneOf(...engines), mptcp: oneOf(...mptcpModes) },
});
