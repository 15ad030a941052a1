/** Reads the services of `-f FILE`, or else of the active rules. */
import { noActiveRules, type FileHead } from "../../model/rules.js";
import type { Context } from "./context.js";
import type { SourceOptions } from "./load.js";
import { withDataPlane } from "./with-data-plane.js";

/**
 * Returns the services and the settings of the file, or of the active rules when no file is given.
 * There are none when nothing is loaded. Throws CONFIGURATION.
 */
export async function readServices(context: Context, { file }: SourceOptions): Promise<FileHead> {
  if (file !== undefined) {
    const { loadDesired } = await import("../../control/desired.js");
    return (await loadDesired({ paths: file, mappings: [] })).file.head;
  }
  return await withDataPlane(
    context,
    (dataPlane) => (dataPlane.active()?.rules ?? noActiveRules).file.head,
  );
}
