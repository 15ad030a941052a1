/** The data plane of the main thread's network namespace: a facade over `install` and `observe`. */
import { requireBpf } from "../kernel/features.js";
import { vrfIndexes } from "../kernel/interfaces.js";
import type { Family } from "../model/address.js";
import type {
  CounterList,
  Counters,
  DecisionFilter,
  MappingCounters,
  Packet,
} from "../model/decision.js";
import type { Connections } from "../model/connection.js";
import type { Flow } from "../model/flow.js";
import type { Ending, Listener } from "../model/listener.js";
import type { Refusal } from "../model/refusal.js";
import type { Unheard } from "../rules/endings.js";
import type { Permit } from "../rules/permits.js";
import type { ActiveRules, FilePart } from "../model/rules.js";
import { digestOfFile } from "./description.js";
import { Earlier } from "./earlier.js";
import { apply } from "./install/apply.js";
import { findEnded } from "./install/ended.js";
import {
  listUncovered,
  listDetached,
  listMissing,
  repairAll,
  listOvertaken,
  follow,
  resync,
} from "./install/hooks.js";
import { setOff } from "./install/off.js";
import { confirm, goBack, settleBack } from "./install/pending.js";
import { State, type DataPlaneOptions } from "./install/state.js";
import { unload } from "./install/unload.js";
import { explain, watch } from "./observe/ask.js";
import { countConnections } from "./observe/connections.js";
import { countedIn } from "./observe/counts.js";
import { findUnheard, readEndings } from "./observe/endings.js";
import { liveFlows, countLiveFlows } from "./observe/flows.js";
import { activeOf, keptText, keepText, snapshotOf } from "./observe/active.js";
import { permitsOf } from "./observe/permitted.js";
import { countWatching } from "./observe/reader.js";
import { readRefusals } from "./observe/refusals.js";
import { listListeners, mapOfFlows } from "./observe/sockets.js";
import type {
  DataPlane,
  Active,
  KeptText,
  Snapshot,
  ApplyOptions,
  ApplyResult,
  FlowCount,
  Missing,
  Overtaken,
  Watching,
  Faults,
  Explanation,
  DecisionStream,
  FollowOptions,
} from "./types.js";

class KernelDataPlane implements DataPlane {
  readonly #state: State;

  constructor(options: DataPlaneOptions) {
    requireBpf();
    this.#state = new State(options);
  }

  get netnsInode(): number {
    return this.#state.netnsInode;
  }

  get netnsCookie(): string {
    return this.#state.cookie.toString();
  }

  get pinPath(): string {
    return this.#state.pinPath;
  }

  asOne<T>(action: () => T): T {
    return this.#state.asOne(action);
  }

  isLost(): boolean {
    return this.#state.isLost();
  }

  active(): Active | null {
    return activeOf(this.#state);
  }

  snapshot(): Snapshot | null {
    return snapshotOf(this.#state);
  }

  digestOf(sources: readonly string[], file: FilePart): string {
    return digestOfFile(sources, file.read());
  }

  keptText(): KeptText | null {
    return keptText(this.#state);
  }

  keepText(rules: ActiveRules, text: string): void {
    keepText(this.#state, rules, text);
  }

  apply(rules: ActiveRules, options: ApplyOptions = {}): ApplyResult {
    return this.asOne(() => apply(this.#state, rules, options));
  }

  settle(): void {
    this.#state.settle();
  }

  confirm(): void {
    this.asOne(() => {
      confirm(this.#state);
    });
  }

  goBack(): void {
    this.asOne(() => {
      goBack(this.#state);
    });
  }

  settleBack(): number | null {
    return this.asOne(() => settleBack(this.#state));
  }

  setOff(off: boolean): boolean {
    return setOff(this.#state, off);
  }

  unload(): boolean {
    return unload(this.#state);
  }

  steers(): boolean | null {
    const current = this.#state.current();
    if (current instanceof Earlier) return current.steers;
    return current?.registry.steers ?? null;
  }

  nat(): readonly Family[] {
    return this.#state.own()?.registry.nat() ?? [];
  }

  netfilterHooks(): readonly Family[] {
    return this.#state.own()?.registry.netfilterHooks() ?? [];
  }

  outputFilters(): readonly Family[] {
    return this.#state.own()?.registry.outputFilters() ?? [];
  }

  vrfs(): ReadonlySet<number> {
    return new Set(vrfIndexes());
  }

  endedNamespaces(): number[] {
    return findEnded();
  }

  registryId(): number | null {
    return this.#state.own()?.registry.program("sockops").id ?? null;
  }

  counters(): CounterList {
    return countedIn(this.#state, (one, back) => one.counters(back));
  }

  countersOf(indexes: readonly number[]): readonly MappingCounters[] {
    return countedIn(this.#state, (one, back) => one.countersOf(indexes, back));
  }

  counterTotal(): Counters {
    return countedIn(this.#state, (one, back) => one.counterTotal(back));
  }

  listeners(): Listener[] {
    return listListeners(this.#state);
  }

  permits(): (listener: Listener, permit: Permit | null) => boolean {
    return permitsOf(this.#state);
  }

  firstUnprivileged(): number {
    return this.#state.own()?.registry.firstUnprivileged() ?? 0;
  }

  endings(): Ending[] {
    const registry = this.#state.own()?.registry;
    return registry === undefined ? [] : readEndings(registry.map("endings"));
  }

  readonly unheard: Unheard = (places) => {
    const registry = this.#state.own()?.registry;
    return registry === undefined ? places.map(() => null) : findUnheard(registry, places);
  };

  refusals(): Refusal[] {
    const registry = this.#state.own()?.registry;
    return registry === undefined ? [] : readRefusals(registry.map("refusals"));
  }

  flows(): Flow[] {
    const map = mapOfFlows(this.#state);
    return map === null ? [] : liveFlows(map);
  }

  connections(): Connections[] {
    const registry = this.#state.own()?.registry;
    return registry === undefined ? [] : countConnections(registry.accepted());
  }

  flowCount(): FlowCount | null {
    const map = mapOfFlows(this.#state);
    return map && { live: countLiveFlows(map), capacity: map.maxEntries };
  }

  uncoveredInterfaces(): string[] {
    return this.asOne(() => listUncovered(this.#state));
  }

  detached(): readonly Missing[] {
    return listDetached(this.#state);
  }

  missing(): readonly Missing[] {
    return this.asOne(() => listMissing(this.#state));
  }

  repair(): readonly Missing[] {
    return repairAll(this.#state);
  }

  overtaken(): Overtaken[] {
    return listOvertaken(this.#state);
  }

  faults(): Faults | null {
    return this.#state.own()?.registry.faults() ?? null;
  }

  watching(): Watching | null {
    const registry = this.#state.own()?.registry;
    return registry === undefined ? null : countWatching(registry);
  }

  explain(packet: Packet): Explanation {
    return explain(this.#state, packet);
  }

  watch(filter: DecisionFilter): DecisionStream {
    return watch(this.#state, filter);
  }

  follow(options?: FollowOptions): { close(): void } {
    return follow(this.#state, options);
  }

  resync(): readonly Missing[] {
    return resync(this.#state);
  }

  close(): void {
    this.#state.close();
  }
}

/**
 * Opens the data plane of the main thread's network namespace. Cheap, changes nothing, and works
 * when nothing is loaded. Throws NOT_PERMITTED, NO_BPF or NO_LIBBPF when this host or user cannot
 * use BPF, and NO_BTF when the kernel has no BTF.
 */
export function openDataPlane(options: DataPlaneOptions = {}): DataPlane {
  return new KernelDataPlane(options);
}
