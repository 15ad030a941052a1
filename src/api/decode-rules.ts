/**
 * Decoders for rules that came over the socket. They check again everything that the
 * configuration's validator guarantees.
 */
import { parseAddress, parsePrefix, type Address, type Prefix } from "../model/address.js";
import type { Drained } from "../model/drained.js";
import {
  type Destination,
  type Existing,
  type Listeners,
  type Mapping,
  type Miss,
  type Origin,
  type Owner,
  type PortRange,
  type Service,
  type WildcardPolicies,
  type WildcardPolicy,
  MAX_DESCRIPTION_LENGTH,
  MAX_ID,
  MAX_INTERFACE_LENGTH,
  MAX_WEIGHT,
  engines,
  isRefusal,
  mptcpModes,
  handovers,
  protocols,
  strangerPolicies,
  serviceWildcards,
  wildcardPolicies,
} from "../model/mapping.js";
import { canonicalListeners, isAccountName, isIdText, isOwnerUnit } from "../model/owner.js";
import type { RuleSet } from "../model/rules.js";
import { MAX_PORT } from "../model/ports.js";
import { printable } from "../printable.js";
import {
  DecodeError,
  asRecord,
  integer,
  list,
  nullable,
  object,
  oneOf,
  record,
  text,
  type Decode,
} from "./decode.js";

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

const onlyTrue: Decode<true> = (value, path) => {
  if (value !== true) throw new DecodeError(path, "must be true");
  return true;
};

const destination: Decode<Destination> = record<Destination>({
  always: {
    address: (part, path) => (part === "*" ? "*" : address(part, path)),
    port: (part, path) => (part === "same" ? "same" : portNumber(part, path)),
  },
  sometimes: {
    service: nameText,
    weight: integer(0, MAX_WEIGHT),
    handover: oneOf(...handovers),
    dualStack: onlyTrue,
  },
});

/** Checks that either all destinations have weights, or none has. */
const destinations: Decode<readonly Destination[]> = (value, path) => {
  const decoded = list(destination)(value, path);
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

const unit: Decode<string> = (value, path) => {
  if (typeof value === "string" && isOwnerUnit(value)) return value;
  throw new DecodeError(path, "must be the name of a service or scope unit");
};

/** Decodes a user or a group, by name or by id. */
const account: Decode<string | number> = (value, path) => {
  if (typeof value === "number") return integer(0, MAX_ID)(value, path);
  if (typeof value === "string" && isAccountName(value)) return value;
  throw new DecodeError(path, "must be a name or a numeric id");
};

const owner: Decode<Owner> = (value, path) => {
  const fields = { unit, user: account, group: account };
  const decoded = record<Owner>({ always: {}, sometimes: fields })(value, path);
  if (Object.keys(decoded).length > 0) return decoded;
  throw new DecodeError(path, "must have a unit, a user or a group");
};

/** Checks that a list of owners is canonical, so that equal lists are equal texts. */
export const listeners: Decode<Listeners> = (value, path) => {
  if (value === "anyone") return value;
  const decoded = list(owner, 1)(value, path);
  if (JSON.stringify(canonicalListeners(decoded)) === JSON.stringify(decoded)) return decoded;
  throw new DecodeError(path, "must be sorted, without duplicates");
};

const wildcardPolicy = oneOf(...wildcardPolicies);

/** Decodes policies by name. The names have to be sorted, and at least one has to be there. */
function policiesBy(
  isName: (name: string) => boolean,
): Decode<Readonly<Record<string, WildcardPolicy>>> {
  return (value, path) => {
    const entries = Object.entries(asRecord(value, path));
    const names = entries.map(([name]) => name);
    const sorted = Object.keys(Object.fromEntries(names.toSorted().map((name) => [name, null])));
    if (names.length === 0 || names.join() !== sorted.join() || !names.every(isName)) {
      throw new DecodeError(path, "must have names with policies, sorted by name");
    }
    return Object.fromEntries(
      entries.map(([name, policy]) => [name, wildcardPolicy(policy, `${path}.${name}`)]),
    );
  };
}

const wildcard: Decode<WildcardPolicies> = record<WildcardPolicies>({
  always: {},
  sometimes: {
    default: wildcardPolicy,
    units: policiesBy(isOwnerUnit),
    users: policiesBy((name) => isAccountName(name) || isIdText(name)),
  },
});

const description: Decode<string> = (value, path) => {
  // A character may be two units.
  const given = text(2 * MAX_DESCRIPTION_LENGTH, 1)(value, path);
  if (printable(given) !== given) throw new DecodeError(path, "must be one line of text");
  return given;
};

export const origin: Decode<Origin> = object({
  file: text(NAME_LENGTH_MAX),
  line: integer(0, POSITION_MAX),
  column: integer(0, POSITION_MAX),
});

const anyMapping: Decode<Mapping> = record<Mapping>({
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
  sometimes: {
    from: someOf(prefixes),
    interfaces: someOf(interfaceNames),
    until: integer(1, POSITION_MAX - 1),
    listeners,
    description,
  },
});

/** Checks that what leads nowhere refuses. */
export const mapping: Decode<Mapping> = (value, path) => {
  const decoded = anyMapping(value, path);
  if (!isRefusal(decoded) || decoded.miss === "reject") return decoded;
  throw new DecodeError(`${path}.miss`, "must be reject where there is no destination");
};

const anyDrained: Decode<Drained> = object({
  protocol: nullable(oneOf(...protocols)),
  address: nullable<Address | "*">((part, path) => (part === "*" ? "*" : address(part, path))),
  service: nullable(nameText),
  port: nullable(portNumber),
});

/** Checks that either an address or a service is named. */
export const drained: Decode<Drained> = (value, path) => {
  const decoded = anyDrained(value, path);
  if ((decoded.address === null) !== (decoded.service === null)) return decoded;
  throw new DecodeError(path, "must have either an address or a service");
};

export const service: Decode<Service> = record<Service>({
  always: { name: nameText, addresses: list(address, 1), origin },
  sometimes: {
    handover: oneOf(...handovers),
    originate: onlyTrue,
    owner,
    mptcp: oneOf("off"),
    wildcard: oneOf(...serviceWildcards),
    description,
  },
});

export const ruleSet: Decode<RuleSet> = record<RuleSet>({
  always: { services: list(service), mappings: list(mapping) },
  sometimes: {
    engine: oneOf(...engines),
    mptcp: oneOf(...mptcpModes),
    strangers: oneOf(...strangerPolicies),
    wildcard,
    ula: prefix,
    anyip: list(prefix, 1),
    floating: list(prefix, 1),
  },
});
