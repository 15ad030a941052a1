/** Tables in the kernel as what an overlay lies on: a few of their entries are looked up, whatever their size. */
import { classLayout, ruleLayout } from "../abi/generated.js";
import { decode, encode } from "../abi/layout.js";
import type { Base, BaseClass } from "../compile/overlay.js";
import type { PrefixBits } from "../compile/tables.js";
import type { BpfMap } from "../kernel/bpf.js";
import type { Family } from "../model/address.js";
import type { Protocol } from "../model/mapping.js";
import { type Layers, nameHash } from "./description.js";
import { u32 } from "./entries.js";
import { findPrefix } from "./prefixes.js";
import { portKey } from "./ports.js";
import { readClassValue } from "./tables.js";

type BaseMap = "classes" | "prefixes" | "rules" | "names";

export class KernelBase implements Base {
  readonly #map: (name: BaseMap) => BpfMap;
  readonly #layers: Layers;
  readonly #ports: () => Uint32Array;

  /** `ports`: what `ports` has without an overlay. */
  constructor(map: (name: BaseMap) => BpfMap, layers: Layers, ports: () => Uint32Array) {
    this.#map = map;
    this.#layers = layers;
    this.#ports = ports;
  }

  classAt(protocol: Protocol, port: number): BaseClass | undefined {
    return readClassValue(this.#ports()[portKey(protocol, port)] ?? 0);
  }

  at(owner: number, place: PrefixBits): number {
    return findPrefix(this.#map("prefixes"), owner, place);
  }

  fallback(owner: number, family: Family): number {
    const value = this.#map("classes").lookup(encode(u32, owner));
    if (value === undefined) return 0;
    const { rule4, rule6 } = decode(classLayout, value);
    return family === 4 ? rule4 : rule6;
  }

  ports(rule: number): number {
    const value = this.#map("rules").lookup(encode(u32, rule));
    return value === undefined ? 0 : decode(ruleLayout, value).ports;
  }

  /** By halving. */
  hasName(key: string): boolean {
    const wanted = nameHash(key);
    let low = 0;
    let high = this.#layers.mappings;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const value = this.#map("names").lookup(encode(u32, middle));
      const found = value === undefined ? 0n : new DataView(value.buffer).getBigUint64(0, true);
      if (found === wanted) return true;
      if (found < wanted) low = middle + 1;
      else high = middle;
    }
    return false;
  }
}
