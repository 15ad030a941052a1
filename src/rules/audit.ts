/**
 * What `ilm audit` finds in a snapshot of the kernel's socket tables and the active rules, and
 * `ilm doctor` in part. Pure.
 */
import {
  type Address,
  type Prefix,
  familyOf,
  prefixAddress,
  prefixLength,
} from "../model/address.js";
import type { AuditKind } from "../model/audit.js";
import { formatEndpoint } from "../model/endpoint.js";
import type { Holder, Listener } from "../model/listener.js";
import type { Mapping, Owner, Service, StrangerPolicy, ServiceWildcard } from "../model/mapping.js";
import { formatOwner } from "../model/owner.js";
import { type Rules, allMappings } from "../model/rules.js";
import { printable } from "../printable.js";
import { coveringMappings, onMappedPorts } from "./covered.js";
import type { EphemeralPorts } from "./ephemeral.js";
import type { Judge } from "./judge.js";
import { type DestinationState, JoinedListeners, type ListenerView } from "./listening.js";
import { type AppliedPolicy, wildcardPolicyOf } from "./wildcard.js";

export interface AuditFinding {
  readonly kind: AuditKind;
  /** The socket that was found; absent for what is not about one. */
  readonly listener?: Listener;
  /** The service that it is about, such as the one that owns the address. */
  readonly service?: string;
  /** The mapping that it is about; the first of several. */
  readonly mapping?: string;
  /** For `wildcard` and `mapped-port`: what happens to such a socket. */
  readonly policy?: ServiceWildcard | StrangerPolicy;
  /** For `wildcard`: what of the configuration gives the policy. */
  readonly policyBy?: AppliedPolicy["by"];
  /**
   * For `wildcard`: whether `deny` would refuse such a bind. For `foreign-address` and
   * `mapped-port`: whether the socket gets nothing.
   */
  readonly denied?: boolean;
  readonly message: string;
  /** Imperative sentences. */
  readonly remedy: string;
}

/** A finding about a socket. */
export interface ListenerFinding extends AuditFinding {
  readonly listener: Listener;
}

export interface Audited {
  readonly rules: Rules;
  readonly judge: Judge;
  readonly listeners: readonly Listener[];
  /** The ports that the kernel gives to sockets that ask for none; null when unknown. */
  readonly ephemeral: EphemeralPorts | null;
}

function placeOf({ protocol, address, port }: Listener): string {
  return `${protocol} ${address}, port ${port}`;
}

/** Finds listeners on every address, on other services' addresses, and on mapped ports. */
export function auditListeners(audited: Audited): ListenerFinding[] {
  const { rules, judge, listeners } = audited;
  if (listeners.length === 0) return [];
  const { services } = rules.file;
  const owners = new Map(
    services.flatMap((service) => service.addresses.map((address) => [address, service] as const)),
  );
  const joined = new JoinedListeners(allMappings(rules), listeners, judge.selects);
  const covering = coveringMappings(rules, listeners);
  const atDestinations = joined.strangers();
  const foreigners = new Set(
    listeners.filter(
      (one) => owners.get(one.address)?.owner !== undefined && !judge.mayHave(one, one.address),
    ),
  );
  const judged = onMappedPorts(rules, [...foreigners]);
  return joined.views().flatMap((view): ListenerFinding[] => {
    const { listener } = view;
    if (listener.wildcard) return [onWildcard(view, audited)];
    const service = owners.get(listener.address);
    if (service?.owner !== undefined) {
      // The owner of an address is at home there, and elsewhere the mapping decides.
      if (!foreigners.has(listener)) return [];
      const { owner } = service;
      const mapping = atDestinations.get(listener);
      return [onOwned({ listener, service, owner, mapping, denied: judged.has(listener) })];
    }
    if (service !== undefined && !view.isMapped) return [onService(listener, service.name)];
    const mapping = covering.get(listener);
    const isAllowed = judge.strangers === "allow";
    return mapping === undefined || isAllowed || judge.permits(listener, mapping)
      ? []
      : [onMappedPort(listener, mapping, judge.strangers)];
  });
}

