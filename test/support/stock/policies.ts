/** The three ways in which docs/daemons.md has a daemon reached, as rules for two of a kind. */
import { addressesOf, families } from "../matrix.js";
import type { Own, Stock, Way } from "./types.js";

export const names = ["first", "second"] as const;
export type Name = (typeof names)[number];

export const ownOf: Readonly<Record<Name, Own>> = {
  first: { 4: "127.0.1.10", 6: "fd5e:ed00::10" },
  second: { 4: "127.0.1.11", 6: "fd5e:ed00::11" },
};

/** Which port of the host leads to each, beside the daemon's own. */
export const shifts: Readonly<Record<Name, number>> = { first: 10_000, second: 20_000 };

export const unitOf = (name: Name): string => `${name}.service`;

export interface Policy {
  /** As the table has it. */
  readonly name: string;
  /** Two daemons may listen on one port. */
  readonly pairs: boolean;
  rules(ports: readonly number[], service: string): string;
  ways(daemon: Stock, name: Name): readonly Way[];
}

const second = families.map((family) => `"${addressesOf[family].second}"`).join();

/** Of both services. What they say of themselves comes from the policy and the daemon. */
function services(ports: readonly number[], ...said: readonly string[]): string {
  const keys = said.filter(Boolean).map((key) => `, ${key}`);
  return `version: 1
services:
${names.map((name) => `  ${name}: { unit: ${unitOf(name)}, address: [${ownOf[name][4]}, "${ownOf[name][6]}"]${keys.join("")} }\n`).join("")}
mappings:
${ports
  .flatMap((port) => [
    `  - { protocol: [tcp, udp], port: ${port}, to: first }\n`,
    `  - { protocol: [tcp, udp], port: ${port}, on: [${second}], to: second }\n`,
    ...names.map(
      (name) =>
        `  - { protocol: [tcp, udp], port: ${port + shifts[name]}, to: "${name}:${port}" }\n`,
    ),
  ])
  .join("")}`;
}

export const policies: readonly Policy[] = [
  {
    name: "own addresses",
    pairs: true,
    rules: (ports, service) => services(ports, service),
    ways: (daemon, name) => daemon.own(ownOf[name]),
  },
  {
    name: '`to: "*"`',
    pairs: false,
    rules: (ports, service) => `version: 1
${service}
mappings:
${ports
  .flatMap((port) => [port, port + shifts.first].map((dialled) => ({ dialled, port })))
  .map(
    ({ dialled, port }) =>
      `  - { protocol: [tcp, udp], port: ${dialled}, to: "*:${port}", listeners: { unit: ${unitOf("first")} } }\n`,
  )
  .join("")}`,
    ways: (daemon) => daemon.every,
  },
  {
    name: "`rewrite`",
    pairs: true,
    rules: (ports, service) => services(ports, "wildcard: rewrite", service),
    ways: (daemon) => daemon.every,
  },
];
