/**
 * Rules made up for tests, a data plane that holds them in memory, and arbitrary rules for
 * properties.
 */
import type { DaemonState, DaemonStatus } from "../../../src/api/api.js";
import { once } from "node:events";
import * as fc from "fast-check";
import { refuseBesidePending } from "../../../src/dataplane/beside-pending.js";
import { IlmError } from "../../../src/errors.js";
import type {
  ApplyOptions,
  ApplyResult,
  DataPlane,
  DecisionStream,
  Explanation,
  Faults,
  FlowCount,
  Active,
  KeptText,
  Snapshot,
  ObservedDecision,
  Watching,
} from "../../../src/dataplane/types.js";
import { settledPrefixes } from "../../../src/config/prefixes.js";
import { SummedCounters } from "../../../src/dataplane/observe/counting.js";
import { digestOf, digestOfFile, packMappings } from "../../../src/dataplane/description.js";
import {
  parseAddress,
  parsePrefix,
  type Address,
  type Family,
  type Prefix,
} from "../../../src/model/address.js";
import {
  type Destination,
  type Listeners,
  type Mapping,
  type Owner,
  type Service,
  type WildcardPolicies,
  MAX_ID,
  engines,
  handovers,
  mptcpModes,
  strangerPolicies,
  wildcardPolicies,
} from "../../../src/model/mapping.js";
import { canonicalListeners } from "../../../src/model/owner.js";
import {
  type ActiveRules,
  type Rules,
  type RuleSet,
  countMappings,
  readRules,
  toBeActive,
} from "../../../src/model/rules.js";
import {
  type CounterList,
  type Counters,
  type DecisionCounts,
  type DecisionFilter,
  nothingCounted,
  type Packet,
} from "../../../src/model/decision.js";
import type { Connections } from "../../../src/model/connection.js";
import type { Flow } from "../../../src/model/flow.js";
import type { Refusal } from "../../../src/model/refusal.js";
import type { Ending, Listener } from "../../../src/model/listener.js";
import { mergePorts } from "../../../src/model/ports.js";

export function address(text: string): Address {
  const parsed = parseAddress(text);
  if (!parsed.ok) throw new Error(parsed.reason);
  return parsed.address;
}

export function prefix(text: string): Prefix {
  const parsed = parsePrefix(text);
  if (!parsed.ok) throw new Error(parsed.reason);
  return parsed.prefix;
}

export function mapping(name: string, changes: Partial<Mapping> = {}): Mapping {
  return {
    name,
    protocol: "tcp",
    ports: [{ first: 80, last: 80 }],
    on: [],
    to: [{ address: address("127.0.1.10"), port: "same" }],
    existing: "exact",
    miss: "pass",
    origin: { file: "rules.yaml", line: 3, column: 5 },
    ...changes,
  };
}

/** What a daemon answers about itself. */
export const daemonStatus: DaemonStatus = {
  pid: 42,
  version: "0.0.0",
  startedAt: "2026-01-02T03:04:05.000Z",
  following: "/etc/ilm/ilm.yaml",
  followed: ["/etc/ilm/ilm.yaml"],
  lastReload: null,
  reloads: { done: 1, failed: 0 },
};

/** What a daemon answers about its rules. */
export const daemonState: DaemonState = {
  loaded: true,
  pending: null,
  wentBackAt: null,
  copiedAt: null,
  given: [],
  netns: 4_026_531_840,
  off: false,
  generation: 2,
  appliedAt: "2026-01-02T03:04:05.000Z",
  appliedBy: "0.0.0",
  earlierFormat: null,
  engine: "registry",
  mptcp: "on",
  source: null,
  sources: [],
  services: 1,
  mappings: 1,
  runtimeMappings: 0,
  drained: [],
  listeners: 3,
  mappedListeners: 1,
  unserved: { count: 0, mappings: [] },
  drainedMappings: { count: 0, mappings: [] },
  gaps: { count: 0, mappings: [] },
  degraded: { count: 0, mappings: [] },
  full: { count: 0, mappings: [] },
  lookups: { existing: 1, selected: 2, missed: 3, errors: 0 },
  flows: { live: 0, capacity: 65_536 },
  faults: { untracked: 0, unplaced: 0, flows: 0, unanswered: 0, unsteered: 0 },
  pinPath: "/sys/fs/bpf/ilm/4026531840",
};

