/** `ilm add`: adds mappings at run time, beside those of the file. */
import type { Performed } from "../../control/perform.js";
import type { Problem } from "../../errors.js";
import type { Mapping, Origin } from "../../model/mapping.js";
import type { FileHead } from "../../model/rules.js";
import { IlmError } from "../../errors.js";
import { secondAfter } from "../../kernel/boot-time.js";
import { recordSteps, stepTimes } from "../../progress.js";
import { describePerformed } from "./apply.js";
import { print, type Context } from "../shell/context.js";
import type { AddedJson } from "../../json/change.js";
import { published } from "../../json/published.js";
import { warnOfHost } from "../../control/host-warnings.js";
import { isDryRun, printDryRun, type DryRunOptions } from "../shell/dry-run.js";
import { noteWarnings } from "../render/error.js";
import { mappingShape } from "../../api/mapping-shape.js";
import { describeMapping } from "../render/mapping.js";
import { describeTiming, type TimingOptions } from "../shell/timing.js";
import type { AddChange } from "../../rules/change.js";
import { confirmable, noteUnlessPending, type ConfirmOptions } from "../shell/confirm.js";
import { parseSeconds } from "../shell/seconds.js";
import { waitSeconds, type WaitOptions } from "../shell/wait.js";
import { withDataPlane } from "../shell/with-data-plane.js";

export interface AddOptions extends WaitOptions, TimingOptions, DryRunOptions, ConfirmOptions {
  /** True when the mapping replaces one of the same name that was added before. */
  readonly replace?: boolean;
  /** How long the mappings are to last. */
  readonly for?: string;
}

const runtimeOrigin: Origin = { file: "<runtime>", line: 0, column: 0 };

export async function add(
  context: Context,
  options: AddOptions,
  texts: readonly string[],
): Promise<void> {
  recordSteps();
  const wait = { waitSeconds: waitSeconds(options) };
  const lasts = lastingSeconds(options.for);
  const asked = confirmable(options);
  const dryRun = isDryRun(options);
  const { parseMappingArgument } = await import("../../config/argument.js");
  const read = async (head: Pick<FileHead, "services" | "floating">): Promise<Given> => {
    const given = texts.flatMap((text) => parseMappingArgument(text, head.services));
    const until = lasts === undefined ? undefined : { until: secondAfter(lasts) };
    const mappings = given.map((mapping): Mapping => ({
      ...mapping,
      ...until,
      origin: runtimeOrigin,
    }));
    const { warnings } = await warnOfHost(given, head);
    const replace = options.replace === true;
    return { change: { kind: "add", mappings, replace, ...asked }, warnings };
  };
  await withDataPlane(
    context,
    async (dataPlane) => {
      const given = await read(dataPlane.active()?.rules.file.head ?? { services: [] });
      if (dryRun) {
        const { change, warnings } = given;
        noteWarnings(context, warnings);
        await printDryRun(context, dataPlane, change, { ...options, warnings });
        return;
      }
      await report(await context.reach.performChange(dataPlane, given.change, wait), given);
    },
    async (daemon, denied) => {
      if (dryRun) throw denied;
      const given = await read({ services: await daemon.services() });
      await report(await daemon.change(given.change), given);
    },
  );

  async function report(performed: Performed, { change, warnings }: Given): Promise<void> {
    const { mappings } = change;
    const timing = stepTimes();
    noteWarnings(context, warnings);
    noteUnlessPending(context, asked, performed);
    const added = mappings.map((mapping) => mappingShape(mapping, true));
    await print(
      context,
      published<AddedJson>()({ ...performed, added, warnings, timing }),
      () =>
        mappings.map((mapping) => `${mapping.name}: ${describeMapping(mapping)}\n`).join("") +
        describePerformed(performed) +
        describeTiming(options, timing),
    );
  }
}

/** The longest time for which mappings are added: 366 days. */
const LONGEST_S = 366 * 86_400;

/** Returns for how many seconds the mappings are to last. Throws USAGE. */
function lastingSeconds(text: string | undefined): number | undefined {
  const seconds = parseSeconds("--for", text);
  if (seconds === undefined || (seconds > 0 && seconds <= LONGEST_S)) return seconds;
  const what = seconds === 0 ? "is no time" : "is longer than 366 days";
  throw new IlmError("USAGE", `--for: ${JSON.stringify(text)} ${what}`, {
    remedy: "Write for example `--for 10m`: at most 366d.",
  });
}

/** What the arguments ask for, and what is doubtful about it. */
interface Given {
  readonly change: AddChange;
  readonly warnings: readonly Problem[];
}
