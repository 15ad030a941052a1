/**
 * A change that runs out of something on its way: what was active stays, to the last entry, and
 * the message says what was short. Whom the kernel ends for want of memory says nothing, and may
 * have switched already: then the next rules are active, to the last entry.
 */
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { pinnedPaths } from "../support/kernel-state.js";
import { useNetwork } from "../support/network.js";
import { python, script } from "../support/paths.js";
import { type RunResult, run } from "../support/process.js";

const network = useNetwork();
const address = "203.0.113.1";

function rules(turn: number): string {
  const more = Array.from({ length: 50 }, (_, i) => `  - { port: ${7000 + i}, to: 127.0.1.11 }`);
  return `version: 1
services:
  app: { address: [127.0.1.10, "fd5e:ed00::10"] }
mappings:
  - { name: always, port: 6000, to: app }
  - { name: turn, port: ${6001 + turn}, to: "127.0.1.10:6000" }
${more.join("\n")}
`;
}

afterEach(async () => {
  await network.server.reset();
});

/** The rules of that turn at work, in that generation, and nothing of the other turn's. */
async function expectActive(turn: 0 | 1, generation: number, where: string): Promise<void> {
  const { server, client } = network;
  expect(await client.who("tcp", address, 6000), where).toBe("app");
  expect(await client.who("tcp", address, 6001 + turn), where).toBe("app");
  expect(await client.who("tcp", address, 6002 - turn), where).toBe("ECONNREFUSED");
  expect(server.generation(), where).toBe(generation);
}

interface Sweep {
  readonly done: number;
  readonly refused: readonly RunResult[];
  readonly killed: number;
}

/** Applies the second rules with less and less of something, until it is too little. */
async function sweep(
  amounts: readonly number[],
  attempt: (amount: number, file: string) => Promise<RunResult>,
): Promise<Sweep> {
  const { server } = network;
  await server.echo("app", [["tcp", "127.0.1.10", 6000]]);
  await server.apply(rules(0));
  const pins = pinnedPaths(server.inode).length;
  const refused: RunResult[] = [];
  let done = 0;
  let killed = 0;
  for (const amount of amounts) {
    const generation = server.generation() ?? 0;
    const result = await attempt(amount, server.file(rules(1), "next.yaml"));
    const where = `${amount}: ${result.stdout}${result.stderr}`;
    const isKilled = result.status === null || result.status > 128;
    const hasSwitched = isKilled && server.generation() !== generation;
    if (result.status === 0 || hasSwitched) {
      // Not the next number, where a change before had it that failed.
      const next = server.generation() ?? 0;
      expect(next, where).toBeGreaterThan(generation);
      await expectActive(1, next, where);
      await server.apply(rules(0));
    } else {
      await expectActive(0, generation, where);
    }
    if (isKilled) {
      killed += 1;
    } else if (result.status === 0) {
      done += 1;
    } else {
      expect(result.stderr, where).toMatch(/^ilm: /);
      expect(pinnedPaths(server.inode), where).toHaveLength(pins);
      refused.push(result);
    }
  }
  return { done, refused, killed };
}

test("too few descriptors, wherever they end", async () => {
  const amounts = Array.from({ length: 14 }, (_, i) => 40 + 8 * i);
  const { done, refused } = await sweep(amounts, (amount, file) =>
    run(["prlimit", `--nofile=${amount}`, ...network.server.ilmCommand(["apply", "-f", file])]),
  );
  expect(done).toBeGreaterThan(0);
  expect(refused.length).toBeGreaterThan(3);
  for (const { status, stderr } of refused) {
    expect(status, stderr).toBe(4);
    expect(stderr).toMatch(/^ilm: .*\(EMFILE\)\n.*LimitNOFILE=/);
  }
});

/** A memory cgroup of its own, below that of v1 or v2, whichever has the controller. */
class MemoryGroup {
  readonly #folder: string;
  readonly #limit: string;

