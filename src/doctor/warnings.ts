/** What `status` and `doctor` warn about: things that work, but not as expected. Pure. */
import { type EphemeralPorts, warnOfEphemeralPorts } from "../rules/ephemeral.js";
import { describeElsewhere, destinationsToFind, remedyForElsewhere } from "../rules/elsewhere.js";
import type { DaemonStatus } from "../api/api.js";
import type { ErrorBody } from "../api/error-body.js";
import { describeKfuncTrouble } from "../words/change.js";
import { asSentence, formatProblem } from "../errors.js";
import {
  LOOKUP_MISSING,
  type ActiveEngine,
  type FlowCount,
  type Faults,
  type Overtaken,
  type Missing,
} from "../dataplane/types.js";
import type { Listener } from "../model/listener.js";
import type { Mapping, Service } from "../model/mapping.js";
import { bootSeconds } from "../kernel/boot-time.js";
import type { LinkedNetwork } from "../kernel/up-addresses.js";
import { familyOf, isLoopback4, overlaps, type Address, type Prefix } from "../model/address.js";
import { emptyRules, type Rules, allMappings } from "../model/rules.js";
import type { Judge } from "../rules/judge.js";
import { JoinedListeners, handoverOf, joinListeners } from "../rules/listening.js";
import { formatPlace, formatEndpoint } from "../model/endpoint.js";
import { printable } from "../printable.js";
import { mptcpRemedy } from "../words/mptcp.js";
import { describeLeftAlone, remedyForLeftAlone } from "../words/drained.js";
import { mappingsLeftAlone } from "../rules/drained.js";
import { withoutEnded } from "../rules/change.js";
import { orphansOf } from "../rules/orphans.js";
import { describeOrphan, hintForOrphan } from "../words/orphans.js";
import { remedyForStranger, whyStranger } from "../words/stranger.js";
import { count, formatMoment, namesShown } from "../words/text.js";
import { fileArguments, listSources } from "../model/sources.js";

export interface Warning {
  readonly kind:
    | "wildcard-would-answer"
    | "stranger-listens"
    | "strangers-reported"
    | "address-missing"
    | "ephemeral-ports"
    | "destination-elsewhere"
    | "reload-failed"
    | "daemon"
    | "mptcp"
    | "mptcp-beside-nat"
    | "ended-namespaces"
    | "interface-uncovered"
    | "interface-overtaken"
    | "detached"
    | "off"
    | "earlier-version"
    | "flows-full"
    | "engine"
    | "vrf"
    | "unreached"
    | "unregistered"
    | "drained"
    | "service-gone"
    | "anyip-on-link"
    | "anyip-missing"
    | keyof Faults;
  readonly message: string;
  readonly remedy: string;
  /** The names of the first mappings, or of the service, that it is about; absent for others. */
  readonly about?: readonly string[];
}

/** How many names of mappings a warning keeps. */
const ABOUT = 100;

export interface Circumstances {
  /** The active rules; null when nothing is loaded. */
  readonly rules: Rules | null;
  readonly listeners: readonly Listener[];
  /** Judges listeners by the active rules. */
  readonly judge: Judge;
  /** The addresses on interfaces of the network namespace that are up. */
  readonly upAddresses: ReadonlySet<Address>;
  /** Prefixes of `anyip` that have no local route. */
  readonly routesMissing: readonly Prefix[];
  /** The networks that interfaces of the network namespace are in. */
  readonly networks: readonly LinkedNetwork[];
  /**
   * The ports that the kernel gives to sockets that ask for none. It is null when they could not be
   * read.
   */
  readonly ephemeral: EphemeralPorts | null;
  /** Whether to warn of mappings that cover any of them, or (the default) many. */
  readonly ephemeralFrom?: "any";
  /** Destinations that no daemon could bind now. */
  readonly absentDestinations: ReadonlySet<Address>;
  readonly daemon: DaemonStatus | null;
  /** When the configuration was right whose copy the rules come from; null for no copy. */
  readonly copiedAt?: string | null;
  /** What finds the listeners; null when nothing is loaded. */
  readonly engine: ActiveEngine | null;
  /** True when there is a hand-over at ingress; null when nothing is loaded. */
  readonly steers: boolean | null;
  /** The interface indexes of VRFs. */
  readonly vrfs: ReadonlySet<number>;
  readonly endedNamespaces: readonly number[];
  readonly flows: FlowCount | null;
  readonly faults: Faults | null;
  /** The names of interfaces without the programs that the rules need there. */
  readonly uncoveredInterfaces: readonly string[];
  /**
   * The format and version of an earlier version's state. It is null when this version made the
   * state, or nothing is loaded.
   */
  readonly earlier: { readonly format: number; readonly version: string } | null;
  /** True while the rules are switched off (`ilm off`). */
  readonly off: boolean;
  /** What the active rules need and is not attached. */
  readonly detached: readonly Missing[];
  /** Other people's programs that run before ours on interfaces. */
  readonly overtaken: readonly Overtaken[];
  /** Why `engine: auto` does without the kfunc although the module is loaded; otherwise null. */
  readonly kfuncTrouble: string | null;
}

