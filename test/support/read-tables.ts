/** Reads compiled tables as the program does: class of the port, exact address, longest prefix, the rest; then the steps. */
import type { Compiled, PrefixTable, Target } from "../../src/compile/tables.js";
import { type Address, addressBytes, familyOf } from "../../src/model/address.js";
import type { Mapping, Protocol } from "../../src/model/mapping.js";
import { portsContain } from "../../src/model/ports.js";

export interface AskedPacket {
  readonly protocol: Protocol;
  readonly local: Address;
  readonly localPort: number;
  readonly remote: Address;
  readonly interface: string;
}

function sharedBits(a: Uint8Array, b: Uint8Array): number {
  for (let bit = 0; bit < 128; bit += 1) {
    const mask = 0x80 >> (bit % 8);
    if (((a[bit >> 3] ?? 0) & mask) !== ((b[bit >> 3] ?? 0) & mask)) return bit;
  }
  return 128;
}

/** What the longest prefix of the owner has; undefined: none holds the address. */
function longest(table: PrefixTable, owner: number, address: Address): Target | undefined {
  const bytes = addressBytes(address);
  let best: number | undefined;
  for (let i = 0; i < table.count; i += 1) {
    const length = table.length[i] ?? 0;
    const inside =
      table.owner[i] === owner &&
      table.ipv6[i] === (familyOf(address) === 6 ? 1 : 0) &&
      sharedBits(bytes, table.address.subarray(i * 16, i * 16 + 16)) >= length;
    if (inside && (best === undefined || length > (table.length[best] ?? 0))) best = i;
  }
  return best === undefined ? undefined : table.target[best];
}

/** The rule that a target leads to; 0: none. */
function walk(compiled: Compiled, target: Target, packet: AskedPacket): number {
  if (target >= 0) return target;
  const { steps } = compiled;
  for (let number = -target, taken = 0; number !== 0; taken += 1) {
    if (taken > 1000) throw new Error("the chain has no end");
    const group = steps.group[number] ?? 0;
    const wanted = compiled.interfaces[steps.interface[number] ?? 0];
    if (group !== 0) {
      const found = longest(compiled.sources, group, packet.remote);
      number = found === undefined ? (steps.next[number] ?? 0) : -found;
    } else if (wanted !== "" && wanted !== packet.interface) {
      number = steps.next[number] ?? 0;
    } else {
      return steps.rule[number] ?? 0;
    }
  }
  return 0;
}

export function readTables(compiled: Compiled, packet: AskedPacket): Mapping | undefined {
  const { protocol, local, localPort } = packet;
  const index = compiled.classes.findIndex(
    (entry) => entry.protocol === protocol && portsContain(entry.ranges, localPort),
  );
  const found = compiled.classes[index];
  if (found === undefined) return undefined;
  const exact = longest(compiled.exact, index + 1, local);
  if (exact === undefined && compiled.owned.includes(local)) return undefined;
  const target =
    exact ?? longest(compiled.prefixes, index + 1, local) ?? found.fallback[familyOf(local)];
  const rule = walk(compiled, target, packet);
  return rule === 0 ? undefined : compiled.mappings[compiled.rules.mapping[rule] ?? 0];
}