  constructor() {
    const v1 = "/sys/fs/cgroup/memory";
    const root = existsSync(join(v1, "memory.limit_in_bytes")) ? v1 : "/sys/fs/cgroup";
    this.#limit = root === v1 ? "memory.limit_in_bytes" : "memory.max";
    if (root !== v1) {
      const controllers = readFileSync(join(root, "cgroup.controllers"), "utf8");
      if (!controllers.includes("memory")) throw new Error("this machine has no memory controller");
      writeFileSync(join(root, "cgroup.subtree_control"), "+memory");
    }
    this.#folder = join(root, `ilm-shortage-${process.pid}`);
    mkdirSync(this.#folder);
  }

  /** Runs the command in it. */
  async run(bytes: number, command: readonly string[]): Promise<RunResult> {
    writeFileSync(join(this.#folder, this.#limit), String(bytes));
    const enter = `echo $$ > ${this.#folder}/cgroup.procs && exec "$@"`;
    return await run(["sh", "-c", enter, "sh", ...command]);
  }

  remove(): void {
    rmdirSync(this.#folder);
  }
}

test("too little memory, wherever it ends", async () => {
  const group = new MemoryGroup();
  try {
    const amounts = [16, 20, 24, 28, 32, 96].map((megabytes) => megabytes * 1024 * 1024);
    const { done, refused, killed } = await sweep(amounts, (amount, file) =>
      group.run(amount, network.server.ilmCommand(["apply", "-f", file])),
    );
    expect(done).toBeGreaterThan(0);
    expect(refused.length + killed).toBeGreaterThan(0);
  } finally {
    group.remove();
  }
});

test("no memory for the first rules: nothing is left of them, and the map and its size are named", async () => {
  const { server } = network;
  const group = new MemoryGroup();
  const refusals: string[] = [];
  try {
    // Down to where the map that is made just then does not fit; a bit less, and the kernel ends
    // the process before any is made.
    for (let megabytes = 76; megabytes >= 28 && refusals.length === 0; megabytes -= 2) {
      const command = server.ilmCommand(["apply", "-f", server.file(rules(0))]);
      const { status, stderr } = await group.run(megabytes * 1024 * 1024, command);
      if (status !== 0 && status !== null && status < 128) {
        refusals.push(stderr);
        expect(pinnedPaths(server.inode), stderr).toEqual([]);
        expect(await server.loopbackAddresses(), stderr).toEqual([]);
      }
      await server.unload();
    }
  } finally {
    group.remove();
  }
  const [one = ""] = refusals;
  expect(one).toMatch(/^ilm: no memory for the map [a-z_]+ of [\d,]+ entries/);
  expect(one).toMatch(/MemoryMax/);
});

test("a user's half a million binds, on a mapped port too, leave room for those who listen after them", async () => {
  const { server, client } = network;
  const udp = rules(0).replaceAll("{ name: always, port", "{ name: always, protocol: udp, port");
  // fill.py binds to port 20000 of as many addresses; of a port that no mapping has, none is
  // counted at all.
  // Otherwise, none of them may bind there.
  await server.apply(
    `strangers: allow\n${udp}  - { protocol: udp, port: 20000, to: "127.0.1.10:6000" }\n`,
  );
  const asNobody = "setpriv --reuid 65534 --regid 65534 --clear-groups".split(" ");
  await server.must([...asNobody, python, script("fill.py"), "530000"], { timeout_ms: 500_000 });
  await server.echo("app", [["udp", "127.0.1.10", 6000]]);
  expect(await client.who("udp", address, 6000)).toBe("app");
  // And whom a mapping leaves alone is known.
  expect(await client.who("udp", address, 20000)).toBe("app");
  await server.echo("exact", [["udp", address, 20000]]);
  expect(await client.who("udp", address, 20000)).toBe("exact");
  expect(server.faults().untracked).toBe(0);
});