export function findWarnings({
  rules,
  listeners,
  judge,
  upAddresses,
  routesMissing,
  networks,
  ephemeral,
  ephemeralFrom,
  absentDestinations,
  daemon,
  copiedAt,
  engine,
  steers,
  vrfs,
  endedNamespaces,
  flows,
  faults,
  uncoveredInterfaces,
  earlier,
  off,
  detached,
  overtaken,
  kfuncTrouble,
}: Circumstances): Warning[] {
  const active = withoutEnded(rules ?? emptyRules, bootSeconds());
  return [
    ...(off ? [switchedOff] : []),
    ...(earlier === null ? [] : [ofEarlierVersion(earlier)]),
    ...(earlier === null ? strangersReported(rules, judge) : []),
    ...detached.map(detachedWarning),
    ...leftAloneWarnings(active),
    ...orphanWarnings(active.runtime, active.file.services),
    ...refusedReload(daemon, copiedAt),
    ...addressWarnings(active, listeners, upAddresses, absentDestinations).map(
      ({ kind, message, remedy, service, mapping }) => ({
        kind,
        message,
        remedy,
        about: [service ?? mapping ?? ""],
      }),
    ),
    ...routesMissing.map(routeMissing),
    ...anyipWarnings(active.file.anyip, networks),
    ...atDestinations(active, listeners, judge),
    ...ephemeralPorts(active, ephemeral, ephemeralFrom),
    ...(steers === false ? mptcpDestinations(active, listeners, judge) : []),
    ...(steers === true && engine !== "kfunc"
      ? vrfDestinations(active, listeners, judge, vrfs)
      : []),
    ...ended(endedNamespaces),
    ...(uncoveredInterfaces.length === 0 ? [] : [uncoveredWarning(uncoveredInterfaces)]),
    ...overtaken.map(overtakenWarning),
    ...unusedModule(kfuncTrouble),
    ...fullFlows(flows),
    ...countedFaults(faults),
  ];
}

function ofEarlierVersion({ format, version }: NonNullable<Circumstances["earlier"]>): Warning {
  return {
    kind: "earlier-version",
    message: `an earlier version of ilm (${printable(version)}, state format ${format}) made the active rules: they keep working, but what that version attached is not checked`,
    remedy:
      "The next change takes them over without interruption, with what was added at run time and what was counted: ilm run, ilm apply -f FILE, ilm add or ilm remove.",
  };
}

/** Warns of mappings that lead to drained destinations only. */
export function leftAloneWarnings(rules: Rules): Warning[] {
  const names = mappingsLeftAlone(rules);
  if (names.length === 0) return [];
  const remedy = remedyForLeftAlone(rules.drained ?? []);
  return [{ kind: "drained", message: describeLeftAlone(names), remedy }];
}

/** Warns of run-time mappings that lead to what was a service's address. */
export function orphanWarnings(
  runtime: readonly Mapping[],
  services: readonly Service[],
): Warning[] {
  return orphansOf({ runtime, services, now: bootSeconds() }).map((orphan) => ({
    kind: "service-gone",
    message: describeOrphan(orphan),
    remedy: asSentence(hintForOrphan(orphan)),
    about: [orphan.mapping],
  }));
}

