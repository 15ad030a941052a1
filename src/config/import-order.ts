/** nftables lets the first rule decide that matches, ilm the most specific mapping: the order of the rules may say something else. */
import {
  type Prefix,
  familyOf,
  prefixAddress,
  prefixContains,
  prefixLength,
} from "../model/address.js";
import type { PortRange } from "../model/mapping.js";
import { countPorts, mergePorts } from "../model/ports.js";
import type { ImportedEntry } from "./imported.js";
import { readQuickEntry } from "./quick-entry.js";
import { listOf } from "./schema.js";

interface Match {
  readonly protocol: unknown;
  readonly ports: readonly PortRange[];
  readonly on: readonly Prefix[];
  readonly from: readonly Prefix[];
  readonly interfaces: readonly string[];
}

const everywhere = ["0.0.0.0/0", "::/0"] as Prefix[];

function matchOf(entry: ImportedEntry): Match | null {
  const read = readQuickEntry(entry);
  if (read === null) return null;
  const ports = listOf(read.port).map((port) =>
    typeof port === "number" ? { first: port, last: port } : port,
  );
  return {
    protocol: read.protocol ?? "tcp",
    ports: mergePorts(ports),
    on: read.on === undefined ? everywhere : listOf(read.on),
    from: read.from === undefined ? everywhere : listOf(read.from),
    interfaces: read.interface === undefined ? [] : listOf(read.interface),
  };
}

/** Pairs of one of each that have addresses in common. */
function common(a: readonly Prefix[], b: readonly Prefix[]): (readonly [Prefix, Prefix])[] {
  return a.flatMap((x) =>
    b
      .filter(
        (y) =>
          familyOf(x) === familyOf(y) &&
          (prefixContains(x, prefixAddress(y)) || prefixContains(y, prefixAddress(x))),
      )
      .map((y) => [x, y] as const),
  );
}

/** Would a mapping of `later` be given packets that `earlier` matches too, and has first where order decides? */
export function takesFrom(later: ImportedEntry, earlier: ImportedEntry): boolean {
  const mine = matchOf(later);
  const other = matchOf(earlier);
  if (mine === null || other === null || mine.protocol !== other.protocol) return false;
  const meet = mine.ports.some((x) =>
    other.ports.some((y) => x.first <= y.last && y.first <= x.last),
  );
  const named = mine.interfaces.length > 0 && other.interfaces.length > 0;
  const sharedInterface = mine.interfaces.some((name) => other.interfaces.includes(name));
  if (!meet || (named && !sharedInterface)) return false;
  const sources = common(mine.from, other.from);
  return common(mine.on, other.on).some(([on, otherOn]) =>
    sources
      .filter(([from]) => familyOf(from) === familyOf(on))
      .some(([from, otherFrom]) => {
        const rank =
          prefixLength(otherOn) - prefixLength(on) ||
          countPorts(mine.ports) - countPorts(other.ports) ||
          prefixLength(otherFrom) - prefixLength(from) ||
          Number(other.interfaces.length > 0) - Number(mine.interfaces.length > 0);
        return rank <= 0;
      }),
  );
}
