/** `ilm run`: applies the configuration, then stays. */
import { resolve } from "node:path";
import { runDaemon } from "../../daemon/daemon.js";
import { createLogger } from "../../daemon/log.js";
import type { ApplyOptions } from "../../dataplane/types.js";
import { IlmError } from "../../errors.js";
import { watchWaits } from "../../progress.js";
import type { Context } from "../shell/context.js";
import type { SourceOptions } from "../shell/load.js";

/** The limit, in characters, on log text that waits in memory for its reader. */
const LOG_HELD_MAX = 1 << 20;

export async function run(
  context: Context,
  options: SourceOptions & ApplyOptions,
  mappings: readonly string[],
): Promise<void> {
  const path = options.file ?? null;
  if (path === "-") {
    throw new IlmError("USAGE", "`run` follows its file, and standard input cannot be followed", {
      remedy: "Write the configuration to a file, or use `ilm apply -f -`.",
    });
  }
  const log = createLogger({
    json: context.json,
    write: (line) => context.note(line),
    isFull: () => process.stderr.writableLength > LOG_HELD_MAX,
  });
  watchWaits((what) => {
    log.log("info", what);
  });
  const source = { path: path === null ? null : resolve(path), mappings };
  await runDaemon({ source, log, overNewer: options.overNewer });
}
