/** `ilm listeners`: shows who listens where, and which mappings lead there. */
import { emptyRules } from "../../model/rules.js";
import type { Handover, Listener, Owner } from "../../model/listener.js";
import { handoverOf, joinListeners, type ListenerView, type Means } from "../../rules/listening.js";
import { print, type Context } from "../shell/context.js";
import type { ListenersJson } from "../../json/listeners.js";
import { published } from "../../json/published.js";
import { formatPlace } from "../../model/endpoint.js";
import { meansOf } from "../../doctor/means.js";
import { unitOf } from "../../words/listener.js";
import { renderTable, type Column } from "../render/table.js";
import { namesShown, printable } from "../../words/text.js";
import { withDataPlane } from "../shell/with-data-plane.js";

/** The limit on names in a cell of the table. More would not help; JSON has all. */
const MAX_NAMES = 20;

export interface ListenersOptions {
  /** True to show only the listeners that a mapping leads to. */
  readonly mapped?: boolean;
}

export async function listeners(context: Context, options: ListenersOptions): Promise<void> {
  const { all, means } = await withDataPlane(context, (dataPlane) => ({
    all: joinListeners(dataPlane.active()?.rules ?? emptyRules, dataPlane.listeners()),
    means: meansOf(dataPlane),
  }));
  const views = all
    .filter((view) => options.mapped !== true || view.isMapped)
    .toSorted((left, right) => inOrder(left.listener, right.listener));
  const ownerOf = await context.reach.ownersOf(views.map((view) => view.listener));
  await print(
    context,
    published<ListenersJson>()(
      views.map((view) => listenerShape(view, ownerOf(view.listener), handoverOf(view, means))),
    ),
    () => renderViews(context, views, ownerOf, means),
  );
}

function inOrder(left: Listener, right: Listener): number {
  return (
    left.protocol.localeCompare(right.protocol) ||
    left.port - right.port ||
    left.address.localeCompare(right.address)
  );
}

function listenerShape(
  { listener, mappings }: ListenerView,
  owner: Owner | undefined,
  handover: Handover,
) {
  const { protocol, kind, family, address, port, wildcard } = listener;
  return {
    protocol,
    address,
    port,
    pid: owner?.pid ?? null,
    command: owner?.command ?? null,
    user: owner?.user ?? null,
    unit: unitOf(owner),
    cgroup: owner?.cgroup ?? null,
    mappings,
    wildcard,
    kind,
    state: protocol === "tcp" ? ("listening" as const) : ("bound" as const),
    handover,
    groupSize: listener.groupSize,
    groupProgram: listener.groupProgram,
    family,
    v6only: listener.v6only,
    reuseport: listener.reuseport,
    device: listener.device,
    deviceName: listener.deviceName,
    cookie: listener.cookie,
    uid: listener.uid,
  };
}

const columns: readonly Column[] = [
  { heading: "KIND", shrink: true },
  { heading: "ADDRESS", shrink: true },
  { heading: "PROCESS", shrink: true },
  { heading: "PID", align: "right" },
  { heading: "USER", shrink: true },
  { heading: "UNIT", shrink: true },
  { heading: "HANDOVER" },
  { heading: "MAPPINGS", shrink: true },
];

function renderViews(
  { colours, width }: Context,
  views: readonly ListenerView[],
  ownerOf: (listener: Listener) => Owner | undefined,
  means: Means,
): string {
  if (views.length === 0) return "nothing listens\n";
  const rows = views.map((view) => {
    const { listener, mappings } = view;
    const handover = handoverOf(view, means);
    const owner = ownerOf(listener);
    return [
      listener.groupSize > 1 ? `${listener.kind}, one of ${listener.groupSize}` : listener.kind,
      {
        text: printable(formatPlace(listener)),
        paint: listener.wildcard ? colours.yellow : (text: string) => text,
      },
      printable(owner?.command ?? "?"),
      owner === undefined ? "?" : String(owner.pid),
      printable(owner?.user ?? String(listener.uid)),
      printable(unitOf(owner) ?? "-"),
      handover === "none" ? "-" : handover,
      mappings.length === 0 ? "-" : namesShown(mappings, MAX_NAMES),
    ];
  });
  return renderTable(columns, rows, { width, paintHeading: colours.bold });
}
