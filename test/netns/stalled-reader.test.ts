// Goal: whoever reads the output of a command may stop, and the command neither grows nor stays
// behind.
import { constants, openSync, readFileSync, readSync, closeSync } from "node:fs";
import { afterEach, beforeEach, expect, test } from "vitest";
import { useNetwork } from "../support/network.js";
import { script, python } from "../support/paths.js";
import { Background, eventually } from "../support/process.js";

const network = useNetwork();

/** Each is some 200 bytes where somebody holds it. */
const DATAGRAMS = 400_000;
const BOUND_MB = 110;

const rules = `
version: 1
mappings:
  - { name: names, protocol: udp, port: 53, to: 127.0.1.53 }
`;

/** A monitor whose standard output is a pipe that is read when the test says so. */
interface Stalled {
  readonly process: Background;
  /** What there is to read now. */
  readonly read: () => string;
}

let pipe: number;

async function monitor(args: readonly string[]): Promise<Stalled> {
  const { server, client } = network;
  const fifo = `${server.folder}/fifo-${args.length}-${Date.now()}`;
  await server.must(["mkfifo", fifo]);
  // A pipe that nobody had opened for reading would hold up who opens it for writing.
  pipe = openSync(fifo, constants.O_RDONLY | constants.O_NONBLOCK);
  const process = server.adopt(
    new Background([
      "sh",
      "-c",
      `exec "$@" >${fifo}`,
      "sh",
      ...server.ilmCommand(["monitor", ...args]),
    ]),
  );
  const read = (): string => {
    const buffer = Buffer.alloc(65_536);
    try {
      return buffer.toString("utf8", 0, readSync(pipe, buffer));
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "EAGAIN") return "";
      throw error;
    }
  };
  await eventually("the monitor shows a decision", async () => {
    await client.dial("udp", "203.0.113.1", 53, { timeout_s: 0.1 });
    return read().includes("203.0.113.1") ? true : null;
  });
  return { process, read };
}

async function flood(datagrams: number): Promise<void> {
  await network.client.must([python, script("flood.py"), "203.0.113.1", "53", String(datagrams)]);
}

/** The most memory that the process ever had. */
function peak_mb(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024;
}

beforeEach(async () => {
  await network.server.apply(rules);
});

afterEach(async () => {
  await network.server.reset();
  closeSync(pipe);
});

test("a monitor whose output is not read keeps its memory, and says how many decisions it missed when it is read again", async () => {
  const { process, read } = await monitor(["--json", "--rate", "100000"]);
  await flood(DATAGRAMS);
  expect(peak_mb(process.pid)).toBeLessThan(BOUND_MB);
  expect(process.stderr).not.toContain("too fast");
  const [, lost] = await eventually("the loss is told", () => {
    while (read() !== "");
    return /^ilm: (\d+) decisions came faster than they could be shown, and were dropped$/m.exec(
      process.stderr,
    );
  });
  // The rest was shown, or waits in the kernel and in the pipe.
  expect(Number(lost)).toBeGreaterThan(DATAGRAMS / 2);
  expect(Number(lost)).toBeLessThan(DATAGRAMS);
  expect(process.running).toBe(true);
});

test.each(["SIGINT", "SIGTERM"] as const)(
  "a monitor whose output is not read ends on %s, and another may watch",
  async (signal) => {
    const { process } = await monitor(["--rate", "100000"]);
    await flood(5_000);
    expect((await process.stop(signal)).signal).toBe(signal);
    closeSync(pipe);
    const next = await monitor(["--json"]);
    expect(next.process.running).toBe(true);
  },
);
