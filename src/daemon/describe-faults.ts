/** What is wrong with mappings, in words. */
import type { DegradedJson, GapJson } from "../json/health.js";
import { formatEndpoint } from "../model/endpoint.js";
import { describeAbsence } from "../words/absence.js";
import { count, printable } from "../words/text.js";

/** The most destinations that are named. */
const SHOWN = 3;

/** Describes families that are not served: `no listener for IPv6: dns (ended 02:49), web`. */
export function describeGaps(gaps: readonly GapJson[]): string {
  const parts = ([4, 6] as const).flatMap((family) => {
    const those = gaps.filter((gap) => gap.family === family).map(describeGap);
    return those.length === 0 ? [] : [`no listener for IPv${family}: ${those.join(", ")}`];
  });
  return parts.join("; ");
}

function describeGap({ name, drained, ...absence }: GapJson): string {
  const known = drained ? ["drained"] : describeAbsence(absence);
  return printable(name) + (known.length === 0 ? "" : ` (${known.join(", ")})`);
}

/** Describes what is down: `web: 1 of 3 destinations is down: canary (ended 02:49)`. */
export function describeDegraded({ name, destinations, down }: DegradedJson): string {
  const shown = down.slice(0, SHOWN).map((one) => {
    const known = describeAbsence(one);
    return labelOf(one, down) + (known.length === 0 ? "" : ` (${known.join(", ")})`);
  });
  const more = down.length > shown.length ? ` and ${down.length - shown.length} more` : "";
  const verb = down.length === 1 ? "is" : "are";
  const of = `${down.length} of ${count(destinations, "destination")} ${verb} down`;
  return `${printable(name)}: ${of}: ${shown.join(", ")}${more}`;
}

type Down = DegradedJson["down"][number];

/** Names a destination by its service, where that tells it from the others. */
function labelOf({ service, address, port }: Down, all: readonly Down[]): string {
  const isAlone = service !== null && all.filter((one) => one.service === service).length === 1;
  return isAlone ? printable(service) : formatEndpoint(address, port);
}
