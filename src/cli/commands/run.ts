/** `ilm run`: applies the configuration, then stays. */
import { resolve } from "node:path";
import { createLogger } from "../../daemon/log.js";
import type { Group } from "../../api/rights.js";
import { capabilityOf, type Capability } from "../../kernel/capabilities.js";
import { isAccountName, isIdText } from "../../model/owner.js";
import type { ApplyOptions } from "../../dataplane/types.js";
import { IlmError } from "../../errors.js";
import { watchWaits } from "../../progress.js";
import { LISTED_MAPPINGS_MAX } from "../../daemon/metrics.js";
import type { Endpoint } from "../shell/endpoint.js";
import { parseMetricsLimit } from "../shell/metrics-options.js";
import type { Context } from "../shell/context.js";
import type { SourceOptions } from "../shell/load.js";

/** The limit, in characters, on log text that waits in memory for its reader. */
const LOG_HELD_MAX = 1 << 20;

export interface RunOptions extends SourceOptions, ApplyOptions {
  /** The group whose members may read over the API. */
  readonly readers?: string;
  /** The group whose members may read and change over the API. */
  readonly writers?: string;
  /** Capabilities that are kept beside those that the daemon needs. */
  readonly keep?: string;
  /** Where the metrics page is served. */
  readonly metrics?: readonly Endpoint[];
  readonly metricsLimit?: string;
  /** Mappings without a file may take the place of a file's. */
  readonly replace?: boolean;
}

export async function run(
  context: Context,
  options: RunOptions,
  mappings: readonly string[],
): Promise<void> {
  const { file: paths = [] } = options;
  if (paths.includes("-")) {
    throw new IlmError("USAGE", "`run` follows its file, and standard input cannot be followed", {
      remedy: "Write the configuration to a file, or use `ilm apply -f -`.",
    });
  }
  const metricsLimit = parseMetricsLimit(options.metricsLimit) ?? LISTED_MAPPINGS_MAX;
  const groups = {
    readers: await groupOf(context, "--readers", options.readers),
    writers: await groupOf(context, "--writers", options.writers),
  };
  const kept = options.keep === "all" ? null : keptOf(options.keep ?? "");
  const left = kept === null ? [] : await context.reach.keepOnly(kept);
  const log = createLogger({
    json: context.json,
    write: (line) => context.note(line),
    isFull: () => process.stderr.writableLength > LOG_HELD_MAX,
  });
  watchWaits((what) => {
    log.log("info", what);
  });
  if (left.length > 0) {
    log.log(
      "warning",
      `keeps capabilities that it does not need, as only CAP_SETPCAP can give them up: ${left.join(", ")}`,
    );
  }
  const source = { paths: paths.map((path) => resolve(path)), mappings };
  const { overNewer, replace = false } = options;
  const { metrics = [] } = options;
  await context.reach.runDaemon({
    source,
    log,
    groups,
    metrics,
    metricsLimit,
    overNewer,
    replace,
  });
}

/** Finds a group by name or id. Throws USAGE. */
async function groupOf(
  { reach }: Context,
  option: string,
  text: string | undefined,
): Promise<Group | null> {
  if (text === undefined) return null;
  if (isIdText(text)) return { name: text, gid: Number(text) };
  const gid = isAccountName(text) ? await reach.findGroup(text) : undefined;
  if (gid !== undefined) return { name: text, gid };
  throw new IlmError("USAGE", `${option}: there is no group ${JSON.stringify(text)}`, {
    remedy: "`getent group` lists the groups; `groupadd --system NAME` makes one.",
  });
}

/** Parses a list of capabilities. Throws USAGE. */
function keptOf(text: string): Capability[] {
  const words = text.split(",").filter((word) => word !== "");
  return words.map((word) => {
    const capability = capabilityOf(word.trim());
    if (capability !== undefined) return capability;
    throw new IlmError("USAGE", `--keep: ${JSON.stringify(word)} is not a capability`, {
      remedy: "Write names as capabilities(7) has them, such as CAP_DAC_READ_SEARCH, or `all`.",
    });
  });
}
