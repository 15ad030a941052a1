/**
 * Tables in the kernel as the base of an overlay. Only a few of their entries are looked up,
 * whatever their size.
 */
import { classLayout, ruleLayout } from "../../abi/generated.js";
import { decode, encode } from "../../abi/layout.js";
import type { Base, BaseClass } from "../../compile/overlay.js";
import type { PrefixBits } from "../../compile/tables.js";
import type { BpfMap } from "../../kernel/bpf/map.js";
import type { Family } from "../../model/address.js";
import type { Protocol } from "../../model/mapping.js";
import { u32 } from "./batches.js";
import { type Found, findPrefix } from "./prefixes.js";
import { portKey } from "./ports.js";
import { readClassValue } from "./tables.js";
import type { Targets } from "./targets.js";

type BaseMap = "classes" | "prefixes" | "rules";

/**
 * The kernel's tables below an overlay. A rule in the kernel does not say whose it is, so the
 * numbers that this class returns stand for what it has found: a rule and a counter. As targets,
 * they turn back into those.
 */
export class KernelBase implements Base, Targets {
  readonly #map: (name: BaseMap) => BpfMap;
  readonly #ports: () => Uint32Array;
  /** What has been found, by number, from 1 on. */
  readonly #found: Found[] = [nothing];
  readonly #numbers = new Map<string, number>();

  /** `ports` returns the contents of the table `ports` without an overlay. */
  constructor(map: (name: BaseMap) => BpfMap, ports: () => Uint32Array) {
    this.#map = map;
    this.#ports = ports;
  }

  classAt(protocol: Protocol, port: number): BaseClass | undefined {
    return readClassValue(this.#ports()[portKey(protocol, port)] ?? 0);
  }

  at(owner: number, place: PrefixBits): number {
    return this.#number(findPrefix(this.#map("prefixes"), owner, place));
  }

  fallback(owner: number, family: Family): number {
    const value = this.#map("classes").lookup(encode(u32, owner));
    if (value === undefined) return 0;
    const { rule4, rule6, counter4, counter6 } = decode(classLayout, value);
    return this.#number(
      family === 4 ? { target: rule4, counter: counter4 } : { target: rule6, counter: counter6 },
    );
  }

  #number(found: Found): number {
    const { target, counter } = found;
    if (target === 0) return 0;
    const key = `${target} ${counter}`;
    const known = this.#numbers.get(key);
    if (known !== undefined) return known;
    this.#numbers.set(key, this.#found.length);
    return this.#found.push(found) - 1;
  }

  ports(rule: number): number {
    const value = this.#map("rules").lookup(encode(u32, this.value(rule)));
    return value === undefined ? 0 : decode(ruleLayout, value).ports;
  }

  /**
   * Overlays lie on tables with one part, where each mapping's counter is at the mapping's own
   * index.
   */
  mapping(rule: number): number {
    return this.counter(rule);
  }

  value(rule: number): number {
    return (this.#found[rule] ?? nothing).target;
  }

  counter(rule: number): number {
    return (this.#found[rule] ?? nothing).counter;
  }
}

const nothing: Found = { target: 0, counter: 0 };
