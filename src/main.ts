/** argv -> command -> exit status. The only place that exits. */
import { runCommandLine } from "./cli/main.js";

/** Whoever reads our output may stop reading (`ilm listeners | head`): nothing is wrong, and nobody is there to be told. */
function endQuietlyWhenUnread(error: Error): void {
  if ("code" in error && error.code === "EPIPE") process.exit();
  throw error;
}

process.stdout.on("error", endQuietlyWhenUnread);
process.stderr.on("error", endQuietlyWhenUnread);
process.exitCode = await runCommandLine(process.argv.slice(2));
