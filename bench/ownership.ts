/**
 * What it costs that services have owners: bind() and listen() of an owner, of a stranger and of
 * anybody else beside a host without us, and connections and datagrams with and without owners; in
 * turns, within one run.
 */
import { execFileSync } from "node:child_process";
import { openDataPlane } from "../src/dataplane/open.js";
import type { Address } from "../src/model/address.js";
import type { Mapping, Service } from "../src/model/mapping.js";
import { type ActiveRules, emptyRules, toBeActive } from "../src/model/rules.js";
import { script } from "./listeners.js";
import { median } from "./network.js";

const ROUNDS = 7;
const CALLS = 5000;
const TALKS = 5000;
const OWNER = 4000;
const STRANGER = 4001;
const PORT = 8081;
const ADDRESS = "127.0.1.10";
const DIALLED = "203.0.113.1";
const origin = { file: "<bench>", line: 0, column: 0 };

function rules(isOwned: boolean): ActiveRules {
  const service: Service = {
    name: "app",
    addresses: [ADDRESS as Address],
    origin,
    ...(isOwned && { owner: { user: OWNER } }),
  };
  const mappings = (["tcp", "udp"] as const).map((protocol): Mapping => ({
    name: protocol,
    protocol,
    ports: [{ first: PORT, last: PORT }],
    on: [],
    to: [{ address: ADDRESS as Address, port: "same" }],
    existing: "exact",
    miss: "pass",
    origin,
  }));
  const strangers = isOwned ? "refuse" : "allow";
  return toBeActive({ ...emptyRules, file: { services: [service], mappings, strangers } });
}

function measure(...args: readonly (string | number)[]): Record<string, number> {
  const text = execFileSync("python3", [script, ...args.map(String)], { encoding: "utf8" });
  return JSON.parse(text) as Record<string, number>;
}

/** Nanoseconds, medians of the rounds. */
export interface OwnershipRow {
  readonly what: string;
  readonly before: number;
  readonly after: number;
}

export interface OwnershipResult {
  /** Calls without us, and with us. */
  readonly calls: readonly OwnershipRow[];
  /** Traffic without owners, and with them. */
  readonly traffic: readonly OwnershipRow[];
}

class Turns {
  readonly #found = new Map<string, [number[], number[]]>();

  add(what: string, turn: 0 | 1, ns: number | undefined): void {
    const known = this.#found.get(what) ?? [[], []];
    known[turn].push(ns ?? Number.NaN);
    this.#found.set(what, known);
  }

  rows(): OwnershipRow[] {
    return [...this.#found].map(([what, [before, after]]) => ({
      what,
      before: median(before),
      after: median(after),
    }));
  }
}

const who = [
  ["of the owner", ADDRESS, OWNER],
  ["of a stranger, on the service's address", ADDRESS, STRANGER],
  ["of a stranger, on the dialled address", DIALLED, STRANGER],
  ["of anybody, on another address", "127.0.0.1", STRANGER],
] as const;

export function measureOwnership(): OwnershipResult {
  const dataPlane = openDataPlane();
  const calls = new Turns();
  const traffic = new Turns();
  try {
    for (let round = 0; round < ROUNDS; round++) {
      for (const turn of [0, 1] as const) {
        if (turn === 1) dataPlane.apply(rules(true));
        for (const kind of ["TCP", "UDP"]) {
          for (const [name, address, uid] of who) {
            const { bind, listen = 0 } = measure("bind", kind, CALLS, address, PORT, uid);
            calls.add(`${kind} bind() ${name}`, turn, bind);
            if (kind === "TCP" && uid === OWNER) calls.add(`TCP listen() ${name}`, turn, listen);
          }
        }
        if (turn === 1) dataPlane.unload();
      }
      for (const turn of [0, 1] as const) {
        dataPlane.apply(rules(turn === 1));
        for (const [kind, what] of [
          ["TCP", "TCP connection, and its end"],
          ["UDP", "UDP request and reply"],
        ] as const) {
          const { talk } = measure("talk", kind, TALKS, ADDRESS, DIALLED, PORT, OWNER);
          traffic.add(what, turn, talk);
        }
        dataPlane.unload();
      }
    }
  } finally {
    dataPlane.unload();
    dataPlane.close();
  }
  return { calls: calls.rows(), traffic: traffic.rows() };
}
