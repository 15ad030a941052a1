/** `ilm monitor`: decisions as they are made. The kernel reports them only while somebody watches. */
import type { DataPlane, ObservedDecision } from "../dataplane/types.js";
import { IlmError } from "../errors.js";
import { allMappings, type Mapping } from "../model/mapping.js";
import type { Context } from "./context.js";
import { formatEndpoint } from "../model/endpoint.js";
import { paintVerdict } from "./render/explanation.js";
import { count, printable } from "./render/text.js";
import { noteObstacles, surveyMappings } from "./survey.js";
import { needInForce, withDataPlane } from "./with-data-plane.js";

export interface MonitorOptions {
  /** End after so many decisions. */
  readonly count?: string;
  /** End after so many seconds. */
  readonly seconds?: string;
}

export async function monitor(context: Context, options: MonitorOptions): Promise<void> {
  const most = parseLimit(options.count, "--count");
  const seconds = parseLimit(options.seconds, "--seconds");
  await withDataPlane(async (dataPlane) => {
    const { rules } = needInForce(dataPlane);
    noteObstacles(context, surveyMappings(dataPlane, rules), rules);
    const stream = dataPlane.watch();
    const end = (): void => {
      stream.close();
    };
    process.once("SIGINT", end).once("SIGTERM", end);
    const timer = seconds === Infinity ? null : setTimeout(end, seconds * 1000);
    const mappingOf = mappingFinder(dataPlane);
    let shown = 0;
    try {
      if (!context.json) context.write(heading(context));
      for await (const decision of stream) {
        context.write(
          context.json
            ? `${JSON.stringify(decisionShape(decision, mappingOf(decision)))}\n`
            : renderDecision(context, decision, mappingOf(decision)),
        );
        shown += 1;
        if (shown >= most) break;
      }
    } finally {
      if (timer !== null) clearTimeout(timer);
      process.off("SIGINT", end).off("SIGTERM", end);
      stream.close();
    }
    if (stream.lost > 0) {
      context.note(`ilm: ${count(stream.lost, "decision")} came too fast and were not shown\n`);
    }
  });
}

/** A positive number, or Infinity when the option was not given. Throws USAGE. */
function parseLimit(text: string | undefined, option: string): number {
  if (text === undefined) return Infinity;
  const value = Number(text);
  if (/^[0-9]+(?:\.[0-9]+)?$/.test(text) && value > 0) return value;
  throw new IlmError("USAGE", `${option}: ${JSON.stringify(text)} is not a positive number`, {
    remedy: `Write for example \`${option} 10\`.`,
  });
}

/** Decisions carry an index into their generation's mappings, so another generation is asked for when one comes up. */
function mappingFinder(dataPlane: DataPlane): (decision: ObservedDecision) => Mapping | null {
  const known = new Map<number, readonly Mapping[]>();
  return ({ generation, mapping }) => {
    if (mapping === null) return null;
    if (!known.has(generation)) {
      const inForce = dataPlane.inForce();
      if (inForce !== null) known.set(inForce.generation, allMappings(inForce.rules));
    }
    return known.get(generation)?.[mapping] ?? null;
  };
}

function decisionShape(decision: ObservedDecision, mapping: Mapping | null) {
  const { packet } = decision;
  return {
    time: new Date(decision.time).toISOString(),
    verdict: decision.verdict,
    protocol: packet.protocol,
    client: { address: packet.remote, port: packet.remotePort },
    dialled: { address: packet.local, port: packet.localPort },
    mapping: mapping?.name ?? null,
    destination: destinationOf(decision, mapping),
    matchedBy: decision.matchedBy,
    interface: packet.interfaceIndex,
    generation: decision.generation,
  };
}

function destinationOf({ destination, packet }: ObservedDecision, mapping: Mapping | null) {
  const chosen = destination === null ? undefined : mapping?.to[destination];
  if (chosen === undefined) return null;
  return {
    address: chosen.address,
    port: chosen.port === "same" ? packet.localPort : chosen.port,
  };
}

// IPv4 fits; a longer address moves its line and no other.
const widths = { time: 12, verdict: 9, protocol: 5, client: 21, dialled: 21, mapping: 20 };

function heading({ colours }: Context): string {
  const cells = [
    "TIME".padEnd(widths.time),
    "VERDICT".padEnd(widths.verdict),
    "PROTO".padEnd(widths.protocol),
    "CLIENT".padEnd(widths.client),
    "DIALLED".padEnd(widths.dialled),
    "MAPPING".padEnd(widths.mapping),
    "DESTINATION",
  ];
  return `${colours.bold(cells.join("  "))}\n`;
}

function renderDecision(
  { colours }: Context,
  decision: ObservedDecision,
  mapping: Mapping | null,
): string {
  const { packet, verdict } = decision;
  const destination = destinationOf(decision, mapping);
  const cells = [
    localTime(decision.time),
    paintVerdict(verdict, colours)(verdict.padEnd(widths.verdict)),
    packet.protocol.padEnd(widths.protocol),
    formatEndpoint(packet.remote, packet.remotePort).padEnd(widths.client),
    formatEndpoint(packet.local, packet.localPort).padEnd(widths.dialled),
    printable(mapping?.name ?? "-").padEnd(widths.mapping),
    destination === null ? "-" : formatEndpoint(destination.address, destination.port),
  ];
  return `${cells.join("  ")}\n`;
}

/** `14:03:07.120`, in the local time zone. */
function localTime(milliseconds: number): string {
  const date = new Date(milliseconds);
  const two = (number: number): string => String(number).padStart(2, "0");
  const fraction = String(date.getMilliseconds()).padStart(3, "0");
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${fraction}`;
}
