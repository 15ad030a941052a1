/**
 * Shows decisions one after the other, as they come: no later one moves the columns. Where the
 * terminal is too narrow for a line, mapping and destination are on a second one, and what is
 * longer than its column moves what is behind it to the next line: nothing is cut.
 */
import type { ObservedDecision } from "../../dataplane/types.js";
import { formatEndpoint } from "../../model/endpoint.js";
import type { Destination } from "../../model/mapping.js";
import { printable } from "../../words/text.js";
import type { Context } from "../shell/context.js";
import { paintVerdict } from "./explanation.js";
import { renderRow, type Cell } from "./table.js";

// The widths fit IPv4; addresses share what the terminal has left.
const columns = [
  { heading: "TIME", width: 12 },
  { heading: "VERDICT", width: 9 },
  { heading: "PROTO", width: 5 },
  { heading: "CLIENT", width: 21, isEndpoint: true },
  { heading: "DIALLED", width: 21, isEndpoint: true },
  { heading: "MAPPING", width: 20 },
  { heading: "DESTINATION", width: 15 },
];
/** The number of columns about the packet, which share a line also where it is narrow. */
const OF_PACKET = 5;
/** The longest endpoint: `[`, 39 characters, `]:65535`. */
const LONGEST_ENDPOINT = 47;

const GAP = 2;
/** What is below the time stays free, so that each decision is seen to begin. */
const INDENT = 12 + GAP;
const ONE_LINE = widthOf(columns);

function widthOf(some: readonly { readonly width: number }[]): number {
  return some.reduce((sum, { width }) => sum + width + GAP, -GAP);
}

export function decisionHeading({ colours, width }: Context): string {
  const cells = columns.map(({ heading }): Cell => ({ text: heading, paint: colours.bold }));
  return layOut(cells, width);
}

/** Where a packet goes. */
interface Chosen {
  readonly address: Destination["address"];
  readonly port: number;
}

export function renderDecision(
  { colours, width }: Context,
  { time, verdict, packet, strangers }: ObservedDecision,
  mapping: string | null,
  destination: Chosen | null,
): string {
  const noDestination = strangers ? "- (a stranger listens)" : "-";
  const cells: readonly Cell[] = [
    localTime(time),
    { text: verdict, paint: paintVerdict(verdict, colours) },
    packet.protocol,
    formatEndpoint(packet.remote, packet.remotePort),
    formatEndpoint(packet.local, packet.localPort),
    printable(mapping ?? "-"),
    destination === null ? noDestination : formatEndpoint(destination.address, destination.port),
  ];
  return layOut(cells, width);
}

function layOut(cells: readonly Cell[], available: number): string {
  const split = available < ONE_LINE ? OF_PACKET : columns.length;
  const spare = Math.max(0, available - widthOf(columns.slice(0, split)));
  const widest = Math.min(LONGEST_ENDPOINT, 21 + Math.floor(spare / 2));
  const laid = columns.map(({ width, isEndpoint }) => ({ width: isEndpoint ? widest : width }));
  const first = renderRow(laid.slice(0, split), cells.slice(0, split), available);
  return split === columns.length
    ? first
    : first + renderRow(laid.slice(split), cells.slice(split), available, INDENT);
}

/** `14:03:07.120`, in the local time zone. */
function localTime(milliseconds: number): string {
  const date = new Date(milliseconds);
  const two = (number: number): string => String(number).padStart(2, "0");
  const fraction = String(date.getMilliseconds()).padStart(3, "0");
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${fraction}`;
}
