/** Tables in the kernel as what an overlay lies on: a few of their entries are looked up, whatever their size. */
import { type Rule, classLayout, ruleLayout } from "../abi/generated.js";
import { decode, encode } from "../abi/layout.js";
import type { Base, BaseClass } from "../compile/overlay.js";
import type { PrefixBits } from "../compile/tables.js";
import type { BpfMap } from "../kernel/bpf.js";
import type { Family } from "../model/address.js";
import type { Protocol } from "../model/mapping.js";
import { u32 } from "./entries.js";
import { findPrefix } from "./prefixes.js";
import { portKey } from "./ports.js";
import { readClassValue } from "./tables.js";

type BaseMap = "classes" | "prefixes" | "rules";

export class KernelBase implements Base {
  readonly #map: (name: BaseMap) => BpfMap;
  readonly #ports: () => Uint32Array;

  /** `ports`: what `ports` has without an overlay. */
  constructor(map: (name: BaseMap) => BpfMap, ports: () => Uint32Array) {
    this.#map = map;
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
    return this.#rule(rule)?.ports ?? 0;
  }

  mapping(rule: number): number {
    return this.#rule(rule)?.mapping ?? 0;
  }

  #rule(rule: number): Rule | undefined {
    const value = this.#map("rules").lookup(encode(u32, rule));
    return value && decode(ruleLayout, value);
  }
}