export function ruleSet(...mappings: readonly Mapping[]): RuleSet {
  return { services: [], mappings };
}

export function rules(file: RuleSet, runtime: readonly Mapping[] = []): Rules {
  return { sources: ["/etc/ilm/rules.yaml"], file, runtime };
}

export function activeRules(file: RuleSet, runtime: readonly Mapping[] = []): ActiveRules {
  return toBeActive(rules(file, runtime));
}

export function countersOf(...list: readonly Counters[]): CounterList {
  const names = ["existing", "selected", "missed", "errors"] as const;
  const numbers = list.flatMap((one) => names.map((name) => BigInt(one[name])));
  return new SummedCounters(new Uint8Array(BigUint64Array.from(numbers).buffer));
}

/** Has these decisions, and then waits to be closed. */
class MadeStream implements DecisionStream {
  readonly decisions: readonly ObservedDecision[];
  readonly #ended = new AbortController();
  readonly #counts: DecisionCounts;

  constructor(decisions: readonly ObservedDecision[], counts: DecisionCounts) {
    this.decisions = decisions;
    this.#counts = counts;
  }

  counts(): DecisionCounts {
    return this.#counts;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<readonly ObservedDecision[]> {
    const { signal } = this.#ended;
    for (const decision of this.decisions) yield [decision];
    if (!signal.aborted) await once(signal, "abort");
  }

  end(): void {
    this.#ended.abort();
  }

  close(): void {
    this.end();
  }
}

/** In memory; `fail` makes the next apply throw. */
export class FakeDataPlane implements DataPlane {
  readonly netnsInode = 4_026_531_840;
  readonly netnsCookie = "1";
  readonly pinPath = "/sys/fs/bpf/ilm/4026531840";
  applied: ActiveRules[] = [];
  resyncs = 0;
  missingAtResync: readonly string[] = [];
  fail: Error | null = null;
  #active: Active | null = null;

  /** How often a change was finished; `failToSettle` makes the next attempt throw. */
  settled = 0;
  failToSettle: Error | null = null;

  settle(): void {
    const error = this.failToSettle;
    this.failToSettle = null;
    if (error !== null) throw error;
    this.settled += 1;
  }

  /** The families with NAT. */
  translated: readonly Family[] = [];

  nat(): readonly Family[] {
    return this.translated;
  }

  /** The families with a filter at OUTPUT. */
  filtered: readonly Family[] = [];

  outputFilters(): readonly Family[] {
    return this.filtered;
  }

  netfilterHooks(): [] {
    return [];
  }

  vrfs(): ReadonlySet<number> {
    return new Set();
  }

  uncoveredInterfaces(): [] {
    return [];
  }

  unpinned = false;

  isLost(): boolean {
    return this.unpinned;
  }

  detached(): [] {
    return [];
  }

  /** What was taken away. */
  gone: string[] = [];

  missing(): readonly string[] {
    return this.gone;
  }

  repair(): string[] {
    if (this.fail !== null) {
      const error = this.fail;
      this.fail = null;
      throw error;
    }
    return this.gone.splice(0);
  }

  overtaken(): [] {
    return [];
  }

  /** What is open over TCP. */
  connected: Connections[] = [];

  connections(): Connections[] {
    return this.connected;
  }

  /** What UDP clients dialled. */
  clients: Flow[] = [];

  flows(): Flow[] {
    return this.clients;
  }

  /** The listeners that no permit permits but the one for anyone. */
  strangers: Listener[] = [];

  permits(): ReturnType<DataPlane["permits"]> {
    return (listener, permit) => permit === null || !this.strangers.includes(listener);
  }

  refused: Refusal[] = [];

  refusals(): Refusal[] {
    return this.refused;
  }

  firstUnprivileged(): number {
    return 0;
  }

