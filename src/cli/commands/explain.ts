/**
 * `ilm explain`: asks the loaded program itself what it does with a packet, and shows each step.
 */
import { judgeOf } from "../../dataplane/judge.js";
import type { DataPlane } from "../../dataplane/types.js";
import { IlmError } from "../../errors.js";
import { parseFrom, parseOn } from "../../config/prefix.js";
import { familyOf, type Address } from "../../model/address.js";
import type { Packet } from "../../model/decision.js";
import type { Listener } from "../../model/listener.js";
import { protocols, type Mapping, type Protocol } from "../../model/mapping.js";
import { allMappings, readRules } from "../../model/rules.js";
import type { Judge } from "../../rules/judge.js";
import {
  destinationStates,
  handoverOf,
  joinListeners,
  type DestinationState,
} from "../../rules/listening.js";
import { print, type Context } from "../shell/context.js";
import type { ExplainJson } from "../../json/explain.js";
import { published } from "../../json/published.js";
import { parseEndpoint } from "../shell/endpoint.js";
import { examplePort, exampleRemote } from "../../doctor/example.js";
import { kernelChoice } from "../../doctor/kernel-choice.js";
import { meansOf } from "../../doctor/means.js";
import { findObstacles } from "../../doctor/obstacles.js";
import { explanationShape, renderExplanation, type Explained } from "../render/explanation.js";
import { interfaceWith, wayOf, type Places } from "../../doctor/way.js";
import { needActive, withDataPlane } from "../shell/with-data-plane.js";

export interface ExplainOptions {
  readonly from?: string;
  readonly interface?: string;
}

export async function explain(
  context: Context,
  protocolText: string,
  localText: string,
  options: ExplainOptions,
): Promise<void> {
  const protocol = parseProtocol(protocolText);
  const local = parseEndpoint(localText, "the address dialled");
  const remote =
    options.from === undefined
      ? { address: exampleRemote(local.address), port: examplePort() }
      : parseEndpoint(options.from, "--from");
  if (familyOf(remote.address) !== familyOf(local.address)) {
    throw new IlmError("USAGE", `--from: ${remote.address} and ${local.address} differ in family`, {
      remedy: "A packet has two IPv4 or two IPv6 addresses.",
    });
  }
  const places = await context.reach.lookForPlaces();
  const interfaceIndex =
    options.interface === undefined
      ? interfaceWith(places, local.address)
      : findInterface(options.interface, places.names);
  refuseUnasked(local.address, "the address dialled", parseOn);
  refuseUnasked(remote.address, "--from", parseFrom);
  const packet: Packet = {
    protocol,
    local: local.address,
    localPort: local.port,
    remote: remote.address,
    remotePort: remote.port,
    interfaceIndex,
  };
  const explained = await withDataPlane(context, (dataPlane) =>
    ask(context, dataPlane, packet, places, options),
  );
  await print(context, published<ExplainJson>()(explanationShape(explained)), () =>
    renderExplanation(explained, context.colours),
  );
}

/**
 * Throws USAGE for an address about which the kernel never asks ilm: the answer would be about a
 * packet that does not exist.
 */
function refuseUnasked(address: Address, what: string, parse: typeof parseOn): void {
  const parsed = parse(address);
  if (parsed.ok) return;
  throw new IlmError("USAGE", `${what}: ${parsed.reason}`, {
    remedy: `Write the address of one ${what === "--from" ? "client" : "host"}: ${what === "--from" ? "198.51.100.7:40000" : "203.0.113.5:443"}.`,
  });
}

async function ask(
  context: Context,
  dataPlane: DataPlane,
  packet: Packet,
  places: Places,
  options: ExplainOptions,
): Promise<Explained> {
  const rules = readRules(needActive(dataPlane).rules);
  const explanation = dataPlane.explain(packet);
  const listeners = dataPlane.listeners();
  const mapping =
    explanation.mapping === null ? null : (allMappings(rules).at(explanation.mapping) ?? null);
  const kernel = kernelChoice(packet, listeners);
  const selected = listeners.find((listener) => listener.cookie === explanation.cookie) ?? null;
  const judge = judgeOf(dataPlane, rules);
  const states = statesFor(mapping, packet, listeners, judge);
  const named = [
    kernel,
    selected,
    ...states.flatMap((state) => [
      state.wildcardWouldAnswer,
      ...state.listeners,
      ...state.strangers,
    ]),
  ].filter((listener) => listener !== null);
  const means = meansOf(dataPlane);
  const view = selected && joinListeners(rules, [selected], judge.selects)[0];
  const atIngress = view !== undefined && view !== null && handoverOf(view, means) === "ingress";
  const ingress = atIngress
    ? { overtaken: dataPlane.overtaken(), uncovered: dataPlane.uncoveredInterfaces() }
    : null;
  const surroundings = await context.reach.lookAround(dataPlane, places, [familyOf(packet.local)]);
  const way = wayOf(packet, surroundings, options.from !== undefined);
  return {
    explanation,
    obstacles: findObstacles(packet, way, ingress),
    rules,
    judge,
    mapping,
    selected,
    kernel,
    states,
    holderOf: await context.reach.holdersOf(named),
    nat: means.nat,
    interfaceName: places.names.get(packet.interfaceIndex) ?? null,
    interfaceGiven: options.interface !== undefined,
  };
}

/** Returns what the socket tables say of each destination, for the port of this packet. */
function statesFor(
  mapping: Mapping | null,
  packet: Packet,
  listeners: readonly Listener[],
  { selects }: Judge,
): DestinationState[] {
  if (mapping === null) return [];
  const port = { first: packet.localPort, last: packet.localPort };
  return destinationStates({ ...mapping, ports: [port] }, listeners, selects);
}

function parseProtocol(text: string): Protocol {
  const found = protocols.find((protocol) => protocol === text);
  if (found !== undefined) return found;
  throw new IlmError("USAGE", `${JSON.stringify(text)} is not a protocol`, {
    remedy: "Write tcp or udp, as in `ilm explain tcp 203.0.113.5:443`.",
  });
}

function findInterface(name: string, names: ReadonlyMap<number, string>): number {
  for (const [index, known] of names) {
    if (known === name) return index;
  }
  throw new IlmError("NOT_FOUND", `there is no interface named ${JSON.stringify(name)}`, {
    remedy: `There are: ${[...names.values()].join(", ")}.`,
  });
}
