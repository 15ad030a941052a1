/** `ilm status`: is something loaded, since when, and is all well? */
import type { DaemonStatus } from "../daemon/api.js";
import { socketExists, socketPath } from "../daemon/socket-path.js";
import type { FlowCount, InForce } from "../dataplane/types.js";
import { IlmError } from "../errors.js";
import { allMappings, type MptcpMode } from "../model/mapping.js";
import { type Counters, sumCounters } from "../model/decision.js";
import { joinListeners } from "../registry/registry.js";
import { circumstancesOf } from "./circumstances.js";
import { print, type Context } from "./context.js";
import { count, formatAge, indent } from "./render/text.js";
import { findWarnings, type Warning } from "./warnings.js";
import { unreachedWarnings } from "./unreached.js";
import { withDataPlane } from "./with-data-plane.js";

/** Status 0 also when nothing is loaded: that is an answer. */
export async function status(context: Context): Promise<void> {
  await withDataPlane(async (dataPlane) => {
    const inForce = dataPlane.inForce();
    // Without rules they have no bearing on anything, and their lister would have to be loaded first.
    const listeners = inForce === null ? [] : dataPlane.listeners();
    const { daemon, trouble } = await askDaemon(dataPlane.netnsInode);
    const circumstances = await circumstancesOf(dataPlane, inForce, listeners, daemon);
    const { flows, faults } = circumstances;
    const found = findWarnings(circumstances);
    const unreached = await unreachedWarnings(dataPlane, () => listeners, daemon !== null);
    const warnings = [...(trouble === null ? [] : [trouble]), ...unreached, ...found];
    const shape = {
      loaded: inForce !== null,
      netns: dataPlane.netnsInode,
      generation: inForce?.generation ?? null,
      appliedAt: inForce?.appliedAt ?? null,
      appliedBy: inForce?.version ?? null,
      engine: inForce?.engine ?? null,
      mptcp: inForce === null ? null : (inForce.rules.file.mptcp ?? "on"),
      source: inForce?.rules.source ?? null,
      services: inForce?.rules.file.services.length ?? 0,
      mappings: inForce === null ? 0 : allMappings(inForce.rules).length,
      runtimeMappings: inForce?.rules.runtime.length ?? 0,
      listeners: inForce === null ? null : listeners.length,
      mappedListeners:
        inForce === null
          ? null
          : joinListeners(inForce.rules, listeners).filter((view) => view.mappings.length > 0)
              .length,
      lookups: inForce === null ? null : sumCounters(dataPlane.counters()),
      flows,
      faults,
      daemon,
      warnings,
      notes: notes(inForce, daemon, trouble),
      pinPath: dataPlane.pinPath,
    };
    await print(context, shape, () => render(context, shape));
  });
}

/** A daemon that hangs must not make `status` fail: then it is needed most. */
async function askDaemon(
  netnsInode: number,
): Promise<{ daemon: DaemonStatus | null; trouble: Warning | null }> {
  try {
    // Most often there is none, and then the client need not be loaded.
    if (!socketExists(socketPath(netnsInode))) return { daemon: null, trouble: null };
    const { requestStatus } = await import("../daemon/client.js");
    return { daemon: await requestStatus(netnsInode), trouble: null };
  } catch (error) {
    if (!(error instanceof IlmError)) throw error;
    const { message, remedy } = error;
    return { daemon: null, trouble: { kind: "daemon", message, remedy: remedy ?? "" } };
  }
}

/** What follows from no daemon being at work. */
function notes(
  inForce: InForce | null,
  daemon: DaemonStatus | null,
  trouble: Warning | null,
): string[] {
  if (inForce === null || daemon !== null || trouble !== null) return [];
  const { source } = inForce.rules;
  const found: string[] = [];
  if (source !== null) {
    found.push(`no daemon is at work: changes of ${source} are not followed (\`ilm run\` does)`);
  }
  return found;
}

interface StatusShape {
  readonly loaded: boolean;
  readonly netns: number;
  readonly generation: number | null;
  readonly appliedAt: string | null;
  readonly engine: string | null;
  readonly mptcp: MptcpMode | null;
  readonly source: string | null;
  readonly services: number;
  readonly mappings: number;
  readonly runtimeMappings: number;
  readonly listeners: number | null;
  readonly mappedListeners: number | null;
  readonly lookups: Counters | null;
  readonly flows: FlowCount | null;
  readonly daemon: DaemonStatus | null;
  readonly warnings: readonly Warning[];
  readonly notes: readonly string[];
}

function render({ colours }: Context, shape: StatusShape): string {
  const facts: [string, string][] = [];
  if (shape.loaded) {
    const since = shape.appliedAt ?? "";
    const age = formatAge(Date.now() - Date.parse(since));
    const runtime =
      shape.runtimeMappings === 0 ? "" : `, ${shape.runtimeMappings} of them added at run time`;
    facts.push(
      ["state", colours.green("loaded")],
      ["generation", `${shape.generation ?? 0}, since ${since} (${age})`],
      ["engine", shape.engine ?? ""],
      ...(shape.mptcp === "off" ? [["mptcp", "off: new sockets are TCP"] as [string, string]] : []),
      ["source", shape.source ?? "arguments and run-time mappings only"],
      ["mappings", `${shape.mappings}${runtime}, for ${count(shape.services, "service")}`],
      ["listeners", `${shape.listeners ?? 0}, ${shape.mappedListeners ?? 0} of them with mappings`],
    );
  } else {
    facts.push(["state", "nothing is loaded"]);
  }
  facts.push(["netns", String(shape.netns)], ["daemon", describeDaemon(shape.daemon)]);
  if (shape.lookups !== null) {
    const { existing, selected, missed, errors } = shape.lookups;
    facts.push([
      "lookups",
      `${selected} selected, ${existing} existing, ${missed} missed, ${errors} errors`,
    ]);
  }
  if (shape.flows !== null && shape.flows.live > 0) {
    facts.push(["UDP flows", `${shape.flows.live}, of at most ${shape.flows.capacity}`]);
  }
  const table = facts.map(([name, value]) => `${`${name}:`.padEnd(12)}${value}\n`).join("");
  const warnings = shape.warnings.map(
    ({ message, remedy }) => `\n${colours.yellow("warning")}: ${message}\n${indent(`${remedy}\n`)}`,
  );
  const remarks = shape.notes.map((note) => `\nnote: ${note}\n`);
  return table + warnings.join("") + remarks.join("");
}

function describeDaemon(daemon: DaemonStatus | null): string {
  if (daemon === null) return "not running";
  const follows = daemon.following === null ? "follows no file" : `follows ${daemon.following}`;
  return `pid ${daemon.pid}, ${follows}`;
}
