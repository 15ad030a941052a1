/** What `status` and `doctor` warn of: things that work, though not as somebody hopes. Pure. */
import type { DaemonStatus } from "../daemon/api.js";
import type { Health } from "../dataplane/types.js";
import type { Listener } from "../model/listener.js";
import { isLoopback4, type Address } from "../model/address.js";
import { allMappings, emptyRules, type Rules } from "../model/mapping.js";
import { allDestinationStates, joinListeners } from "../registry/registry.js";
import { formatEndpoint } from "./endpoint.js";

export interface Warning {
  readonly kind:
    | "wildcard-would-answer"
    | "address-missing"
    | "reload-failed"
    | "daemon"
    | "mptcp"
    | "unsteered"
    | "untracked"
    | "unplaced"
    | "ended-namespaces";
  readonly message: string;
  readonly remedy: string;
}

export interface Circumstances {
  /** Null: nothing is loaded. */
  readonly rules: Rules | null;
  readonly listeners: readonly Listener[];
  /** On the interfaces of the network namespace that are up. */
  readonly hostAddresses: ReadonlySet<Address>;
  readonly daemon: DaemonStatus | null;
  /** Null: nothing is loaded. */
  readonly health: Health | null;
  readonly endedNamespaces: readonly number[];
}

export function findWarnings({
  rules,
  listeners,
  hostAddresses,
  daemon,
  health,
  endedNamespaces,
}: Circumstances): Warning[] {
  const inForce = rules ?? emptyRules;
  return [
    ...refusedReload(daemon),
    ...missingAddresses(inForce, hostAddresses),
    ...wildcardsInstead(inForce, listeners),
    ...(health === null ? [] : faults(health)),
    ...(health === null || health.steers ? [] : mptcpDestinations(inForce, listeners)),
    ...ended(endedNamespaces),
  ];
}

function faults({ unsteered, untracked, unplaced }: Health): Warning[] {
  const found: Warning[] = [];
  if (unsteered > 0) {
    found.push({
      kind: "unsteered",
      message: `${unsteered} lookups were for a UDP or MPTCP destination and did not come by ingress, so that it could not be handed over: fragments, or an interface that came after the rules`,
      remedy:
        "Keep datagrams below the MTU. For interfaces that come and go let `ilm run` be at work, or apply the rules again.",
    });
  }
  if (untracked > 0) {
    found.push({
      kind: "untracked",
      message: `${untracked} times a listener could not be counted, as a map was full or memory was short: it may not be taken for already listening`,
      remedy: "`ilm run` mends it when it looks through the sockets; or apply the rules again.",
    });
  }
  if (unplaced > 0) {
    found.push({
      kind: "unplaced",
      message: `${unplaced} times a listener of a destination could not be kept: its SO_REUSEPORT group has more than 256 sockets, or memory was short`,
      remedy: "The group is served as long as one of its other sockets lives. Let it be smaller.",
    });
  }
  return found;
}

function mptcpDestinations(rules: Rules, listeners: readonly Listener[]): Warning[] {
  return joinListeners(rules, listeners)
    .filter(({ listener, mappings }) => listener.kind === "mptcp" && mappings.length > 0)
    .map(({ listener, mappings }) => ({
      kind: "mptcp" as const,
      message: `the listener on ${formatEndpoint(listener.address, listener.port)} (of ${mappings.join(", ")}) is an MPTCP socket, which needs the hand-over at ingress, and this kernel has none`,
      remedy:
        "Take Linux 6.6 or later, or let the daemon listen with plain TCP: a Go program does with GODEBUG=multipathtcp=0, systemd with SocketProtocol=tcp.",
    }));
}

function ended(inodes: readonly number[]): Warning[] {
  if (inodes.length === 0) return [];
  return [
    {
      kind: "ended-namespaces",
      message: `state of network namespaces that ended is left (${inodes.join(", ")})`,
      remedy: "The next apply, run or unload in any namespace removes it.",
    },
  ];
}

function refusedReload(daemon: DaemonStatus | null): Warning[] {
  const error = daemon?.lastReload?.error ?? null;
  if (daemon === null || error === null) return [];
  const file = daemon.following ?? "the configuration";
  return [
    {
      kind: "reload-failed",
      message: `${file} as it is now was refused, the rules before it stay in force: ${error.message}`,
      remedy: `Run \`ilm check${daemon.following === null ? "" : ` -f ${daemon.following}`}\` and mend what it shows; the daemon reads the file again by itself.`,
    },
  ];
}

function missingAddresses({ file }: Rules, hostAddresses: ReadonlySet<Address>): Warning[] {
  return file.services.flatMap(({ name, addresses }) =>
    addresses
      .filter((address) => !isLoopback4(address) && !hostAddresses.has(address))
      .map((address) => ({
        kind: "address-missing" as const,
        message: `the address ${address} of the service ${name} is on no interface that is up: nobody can listen on it`,
        remedy:
          "Is lo up (`ip link set lo up`)? Then apply the configuration again, which adds the address to lo.",
      })),
  );
}

function wildcardsInstead(rules: Rules, listeners: readonly Listener[]): Warning[] {
  const states = allDestinationStates(rules, listeners);
  return allMappings(rules).flatMap(({ name }, index) =>
    (states[index] ?? []).flatMap(({ address, port, wildcardWouldAnswer }) => {
      if (wildcardWouldAnswer === null) return [];
      const endpoint = formatEndpoint(address, wildcardWouldAnswer.port);
      return {
        kind: "wildcard-would-answer" as const,
        message: `the mapping ${name} leads to ${formatEndpoint(address, port)}, where nobody listens; a listener on every address has port ${wildcardWouldAnswer.port}`,
        remedy: `Let that daemon listen on ${endpoint} itself, or write the destination as "*:${wildcardWouldAnswer.port}"`,
      };
    }),
  );
}