/**
 * Warns that this host takes strangers on mapped ports only because an earlier version did: a boot
 * ends that.
 */
function strangersReported(rules: Rules | null, { strangers }: Judge): Warning[] {
  if (rules === null || rules.file.strangers !== undefined || strangers !== "report") return [];
  return [
    {
      kind: "strangers-reported",
      message:
        "an earlier version of ilm made the rules before these, so sockets of any user get what mappings leave to them on their ports; after the next boot, only those of root, of services' owners and of `listeners` do",
      remedy:
        "See what that would refuse (ilm audit), name whom it should not refuse in `listeners`, and set `strangers: refuse` in the configuration; or `strangers: allow`.",
    },
  ];
}

function mptcpDestinations(
  rules: Rules,
  listeners: readonly Listener[],
  { selects }: Judge,
): Warning[] {
  return joinListeners(rules, listeners, selects)
    .filter(({ listener, isMapped }) => listener.kind === "mptcp" && isMapped)
    .map(({ listener, mappings }) => ({
      kind: "mptcp" as const,
      message: `the listener on ${formatPlace(listener)} (of ${namesShown(mappings)}) is an MPTCP socket, which needs hand-over at ingress, and this kernel does not support it`,
      remedy: `${mptcpRemedy(rules)}; or use Linux 6.6 or later.`,
      about: mappings.slice(0, ABOUT),
    }));
}

function vrfDestinations(
  rules: Rules,
  listeners: readonly Listener[],
  { selects }: Judge,
  vrfs: ReadonlySet<number>,
): Warning[] {
  if (vrfs.size === 0) return [];
  const means = { kfunc: false, steers: true, nat: [], vrfs };
  return joinListeners(rules, listeners, selects)
    .filter((view) => view.isMapped && handoverOf(view, means) === "none")
    .map(({ listener, mappings }) => ({
      kind: "vrf" as const,
      message: `the ${listener.kind === "udp" ? "UDP socket" : "MPTCP listener"} on ${formatPlace(listener)} (of ${namesShown(mappings)}) is bound to a VRF, where hand-over at ingress does not find it`,
      remedy:
        "Load the kernel module ilm_lookup, whose engine finds them (kmod/README.md); or let an MPTCP daemon listen with plain TCP, and a UDP daemon on the VRF's own address.",
      about: mappings.slice(0, ABOUT),
    }));
}

function unusedModule(trouble: string | null): Warning[] {
  if (trouble === null) return [];
  return [
    {
      kind: "engine",
      message: describeKfuncTrouble(trouble),
      remedy:
        "Build the module of this version of ilm for this kernel (see kmod/README.md), load it, and apply again; or set `engine: registry`.",
    },
  ];
}

function ended(inodes: readonly number[]): Warning[] {
  if (inodes.length === 0) return [];
  return [
    {
      kind: "ended-namespaces",
      message: `state of ended network namespaces is left (${inodes.join(", ")})`,
      remedy:
        "A daemon that starts removes it (`systemctl restart ilm`); without one, so does the next apply or unload in any namespace.",
    },
  ];
}

/** Warns of a file that the daemon could not apply. */
export function refusedReload(
  daemon: DaemonStatus | null,
  copiedAt: string | null = null,
): Warning[] {
  const error = daemon?.lastReload?.error ?? null;
  if (daemon === null || error === null) return [];
  const { followed } = daemon;
  const file = followed.length === 0 ? "the configuration" : listSources(followed);
  const stays =
    copiedAt === null
      ? "the previous rules stay active"
      : `active is the copy of ${formatMoment(copiedAt)}, when it was right`;
  if (error.code === "UNAVAILABLE") {
    return [
      {
        kind: "reload-failed",
        message: `${file} could not be applied in its current form; ${stays}: ${error.message}`,
        remedy: `${error.remedy ?? ""} The daemon tries again automatically.`.trimStart(),
      },
    ];
  }
  return [
    {
      kind: "reload-failed",
      message: `${file} was refused in its current form; ${stays}: ${error.message}`,
      remedy: remedyForRefused(error, followed),
    },
  ];
}

