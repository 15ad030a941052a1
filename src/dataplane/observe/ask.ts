/** Asks the loaded program for a decision, and watches the ones it makes. */
import { familyOf } from "../../model/address.js";
import type { DecisionFilter, Packet } from "../../model/decision.js";
import { type ActiveRules, allMappings, readRules } from "../../model/rules.js";
import { candidates } from "../../rules/candidates.js";
import { alone } from "../alone.js";
import type { Loaded, State } from "../install/state.js";
import type { Explanation, DecisionStream } from "../types.js";
import { explainPacket } from "./explain.js";
import { listListeners } from "./sockets.js";
import { watchDecisions } from "./watch.js";

export function explain(state: State, packet: Packet): Explanation {
  return alone(state, () => {
    const { explanation, loaded } = explainActive(state, packet);
    const { description } = loaded;
    if (explanation.verdict !== "selected" || explanation.cookie !== null) return explanation;
    return { ...explanation, cookie: steeredSocket(state, explanation, description.rules) };
  });
}

/**
 * Asks until the rules that answered are the active ones. Another process may switch generations
 * meanwhile: then the index of a mapping means another one, or a program that decides no longer has
 * answered, and its destinations may have left the registry.
 */
function explainActive(
  state: State,
  packet: Packet,
): { readonly explanation: Explanation; readonly loaded: Loaded } {
  for (;;) {
    const loaded = state.require();
    const { number } = loaded.generation;
    const explanation = explainPacket(packet, loaded);
    if (explanation.generation === number && state.require() === loaded) {
      return { explanation, loaded };
    }
  }
}

/**
 * Finds the socket that ingress would select. The kernel does so with a packet in hand; here, the
 * listener on the destination is named.
 */
function steeredSocket(state: State, explanation: Explanation, rules: ActiveRules): string | null {
  const { packet, mapping: index, destination } = explanation;
  const mapping = index === null ? undefined : allMappings(readRules(rules)).at(index);
  if (mapping === undefined) return null;
  const wanted = candidates(mapping, familyOf(packet.local)).filter(
    (candidate) => candidate.destination === destination,
  );
  const found = listListeners(state).find(
    (listener) =>
      listener.protocol === packet.protocol &&
      !(listener.v6only && familyOf(packet.local) === 4) &&
      wanted.some(
        ({ address, port }) =>
          listener.address === address && listener.port === (port || packet.localPort),
      ),
  );
  return found?.cookie ?? null;
}

/** Starts a stream of live decisions (see DataPlane.watch). */
export function watch(state: State, filter: DecisionFilter): DecisionStream {
  state.require();
  const source = {
    current: () => state.own(),
    alone: <T>(action: () => T) => alone(state, action),
  };
  return watchDecisions(source, filter);
}
