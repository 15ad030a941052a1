/**
 * What became of connections and datagrams under load: which were lost, and which only came late.
 * Pure.
 */

/**
 * What the client and the daemon saw. refused: the kernel answered that nothing listens. not
 * received: the daemon got nothing in a minute. not answered: the daemon's answer did not reach the
 * client.
 */
export type Outcome = "served" | "refused" | "not received" | "not answered";

export interface Exchange {
  readonly outcome: Outcome;
  readonly took_ms: number;
}

export interface Tally {
  readonly tried: number;
  /** Served, after more than LATE_MS. */
  readonly late: number;
  readonly slowest_ms: number;
  /** Those that were not served, by their sequence number. */
  readonly failed: readonly { readonly number: number; readonly outcome: Outcome }[];
}

/**
 * By which what the kernel counted grew meanwhile: names as in /proc/net/snmp and
 * /proc/net/netstat; only what is not 0.
 */
export type Counted = Readonly<Record<string, number>>;

export interface LoadReport {
  readonly connections: Tally;
  readonly datagrams: Tally;
  readonly counted: Counted;
}

const LATE_MS = 1000;
/**
 * The kernel drops for want of CPU time: the daemon did not empty its queue, or the kernel did not
 * empty its own.
 */
const OVERFLOWS: Readonly<Record<"connections" | "datagrams", readonly string[]>> = {
  connections: ["TcpExt.ListenOverflows", "softnet.dropped"],
  datagrams: ["Udp.RcvbufErrors", "softnet.dropped"],
};

export const noExchanges: Tally = { tried: 0, late: 0, slowest_ms: 0, failed: [] };

export function addExchange(tally: Tally, { outcome, took_ms }: Exchange): Tally {
  const tried = tally.tried + 1;
  if (outcome !== "served") {
    return { ...tally, tried, failed: [...tally.failed, { number: tried, outcome }] };
  }
  const slowest_ms = Math.max(tally.slowest_ms, took_ms);
  return { ...tally, tried, late: tally.late + (took_ms > LATE_MS ? 1 : 0), slowest_ms };
}

export interface Judgement {
  /** Nothing but what we did can explain it; empty: none. */
  readonly lost: readonly string[];
  /** What a slow guest explains; empty: none. */
  readonly slow: readonly string[];
}

function judgeKind(
  kind: "connections" | "datagrams",
  { late, slowest_ms, failed }: Tally,
  counted: Counted,
): Judgement {
  const overflows = OVERFLOWS[kind].reduce((sum, name) => sum + (counted[name] ?? 0), 0);
  // A full queue refuses no request.
  const excused = failed.filter(({ outcome }) => outcome !== "refused").slice(0, overflows);
  const lost = failed.filter((one) => !excused.includes(one));
  const slow = [
    ...(late === 0 ? [] : [`late ${kind}: ${late} (slowest ${(slowest_ms / 1000).toFixed(1)} s)`]),
    ...(excused.length === 0 ? [] : [`${kind} dropped from full queues: ${excused.length}`]),
  ];
  return { lost: lost.map(({ number, outcome }) => `${kind} ${number}: ${outcome}`), slow };
}

export function judge({ connections, datagrams, counted }: LoadReport): Judgement {
  const kinds = [
    judgeKind("connections", connections, counted),
    judgeKind("datagrams", datagrams, counted),
  ];
  return { lost: kinds.flatMap(({ lost }) => lost), slow: kinds.flatMap(({ slow }) => slow) };
}
