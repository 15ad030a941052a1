/** `ilm listeners`: shows who listens where, and which mappings lead there. */
import { judgeOf } from "../../dataplane/judge.js";
import { type Handover, type Holder, type Listener, isFull } from "../../model/listener.js";
import {
  compareListeners,
  handoverOf,
  joinListeners,
  type ListenerView,
  type Means,
} from "../../rules/listening.js";
import { print, type Context } from "../shell/context.js";
import type { ListenersJson } from "../../json/listeners.js";
import { published } from "../../json/published.js";
import { formatPlace } from "../../model/endpoint.js";
import { meansOf } from "../../doctor/means.js";
import { unitOf } from "../../words/listener.js";
import { renderTable, type Column } from "../render/table.js";
import { namesShown, printable } from "../../words/text.js";
import { describeRest, limitTo, type LimitOptions } from "../shell/limit.js";
import { readActive, withDataPlane } from "../shell/with-data-plane.js";

/** The limit on names in a cell of the table. More would not help; JSON has all. */
const MAX_NAMES = 20;

export interface ListenersOptions extends LimitOptions {
  /** True to show only the listeners that a mapping leads to. */
  readonly mapped?: boolean;
}

export async function listeners(context: Context, options: ListenersOptions): Promise<void> {
  const { all, means } = await withDataPlane(context, (dataPlane) => {
    const rules = readActive(dataPlane);
    const { selects } = judgeOf(dataPlane, rules);
    return {
      all: joinListeners(rules, dataPlane.listeners(), selects),
      means: meansOf(dataPlane),
    };
  });
  const wanted = all
    .filter((view) => options.mapped !== true || view.isMapped)
    .toSorted((left, right) => compareListeners(left.listener, right.listener));
  const limited = limitTo(wanted, options, "listeners");
  const views = limited.shown;
  const holderOf = await context.reach.holdersOf(views.map((view) => view.listener));
  await print(
    context,
    published<ListenersJson>()(
      views.map((view) => listenerShape(view, holderOf(view.listener), handoverOf(view, means))),
    ),
    () => renderViews(context, views, holderOf, means) + describeRest(limited, "listener"),
  );
}

function listenerShape(
  { listener, mappings }: ListenerView,
  holder: Holder | undefined,
  handover: Handover,
) {
  const { protocol, kind, family, address, port, wildcard } = listener;
  return {
    protocol,
    address,
    port,
    pid: holder?.pid ?? null,
    command: holder?.command ?? null,
    user: holder?.user ?? null,
    unit: unitOf(holder),
    cgroup: holder?.cgroup ?? null,
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
    since: listener.since === null ? null : new Date(listener.since).toISOString(),
    queue: listener.queue,
    cookie: listener.cookie,
    uid: listener.identity.uid,
  };
}

/** Of UDP, bytes. One more than the limit may wait, so a full queue is told without it. */
function waiting(listener: Listener): string {
  const { waiting: number, limit } = listener.queue;
  return isFull(listener) ? `${number}, full` : `${number} of ${limit}`;
}

const columns: readonly Column[] = [
  { heading: "KIND", shrink: true },
  { heading: "ADDRESS", shrink: true },
  { heading: "PROCESS", shrink: true },
  { heading: "PID", align: "right" },
  { heading: "USER", shrink: true },
  { heading: "UNIT", shrink: true },
  { heading: "HANDOVER" },
  { heading: "WAITING", align: "right", count: true },
  { heading: "MAPPINGS", shrink: true },
];

function renderViews(
  { colours, width }: Context,
  views: readonly ListenerView[],
  holderOf: (listener: Listener) => Holder | undefined,
  means: Means,
): string {
  if (views.length === 0) return "nothing listens\n";
  const rows = views.map((view) => {
    const { listener, mappings } = view;
    const handover = handoverOf(view, means);
    const holder = holderOf(listener);
    return [
      listener.groupSize > 1 ? `${listener.kind}, one of ${listener.groupSize}` : listener.kind,
      {
        text: printable(formatPlace(listener)),
        paint: listener.wildcard ? colours.yellow : (text: string) => text,
      },
      printable(holder?.command ?? "?"),
      holder === undefined ? "?" : String(holder.pid),
      printable(holder?.user ?? String(listener.identity.uid)),
      printable(unitOf(holder) ?? "-"),
      handover === "none" ? "-" : handover,
      {
        text: listener.queue.waiting === 0 ? "0" : waiting(listener),
        paint: isFull(listener) ? colours.red : (text: string) => text,
      },
      mappings.length === 0 ? "-" : namesShown(mappings, MAX_NAMES),
    ];
  });
  return renderTable(columns, rows, { width, paintHeading: colours.bold });
}