function isEphemeral({ port }: Listener, ephemeral: EphemeralPorts | null): boolean {
  return ephemeral !== null && port >= ephemeral.range.first && port <= ephemeral.range.last;
}

function describePolicy({ policy, by, name }: AppliedPolicy): string {
  return name === null
    ? `the policy for it is ${policy}, by default`
    : `the policy for it is ${policy}, of ${by} ${printable(name)}`;
}

function onWildcard(
  { listener, isMapped }: ListenerView,
  { rules, judge, ephemeral }: Audited,
): ListenerFinding {
  const applied = wildcardPolicyOf(listener, rules.file, judge.isPermitted);
  const denied = !isEphemeral(listener, ephemeral);
  const would = !denied
    ? "`deny` would not refuse it, as the kernel gives this port to clients"
    : applied.policy === "deny"
      ? "it was there before that policy, and its next bind is refused"
      : applied.policy === "rewrite"
        ? "it was there before that policy, or its next bind is not rewritten either: clients' sockets, and receivers of broadcasts and multicast, stay as they are"
        : "`deny` would refuse it";
  const allow =
    applied.policy === "deny" && denied
      ? ". If it has to stay as it is, set `wildcard: allow` for its service, unit or user before it restarts"
      : "";
  return {
    listener,
    kind: "wildcard",
    policy: applied.policy,
    policyBy: applied.by,
    denied,
    ...(applied.by === "service" && applied.name !== null && { service: applied.name }),
    message: `listens on every address of the host (${placeOf(listener)})${
      isMapped ? ", as the destination of a mapping" : ""
    }; ${describePolicy(applied)}; ${would}`,
    remedy: `Let it listen on an address of its own, and map its port to that address${allow}.`,
  };
}

/** A listener on an address of a service without an owner, where no mapping leads. */
function onService(listener: Listener, name: string): ListenerFinding {
  return {
    listener,
    kind: "foreign-address",
    service: name,
    denied: false,
    message: `listens on an address of service ${name}, where no mapping leads (${placeOf(listener)})`,
    remedy: `If it is ${name}, map the port; if not, give it an address of its own. With \`unit\`, \`user\` or \`group\` the service keeps others away.`,
  };
}

interface OnOwned {
  readonly listener: Listener;
  readonly service: Service;
  readonly owner: Owner;
  /** The mapping that leads there, if any. */
  readonly mapping: string | undefined;
  /** True when look-ups for its port ask the rules. */
  readonly denied: boolean;
}

function onOwned({ listener, service, owner, mapping, denied }: OnOwned): ListenerFinding {
  const { name } = service;
  const consequence = denied
    ? "gets nothing"
    : `gets nothing from mappings, but what is dialled on that very address, as no mapping has ${listener.protocol} port ${listener.port}`;
  return {
    listener,
    kind: "foreign-address",
    service: name,
    ...(mapping !== undefined && { mapping }),
    denied,
    message: `listens on an address of service ${name}, which belongs to ${formatOwner(owner)}: it is a stranger there and ${consequence} (${placeOf(listener)})`,
    remedy: `Stop it, or give it an address of its own. If it is ${name}, correct \`unit\`, \`user\` or \`group\` of the service, or start it as they say.`,
  };
}

function onMappedPort(
  listener: Listener,
  { name, existing }: Mapping,
  policy: StrangerPolicy,
): ListenerFinding {
  const consequence =
    policy === "refuse"
      ? "it gets nothing that is dialled there, and its next bind is refused"
      : `it gets what is dialled there${existing === "never" ? " when no destination listens" : ""}, as \`strangers\` is ${policy}`;
  return {
    listener,
    kind: "mapped-port",
    mapping: name,
    policy,
    denied: policy === "refuse",
    message: `listens where mapping ${printable(name)} leads away from, and the mapping does not permit it: ${consequence} (${placeOf(listener)})`,
    remedy: `Let it listen on another address or port, or name its unit, user or group in \`listeners\` of mapping ${printable(name)}.`,
  };
}

