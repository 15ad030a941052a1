/**
 * The shapes of what each command prints with `--json`, for the reference and the tests. No command
 * loads them all.
 */
import { hosts, serviceAddresses } from "./address.js";
import { adopted, adoptLines, adoptPlan } from "./adopt.js";
import { findings } from "./audit.js";
import { answer, refusedLine } from "./answer.js";
import { added, applied, confirmed, reloaded, removed, switched, unloaded } from "./change.js";
import { invalid, valid } from "./check.js";
import { failure } from "./common.js";
import { demo } from "./demo.js";
import { difference, dryRun } from "./diff.js";
import { drained, drainedUntil, drainList } from "./drain.js";
import { diagnosis } from "./doctor.js";
import { explanation } from "./explain.js";
import { flows } from "./flows.js";
import { history, historyEntry, rolledBack } from "./history.js";
import { imported } from "./import.js";
import { listeners } from "./listeners.js";
import { mappings } from "./mappings.js";
import { samples } from "./metrics.js";
import { decision, monitorSummary } from "./monitor.js";
import { entry } from "./run.js";
import type { Shape } from "./shape.js";
import { status } from "./status.js";
import { waited } from "./wait.js";

export interface Output {
  /**
   * When and where it is printed, to be read after `With --json`; empty for a command that prints
   * nothing else.
   */
  readonly when: string;
  readonly shape: Shape;
}

const always = (shape: Shape): Output => ({ when: "", shape });
const withDryRun: Output = { when: " and `--dry-run`", shape: dryRun };

/** What a command that fails prints in the place of its own output. */
export const failureOutput: Output = { when: ", when a command fails", shape: failure };

/** By the name of the command. A command that is missing prints no JSON of its own. */
export const outputs: Readonly<Record<string, readonly Output[]>> = {
  status: [always(status)],
  mappings: [always(mappings)],
  wait: [always(waited)],
  listeners: [always(listeners)],
  flows: [always(flows)],
  explain: [
    always(explanation),
    { when: " and `-f`, and for each line of a list on a line of its own", shape: answer },
    { when: ", for a line of a list that is no question", shape: refusedLine },
  ],
  metrics: [always(samples)],
  monitor: [
    { when: ", for each decision, on a line of its own", shape: decision },
    { when: " and `--summary`, on the last line", shape: monitorSummary },
  ],
  audit: [always(findings)],
  doctor: [always(diagnosis)],
  address: [always(serviceAddresses)],
  hosts: [always(hosts)],
  check: [always(valid), { when: ", when the configuration is wrong", shape: invalid }],
  diff: [always(difference)],
  import: [always(imported)],
  run: [{ when: ", for each entry of the log, on a line of standard error", shape: entry }],
  apply: [always(applied), withDryRun],
  adopt: [
    always(adopted),
    { when: " and `--dry-run`", shape: adoptPlan },
    { when: " and `--lines`", shape: adoptLines },
  ],
  reload: [always(reloaded)],
  add: [always(added), withDryRun],
  remove: [always(removed), withDryRun],
  drain: [always(drainedUntil), { when: ", without a destination", shape: drainList }],
  undrain: [always(drained)],
  confirm: [always(confirmed)],
  off: [always(switched)],
  on: [always(switched)],
  unload: [always(unloaded)],
  history: [always(history), { when: " and a number", shape: historyEntry }],
  rollback: [always(rolledBack), withDryRun],
  demo: [always(demo)],
};