/** How many problems of a refused file are shown. */
const PROBLEMS_SHOWN = 3;

/** Shows what is wrong: `ilm check` knows nothing of mappings that were added at run time. */
function remedyForRefused({ problems, remedy }: ErrorBody, followed: readonly string[]): string {
  const errors = problems.filter(({ severity }) => severity === "error");
  const rest = errors.length - PROBLEMS_SHOWN;
  const files = followed.length === 0 ? [] : [fileArguments(followed)];
  const check = `\`${["ilm check", ...files].join(" ")}\``;
  return [
    ...errors.slice(0, PROBLEMS_SHOWN).map(formatProblem),
    ...(rest > 0 ? [`and ${count(rest, "more problem")}: ${check}`] : []),
    ...(errors.length === 0 ? [remedy ?? `Run ${check} and fix what it reports.`] : []),
    "The daemon tries again by itself when the file or the rules change.",
  ].join("\n");
}

/** Warns of addresses of services and destinations that this host does not have. */
export function addressWarnings(
  rules: Rules,
  listeners: readonly Listener[],
  up: ReadonlySet<Address>,
  absent: ReadonlySet<Address>,
): (Warning & {
  readonly kind: "address-missing" | "destination-elsewhere";
  readonly service?: string;
  readonly mapping?: string;
})[] {
  return [...missingAddresses(rules, up), ...destinationsElsewhere(rules, listeners, absent)];
}

function missingAddresses({ file }: Rules, upAddresses: ReadonlySet<Address>) {
  return file.services.flatMap(({ name, addresses }) =>
    addresses
      .filter((address) => !isLoopback4(address) && !upAddresses.has(address))
      .map((address) => ({
        kind: "address-missing" as const,
        service: name,
        message: `the address ${address} of the service ${name} is on no interface that is up: no daemon can listen on it`,
        remedy:
          "Bring lo up (`ip link set lo up`), with IPv6 (`sysctl -w net.ipv6.conf.lo.disable_ipv6=0`), and apply the configuration again, which adds the address to lo.",
      })),
  );
}

/**
 * Warns of destinations on other hosts. One that a socket listens on was bound with IP_FREEBIND, or
 * while the address existed.
 */
function destinationsElsewhere(
  rules: Rules,
  listeners: readonly Listener[],
  absent: ReadonlySet<Address>,
) {
  if (absent.size === 0) return [];
  const bound = new Set(listeners.map(({ address }) => address));
  return destinationsToFind(allMappings(rules), rules.file)
    .filter(({ address }) => absent.has(address) && !bound.has(address))
    .map((one) => ({
      kind: "destination-elsewhere" as const,
      mapping: one.mappings[0]?.name ?? "",
      message: `${describeMappings(one.mappings.map(({ name }) => name))} ${describeElsewhere(one)}`,
      remedy: asSentence(remedyForElsewhere(one)),
    }));
}

function routeMissing(prefix: Prefix): Warning {
  return {
    kind: "anyip-missing",
    message: `anyip ${prefix} has no local route any more: what is dialled there does not reach this host's sockets`,
    remedy:
      "`ilm run` puts it back by itself; without it, apply the configuration again. For IPv6, lo has to be up.",
  };
}

/** Warns of prefixes that are partly the network of an interface, where others are. */
export function anyipWarnings(
  anyip: readonly Prefix[] | undefined,
  networks: readonly LinkedNetwork[],
): Warning[] {
  return (anyip ?? []).flatMap((prefix) => {
    const whole = familyOf(prefix) === 4 ? 32 : 128;
    const linked = networks.find(
      ({ address, length }) => length < whole && overlaps(prefix, address, length),
    );
    if (linked === undefined) return [];
    const { interfaceName, address, length } = linked;
    return {
      kind: "anyip-on-link" as const,
      message: `anyip ${prefix} overlaps the network of ${interfaceName} (${address}/${length}): what this host sends to others there stays here${familyOf(prefix) === 4 ? ", and it answers for their addresses" : ""}`,
      remedy:
        "Write only prefixes that are routed to this host, or the single addresses that are its own.",
    };
  });
}

