/** argv -> command -> exit status. The only place that exits. */
import { enderOfPendingCalls, reportUncaught, runCommandLine } from "./cli/main.js";

const argv = process.argv.slice(2);

/**
 * Whoever reads our output may stop reading (`ilm listeners | head`): nothing is wrong, and nobody
 * is there to be told.
 */
function endQuietlyWhenUnread(error: Error): void {
  if ("code" in error && error.code === "EPIPE") process.exit();
  throw error;
}

process.stdout.on("error", endQuietlyWhenUnread);
process.stderr.on("error", endQuietlyWhenUnread);
// What nobody waits for may fail too, such as following UDP sockets; what is in force stays in
// force.
process.on("uncaughtException", (error) => process.exit(reportUncaught(argv, error)));
// No top-level await: the bundle is CommonJS.
void runCommandLine(argv).then(async (status) => {
  process.exitCode = status;
  (await enderOfPendingCalls())?.(status);
});
