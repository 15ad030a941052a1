/** What `status` and `doctor` warn of: things that work, though not as somebody hopes. Pure. */
import type { DaemonStatus } from "../daemon/api.js";
import type { Listener } from "../model/listener.js";
import { isLoopback4, type Address } from "../model/address.js";
import { allMappings, emptyRules, type Rules } from "../model/mapping.js";
import { allDestinationStates } from "../registry/registry.js";
import { formatEndpoint } from "./endpoint.js";

export interface Warning {
  readonly kind: "wildcard-would-answer" | "address-missing" | "reload-failed" | "daemon";
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
}

export function findWarnings({
  rules,
  listeners,
  hostAddresses,
  daemon,
}: Circumstances): Warning[] {
  const inForce = rules ?? emptyRules;
  return [
    ...refusedReload(daemon),
    ...missingAddresses(inForce, hostAddresses),
    ...wildcardsInstead(inForce, listeners),
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