  flowCount(): FlowCount | null {
    return this.#active === null ? null : { live: 3, capacity: 65_536 };
  }

  faults(): Faults | null {
    if (this.#active === null) return null;
    return { untracked: 0, unplaced: 0, flows: 0, unanswered: 2, unsteered: 0 };
  }

  watching(): Watching | null {
    return this.#active === null ? null : { readers: 0, dropped: 0 };
  }

  follow(): { close(): void } {
    return { close: () => undefined };
  }

  /** What decides again if the active rules are not confirmed. */
  #before: Active | null = null;
  /** True once the time of the change is over that waits for its confirmation. */
  over = false;

  confirm(): void {
    if (this.#active === null || this.#active.pending === null) {
      throw new IlmError("NOT_FOUND", "no change waits for a confirmation");
    }
    this.#active = { ...this.#active, pending: null };
  }

  goBack(): void {
    if (this.#active === null || this.#active.pending === null) {
      throw new IlmError("NOT_FOUND", "no change waits for a confirmation");
    }
    this.over = true;
    this.settleBack();
  }

  settleBack(): number | null {
    if (!this.over) return null;
    this.over = false;
    this.#active = this.#before;
    return this.#active?.generation ?? 0;
  }

  off = false;

  setOff(off: boolean): boolean {
    const changed = this.off !== off;
    this.off = off;
    return changed;
  }

  steers(): boolean {
    return true;
  }

  endedNamespaces(): number[] {
    return [];
  }

  asOne<T>(action: () => T): T {
    return action();
  }

  active(): Active | null {
    return this.#active;
  }

  /** What is kept of the text of the active rules. */
  text: string | null = null;
  fits: KeptText["fits"] = null;

  keptText(): KeptText | null {
    const file = this.#active?.rules.file;
    return file === undefined || this.text === null
      ? null
      : { file, text: this.text, fits: this.fits };
  }

  digestOf(): string {
    return "";
  }

  snapshot(): Snapshot | null {
    if (this.#active === null) return null;
    const { generation, appliedAt, off, rules, pending, wentBackAt } = this.#active;
    const fileDigest = digestOfFile(rules.sources, rules.file.read());
    const digest = digestOf(fileDigest, rules);
    const packed = (): Uint8Array => packMappings(rules.file.read().mappings);
    const same = { format: 0, generation, appliedAt, off, rules, pending, wentBackAt };
    return { ...same, fileDigest, digest, packed };
  }

  keepText(_: ActiveRules, text: string): void {
    this.text = text;
  }

  apply(next: ActiveRules, { confirmSeconds }: ApplyOptions = {}): ApplyResult {
    if (this.fail !== null) {
      const error = this.fail;
      this.fail = null;
      throw error;
    }
    const before = this.#active;
    const active = before && readRules(before.rules);
    const wanted = readRules(next);
    const changed = JSON.stringify(active) !== JSON.stringify(wanted);
    const generation = (before?.generation ?? 0) + (changed ? 1 : 0);
    refuseBesidePending(before?.generation ?? 0, before?.pending ?? null);
    const pending =
      changed && confirmSeconds !== undefined
        ? { until: "2026-01-02T03:05:05.000Z", backTo: before?.generation ?? 0 }
        : null;
    if (changed) {
      this.#before = before;
      this.applied.push(next);
      this.#active = {
        generation,
        appliedAt: "2026-01-02T03:04:05.000Z",
        engine: "registry",
        version: "0.0.0",
        kfuncTrouble: null,
        off: false,
        earlierFormat: null,
        strangerPolicy: wanted.file.strangers ?? "refuse",
        rules: next,
        fileDigest: digestOfFile(next.sources, wanted.file),
        pending,
        wentBackAt: null,
      };
    }
    return {
      generation,
      changed,
      difference: null,
      mappings: countMappings(next),
      incremental: false,
      addressesAdded: [],
      addressesRemoved: [],
      interfacesMissing: [],
      kfuncTrouble: null,
      repaired: [],
      takenOverFormat: null,
      lost: null,
      pending,
      off: this.off,
    };
  }

  /** What each mapping has counted, unless `countedAt` says. */
  counted: Counters = { existing: 0, selected: 0, missed: 0, errors: 0 };
  /** What mappings have counted, by index. */
  countedAt: readonly Counters[] = [];

  counters() {
    const count = this.#active === null ? 0 : countMappings(this.#active.rules);
    return countersOf(...Array.from({ length: count }, (_, index) => this.#countedBy(index)));
  }

  #countedBy(index: number): Counters {
    return this.countedAt[index] ?? this.counted;
  }

  countersOf(indexes: readonly number[]) {
    return indexes.map((index) => {
      const counted = this.#countedBy(index);
      return { ...counted, to: [counted.selected] };
    });
  }

  /** Of the registry; another one counts anew. */
  registry = 1;

  registryId(): number {
    return this.registry;
  }

  counterTotal(): Counters {
    return this.counters().total();
  }

  /** Who listened. */
  ended: Ending[] = [];

  endings(): Ending[] {
    return this.ended;
  }

  /** Since when each place has been watched without a listener; null: not known. */
  silentSince: number | null = null;

  readonly unheard: DataPlane["unheard"] = (places) => places.map(() => this.silentSince);

  /** Who listens. */
  sockets: Listener[] = [];

  listeners(): Listener[] {
    return this.sockets;
  }

  /** What the program would say. */
  explanation: Explanation | null = null;

  explain(packet: Packet): Explanation {
    if (this.explanation === null) throw new Error("not asked for in these tests");
    return { ...this.explanation, packet };
  }

  /** What a monitor is given, and what it is told of all decisions. */
  decisions: ObservedDecision[] = [];
  decided: DecisionCounts = nothingCounted;
  /** What a monitor asked for. */
  filter: DecisionFilter | null = null;

  watch(filter: DecisionFilter): DecisionStream {
    this.filter = filter;
    return new MadeStream(this.decisions, this.decided);
  }

  resync(): readonly string[] {
    this.resyncs += 1;
    return this.missingAtResync;
  }

  unload(): boolean {
    const loaded = this.#active !== null;
    this.#active = null;
    return loaded;
  }

  /** How often it was closed. */
  closed = 0;

  close(): void {
    this.closed += 1;
    this.fail = null;
  }
}

const anyAddress = fc
  .oneof(fc.ipV4(), fc.ipV6())
  .map((text) => parseAddress(text))
  .filter((parsed) => parsed.ok)
  .map((parsed) => parsed.address);

const anyPrefix = anyAddress
  .map((text) => parsePrefix(text))
  .filter((parsed) => parsed.ok)
  .map((parsed) => parsed.prefix);

const anyPort = fc.integer({ min: 1, max: 65_535 });

const anyPorts = fc
  .array(fc.tuple(anyPort, anyPort), { minLength: 1, maxLength: 5 })
  .map((pairs) =>
    mergePorts(pairs.map(([a, b]) => ({ first: Math.min(a, b), last: Math.max(a, b) }))),
  );

const anyDestination: fc.Arbitrary<Destination> = fc.record(
  {
    address: fc.oneof(anyAddress, fc.constant("*" as const)),
    port: fc.oneof(anyPort, fc.constant("same" as const)),
    service: fc.string({ minLength: 1, maxLength: 20 }),
  },
  { requiredKeys: ["address", "port"] },
);

const anyOrigin = fc.record({ file: fc.string(), line: fc.nat(), column: fc.nat() });

const anyAccount = fc.oneof(
  fc.constantFrom("root", "www-data", "_chrony", "machine$"),
  fc.integer({ min: 0, max: MAX_ID }),
);

const anyOwner: fc.Arbitrary<Owner> = fc
  .record(
    {
      unit: fc.constantFrom("nginx.service", "postgresql@16-main.service", "session-3.scope"),
      user: anyAccount,
      group: anyAccount,
    },
    { requiredKeys: [] },
  )
  .filter((owner) => Object.keys(owner).length > 0);

const anyListeners: fc.Arbitrary<Listeners> = fc.oneof(
  fc.constant("anyone" as const),
  fc.array(anyOwner, { minLength: 1, maxLength: 3 }).map(canonicalListeners),
);

const anyWildcard = fc.constantFrom(...wildcardPolicies);

const anyPolicies: fc.Arbitrary<WildcardPolicies> = fc.record(
  {
    default: anyWildcard,
    units: anyWildcard.map((policy) => ({ "nginx.service": policy, "web@1.service": "deny" })),
    users: anyWildcard.map((policy) => ({ "33": "allow", "www-data": policy })),
  },
  { requiredKeys: [] },
);

const anyDescription = fc.constantFrom("the shop", "Café 🍵: don't touch", "x".repeat(200));

/** Each field that a mapping may have; the compiler refuses a table that lacks one. */
const fieldsOfMapping: {
  [Field in keyof Required<Mapping>]: fc.Arbitrary<Required<Mapping>[Field]>;
} = {
  name: fc.string({ minLength: 1, maxLength: 40 }),
  protocol: fc.constantFrom("tcp" as const, "udp" as const),
  ports: anyPorts,
  on: fc.uniqueArray(anyPrefix, { maxLength: 4 }),
  from: fc.uniqueArray(anyPrefix, { minLength: 1, maxLength: 3 }),
  interfaces: fc
    .uniqueArray(fc.constantFrom("eth0", "eth1", "wg0"), { minLength: 1 })
    .map((names) => names.toSorted()),
  to: fc.array(anyDestination, { minLength: 1, maxLength: 4 }),
  existing: fc.constantFrom("exact" as const, "any" as const, "never" as const),
  miss: fc.constantFrom("pass" as const, "reject" as const),
  until: fc.integer({ min: 1, max: 2 ** 32 - 1 }),
  listeners: anyListeners,
  description: anyDescription,
  origin: anyOrigin,
};

export const anyMapping: fc.Arbitrary<Mapping> = fc.record(fieldsOfMapping, {
  requiredKeys: ["name", "protocol", "ports", "on", "to", "existing", "miss", "origin"],
});

/** Each field that a service may have; the compiler refuses a table that lacks one. */
const fieldsOfService: {
  [Field in keyof Required<Service>]: fc.Arbitrary<Required<Service>[Field]>;
} = {
  name: fc.string({ minLength: 1, maxLength: 20 }),
  addresses: fc.array(anyAddress, { minLength: 1, maxLength: 3 }),
  handover: fc.constantFrom(...handovers),
  originate: fc.constant(true as const),
  owner: anyOwner,
  mptcp: fc.constant("off" as const),
  wildcard: anyWildcard,
  description: anyDescription,
  origin: anyOrigin,
};

const anyService: fc.Arbitrary<Service> = fc.record(fieldsOfService, {
  requiredKeys: ["name", "addresses", "origin"],
});

/** Each field that a rule set may have; the compiler refuses a table that lacks one. */
const fieldsOfRuleSet: {
  [Field in keyof Required<RuleSet>]: fc.Arbitrary<Required<RuleSet>[Field]>;
} = {
  engine: fc.constantFrom(...engines),
  mptcp: fc.constantFrom(...mptcpModes),
  strangers: fc.constantFrom(...strangerPolicies),
  wildcard: anyPolicies,
  ula: fc.constant(prefix("fd5e:ed00:1::/48")),
  anyip: fc
    .subarray(["203.0.113.0/24", "198.51.100.7/32", "2001:db8:5::/48"], { minLength: 1 })
    .map((texts) => settledPrefixes(texts.map(prefix))),
  floating: fc
    .subarray(["203.0.113.77/32", "2001:db8::77/128"], { minLength: 1 })
    .map((texts) => settledPrefixes(texts.map(prefix))),
  services: fc.array(anyService, { maxLength: 4 }),
  mappings: fc.array(anyMapping, { maxLength: 6 }),
};

export const anyRuleSet: fc.Arbitrary<RuleSet> = fc.record(fieldsOfRuleSet, {
  requiredKeys: ["services", "mappings"],
});
