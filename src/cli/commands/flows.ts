/** `ilm flows`: shows the UDP clients that mappings brought to daemons, and what each dialled. */
import type { Flow, FlowEnd } from "../../model/flow.js";
import { mappingOfFlow } from "../../rules/flow-mapping.js";
import { print, type Context } from "../shell/context.js";
import type { FlowsJson } from "../../json/flows.js";
import { published } from "../../json/published.js";
import { formatEndpoint } from "../../model/endpoint.js";
import { formatAge, printable } from "../../words/text.js";
import { renderTable, type Column } from "../render/table.js";
import { describeRest, limitTo, type LimitOptions } from "../shell/limit.js";
import { readActive, withDataPlane } from "../shell/with-data-plane.js";

interface FlowView {
  readonly flow: Flow;
  /** The name of the mapping that made the flow, or null when an earlier mapping made it. */
  readonly mapping: string | null;
}

export async function flows(context: Context, options: LimitOptions = {}): Promise<void> {
  const { views, limited } = await withDataPlane(context, (dataPlane) => {
    const found = dataPlane.flows().toSorted(latestFirst);
    const latest = limitTo(found, options, "flows");
    if (found.length === 0) return { views: [], limited: latest };
    const rules = readActive(dataPlane);
    const shown = latest.shown.map((flow): FlowView => ({
      flow,
      mapping: mappingOfFlow(rules, flow)?.name ?? null,
    }));
    return { views: shown, limited: latest };
  });
  await print(
    context,
    published<FlowsJson>()(views.map(flowShape)),
    () => renderFlows(context, views) + describeRest(limited, "flow"),
  );
}

/** Within a second, by the client: the same flows are in the same order each time. */
function latestFirst(left: Flow, right: Flow): number {
  return left.idle_s - right.idle_s || compareEnds(left.client, right.client);
}

function compareEnds(left: FlowEnd, right: FlowEnd): number {
  if (left.address === right.address) return left.port - right.port;
  return left.address < right.address ? -1 : 1;
}

function flowShape({ flow: { client, dialled, daemon, idle_s }, mapping }: FlowView) {
  return { client, dialled, daemon, mapping, idle_s };
}

const columns: readonly Column[] = [
  { heading: "CLIENT", shrink: true },
  { heading: "DIALLED", shrink: true },
  { heading: "DAEMON", shrink: true },
  { heading: "MAPPING", shrink: true },
  { heading: "IDLE", align: "right" },
];

function renderFlows({ colours, width }: Context, views: readonly FlowView[]): string {
  if (views.length === 0) return "no mapping brought a UDP client to a daemon recently\n";
  const rows = views.map(({ flow, mapping }) => [
    formatEnd(flow.client),
    formatEnd(flow.dialled),
    formatEnd(flow.daemon),
    mapping === null ? "-" : printable(mapping),
    formatAge(flow.idle_s * 1000),
  ]);
  return renderTable(columns, rows, { width, paintHeading: colours.bold });
}

function formatEnd({ address, port }: FlowEnd): string {
  return formatEndpoint(address, port);
}