/**
 * Finds services that nobody serves, and mappings whose destinations nobody listens on. What is
 * `elsewhere` has findings of its own: addresses that no daemon can bind.
 */
export function auditServices(
  { rules, judge, listeners }: Audited,
  elsewhere: ReadonlySet<Address>,
): AuditFinding[] {
  const { services } = rules.file;
  const joined = new JoinedListeners(allMappings(rules), listeners, judge.selects);
  const led = [...joined.states()];
  const leading = new Map<Address | "*", DestinationState[]>();
  for (const { states } of led) {
    for (const state of states) {
      const known = leading.get(state.address);
      if (known === undefined) leading.set(state.address, [state]);
      else known.push(state);
    }
  }
  const unserved = services.filter(({ addresses }) => {
    const states = addresses.flatMap((address) => leading.get(address) ?? []);
    return states.length > 0
      ? !states.some(({ listening }) => listening)
      : !listeners.some(
          (one) => addresses.includes(one.address) && judge.mayHave(one, one.address),
        );
  });
  const told = new Set<Address | "*">(elsewhere);
  for (const { addresses } of unserved) for (const address of addresses) told.add(address);
  const ownerOf = new Map(
    services.flatMap((service) => service.addresses.map((address) => [address, service] as const)),
  );
  // From one address of a service to another of its own, as `wildcard: rewrite` makes mappings for
  // dual-stack sockets: its daemon may have sockets of the other kind.
  const isWithinService = ({ states, on }: (typeof led)[number]): boolean =>
    states.every(({ address }) => {
      const own = address === "*" ? undefined : ownerOf.get(address)?.addresses;
      return own !== undefined && on().every((prefixes) => isAmong(own, prefixes));
    });
  return [
    ...unserved.map((service) => ofService(service, leading, listeners, judge)),
    ...led.flatMap((lead): AuditFinding[] => {
      const { states } = lead;
      const isServed = states.some(({ listening }) => listening);
      const isTold = states.every(({ address }) => told.has(address));
      return isServed || isTold || isWithinService(lead) ? [] : [ofMappings(states, lead.names())];
    }),
  ];
}

function isWhole(prefix: Prefix): boolean {
  return prefixLength(prefix) === (familyOf(prefix) === 4 ? 32 : 128);
}

/** Reports whether the prefixes are all addresses out of these. */
function isAmong(addresses: readonly Address[], prefixes: readonly Prefix[]): boolean {
  return (
    prefixes.length > 0 &&
    prefixes.every((prefix) =>
      addresses.some((address) => isWhole(prefix) && prefixAddress(prefix) === address),
    )
  );
}

function ofService(
  { name, addresses, owner }: Service,
  leading: ReadonlyMap<Address | "*", readonly DestinationState[]>,
  listeners: readonly Listener[],
  judge: Judge,
): AuditFinding {
  const states = addresses.flatMap((address) => leading.get(address) ?? []);
  const there = listeners.filter(({ address }) => addresses.includes(address));
  const own = there.find((listener) => judge.mayHave(listener, listener.address));
  const [first] = states;
  const where =
    first === undefined
      ? addresses.join(", ")
      : [...new Set(states.map(({ address, port }) => formatEndpoint(address, port)))].join(", ");
  const instead =
    own !== undefined
      ? `. It listens on ${formatEndpoint(own.address, own.port)} (${own.protocol}), where no mapping leads`
      : there.length > 0
        ? ". Only strangers listen there"
        : "";
  const whose = owner === undefined ? "its daemon" : `its daemon (${formatOwner(owner)})`;
  const socketUnit = owner?.unit?.replace(/\.service$/, ".socket") ?? "";
  const orSocketUnit = socketUnit.endsWith(".socket") ? `, or ${socketUnit} if it has one` : "";
  return {
    kind: "service-unserved",
    service: name,
    message: `nobody serves it: nothing that may listen there does (${where})${instead}`,
    remedy: `Start ${whose}${orSocketUnit}, let it listen there, or remove the service and the mappings that lead to it.`,
  };
}

