/**
 * `ilm history` and `ilm rollback`: each way to change the rules is an entry, and what was active
 * before comes back, for real clients, with and without `ilm run`.
 */
import { mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { beforeEach, describe, expect, test } from "vitest";
import type { Entry } from "../../src/control/history/entry.js";
import type { HistoryEntryJson, HistoryJson } from "../../src/json/history.js";
import { useNetwork } from "../support/network.js";
import { address, answersOn, useApp } from "../support/one-app.js";
import { ilmCommand, lockRoot } from "../support/paths.js";
import { eventually } from "../support/process.js";
import { timeIsOver } from "../support/time-over.js";

const network = useNetwork();

useApp(network);

beforeEach(async () => {
  await network.server.echo("second", [["tcp", "127.0.1.11", 6000]]);
});

/** Ports that lead to the first daemon, and to the second one. */
function rules(first: readonly number[], second: readonly number[] = []): string {
  const line = (port: number, name: string): string =>
    `  - { port: ${port}, to: "${name}:6000" }\n`;
  const lines = [
    ...first.map((port) => line(port, "app")),
    ...second.map((port) => line(port, "b")),
  ];
  return `version: 1\nservices:\n  app: { address: 127.0.1.10 }\n  b: { address: 127.0.1.11 }\nmappings:\n${lines.join("")}`;
}

async function history(): Promise<HistoryJson> {
  return (await network.server.askDone(["history", "--json"])).json() as HistoryJson;
}

/** What led to the changes, the latest first, with what each did. */
async function story(): Promise<string[]> {
  const { changes } = await history();
  return changes.map(({ cause, difference }) => {
    if (difference === null) return cause;
    const { added, removed, changed } = difference;
    return `${cause} +${added.count} -${removed.count} ~${changed.count}`;
  });
}

async function answersBy(name: string, port: number): Promise<void> {
  await eventually(`${name} answers on port ${port}`, async () =>
    (await network.client.who("tcp", address, port)) === name ? true : null,
  );
}

function folder(): string {
  return `${lockRoot}/history-${network.server.inode}`;
}

describe("the history", () => {
  test("has each change that commands make, who made it, and which is active", async () => {
    const { server } = network;
    const file = server.file(rules([7000]));
    await server.ilmDone(["apply", "-f", file]);
    await server.ilmDone(["add", "tcp:7100=127.0.1.11:6000"]);
    await server.ilmDone(["add", "tcp:7100=127.0.1.11:6000"]);
    await server.ilmDone(["remove", "tcp:7100"]);
    await server.ilmDone(["off"]);
    await server.ilmDone(["on"]);
    await server.ilmDone(["apply", "--replace", "tcp:7200=127.0.1.10:6000"]);
    expect(await story()).toEqual([
      "apply +1 -1 ~0",
      "on",
      "off",
      "remove +0 -1 ~0",
      "add +1 -0 ~0",
      "apply +1 -0 ~0",
    ]);
    const { changes, unrecorded } = await history();
    expect(unrecorded).toBe(false);
    expect(changes.map(({ active }) => active)).toEqual([true, false, false, false, false, false]);
    expect(changes.map(({ before }) => before)).toEqual([5, 4, 3, 2, 1, null]);
    expect(changes[4]).toMatchObject({
      number: 2,
      generation: 2,
      mappings: 2,
      sources: [file],
      difference: { added: { names: ["tcp:7100"] } },
      author: { uid: 0, user: "root" },
    });
    expect(changes[4]?.author.command).toMatch(/^ilm add tcp:7100=127.0.1.11:6000/);
    const text = (await server.askDone(["history", "--limit", "2"])).stdout;
    expect(text).toMatch(/^6 {2}(?:\S+ )?\d\d:\d\d:\d\d {2}apply \(active\)\n {4}by root \(0\)/);
    expect(text).toContain("and 4 earlier changes: --limit 6\n");
    const one = (await server.askDone(["history", "6", "--json"])).json() as HistoryEntryJson;
    expect(one.rules?.added.map(({ name }) => name)).toEqual(["tcp:7200"]);
    expect(one.rules?.removed.map(({ name }) => name)).toEqual(["tcp:7000"]);
    expect((await server.ask(["history", "7"])).status).toBe(1);
    await server.ilmDone(["unload"]);
    // With the rules of a namespace that is not the host's own, its history ends.
    expect(readdirSync(lockRoot)).not.toContain(`history-${server.inode}`);
  });

  test("has the changes that run makes, by whoever asked for them", async () => {
    const { server } = network;
    const file = server.file(rules([7000]));
    const run = await server.startRun(["-f", file]);
    writeFileSync(file, rules([7001]));
    await answersOn(network, 7001);
    await server.ilmDone(["add", "tcp:7100=127.0.1.11:6000"]);
    writeFileSync(`${file}.next`, rules([7001, 7002]));
    renameSync(`${file}.next`, file);
    await server.ilmDone(["reload"]);
    await server.ilmDone(["rollback"]);
    const [last, reload, add, changed, start] = (await history()).changes;
    expect(start?.cause).toBe("start");
    expect(start?.author.command).toMatch(/^ilm run/);
    expect(changed?.cause).toBe("file");
    expect(changed?.author.pid).toBe(start?.author.pid);
    expect(add?.cause).toBe("add");
    expect(add?.author.command).toMatch(/^ilm add/);
    expect(["file", "reload"]).toContain(reload?.cause);
    expect(last).toMatchObject({ cause: "rollback", to: 3 });
    expect(last?.author.command).toMatch(/^ilm rollback/);
    await run.stop("SIGTERM");
  });

  test("names what another writer activated when the next change is made, and goes back to it", async () => {
    const { server } = network;
    await server.ilmDone(["apply", "-f", server.file(rules([7000]))]);
    rmSync(folder(), { recursive: true });
    expect(await history()).toMatchObject({ changes: [], unrecorded: true });
    expect((await server.askDone(["history"])).text).toContain("no change was recorded");
    await server.ilmDone(["add", "tcp:7100=127.0.1.11:6000"]);
    expect(await story()).toEqual(["add +1 -0 ~0", "found"]);
    await answersBy("second", 7100);
    await server.ilmDone(["rollback"]);
    expect(await network.client.who("tcp", address, 7100)).toBe("ECONNREFUSED");
    await answersOn(network, 7000);
  });

  test("that cannot be written is a warning, and the change is made", async () => {
    const { server } = network;
    writeFileSync(folder(), "");
    const applied = await server.ilmDone(["apply", "-f", server.file(rules([7000]))]);
    expect(applied.stderr.match(/not in the history: /g)).toHaveLength(1);
    expect(applied.stderr).toContain("the change is not in the history: ");
    await answersOn(network, 7000);
    expect((await server.askDone(["status"])).text).toContain("history of changes cannot be read");
    rmSync(folder());
    // A file that was cut short is no entry, and one of a writer that was killed is none yet.
    mkdirSync(folder(), { mode: 0o700 });
    writeFileSync(`${folder()}/change-7-none.json`, '{"version":1,');
    writeFileSync(`${folder()}/.change-8-none.json.new`, "{");
    await server.ilmDone(["add", "tcp:7100=127.0.1.11:6000"]);
    expect((await history()).changes.map(({ number }) => number)).toEqual([9, 8]);
  });
});

describe("a rollback", () => {
  test("brings the dials back to the daemon before, also a far one, and is taken back itself", async () => {
    const { server } = network;
    const file = server.file(rules([7000]));
    await server.ilmDone(["apply", "-f", file]);
    await server.ilmDone(["add", "tcp:7100=127.0.1.10:6000"]);
    writeFileSync(file, rules([], [7000]));
    await server.ilmDone(["apply", "-f", file]);
    await answersBy("second", 7000);
    const dry = await server.ilmDone(["rollback", "--dry-run"]);
    expect(dry.stdout).toContain("127.0.1.11:6000 -> 127.0.1.10:6000");
    await answersBy("second", 7000);
    const back = await server.ilmDone(["rollback"]);
    expect(back.stdout).toContain("rolled back to change 2\n");
    expect(back.stdout).toContain("2 mappings, +0 -0 ~1\n  ~ tcp:7000\n");
    await answersBy("app", 7000);
    await answersBy("app", 7100);
    expect((await server.askDone(["status"])).stdout).toContain(
      `rolled back to change 2: ${file} is applied again when it changes`,
    );
    await server.ilmDone(["rollback"]);
    await answersBy("second", 7000);
    await server.ilmDone(["rollback", "1"]);
    await answersBy("app", 7000);
    expect(await network.client.who("tcp", address, 7100)).toBe("ECONNREFUSED");
    await server.ilmDone(["off"]);
    await server.ilmDone(["rollback"]);
    await answersBy("app", 7000);
    for (const [args, said] of [
      [["rollback", "99"], "the history has no change 99"],
      [["rollback", "x"], '"x" is not the number of a change'],
    ] as const) {
      expect((await server.ilm(args)).text).toContain(said);
    }
  });

  test("to before the first change is refused, and so is one without a history", async () => {
    const { server } = network;
    expect((await server.ilm(["rollback"])).text).toContain("there is no history of changes yet");
    await server.ilmDone(["apply", "-f", server.file(rules([7000]))]);
    const refusal = await server.ilm(["rollback"]);
    expect(refusal.status).toBe(1);
    expect(refusal.text).toContain("before the last change, nothing was active");
    await answersOn(network, 7000);
  });

  test("stays beside run and over its restart until the file changes, and reload applies it", async () => {
    const { server } = network;
    const file = server.file(rules([7000]));
    const run = await server.startRun(["-f", file]);
    writeFileSync(file, rules([], [7000]));
    await answersBy("second", 7000);
    await server.ilmDone(["rollback"]);
    await answersBy("app", 7000);
    // The same text once more is no change.
    writeFileSync(file, rules([], [7000]));
    await run.process.waitFor(({ stderr }) =>
      stderr.split("rolled back to change 1").length > 2 ? true : null,
    );
    await answersBy("app", 7000);
    expect((await run.stop("SIGTERM")).status).toBe(0);

    const next = await server.startRun(["-f", file]);
    await answersBy("app", 7000);
    expect(next.process.stderr).toContain(`rolled back to change 1: ${file} is applied again`);
    expect((await server.askDone(["status"])).stdout).toContain("rolled back to change 1");
    await server.ilmDone(["reload"]);
    await answersBy("second", 7000);
    await server.ilmDone(["rollback"]);
    await answersBy("app", 7000);
    writeFileSync(file, rules([7001], [7000]));
    await answersBy("second", 7000);
    await answersBy("app", 7001);
    expect((await server.askDone(["status"])).stdout).not.toContain("rolled back");
    await next.stop("SIGTERM");
  });
});

describe("a change that waits for its confirmation", () => {
  test("is told with how it ended: kept, taken back, or gone back by itself", async () => {
    const { server } = network;
    const [first, second] = [server.file(rules([7000])), server.file(rules([7001], [7000]))];
    await server.ilmDone(["apply", "-f", first]);
    const { pending } = (
      await server.ilmDone(["apply", "-f", second, "--confirm", "3600", "--json"])
    ).json() as { readonly pending: { readonly until: string } };
    expect((await history()).changes[0]).toMatchObject({ until: pending.until, active: true });
    const shown = (await server.askDone(["history", "--limit", "1"])).stdout;
    expect(shown).toMatch(/^ {4}to be confirmed until (?:\S+ )?\d\d:\d\d:\d\d$/m);
    await server.ilmDone(["confirm"]);
    expect(await story()).toEqual(["confirm", "apply +1 -0 ~1", "apply +1 -0 ~0"]);
    expect((await history()).changes[0]).toMatchObject({ active: true, before: 2, until: null });
    // That it was kept is no change to take back.
    expect((await server.ilmDone(["rollback"])).stdout).toContain("rolled back to change 1\n");
    await answersBy("app", 7000);

    await server.ilmDone(["apply", "-f", second, "--confirm", "3600"]);
    const back = await server.ilmDone(["confirm", "--back"]);
    expect(back.stdout).toContain("1 mapping, +0 -1 ~1\n  - tcp:7001\n  ~ tcp:7000\n");
    expect((await story())[0]).toBe("back +0 -1 ~1");
    expect((await history()).changes[0]).toMatchObject({ before: 5, to: 4, active: true });

    await server.ilmDone(["apply", "-f", second, "--confirm", "3600"]);
    await server.ilmDone(["off"]);
    await server.ilmDone(["on"]);
    await timeIsOver(server);
    // Those who only read record nothing, and tell it all the same.
    expect(await history()).toMatchObject({ wentBack: { change: 7 }, unrecorded: false });
    expect((await server.askDone(["history"])).stdout).toMatch(
      /^note: change 7 was not confirmed and went back at (?:\S+ )?\d\d:\d\d:\d\d; the next change records that\n/,
    );
    const { wentBackAt } = await server.status();
    await server.ilmDone(["add", "tcp:7100=127.0.1.11:6000"]);
    expect((await story()).slice(0, 2)).toEqual(["add +1 -0 ~0", "unconfirmed +0 -1 ~1"]);
    const [, entry] = (await history()).changes;
    expect(entry).toMatchObject({ before: 9, to: 6, time: wentBackAt, sources: [first] });
    expect((await server.askDone(["history"])).stdout).toMatch(
      /^10 {2}(?:\S+ )?\d\d:\d\d:\d\d {2}not confirmed, went back to 6\n {4}by itself; recorded by root \(0\): ilm add /m,
    );
    // The file of what went back would not be followed: nothing is said of when it is read again.
    expect((await server.askDone(["status"])).stdout).not.toContain(second);
    await server.ilmDone(["rollback"]);
    await answersBy("app", 7000);
  });

  test("is taken back by a rollback, and after it went back there is nothing to roll back", async () => {
    const { server } = network;
    const [first, second] = [server.file(rules([7000])), server.file(rules([], [7000]))];
    await server.ilmDone(["apply", "-f", first]);
    for (const number of [[], ["1"]]) {
      await server.ilmDone(["apply", "-f", second, "--confirm", "3600"]);
      await answersBy("second", 7000);
      const dry = await server.ilmDone(["rollback", ...number, "--dry-run"]);
      expect(dry.stdout).toContain("127.0.1.11:6000 -> 127.0.1.10:6000");
      if (number.length === 0) {
        const done = await server.ilmDone(["rollback"]);
        expect(done.stdout).toMatch(/^rolled back to change 1\n.*\+0 -0 ~1\n {2}~ tcp:7000\n/);
      } else {
        // Another one is a change like any other.
        expect((await server.ilm(["rollback", "2"])).text).toContain("ilm confirm --back");
        await timeIsOver(server);
      }
      await answersBy("app", 7000);
      const again = await server.ilm(["rollback"]);
      expect(again.status).toBe(1);
      expect(again.text).toMatch(
        /the last change went back at .*\d\d:\d\d:\d\d: the rules before it are active/,
      );
      await server.ilmDone(["rollback", "1"]);
      await answersBy("app", 7000);
    }
    // The first rules of a host: before them there were none.
    await server.ilmDone(["unload"]);
    await server.ilmDone(["apply", "-f", second, "--confirm", "3600"]);
    const none = await server.ilmDone(["rollback"]);
    expect(none.stdout).toContain("rolled back to no rules\n");
    expect(await network.client.who("tcp", address, 7000)).toBe("ECONNREFUSED");
    expect((await story())[0]).toBe("back +0 -1 ~0");
  });

  test("is recorded by run when it goes back, and events tell it", async () => {
    const { server } = network;
    const run = await server.startRun(["-f", server.file(rules([7000]))]);
    const other = server.file(rules([7001], [7000]));
    await server.ilmDone(["apply", "-f", other, "--confirm", "3600"]);
    await server.ilmDone(["off"]);
    await timeIsOver(server);
    await eventually("it is an entry", async () =>
      (await story())[0] === "unconfirmed +0 -1 ~1" ? true : null,
    );
    const [entry] = (await history()).changes;
    expect(entry).toMatchObject({ off: true, active: true, to: 1 });
    expect(entry?.author.command).toMatch(/^ilm run/);
    expect(run.process.stderr).toContain("1 mapping, +0 -1 ~1: - tcp:7001, ~ tcp:7000");
    await server.ilmDone(["on"]);
    await server.ilmDone(["apply", "-f", other, "--confirm", "3600"]);
    await server.ilmDone(["rollback"]);
    await answersBy("app", 7000);
    const [back] = (await history()).changes;
    expect(back).toMatchObject({ cause: "back" });
    expect(back?.author.command).toMatch(/^ilm rollback/);
  });

  test("does not come with a daemon that starts and finds its text, once it went back", async () => {
    const { server } = network;
    const file = server.file(rules([7000]));
    await server.ilmDone(["apply", "-f", file]);
    writeFileSync(file, rules([], [7000]));
    await server.ilmDone(["apply", "-f", file, "--confirm", "3600"]);
    const early = await server.startRun(["-f", file]);
    await answersBy("second", 7000);
    await timeIsOver(server);
    await early.process.waitFor(({ stderr }) =>
      stderr.includes(`rolled back to change 1: ${file} is applied again when it changes`)
        ? true
        : null,
    );
    await answersBy("app", 7000);
    await early.stop("SIGTERM");
    const late = await server.startRun(["-f", file]);
    await answersBy("app", 7000);
    await server.ilmDone(["reload"]);
    await answersBy("second", 7000);
    await late.stop("SIGTERM");
  });

  test("that is confirmed beside a daemon that has started meanwhile stays, and is followed", async () => {
    const { server } = network;
    const [file, other] = [server.file(rules([7000])), server.file(rules([], [7000]))];
    await server.ilmDone(["apply", "-f", file]);
    await server.ilmDone(["apply", "-f", other, "--confirm", "3600"]);
    const run = await server.startRun(["-f", file]);
    await server.ilmDone(["confirm"]);
    await run.process.waitForOutput(/nothing to change/);
    await answersBy("second", 7000);
    expect(await server.status()).toMatchObject({ daemon: { following: other } });
    await run.stop("SIGTERM");
  });
});

describe("over a boot of the host", () => {
  /** Runs commands as the only ones of a host: its first process is in the namespace. */
  async function boot(...lines: readonly string[]): Promise<string> {
    const { server } = network;
    const state = `${server.folder}/state`;
    mkdirSync(state, { recursive: true, mode: 0o700 });
    const script = [
      "set -e",
      "mount -t bpf bpf /sys/fs/bpf",
      `mount -t tmpfs -o mode=755 tmpfs ${lockRoot}`,
      `export STATE_DIRECTORY=${state}`,
      `ilm() { ${ilmCommand} "$@"; }`,
      ...lines,
    ].join("\n");
    const unshare = ["unshare", "--pid", "--fork", "--mount-proc", "--mount", "--kill-child"];
    return await server.must([...unshare, "sh", "-c", script], { timeout_ms: 120_000 });
  }

  const untilReady = "until ilm status --json | grep -q '\"followed\": \\['; do sleep 0.2; done";

  test("it is kept, the way back is there, and a text that was turned away stays so", async () => {
    const { server } = network;
    const file = server.file(rules([7000]));
    await boot(`ilm apply -f ${file}`, "ilm add tcp:7100=127.0.1.11:6000");
    // What was added at run time ended with the boot.
    const second = await boot(`ilm apply -f ${file}`, "ilm mappings --names", "ilm history");
    expect(second).toContain("tcp:7000");
    expect(second).toMatch(/^3 .* apply \(active\)\n[^]*^2 .* add\n[^]*^1 .* apply\n/m);
    const third = await boot("ilm rollback 2", "ilm mappings --names");
    expect(third).toContain("tcp:7100");

    // A fault is taken back; the file still has it when the host starts again.
    writeFileSync(file, rules([7001]));
    await boot(`ilm apply -f ${file}`, "ilm rollback 2");
    const run = `ilm run -f ${file} 2> ${server.folder}/log & ${untilReady}`;
    const show = ["ilm mappings --names", `cat ${server.folder}/log`];
    const booted = await boot(run, ...show);
    expect(booted).toContain("tcp:7000\n");
    expect(booted).toContain("tcp:7100\n");
    expect(booted).toContain(`rolled back to change 2: ${file} is applied again when it changes`);
    writeFileSync(file, rules([7002]));
    expect(await boot(run, ...show)).toContain("tcp:7002\n");
  });

  test("what waits for its confirmation goes back with the boot, and its text stays turned away", async () => {
    const { server } = network;
    const [file, next] = [server.file(rules([7000])), server.file(rules([7001]))];
    const change = [`cp ${next} ${file}`, `ilm apply -f ${file} --confirm 3600`];
    await boot(`ilm apply -f ${file}`, ...change);
    const run = `ilm run -f ${file} 2> ${server.folder}/log & ${untilReady}`;
    const booted = await boot(run, "ilm mappings --names", "ilm history");
    expect(booted).toContain("tcp:7000\n");
    expect(booted).toMatch(/^\d+ {2}.*not confirmed, went back to \d+ \(active\)$/m);
    expect(booted).not.toMatch(/^tcp:7001$/m);
    expect(await boot(run, "ilm reload", "ilm mappings --names")).toContain("tcp:7001\n");
  });
});

describe("an export", () => {
  test("is what is active: diff finds nothing, and applied elsewhere it leads to the same", async () => {
    const { server } = network;
    await server.ilmDone(["apply", "-f", server.file(rules([7000], [7001]))]);
    await server.ilmDone(["add", "tcp:7100=127.0.1.11:6000"]);
    const file = (await server.askDone(["export", "--file-only"])).stdout;
    expect(await server.ilm(["diff", "-f", "-"], { input: file })).toMatchObject({
      status: 0,
      stdout: "unchanged\n",
    });
    const again = await server.ilmDone(["apply", "-f", "-"], { input: file });
    expect(again.stdout).toContain("3 mappings, +0 -0 ~0\n");
    const added = (await server.askDone(["export", "--runtime"])).stdout;
    expect(added).toContain("mappings:\n  # added at run time\n");
    expect(added.match(/"port"/g)).toHaveLength(1);
    const whole = await server.askDone(["export"]);
    expect(whole.stderr).toContain("it has 1 mapping that `ilm add` added");
    const json = (await server.askDone(["export", "--json"])).json() as { mappings: unknown[] };
    expect(json.mappings).toHaveLength(3);
    for (const input of [whole.stdout, (await server.askDone(["export", "--ndjson"])).stdout]) {
      await server.ilmDone(["unload"]);
      expect((await server.ask(["export"])).text).toContain("nothing is loaded");
      const applied = await server.ilmDone(["apply", "-f", "-"], { input });
      expect(applied.stdout).toContain("3 mappings, +3 -0 ~0\n");
      await answersBy("app", 7000);
      await answersBy("second", 7100);
    }
  });
});

describe("what is drained, and mappings for a time", () => {
  test("a drain is an entry that says what is drained, and a rollback over it ends it", async () => {
    const { server } = network;
    await server.ilmDone(["apply", "-f", server.file(rules([7000], [7001]))]);
    await server.ilmDone(["drain", "--force", "app:6000"]);
    expect(await network.client.who("tcp", address, 7000)).toBe("ECONNREFUSED");
    await server.ilmDone(["undrain", "app:6000"]);
    const [undrained, drained] = (await history()).changes;
    expect(undrained).toMatchObject({ cause: "undrain", drained: [] });
    expect(drained).toMatchObject({ cause: "drain", drained: ["app:6000"] });
    expect(drained?.author.command).toMatch(/^ilm drain --force app:6000/);
    const one = await server.askDone(["history", "2"]);
    expect(one.stdout).toContain("    drained: app:6000\n");
    expect(one.stdout).toContain("~ app:6000 gets nobody new (drain)\n");
    const dry = await server.ilmDone(["rollback", "2", "--dry-run", "--json"]);
    expect(dry.json()).toMatchObject({ same: false, drained: ["app:6000"], undrained: [] });
    const drainedAgain = await server.ilmDone(["rollback"]);
    expect(drainedAgain.stdout).toContain("  app:6000 gets nobody new (tcp:7000)\n");
    expect(await network.client.who("tcp", address, 7000)).toBe("ECONNREFUSED");
    expect((await server.status()).drained).toMatchObject([{ destination: "app:6000" }]);
    // What is drained is no part of a configuration.
    expect((await server.askDone(["export"])).stderr).toContain("app:6000");
    const text = (await server.ilmDone(["rollback", "1", "--dry-run"])).stdout;
    expect(text).toContain("~ app:6000 gets new connections again (undrain)\n");
    await server.ilmDone(["rollback", "1"]);
    await answersBy("app", 7000);
  });

  test.each([true, false])(
    "a mapping whose time is over does not come back, and one whose time is not ends when it would have, with run: %s",
    async (withRun) => {
      const { server } = network;
      const file = server.file(rules([7000]));
      if (withRun) await server.startRun(["-f", file]);
      else await server.ilmDone(["apply", "-f", file]);
      await server.ilmDone(["add", "--for", "1h", "tcp:7100=127.0.1.11:6000"]);
      await server.ilmDone(["add", "--for", "2s", "tcp:7101=127.0.1.11:6000"]);
      const endOf = async (): Promise<string | null | undefined> =>
        (await server.mappings()).find(({ name }) => name === "tcp:7100")?.until;
      const end = await endOf();
      await eventually("the mapping is over", async () =>
        (await network.client.who("tcp", address, 7101)) === "ECONNREFUSED" ? true : null,
      );
      if (withRun) {
        await eventually("its end is an entry", async () =>
          (await story())[0] === "ended +0 -1 ~0" ? true : null,
        );
        expect((await history()).changes[0]?.author.command).toMatch(/^ilm run/);
      }
      const shown = (await server.askDone(["history", "3", "--json"])).json() as HistoryEntryJson;
      expect(shown.rules?.added.map(({ name }) => name)).toEqual(["tcp:7101"]);
      await server.ilmDone(["remove", "tcp:7100"]);
      await server.ilmDone(["rollback", "3"]);
      expect(await network.client.who("tcp", address, 7101)).toBe("ECONNREFUSED");
      await answersBy("second", 7100);
      expect(await endOf()).toBe(end);
      expect((await server.mappings()).map(({ name }) => name)).not.toContain("tcp:7101");
    },
  );

  test("after another boot, a mapping for a time ends at the same time of day", async () => {
    const { server } = network;
    await server.ilmDone(["apply", "-f", server.file(rules([7000]))]);
    await server.ilmDone(["add", "--for", "1h", "tcp:7100=127.0.1.11:6000"]);
    const added = (await server.mappings()).find(({ runtime }) => runtime);
    await server.ilmDone(["remove", "tcp:7100"]);
    const asOfBoot = (earlier_s: number): void => {
      const name = readdirSync(folder()).find((one) => one.startsWith("change-2-")) ?? "";
      const entry = JSON.parse(readFileSync(`${folder()}/${name}`, "utf8")) as Entry;
      const { rules: kept } = entry;
      if (kept?.boot === undefined) throw new Error("the entry does not say which boot it is of");
      const at = new Date(Date.parse(kept.boot.at) - earlier_s * 1000).toISOString();
      const runtime = kept.runtime.map((one) => ({ ...one, until: (one.until ?? 0) + earlier_s }));
      const boot = { id: "another", at };
      writeFileSync(
        `${folder()}/${name}`,
        JSON.stringify({ ...entry, rules: { ...kept, boot, runtime } }),
      );
    };
    asOfBoot(1_000_000);
    await server.ilmDone(["rollback", "2"]);
    const again = (await server.mappings()).find(({ runtime }) => runtime);
    const moved = Date.parse(again?.until ?? "") - Date.parse(added?.until ?? "");
    expect(Math.abs(moved)).toBeLessThanOrEqual(1000);
    await answersBy("second", 7100);
  });

  test("a text that a rollback turned away stays so when mappings are added, taken back, drained and end", async () => {
    const { server } = network;
    const file = server.file(rules([7000]));
    await server.ilmDone(["apply", "-f", file]);
    writeFileSync(file, rules([7001], [7000]));
    await server.ilmDone(["apply", "-f", file]);
    await server.ilmDone(["rollback"]);
    await server.ilmDone(["add", "tcp:7200=127.0.1.11:6000"]);
    await server.ilmDone(["rollback"]);
    await server.ilmDone(["add", "--for", "2s", "tcp:7100=127.0.1.11:6000"]);
    await server.ilmDone(["drain", "--force", "tcp:b:6000"]);
    await server.ilmDone(["undrain", "tcp:b:6000"]);
    const run = await server.startRun(["-f", file]);
    await answersBy("app", 7000);
    expect(run.process.stderr).toContain(`rolled back to change 1: ${file} is applied again`);
    await eventually("the mapping's end is an entry", async () =>
      (await story())[0]?.startsWith("ended") === true ? true : null,
    );
    expect((await server.askDone(["status"])).stdout).toContain("rolled back to change 1");
    // An end is no change to take back: the last one by a person is.
    expect((await server.askDone(["history"])).stdout).toMatch(
      /^9 .* the time of tcp:7100 was over \(active\)\n    by itself; recorded by root/,
    );
    const back = await server.ilmDone(["rollback", "--dry-run"]);
    expect(back.stdout).toMatch(/^to change 7, /);
    await run.stop("SIGTERM");
    const next = await server.startRun(["-f", file]);
    await answersBy("app", 7000);
    await server.ilmDone(["reload"]);
    await answersBy("second", 7000);
    expect((await server.askDone(["status"])).stdout).not.toContain("rolled back");
    await next.stop("SIGTERM");
  });

  test("an export has what refuses on purpose, weight 0 and descriptions, and leaves out what is for a time", async () => {
    const { server } = network;
    const text = `version: 1
services:
  app: { address: [127.0.1.10, "fd5e:ed00::10"], description: "the shop: \\"old\\" # one" }
  b: { address: 127.0.1.11 }
mappings:
  - { name: shut, protocol: [tcp, udp], port: 6999, to: none, description: "closed: on purpose" }
  - { name: never, port: 6998, to: none, existing: never }
  - { port: 7000, to: [{ address: "app:6000", weight: 0 }, { address: "b:6000", weight: 3 }] }
  - { port: 7001, to: ["app:6000", "b:6000"], miss: reject, description: Zwei }
`;
    await server.ilmDone(["apply", "-f", server.file(text)]);
    await server.ilmDone(["add", "tcp:7002=none"]);
    await server.ilmDone(["add", "--for", "1h", "tcp:7100=127.0.1.11:6000"]);
    for (const how of [[], ["--json"], ["--ndjson"]]) {
      const exported = await server.askDone(["export", "--file-only", ...how]);
      const again = await server.ilmDone(["apply", "-f", "-"], { input: exported.stdout });
      expect(again.stdout).toMatch(/ 7 mappings, \+0 -0 ~0$|^unchanged: .* 7 mappings/m);
      const diff = await server.ilm(["diff", "-f", "-"], { input: exported.stdout });
      expect(diff.stdout).toBe("unchanged\n");
    }
    const whole = await server.askDone(["export"]);
    expect(whole.stdout).toContain('"port":7002,"to":"none"');
    expect(whole.stdout).not.toContain("7100");
    expect(whole.stderr).toContain("tcp:7100");
  });
});

describe("a refused file", () => {
  test("is tried again when what it tied with is gone, without a change of the file", async () => {
    const { server } = network;
    const file = server.file(rules([7000]));
    const run = await server.startRun(["-f", file]);
    await server.ilmDone(["add", "tcp:7100=127.0.1.11:6000"]);
    writeFileSync(file, rules([7000, 7100]));
    await eventually("the file is refused", async () =>
      (await server.ask(["status"])).text.includes("was refused in its current form") ? true : null,
    );
    await answersBy("second", 7100);
    // What a rollback takes back says nothing about the file.
    await server.ilmDone(["add", "tcp:7200=127.0.1.11:6000"]);
    await server.ilmDone(["rollback"]);
    const stays = await server.ask(["status", "--check"]);
    expect(stays.status).toBe(1);
    expect(stays.text).toContain("was refused in its current form");
    expect(stays.text).toMatch(
      /the mapping tcp:7100 \(tcp\) added at run time has the name of one at /,
    );
    expect((await server.askDone(["metrics"])).stdout).toMatch(/^ilm_last_reload_failed 1$/m);
    await server.ilmDone(["remove", "tcp:7100"]);
    await answersBy("app", 7100);
    expect((await server.askDone(["status"])).text).not.toContain("refused");
    await run.stop("SIGTERM");
  });
});
