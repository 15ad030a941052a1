/**
 * Shows decisions one after the other, as they come: no later one moves the columns. Where the
 * terminal is too narrow for a line, mapping and destination are on a second one, and what is
 * longer than its column moves to the next line whole: nothing is cut.
 */
import type { ObservedDecision } from "../../dataplane/types.js";
import { formatEndpoint } from "../../model/endpoint.js";
import type { Destination } from "../../model/mapping.js";
import { printable } from "../../words/text.js";
import type { Context } from "../shell/context.js";
import { paintVerdict } from "./explanation.js";

interface Cell {
  readonly text: string;
  readonly paint?: (text: string) => string;
}

// The widths fit IPv4. A longer address moves the rest of its own line only.
const packetColumns = [
  { heading: "TIME", width: 12 },
  { heading: "VERDICT", width: 9 },
  { heading: "PROTO", width: 5 },
  { heading: "CLIENT", width: 21 },
  { heading: "DIALLED", width: 21 },
] as const;
const answerColumns = [
  { heading: "MAPPING", width: 20 },
  { heading: "DESTINATION", width: 11 },
] as const;
const allColumns = [...packetColumns, ...answerColumns];

const GAP = "  ";
/** What is below the time stays free, so that each decision is seen to begin. */
const INDENT = " ".repeat(packetColumns[0].width) + GAP;
const ONE_LINE =
  allColumns.reduce((sum, { width }) => sum + width, 0) + GAP.length * (allColumns.length - 1);

export function decisionHeading({ colours, width }: Context): string {
  const cells = allColumns.map(({ heading }): Cell => ({ text: heading, paint: colours.bold }));
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
    { text: localTime(time) },
    { text: verdict, paint: paintVerdict(verdict, colours) },
    { text: packet.protocol },
    { text: formatEndpoint(packet.remote, packet.remotePort) },
    { text: formatEndpoint(packet.local, packet.localPort) },
    { text: printable(mapping ?? "-") },
    {
      text:
        destination === null
          ? noDestination
          : formatEndpoint(destination.address, destination.port),
    },
  ];
  return layOut(cells, width);
}

function layOut(cells: readonly Cell[], width: number): string {
  const split = width < ONE_LINE ? packetColumns.length : cells.length;
  const lines = [cells.slice(0, split), cells.slice(split)].filter((some) => some.length > 0);
  let column = 0;
  let text = "";
  for (const [index, line] of lines.entries()) {
    let length = index === 0 ? 0 : INDENT.length;
    let padding = index === 0 ? "" : INDENT;
    for (const { text: own, paint } of line) {
      const room = allColumns[column]?.width ?? 0;
      column += 1;
      if (length > INDENT.length && length + own.length > width) {
        text += "\n";
        padding = INDENT;
        length = INDENT.length;
      }
      text += padding + (paint?.(own) ?? own);
      padding = " ".repeat(Math.max(0, room - own.length)) + GAP;
      length += Math.max(room, own.length) + GAP.length;
    }
    text += "\n";
  }
  return text;
}

/** `14:03:07.120`, in the local time zone. */
function localTime(milliseconds: number): string {
  const date = new Date(milliseconds);
  const two = (number: number): string => String(number).padStart(2, "0");
  const fraction = String(date.getMilliseconds()).padStart(3, "0");
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${fraction}`;
}
