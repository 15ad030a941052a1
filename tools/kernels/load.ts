/**
 * A process in the guest that dials its own daemons through the mapping of port 6000 until its standard input ends, by TCP and
 * UDP, and then says how often, and what went wrong.
 */
import { setImmediate } from "node:timers/promises";
import { app, ask, dial, listen, outside, using } from "./stage.js";

export interface LoadReport {
  readonly tcp: number;
  readonly udp: number;
  readonly failures: readonly string[];
}

const BATCH = 20;
const to = { address: outside[4], port: 6000 };
const failures: string[] = [];
const done = { tcp: 0, udp: 0 };

function judge(kind: "tcp" | "udp", dialled: () => unknown, wanted: unknown): void {
  let got: unknown;
  try {
    got = dialled();
  } catch (error) {
    got = String(error);
  }
  done[kind]++;
  if (got !== wanted) failures.push(`${kind} ${done[kind]}: ${String(got)}`);
}

const daemon = listen(app[4], to.port);
const udp = listen(app[4], to.port, { kind: "udp" });
process.stdout.write("ready\n");
process.stdin.resume();
while (!process.stdin.readableEnded) {
  for (let i = 0; i < BATCH; i++) {
    judge("tcp", () => dial(to, [daemon]), 0);
    judge("udp", () => ask(to, udp).answer, "pong");
  }
  await setImmediate();
}
using([daemon, udp], () => {
  process.stdout.write(`${JSON.stringify({ ...done, failures } satisfies LoadReport)}\n`);
});
