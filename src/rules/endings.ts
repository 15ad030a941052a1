/** When mappings without a listener lost their last one. Pure. */
import type { Ending } from "../model/listener.js";
import type { Mapping } from "../model/mapping.js";
import { portsContain } from "../model/ports.js";

/** The ends of listeners, by protocol and address. */
export class Endings {
  readonly #byAddress = new Map<string, Ending[]>();

  constructor(endings: readonly Ending[]) {
    for (const ending of endings) {
      const key = `${ending.protocol} ${ending.address}`;
      const known = this.#byAddress.get(key);
      if (known === undefined) this.#byAddress.set(key, [ending]);
      else known.push(ending);
    }
  }

  /** Returns the latest end at a destination, an index into `to`; null when none was seen. */
  at(
    { protocol, ports, to }: Pick<Mapping, "protocol" | "ports" | "to">,
    index: number,
  ): Ending | null {
    const destination = to[index];
    if (destination === undefined) return null;
    const { address, port } = destination;
    const places = address === "*" ? ["0.0.0.0", "::"] : [address];
    const found = places
      .flatMap((place) => this.#byAddress.get(`${protocol} ${place}`) ?? [])
      .filter((one) => (port === "same" ? portsContain(ports, one.port) : port === one.port));
    return latest(found);
  }

  /** Returns the latest end at any of a mapping's destinations; null when none was seen. */
  of(mapping: Pick<Mapping, "protocol" | "ports" | "to">): Ending | null {
    return latest(mapping.to.flatMap((_, index) => this.at(mapping, index) ?? []));
  }
}

function latest(endings: readonly Ending[]): Ending | null {
  return endings.toSorted((a, b) => b.endedAt - a.endedAt)[0] ?? null;
}
