/** Whatever happens to `ilm adopt` on its way, nothing stays unreachable, and it can go on. */
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type AdoptableName, Dials, startAdoptable } from "../support/adoptable.js";
import { useBootedHost } from "../support/booted-host.js";
import { useNetwork } from "../support/network.js";
import { ilmCommand } from "../support/paths.js";
import { eventually } from "../support/process.js";

const network = useNetwork();
const host = useBootedHost(network);
const names = ["nginx", "python"] as const satisfies readonly AdoptableName[];

interface Result {
  readonly services: readonly { readonly name: string; readonly outcome: string }[];
}

function outcomes(json: unknown): Record<string, string> {
  const { services } = json as Result;
  return Object.fromEntries(services.map(({ name, outcome }) => [name, outcome]));
}

async function untilAllAnswer(): Promise<void> {
  await eventually("all daemons answer", async () => {
    const dials = await Dials.start(network.client, names);
    const summary = Object.values(await dials.stop());
    return summary.every(({ failed }) => failed.length === 0) ? true : null;
  });
}

beforeAll(async () => {
  await startAdoptable(host(), network.client, names);
});

afterEach(async () => {
  const undone = await host().ilm(["adopt", "--undo"]);
  if (undone.status !== 0) throw new Error(undone.text);
  await untilAllAnswer();
});

/** What it says when a step has begun. */
const steps = [
  /python-web: new connections .* wait/,
  /python-web: systemctl restart/,
  /python-web: listens on/,
];

describe.each(["adopt", "undo"] as const)("%s", (way) => {
  const args = way === "adopt" ? ["adopt"] : ["adopt", "--undo"];

  beforeEach(async () => {
    if (way === "adopt") return;
    const adopted = await host().ilm(["adopt"]);
    if (adopted.status !== 0) throw new Error(adopted.text);
  });

  test.each(steps)(
    "killed after it said %s, it leaves all reachable, and a rerun goes on",
    async (step) => {
      const run = host().start([ilmCommand, ...args]);
      await run.waitForOutput(step);
      await run.stop("SIGKILL");
      await untilAllAnswer();
      const again = await host().ilm([...args, "--json"]);
      expect(again.status, again.text).toBe(0);
      await untilAllAnswer();
      const shown = await host().must(["ss", "-Htln"]);
      const wildcard = shown.match(/(?:\*|0\.0\.0\.0|\[::\]):(?!\*)\d+/g);
      expect(wildcard === null).toBe(way === "adopt");
    },
  );

  const signal = way === "adopt" ? "SIGTERM" : "SIGINT";
  test(`told to end by ${signal}, it puts the daemon at hand into its place, and no other`, async () => {
    const dials = await Dials.start(network.client, names);
    // What is told to end is the command inside the host, and not what entered it.
    const run = host().start([
      "sh",
      "-c",
      'echo $$; exec "$@"',
      "sh",
      ilmCommand,
      ...args,
      "--json",
    ]);
    const [, pid = ""] = await run.waitForOutput(/^(\d+)$/m);
    await run.waitForOutput(/nginx: systemctl restart/);
    await host().must(["kill", `-${signal.slice(3)}`, pid]);
    const { stdout, status } = await run.exited;
    const summary = Object.values(await dials.stop());
    expect(status).toBe(1);
    expect(outcomes(JSON.parse(stdout.slice(stdout.indexOf("\n"))))).toEqual({
      nginx: "moved",
      "python-web": "not begun",
    });
    expect(summary.flatMap(({ failed }) => failed)).toEqual([]);
  });
});

test("beside a change that waits for its confirmation it is refused before anything is touched", async () => {
  const looked = async (): Promise<string> => {
    const sockets = await host().must(["ss", "-Htlnp"]);
    return sockets + (await host().run(["cat", "/etc/ilm/ilm.yaml"])).stdout;
  };
  const before = await looked();
  const added = await host().ilm(["add", "tcp:9999=127.0.1.9", "--confirm", "600"]);
  expect(added.status, added.text).toBe(0);
  const refused = await host().ilm(["adopt"]);
  expect(refused.text).toContain("waits for its confirmation until");
  expect(await looked()).toBe(before);
  expect((await host().ilm(["confirm", "--back"])).status).toBe(0);
});
