/**
 * The command line without a process for each command: in this one, one after the other. A request
 * is a line of JSON, the words of a command; the answer is what the command printed and with which
 * status it would have ended.
 */
import { createInterface } from "node:readline";
import { runCommandLine } from "../../src/cli/main.js";

/** What somebody writes there meanwhile. */
function collect(stream: NodeJS.WriteStream): { readonly end: () => string } {
  const write = stream.write.bind(stream);
  let collected = "";
  stream.write = (piece: string | Uint8Array): boolean => {
    collected += typeof piece === "string" ? piece : Buffer.from(piece).toString("utf8");
    return true;
  };
  return {
    end: () => {
      stream.write = write;
      return collected;
    },
  };
}

for await (const line of createInterface({ input: process.stdin })) {
  const stdout = collect(process.stdout);
  const stderr = collect(process.stderr);
  const status = await runCommandLine(JSON.parse(line) as string[]);
  const answer = { status, stdout: stdout.end(), stderr: stderr.end() };
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