/** The most destinations to name. More would not help. */
const SHOWN = 3;

function ofMappings(states: readonly DestinationState[], names: readonly string[]): AuditFinding {
  const [name = ""] = names;
  const more = names.length > 1 ? ` (as ${names.length - 1} more do)` : "";
  const places = states.map(({ address, port }) => formatEndpoint(address, port));
  const where =
    places.length > SHOWN
      ? `${places.slice(0, SHOWN).join(", ")} and ${places.length - SHOWN} more`
      : places.join(", ");
  const wildcard = states.find(({ wildcardWouldAnswer }) => wildcardWouldAnswer !== null);
  const stranger = states.some(({ strangers }) => strangers.length > 0);
  const instead =
    wildcard?.wildcardWouldAnswer === undefined || wildcard.wildcardWouldAnswer === null
      ? stranger
        ? ". Only strangers listen there"
        : ""
      : `. A listener on every address has port ${wildcard.wildcardWouldAnswer.port}, and is not chosen`;
  return {
    kind: "mapping-unserved",
    mapping: name,
    message: `leads to ${where}${more}, where nobody listens who may${instead}`,
    remedy:
      wildcard === undefined
        ? "Start the daemon there, correct `to`, or remove the mapping."
        : `Let that daemon listen on ${wildcard.address} itself, or write the destination as "*:${wildcard.port}".`,
  };
}

/** The first port that needs no privilege, unless the host says otherwise. */
const UNPRIVILEGED_START = 1024;

/**
 * Finds privileges for low ports that nobody needs any more, because an owner binds to each port of
 * its own address without. `unprivilegedStart` is net.ipv4.ip_unprivileged_port_start.
 */
export function auditPrivileges(
  { rules, judge, listeners }: Audited,
  holderOf: (listener: Listener) => Holder | undefined,
  unprivilegedStart: number,
): AuditFinding[] {
  const byPid = new Map<number, Listener[]>();
  for (const listener of listeners) {
    const holder = holderOf(listener);
    if (holder?.canBindLowPorts !== true) continue;
    const known = byPid.get(holder.pid);
    if (known === undefined) byPid.set(holder.pid, [listener]);
    else known.push(listener);
  }
  const isAtHome = (listener: Listener): boolean =>
    judge.ownerOf(listener.address) !== undefined && judge.mayHave(listener, listener.address);
  const found = [...byPid.values()].flatMap((held): AuditFinding[] => {
    const first = held.find(isAtHome);
    const needed = held.some((one) => one.port < UNPRIVILEGED_START && !isAtHome(one));
    if (first === undefined || needed) return [];
    const name = judge.ownerOf(first.address)?.service.name ?? "";
    return [
      {
        kind: "privilege",
        listener: first,
        service: name,
        message: `has CAP_NET_BIND_SERVICE, and needs it no more: as service ${name} it binds to any port of its own address (${placeOf(first)})`,
        remedy:
          "Take the capability away: AmbientCapabilities= and CapabilityBoundingSet= of its unit, or `setcap -r` on its program.",
      },
    ];
  });
  const hasOwners = rules.file.services.some(({ owner }) => owner !== undefined);
  if (!hasOwners || unprivilegedStart >= UNPRIVILEGED_START) return found;
  return [
    ...found,
    {
      kind: "privilege",
      message: `net.ipv4.ip_unprivileged_port_start is ${unprivilegedStart}: every user may bind to ports from there on, and services with an owner do not need it`,
      remedy: `Set it back with \`sysctl -w net.ipv4.ip_unprivileged_port_start=${UNPRIVILEGED_START}\`, unless other programs need it.`,
    },
  ];
}
