/** What the product works out from rules alone (src/rules/evaluate.ts), for comparison. */
import { type Address, familyOf } from "../../src/model/address.js";
import type { Packet, Verdict } from "../../src/model/decision.js";
import { type Listener, noQueue } from "../../src/model/listener.js";
import type { Owner } from "../../src/model/mapping.js";
import type { Rules } from "../../src/model/rules.js";
import { DrainedPlaces } from "../../src/rules/drained.js";
import { Evaluator, outcomeOf } from "../../src/rules/evaluate.js";
import { Judge } from "../../src/rules/judge.js";
import { type Expected, type Socket, UNPRIVILEGED } from "./oracle.js";

export interface Worked {
  readonly verdict: Verdict;
  readonly mapping: number | null;
  /** Of several, the client's draw selects one. */
  readonly destinations: readonly number[];
}

function listenerOf(socket: Socket): Listener {
  const { protocol, address, port, v6only, cookie, uid, gid } = socket;
  return {
    protocol,
    kind: protocol,
    family: familyOf(address as Address),
    address: address as Address,
    port,
    wildcard: address === "::" || address === "0.0.0.0",
    v6only,
    reuseport: false,
    groupSize: 0,
    groupProgram: false,
    device: 0,
    deviceName: "",
    placed: false,
    since: null,
    queue: noQueue,
    cookie,
    inode: 0,
    cgroup: "0",
    identity: { uid, gid, unit: "0" },
  };
}

const isOwners = ({ identity }: Listener, { user, group }: Owner): boolean =>
  identity.uid === 0 ||
  ((user === undefined || user === identity.uid) &&
    (group === undefined || group === identity.gid));

/** Returns what works out packets, by these rules and sockets. */
export function evaluate(
  rules: Rules,
  sockets: readonly Socket[],
  interfaces: ReadonlyMap<number, string>,
): (packet: Packet) => Worked {
  const evaluator = new Evaluator(rules);
  const listeners = sockets.map(listenerOf);
  const judge = new Judge(
    rules,
    rules.file.strangers ?? "refuse",
    (listener, permit) =>
      permit === null ||
      (permit.root && listener.identity.uid === 0) ||
      permit.owners.some((owner) => isOwners(listener, owner)),
    UNPRIVILEGED,
  );
  const drained = new DrainedPlaces(rules.drained ?? [], rules.file.services);
  return ({ interfaceIndex, ...packet }) => {
    const dialled = { ...packet, interface: interfaces.get(interfaceIndex) ?? null, now: 1000 };
    const chosen = evaluator.choose(dialled);
    const { verdict, destinations } = outcomeOf(chosen, dialled, listeners, judge, drained);
    return { verdict, mapping: chosen.index, destinations };
  };
}

/** Reports whether what was worked out is what the oracle expects. */
export function agreesWith({ verdict, mapping, destination }: Expected, worked: Worked): boolean {
  return (
    worked.verdict === verdict &&
    worked.mapping === mapping &&
    (destination === null
      ? worked.destinations.length === 0
      : worked.destinations.includes(destination))
  );
}
