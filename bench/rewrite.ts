/**
 * What `wildcard: rewrite` costs the calls of daemons that listen on every address, beside a host
 * without us: of those whose bind() is rewritten, of owners whose is not, of processes that no
 * service knows, and of other network namespaces. In turns, within one run.
 */
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { parseConfiguration } from "../src/config/parse.js";
import { openDataPlane } from "../src/dataplane/open.js";
import { emptyRules, toBeActive } from "../src/model/rules.js";
import { median } from "./network.js";
import { root } from "./sites.js";
import { takeTurns } from "./turns.js";

/** bench/calls.c */
const program = join(root, "dist", "bench", "calls");
const ROUNDS = 15;
const COUNT = 3000;
const MEMBER = 4000;
const OWNER = 4001;
const STRANGER = 4002;

const configuration = `
version: 1
services:
  member:
    user: ${MEMBER}
    address: [127.0.1.10, "fd5e:ed00::10"]
    wildcard: rewrite
    publish: [8081/tcp, 8081/udp]
  owner:
    user: ${OWNER}
    address: [127.0.1.11, "fd5e:ed00::11"]
    wildcard: allow
    publish: [8082/tcp, 8082/udp]
`;

/** Who binds to every address, on which port. */
const who = [
  { name: "a service's, rewritten", uid: MEMBER, port: 8081, isElsewhere: false },
  { name: "a service's, `wildcard: allow`", uid: OWNER, port: 8082, isElsewhere: false },
  { name: "no service's, on a mapped port", uid: STRANGER, port: 8081, isElsewhere: false },
  { name: "no service's, on another port", uid: STRANGER, port: 8083, isElsewhere: false },
  { name: "in another network namespace", uid: MEMBER, port: 8081, isElsewhere: true },
] as const;

const families = [
  { any: "0.0.0.0", dialled: "203.0.113.1", own: "127.0.0.1" },
  { any: "::", dialled: "2001:db8::1", own: "::1" },
] as const;

const protocols = ["tcp", "udp"] as const;
type Protocol = (typeof protocols)[number];

/** A call of bench/calls.c, by its name there. */
export type Call = "bind" | "listen" | "getsockname" | "accept" | "accepted";

export interface RewriteCost {
  /** Nanoseconds, medians of the rounds. */
  readonly without: number;
  readonly with: number;
  /** The median of the rounds' ratios. */
  readonly ratio: number;
}

export interface RewriteRow {
  readonly protocol: Protocol;
  readonly who: string;
  readonly address: string;
  /** Without those for connections, where the listener gets none. */
  readonly calls: Readonly<Partial<Record<Call, RewriteCost>>>;
}

type Times = Partial<Record<Call, number>>;

interface Entry {
  readonly protocol: Protocol;
  readonly who: (typeof who)[number];
  readonly family: (typeof families)[number];
}

function measure({ protocol, who: { uid, port, isElsewhere }, family }: Entry): Times {
  const dialled = isElsewhere ? family.own : family.dialled;
  const command = [program, protocol, family.any, port, dialled, uid, COUNT].map(String);
  const elsewhere = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"];
  const [file = "", ...args] = isElsewhere ? [...elsewhere, ...command] : command;
  return JSON.parse(execFileSync(file, args, { encoding: "utf8" })) as Times;
}

export function measureRewrite(): RewriteRow[] {
  const dataPlane = openDataPlane();
  const { ruleSet } = parseConfiguration([{ name: "bench.yaml", text: configuration }]);
  const rules = toBeActive({ ...emptyRules, file: ruleSet });
  const entries = protocols.flatMap((protocol) =>
    who.flatMap((one) => families.map((family): Entry => ({ protocol, who: one, family }))),
  );
  const isActive = (active: boolean): Times[] => {
    if (active) dataPlane.apply(rules);
    try {
      return entries.map(measure);
    } finally {
      dataPlane.unload();
    }
  };
  try {
    const rounds = takeTurns(ROUNDS, [false, true], isActive);
    return entries.map(({ protocol, who: { name }, family }, index) => ({
      protocol,
      who: name,
      address: family.any,
      calls: costs(rounds.map(([without = [], active = []]) => [without[index], active[index]])),
    }));
  } finally {
    dataPlane.close();
  }
}

type Round = readonly [without: Times | undefined, active: Times | undefined];

function costs(rounds: readonly Round[]): RewriteRow["calls"] {
  const [[, first = {}] = []] = rounds;
  const calls = Object.keys(first) as Call[];
  return Object.fromEntries(
    calls.map((call) => {
      const times = rounds.map(([without, active]): [number, number] => [
        without?.[call] ?? Number.NaN,
        active?.[call] ?? Number.NaN,
      ]);
      const cost: RewriteCost = {
        without: median(times.map(([without]) => without)),
        with: median(times.map(([, active]) => active)),
        ratio: median(times.map(([without, active]) => active / without)),
      };
      return [call, cost];
    }),
  );
}
