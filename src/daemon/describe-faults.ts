/** What is wrong with mappings, in words. */
import type { DegradedJson, GapJson } from "../json/health.js";
import { formatEndpoint } from "../model/endpoint.js";
import { describeAbsence } from "../words/absence.js";
import { nameAmong } from "../words/mapping-name.js";
import { count, printable } from "../words/text.js";

/** The most destinations that are named. */
const SHOWN = 3;

/** Describes families that are not served: `no listener for IPv6: dns (ended 02:49), web`. */
export function describeGaps(gaps: readonly GapJson[]): string {
  const parts = ([4, 6] as const).flatMap((family) => {
    const those = gaps.filter((gap) => gap.family === family);
    const shown = those.map((gap) => nameAmong(gap, those) + describeSince(gap));
    return shown.length === 0 ? [] : [`no listener for IPv${family}: ${shown.join(", ")}`];
  });
  return parts.join("; ");
}

function describeSince({ drained, ...absence }: GapJson): string {
  const known = drained ? ["drained"] : describeAbsence(absence);
  return known.length === 0 ? "" : ` (${known.join(", ")})`;
}

/** Describes what is down: `web: 1 of 3 destinations is down: canary (ended 02:49)`. */
export function describeDegraded(one: DegradedJson, all: readonly DegradedJson[]): string {
  const { destinations, down } = one;
  const shown = down.slice(0, SHOWN).map((each) => {
    const known = describeAbsence(each);
    return labelOf(each, down) + (known.length === 0 ? "" : ` (${known.join(", ")})`);
  });
  const more = down.length > shown.length ? ` and ${down.length - shown.length} more` : "";
  const verb = down.length === 1 ? "is" : "are";
  const of = `${down.length} of ${count(destinations, "destination")} ${verb} down`;
  return `${nameAmong(one, all)}: ${of}: ${shown.join(", ")}${more}`;
}

type Down = DegradedJson["down"][number];

/** Names a destination by its service, where that tells it from the others. */
function labelOf({ service, address, port }: Down, all: readonly Down[]): string {
  const isAlone = service !== null && all.filter((one) => one.service === service).length === 1;
  return isAlone ? printable(service) : formatEndpoint(address, port);
}