function describeMappings(names: readonly string[]): string {
  const shown = namesShown(names);
  return names.length === 1 ? `the mapping ${shown}` : `each of the mappings ${shown}`;
}

/** Warns of destinations where a wildcard listener, or only somebody else, listens. */
function atDestinations(rules: Rules, listeners: readonly Listener[], judge: Judge): Warning[] {
  if (listeners.length === 0) return [];
  return [...new JoinedListeners(allMappings(rules), listeners, judge.selects).states()].flatMap(
    ({ states, names }) =>
      states.flatMap((state) => {
        const { address, port, listening, strangers, wildcardWouldAnswer } = state;
        const [stranger] = strangers;
        if (!listening && stranger !== undefined) {
          return {
            kind: "stranger-listens" as const,
            message: `${describeMappings(names())} leads to ${formatEndpoint(address, port)}, where only a stranger listens (on port ${stranger.port}): ${whyStranger(judge.ownerOf(address))}`,
            remedy: `${remedyForStranger(judge.ownerOf(address))} \`ilm audit\` shows the process.`,
            about: names().slice(0, ABOUT),
          };
        }
        if (wildcardWouldAnswer === null) return [];
        const endpoint = formatEndpoint(address, wildcardWouldAnswer.port);
        return {
          kind: "wildcard-would-answer" as const,
          message: `${describeMappings(names())} leads to ${formatEndpoint(address, port)}, where nothing listens; a listener on every address has port ${wildcardWouldAnswer.port}`,
          remedy: `Let that daemon listen on ${endpoint} itself, or write the destination as "*:${wildcardWouldAnswer.port}".`,
          about: names().slice(0, ABOUT),
        };
      }),
  );
}

function ephemeralPorts(rules: Rules, ephemeral: EphemeralPorts | null, from?: "any"): Warning[] {
  if (ephemeral === null) return [];
  return warnOfEphemeralPorts(allMappings(rules), ephemeral, from).map(
    ({ path, message, hint }) => ({
      kind: "ephemeral-ports",
      message: `the ${path} ${message}`,
      remedy: asSentence(hint),
      about: [path.replace(/^mapping /, "")],
    }),
  );
}

export function uncoveredWarning(names: readonly string[]): Warning {
  return {
    kind: "interface-uncovered",
    message: `the ${names.length === 1 ? "interface" : "interfaces"} ${names.join(", ")} ${names.length === 1 ? "was" : "were"} added after the rules: datagrams (and MPTCP connections) that arrive there are not handed over`,
    remedy: "Start `ilm run`, which follows interfaces, or apply the configuration again.",
  };
}

const RESTORE =
  "Apply the configuration again, which attaches what is missing. `ilm run` does so automatically.";

export const switchedOff = {
  kind: "off" as const,
  message: "ilm is switched off in this network namespace: mappings have no effect",
  remedy: "Switch it on again: ilm on.",
};

export const lookupDetached = {
  message:
    "the sk_lookup program is not attached: mappings have no effect, and the kernel looks for listeners without ilm",
  remedy: RESTORE,
};

const BIND_PURPOSE =
  "binds by strangers are not refused, owners need a privilege for low ports, and wildcard binds are neither judged nor rewritten; look-ups are guarded all the same";
const GETSOCKNAME_PURPOSE =
  "daemons whose wildcard binds are rewritten see the address of their service instead, which a reload or an upgrade of them may trip over";

/** What is lost without each hook of the root cgroup. */
const hookPurposes: Readonly<Record<string, string>> = {
  "cgroup/sock_release": "ilm does not see when a daemon stops listening",
  "cgroup/sockops": "ilm does not see when a daemon starts to listen",
  "cgroup/post_bind4": "ilm does not see UDP daemons start",
  "cgroup/post_bind6": "ilm does not see UDP daemons start",
  "cgroup/connect4": "ilm does not see UDP sockets connect",
  "cgroup/connect6": "ilm does not see UDP sockets connect",
  "cgroup/sendmsg4": "replies of UDP daemons do not leave from the dialled address",
  "cgroup/sendmsg6": "replies of UDP daemons do not leave from the dialled address",
  "cgroup/deliver":
    "ilm does not record what UDP clients dial, so replies leave from the wrong address, and packets handed over at ingress are not counted",
  "cgroup/sock_create": "`mptcp: off` is not enforced",
  "cgroup/bind4": BIND_PURPOSE,
  "cgroup/bind6": BIND_PURPOSE,
  "cgroup/getsockname4": GETSOCKNAME_PURPOSE,
  "cgroup/getsockname6": GETSOCKNAME_PURPOSE,
};

