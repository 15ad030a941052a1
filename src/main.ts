/** Runs the command line and exits with its status. Only this module exits. */
import { enderOfPendingCalls, reportUncaught, runCommandLine } from "./cli/main.js";

const argv = process.argv.slice(2);

/**
 * Ends the process when the reader of its output stops reading (`ilm listeners | head`). Nothing is
 * wrong then, and there is no one left to tell.
 */
function endQuietlyWhenUnread(error: Error): void {
  if ("code" in error && error.code === "EPIPE") process.exit();
  throw error;
}

process.stdout.on("error", endQuietlyWhenUnread);
process.stderr.on("error", endQuietlyWhenUnread);
// Work that is not awaited, such as following UDP sockets, may fail too. The active rules stay
// active.
process.on("uncaughtException", (error) => process.exit(reportUncaught(argv, error)));
// No top-level await: the bundle is CommonJS.
void runCommandLine(argv).then(async (status) => {
  process.exitCode = status;
  (await enderOfPendingCalls())?.(status);
});
