/**
 * Decoders for rules that came over the socket. They check again everything that the
 * configuration's validator guarantees.
 */
import { parseAddress, parsePrefix, type Address, type Prefix } from "../model/address.js";
import type {
  Destination,
  Existing,
  Mapping,
  Miss,
  Origin,
  PortRange,
  Service,
} from "../model/mapping.js";
import type { RuleSet } from "../model/rules.js";
import {
  MAX_INTERFACE_LENGTH,
  MAX_WEIGHT,
  engines,
  mptcpModes,
  handovers,
  protocols,
} from "../model/mapping.js";
import { MAX_PORT } from "../model/ports.js";
import {
  asRecord,
  DecodeError,
  integer,
  list,
  object,
  oneOf,
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

const destination: Decode<Destination> = (value, path) => {
  const record = asRecord(value, path);
  const { service, weight, handover, ...rest } = record;
  const decoded = object({
    address: (part, partPath): Address | "*" => (part === "*" ? "*" : address(part, partPath)),
    port: (part, partPath): number | "same" =>
      part === "same" ? "same" : portNumber(part, partPath),
  })(rest, path);
  return {
    ...decoded,
    ...(Object.hasOwn(record, "service") && { service: nameText(service, `${path}.service`) }),
    ...(Object.hasOwn(record, "weight") && {
      weight: integer(1, MAX_WEIGHT)(weight, `${path}.weight`),
    }),
    ...(Object.hasOwn(record, "handover") && {
      handover: oneOf(...handovers)(handover, `${path}.handover`),
    }),
  };
};

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

const plainMapping = object({
  name: nameText,
  protocol: oneOf(...protocols),
  ports,
  on: prefixes,
  to: destinations,
  existing: oneOf<Existing>("exact", "any", "never"),
  miss: oneOf<Miss>("pass", "reject"),
  origin,
});

export const mapping: Decode<Mapping> = (value, path) => {
  const record = asRecord(value, path);
  const { from, interfaces, ...rest } = record;
  return {
    ...plainMapping(rest, path),
    ...(Object.hasOwn(record, "from") && { from: someOf(prefixes)(from, `${path}.from`) }),
    ...(Object.hasOwn(record, "interfaces") && {
      interfaces: someOf(interfaceNames)(interfaces, `${path}.interfaces`),
    }),
  };
};

const plainService = object({ name: nameText, addresses: list(address, 1), origin });

const service: Decode<Service> = (value, path) => {
  const { handover, originate, ...rest } = asRecord(value, path);
  if (originate !== undefined && originate !== true) {
    throw new DecodeError(`${path}.originate`, "must be true");
  }
  return {
    ...plainService(rest, path),
    ...(handover !== undefined && {
      handover: oneOf(...handovers)(handover, `${path}.handover`),
    }),
    ...(originate !== undefined && { originate }),
  };
};

export const ruleSet: Decode<RuleSet> = (value, path) => {
  const { engine, mptcp, ...rest } = asRecord(value, path);
  return {
    ...object({ services: list(service), mappings: list(mapping) })(rest, path),
    ...(engine !== undefined && { engine: oneOf(...engines)(engine, `${path}.engine`) }),
    ...(mptcp !== undefined && { mptcp: oneOf(...mptcpModes)(mptcp, `${path}.mptcp`) }),
  };
};