function detachedWarning(name: Missing): Warning {
  if (name === LOOKUP_MISSING) return { kind: "detached", ...lookupDetached };
  return {
    kind: "detached",
    message: `the program of ${name} is not attached: ${hookPurposes[name] ?? "it does nothing"}`,
    remedy: RESTORE,
  };
}

export function overtakenWarning({ interface: name, direction, programs }: Overtaken): Warning {
  const what =
    direction === "ingress"
      ? "datagrams (and MPTCP connections) that it does not pass on are not handed over"
      : "replies of UDP daemons that it does not pass on keep the daemon's own port";
  return {
    kind: "interface-overtaken",
    message: `on ${name}, ${programs.join(", ")} ${programs.length === 1 ? "runs" : "run"} before ilm at ${direction}: ${what}`,
    remedy:
      "Harmless if it returns TCX_NEXT (-1). Otherwise attach it behind ilm's program (BPF_F_AFTER), or run `ilm unload` and apply again: ilm attaches in front.",
  };
}

/** The share of the capacity from which on the kernel's LRU evicts old flows for new ones. */
const NEARLY_FULL = 0.9;

function fullFlows(flows: FlowCount | null): Warning[] {
  if (flows === null || flows.live < flows.capacity * NEARLY_FULL) return [];
  return [
    {
      kind: "flows-full",
      message: `${flows.live} of at most ${flows.capacity} UDP clients are recorded: new clients evict those that were silent for longest, and replies to these fail`,
      remedy:
        "`ilm flows` shows them. Limit a flood of spoofed sources with a firewall (an nftables rate limit).",
    },
  ];
}

const faultTexts: Record<keyof Faults, (number: number) => Omit<Warning, "kind">> = {
  untracked: (number) => ({
    message: `${count(number, "listener")} did not fit into the table of listeners`,
    remedy: "Close unused listeners, then apply the configuration again.",
  }),
  unplaced: (number) => ({
    message: `${count(number, "listener")} of destinations could not be added to the socket map`,
    remedy: "Restart those daemons, or apply the configuration again.",
  }),
  flows: (number) => ({
    message: `of ${count(number, "UDP datagram")} the dialled address could not be recorded, so the reply fails`,
    remedy: "The kernel had no memory for it: check the machine's free memory.",
  }),
  unanswered: (number) => ({
    message: `${count(number, "datagram")} of mapped UDP daemons went to a client that dialled no mapping recently: sent from 127.0.0.0/8 they failed (EINVAL), sent from elsewhere they carried the private address`,
    remedy:
      "If the daemon speaks first, set `originate: true` for its service, which needs one address and port that lead to it. A daemon that answers after 300 seconds of silence, or whose clients a flood evicted (`ilm flows`), works again with the client's next datagram.",
  }),
  unsteered: (number) => ({
    message: `${count(number, "packet")} for listeners that only the ingress program can reach were not delivered: behind NAT or beside a packet socket (keepalived, a DHCP client), in fragments, or (MPTCP) from an interface without the programs`,
    remedy:
      "Start `ilm run`, which registers such UDP daemons at once, or apply the configuration again. For an MPTCP daemon, set `mptcp: off` and restart it. With `handover: ingress` this remains: have clients send datagrams that fit into one packet.",
  }),
};

function countedFaults(faults: Faults | null): Warning[] {
  if (faults === null) return [];
  return (Object.keys(faultTexts) as (keyof Faults)[])
    .filter((name) => faults[name] > 0)
    .map((name) => ({ kind: name, ...faultTexts[name](faults[name]) }));
}
