/** `ilm run`: takes over what is there, follows its file, and is not put out by a bad one. */
import { chmodSync, chownSync, mkdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { formatMoment } from "../../src/model/moment.js";
import { refused } from "../support/dialler.js";
import { useNetwork } from "../support/network.js";
import { address, answersOn, rulesFor, useApp } from "../support/one-app.js";
import { lockRoot } from "../support/paths.js";
import { Background, eventually, pause } from "../support/process.js";

const network = useNetwork();

const badRules = `
version: 1
mappings:
  - { port: 70000, to: 127.0.1.10 }
`;

useApp(network);

async function refusesOn(port: number): Promise<void> {
  await eventually(`port ${port} is not mapped`, async () =>
    (await network.client.who("tcp", address, port)) === "ECONNREFUSED" ? true : null,
  );
}

/** The services of one file, and mappings of another that lead to them. */
const servicesAlone = "version: 1\nservices:\n  app: { address: 127.0.1.10 }\n";
const mappingsAlone = (...ports: readonly number[]): string =>
  `version: 1\nmappings:\n${ports.map((port) => `  - { port: ${port}, to: "app:6000" }\n`).join("")}`;

describe("several files", () => {
  test("are one configuration: each follows, and a service of one is known in the other", async () => {
    const { server } = network;
    const files = [server.file(servicesAlone), server.file(mappingsAlone(7000))];
    const [services = "", mappings = ""] = files;
    const run = await server.startRun(files.flatMap((file) => ["-f", file]));
    await answersOn(network, 7000);
    expect(await server.status()).toMatchObject({
      source: services,
      sources: files,
      daemon: { following: services, followed: files },
    });
    writeFileSync(mappings, mappingsAlone(7001));
    await answersOn(network, 7001);
    await refusesOn(7000);
    writeFileSync(services, servicesAlone.replace("10 }", "11 }"));
    await server.echo("app", [["tcp", "127.0.1.11", 6000]]);
    await eventually("the service of the first file has moved", async () =>
      (await server.ask(["mappings"])).text.includes("127.0.1.11") ? true : null,
    );
    expect((await run.stop("SIGTERM")).status).toBe(0);
    expect(run.process.stderr).toContain("1 mapping, +1 -1 ~0: + tcp:7001, - tcp:7000");

    // A daemon without files goes on with these, and what is right of all is kept.
    const next = await server.startRun([]);
    expect((await server.status()).daemon?.followed).toEqual(files);
    writeFileSync(mappings, mappingsAlone(7002));
    await answersOn(network, 7002);
    await next.stop("SIGTERM");
    await server.unload();
    writeFileSync(mappings, badRules);
    await server.startRun(files.flatMap((file) => ["-f", file]));
    await answersOn(network, 7002);
  });

  test("and folders and standard input are mixed, and applied as one", async () => {
    const { server } = network;
    const file = server.file(mappingsAlone(7001));
    const folder = join(server.folder, "several.d");
    mkdirSync(folder);
    writeFileSync(join(folder, "a.yaml"), servicesAlone);
    const args = ["-f", folder, "-f", file, "-f", "-"];
    const input = mappingsAlone(7002);
    expect((await server.ilm(["check", ...args], { input })).stdout).toContain("2 mappings");
    const applied = await server.ilmDone(["apply", ...args], { input });
    expect(applied.stdout).toContain("2 mappings, +2 -0 ~0");
    await answersOn(network, 7002);
    // What was read once cannot be read again, nor followed.
    expect(await server.status()).toMatchObject({ source: null, sources: [] });
    expect((await server.ilm(["diff", ...args], { input })).text).toContain("unchanged");
  });

  test("that share a name or tie are refused with both places, and no file is read twice", async () => {
    const { server } = network;
    const one = server.file(rulesFor(7000), "one.yaml");
    const two = server.file(mappingsAlone(7000), "two.yaml");
    const refusal = await server.ilm(["check", "-f", one, "-f", two]);
    expect(refusal.status).toBe(3);
    expect(refusal.text).toContain("one.yaml:6");
    expect(refusal.text).toContain("two.yaml:3");
    const twice = await server.ilm(["check", "-f", one, "-f", one]);
    expect(twice.text).toContain("this file is read twice");
    const input = rulesFor(7000);
    const stdin = await server.ilm(["apply", "-f", "-", "-f", "-"], { input });
    expect(stdin.status).toBe(2);
    expect(stdin.text).toContain("`-f -` is given twice");
  });
});

describe("what a change did", () => {
  test("is counted and named, by command and daemon, also when mappings go", async () => {
    const { server } = network;
    const many = server.file(rulesFor(...Array.from({ length: 20 }, (_, n) => 7000 + n)));
    const few = server.file(rulesFor(7000));
    for (const withRun of [false, true]) {
      if (withRun) await server.startRun([]);
      await server.ilmDone(["apply", "-f", many]);
      const fewer = await server.ilmDone(["apply", "-f", few]);
      expect(fewer.stdout).toContain(", +0 -19 ~0");
      expect(fewer.stdout).toMatch(/ {2}- tcp:7001\n[^]* {2}and 9 more that are gone\n/);
      await server.ilmDone(["add", "tcp:7500=127.0.1.10:6000"]);
      const removed = await server.ilmDone(["remove", "tcp:7500"]);
      expect(removed.stdout).toContain(", +0 -1 ~0");
      expect(removed.stdout).toContain("  - tcp:7500\n");
    }
    const unloaded = await server.ilmDone(["unload"]);
    expect(unloaded.stdout).toContain("ended with it, +0 -1 ~0\n  - tcp:7000\n");
  });
});

describe("reload", () => {
  test("a rewritten file is active at once", async () => {
    const { server } = network;
    const file = server.file(rulesFor(7000));
    await server.startRun(["-f", file]);
    await answersOn(network, 7000);
    writeFileSync(file, rulesFor(7001));
    await answersOn(network, 7001);
    await refusesOn(7000);
  });

  test("a file that is renamed over the old one is active at once, again and again", async () => {
    const { server } = network;
    const file = server.file(rulesFor(7000));
    await server.startRun(["-f", file]);
    for (const port of [7001, 7002, 7003]) {
      renameSync(server.file(rulesFor(port)), file);
      await answersOn(network, port);
      await refusesOn(port - 1);
    }
  });

  test("a file that is removed and written again later is active then", async () => {
    const { server } = network;
    const file = server.file(rulesFor(7000));
    await server.startRun(["-f", file]);
    renameSync(file, `${file}.old`);
    await pause(300);
    await answersOn(network, 7000);
    writeFileSync(file, rulesFor(7001));
    await answersOn(network, 7001);
  });

  test("SIGHUP reads the file again", async () => {
    const { server } = network;
    const file = server.file(rulesFor(7000));
    const run = await server.startRun(["-f", file]);
    writeFileSync(file, rulesFor(7002));
    run.process.signal("SIGHUP");
    await answersOn(network, 7002);
    expect(run.process.running).toBe(true);
  });

  test("ilm reload waits for the new rules, fails with the file's errors, and needs a daemon", async () => {
    const { server, client } = network;
    const file = server.file(rulesFor(7000));
    const none = await server.ilm(["reload"]);
    expect(none.status).toBe(1);
    expect(none.stderr).toMatch(/no daemon (?:is running|answers)/);
    const run = await server.startRun(["-f", file]);
    writeFileSync(file, rulesFor(7002));
    await server.ilmDone(["reload"]);
    expect(await client.who("tcp", address, 7002)).toBe("app");
    writeFileSync(file, badRules);
    const refused = await server.ilm(["reload"]);
    expect(refused.status).toBe(3);
    expect(refused.stderr).toContain(`${file}:4:`);
    expect(await client.who("tcp", address, 7002)).toBe("app");
    expect(run.process.running).toBe(true);
    // Another file is right: what was wrong with the one before is forgotten.
    await server.ilmDone(["apply", "-f", server.file(rulesFor(7003))]);
    expect((await server.status()).warnings).toEqual([]);
  });

  test("a bad file at the start, with nothing active: what was right last is, loudly, until the file is", async () => {
    const { server, client } = network;
    const file = server.file(rulesFor(7000));
    const first = await server.startRun(["-f", file]);
    // The copy is written beside the work.
    await eventually("a copy is kept", async () => {
      const { status } = await server.run(["sh", "-c", "ls /var/lib/ilm/good-*.json"]);
      return status === 0 ? true : null;
    });
    await first.stop();
    // As after a boot.
    await server.unload();
    writeFileSync(file, badRules);
    const run = await server.startRun(["-f", file]);
    expect(await client.who("tcp", address, 7000)).toBe("app");
    expect(run.process.stderr).toMatch(
      /error.*the rules are those of .*\d\d:\d\d:\d\d, when the configuration was right/,
    );
    expect(run.process.stderr).toContain(`${file}:4:`);
    expect((await server.ask(["status", "--check"])).status).toBe(1);
    expect(JSON.stringify((await server.status()).warnings)).toContain("reload-failed");
    // What is active is not what the file says: status and history tell what it is.
    const { copiedAt } = await server.status();
    const at = formatMoment(copiedAt ?? "");
    const { stdout } = await server.ask(["status"]);
    expect(stdout).toContain(`${file}, as it was at ${at} (a copy)\n`);
    expect(stdout).toContain(`active is the copy of ${at}, when it was right`);
    expect((await server.ask(["history"])).stdout).toContain(
      `the daemon started, with the copy of ${at} (active)`,
    );
    writeFileSync(file, rulesFor(7001));
    await answersOn(network, 7001);
    expect((await server.status()).copiedAt).toBeNull();
    // What `apply` made active since is newer than the copy.
    await run.stop();
    writeFileSync(file, rulesFor(7002));
    await server.ilmDone(["apply", "-f", file]);
    writeFileSync(file, badRules);
    const again = await server.startRun(["-f", file]);
    expect(await client.who("tcp", address, 7002)).toBe("app");
    expect(again.process.stderr).toContain(`${file}:4:`);
    await again.stop();
    // Without a copy, it is as bad as ever.
    await server.unload();
    await server.must(["sh", "-c", "rm /var/lib/ilm/good-*.json"]);
    writeFileSync(file, badRules);
    expect((await server.ilm(["run", "-f", file])).status).toBe(3);
  });

  test("a folder of files is followed as one", async () => {
    const { server } = network;
    const folder = `${server.folder}/conf.d`;
    await server.must(["mkdir", folder]);
    writeFileSync(`${folder}/10-app.yaml`, rulesFor(7000));
    await server.startRun(["-f", folder]);
    await answersOn(network, 7000);
    writeFileSync(
      `${folder}/20-more.yaml`,
      'version: 1\nmappings:\n  - { port: 7001, to: "127.0.1.10:6000" }\n',
    );
    await answersOn(network, 7001);
    await answersOn(network, 7000);
    await server.must(["rm", `${folder}/20-more.yaml`]);
    await refusesOn(7001);
  });

  test("a bad file keeps the active rules, is named loudly, and status warns of it", async () => {
    const { server, client } = network;
    const file = server.file(rulesFor(7000));
    const run = await server.startRun(["-f", file]);
    const before = await server.status();
    writeFileSync(file, badRules);
    await run.process.waitForOutput(/70000/);
    expect(run.process.running).toBe(true);
    expect(run.process.stdout + run.process.stderr).toContain(`${file}:4:`);
    expect(await client.who("tcp", address, 7000)).toBe("app");
    const status = await server.status();
    expect(status.generation).toBe(before.generation);
    expect(JSON.stringify(status.warnings)).toContain(file);
    writeFileSync(file, rulesFor(7001));
    await answersOn(network, 7001);
    const recovered = await eventually("the warning goes", async () => {
      const now = await server.status();
      return JSON.stringify(now.warnings).includes(file) ? null : now;
    });
    expect(recovered.loaded).toBe(true);
  });
});

describe("what does not return, or is gone", () => {
  test("a followed file that becomes a pipe changes nothing: it is named, the next file counts, and SIGTERM ends run", async () => {
    const { server } = network;
    const file = server.file(rulesFor(7000));
    const run = await server.startRun(["-f", file]);
    await server.must(["mkfifo", `${file}.pipe`]);
    renameSync(`${file}.pipe`, file);
    await run.process.waitForOutput(/this is not a regular file/);
    await answersOn(network, 7000);
    expect((await server.status()).warnings).toMatchObject([{ kind: "reload-failed" }]);
    renameSync(server.file(rulesFor(7001)), file);
    await answersOn(network, 7001);
    renameSync(server.file(rulesFor(7002)), file);
    expect((await run.stop("SIGTERM")).status).toBe(0);
  });

  test("run refuses a pipe at once, and apply takes it and leaves nothing to follow", async () => {
    const { server, client } = network;
    const pipe = `cat ${server.file(rulesFor(7000))} |`;
    const command = (verb: string): string =>
      `${pipe} ${server.ilmCommand([verb, "-f", "/dev/stdin"]).join(" ")}`;
    const refusal = await server.run(["sh", "-c", command("run")]);
    expect(refusal.status, refusal.stderr).toBe(3);
    expect(refusal.stderr).toContain("/dev/stdin: this is not a regular file");
    await server.must(["sh", "-c", command("apply")]);
    expect(await client.who("tcp", address, 7000)).toBe("app");
    expect(await server.status()).toMatchObject({ source: null });
  });

  test("without its socket run is named by status, and makes it again; its lock too", async () => {
    const { server } = network;
    const run = await server.startRun(["-f", server.file(rulesFor(7000))]);
    const { pid } = run.process;
    // In its sleep it makes nothing again.
    run.process.signal("SIGSTOP");
    await server.must(["rm", `${lockRoot}/${server.inode}.sock`]);
    const status = await server.status();
    expect(status).toMatchObject({ daemon: null, writer: { pid } });
    expect(status.warnings).toMatchObject([{ kind: "daemon" }]);
    expect(JSON.stringify(status.warnings)).toMatch(
      new RegExp(`process ${pid} \\(ilm run -f [^)]*\\) holds the lock.*systemctl restart ilm`),
    );
    await server.must(["rm", `${lockRoot}/${server.inode}.lock`]);
    run.process.signal("SIGCONT");
    await run.process.waitForOutput(/the API is served on .* again/);
    expect(await server.status()).toMatchObject({ daemon: { pid }, writer: null });
    expect((await server.ilmDone(["add", "tcp:7001=127.0.1.10:6000"])).stdout).toContain("daemon");
    expect(run.process.stderr.match(/is gone: recreating it/g)).toHaveLength(1);
    expect(run.process.stderr).toContain("the lock file was removed: recreating it");
  });

  test("a file that could not be read for want of descriptors is read when there are some, by itself", async () => {
    const { server } = network;
    const file = server.file(rulesFor(7000));
    const run = await server.startRun(["-f", file]);
    const limit = async (files: number): Promise<string> =>
      await server.must(["prlimit", `--pid=${run.process.pid}`, `--nofile=${files}:4096`]);
    await limit(8);
    renameSync(server.file(rulesFor(7001)), file);
    await run.process.waitForOutput(/\(EMFILE\) - Raise the limit: LimitNOFILE=/);
    await run.process.waitForOutput(/this may be temporary: trying again in/);
    await answersOn(network, 7000);
    await limit(4096);
    await answersOn(network, 7001);
    expect((await run.stop("SIGTERM")).status).toBe(0);
  });

  test("a service manager that is not there costs a line of the log, and no more", async () => {
    const { server } = network;
    const command = server.ilmCommand(["run", "-f", server.file(rulesFor(7000))]);
    const env = { NOTIFY_SOCKET: `${server.folder}/nobody` };
    const run = server.adopt(new Background(command, { env }));
    await run.waitForOutput(/ready:/);
    expect(run.stderr.match(/cannot notify the service manager on .*nobody: ENOENT/g)).toHaveLength(
      1,
    );
    await answersOn(network, 7000);
    expect((await run.stop("SIGTERM")).status).toBe(0);
  });
});

describe("start and end", () => {
  test("run takes over what apply left, without a change", async () => {
    const { server, client } = network;
    const file = server.file(rulesFor(7000));
    await server.ilmDone(["apply", "-f", file]);
    const before = await server.status();
    await server.startRun(["-f", file]);
    expect(server.generation()).toBe(before.generation);
    expect(await client.who("tcp", address, 7000)).toBe("app");
  });

  test("what run set up stays active when it ends, and it ends with 0 on SIGTERM and SIGINT", async () => {
    const { server, client } = network;
    const file = server.file(rulesFor(7000));
    for (const signal of ["SIGTERM", "SIGINT"] as const) {
      const run = await server.startRun(["-f", file]);
      const result = await run.stop(signal);
      expect(result.status, `${signal}: ${result.stderr}`).toBe(0);
      expect(await client.who("tcp", address, 7000)).toBe("app");
    }
  });

  test("a bad file at the start is exit 3, and what is active stays", async () => {
    const { server, client } = network;
    await server.apply(rulesFor(7000));
    const result = await server.ilm(["run", "-f", server.file(badRules)]);
    expect(result.status).toBe(3);
    expect(await client.who("tcp", address, 7000)).toBe("app");
  });

  test("mappings as arguments take the place of a file's only with --replace: apply, its dry run, and run", async () => {
    const { server, client } = network;
    const file = server.file(rulesFor(7000));
    await server.ilmDone(["apply", "-f", file]);
    const one = "tcp:7001=127.0.1.10:6000";
    for (const words of [["apply"], ["apply", "--dry-run"], ["run"]]) {
      const { status, stderr } = await server.ilm([...words, one]);
      expect(status).toBe(2);
      expect(stderr).toContain(`would take the place of the mapping of ${file}`);
      expect(stderr).toContain("`ilm add MAPPING`");
    }
    expect(await client.who("tcp", address, 7000)).toBe("app");
    await server.ilmDone(["apply", "-f", file, one]);
    await server.ilmDone(["apply", "--replace", one]);
    expect(await client.who("tcp", address, 7001)).toBe("app");
    // What came as arguments is not a file's.
    await server.ilmDone(["apply", "tcp:7002=127.0.1.10:6000"]);
    expect(await client.who("tcp", address, 7002)).toBe("app");
  });

  test("mappings may be given as arguments, without a file", async () => {
    const { server, client } = network;
    await server.startRun(["tcp:7000=127.0.1.10:6000", "udp:6000=127.0.1.10"]);
    expect(await client.who("tcp", address, 7000)).toBe("app");
    expect(await client.who("udp", "203.0.113.5", 6000)).toBe("app");
  });

  test("a second run for the same namespace is refused, and the first goes on", async () => {
    const { server, client } = network;
    const file = server.file(rulesFor(7000));
    const first = await server.startRun(["-f", file]);
    const second = await server.ilm(["run", "-f", file]);
    expect(second.status).toBe(4);
    expect(second.stderr).not.toBe("");
    expect(first.process.running).toBe(true);
    expect(await client.who("tcp", address, 7000)).toBe("app");
  });

  test("the service manager hears READY=1 and STOPPING=1", async () => {
    const { server } = network;
    const run = await server.startRun(["-f", server.file(rulesFor(7000))]);
    const before = run.notified();
    expect(before).toMatch(/^READY=1$/m);
    await run.process.stop("SIGTERM");
    await eventually("STOPPING=1", () => (/^STOPPING=1$/m.test(run.notified()) ? true : null));
  });

  test("apply while run is running is handed to it", async () => {
    const { server, client } = network;
    const run = await server.startRun(["-f", server.file(rulesFor(7000))]);
    await server.apply(rulesFor(7001));
    expect(await client.who("tcp", address, 7001)).toBe("app");
    expect(await client.dial("tcp", address, 7000)).toEqual(refused);
    expect(run.process.running).toBe(true);
  });

  test("apply of a file that run does not see, that is another one there, or that it may not read, changes nothing; nor with --confirm", async () => {
    const { server, client } = network;
    const followed = server.file(rulesFor(7000), "followed.yaml");
    const own = join(server.folder, "own");
    mkdirSync(own);
    const file = server.file(rulesFor(7001), "own/rules.yaml");
    const script = `mount -t tmpfs tmpfs ${own} && exec "$@"`;
    const inside = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh"];
    const command = [...inside, ...server.ilmCommand(["run", "-f", followed])];
    const run = server.adopt(new Background(command));
    await run.waitForOutput(/ready:/);
    const refusedWith = async (message: string, ...args: readonly string[]): Promise<void> => {
      const { status, stderr } = await server.ilm(["apply", ...args]);
      expect(stderr).toContain(message);
      expect(status).toBe(1);
      expect((await server.status()).daemon?.followed).toEqual([followed]);
      expect(await client.who("tcp", address, 7000)).toBe("app");
      expect(await client.dial("tcp", address, 7001)).toEqual(refused);
    };
    await refusedWith(`sees no ${file}`, "-f", file);
    await refusedWith(`sees no ${file}`, "-f", file, "--confirm", "60s");
    const folder = `/proc/${run.pid}/root${own}`;
    writeFileSync(`${folder}/rules.yaml`, rulesFor(7001));
    await refusedWith(`sees another file at ${file}`, "-f", file);
    await refusedWith(`sees another file at ${own}`, "-f", own);
    const secret = server.file(rulesFor(7001), "secret.yaml");
    chmodSync(secret, 0o600);
    chownSync(secret, 65_534, 65_534);
    await refusedWith(`may not read ${secret}`, "-f", secret);
    await server.must([...server.ilmCommand(["apply", "-f", "-"])], { input: rulesFor(7001) });
    expect(await client.who("tcp", address, 7001)).toBe("app");
    await run.stop("SIGTERM");
  });
});

test("its API lists the mappings that are asked for, with what the command tells of them", async () => {
  const { server } = network;
  await server.startRun(["-f", server.file(rulesFor(7000))]);
  await server.ilmDone(["add", "tcp:7001=127.0.1.10:6000"]);
  await answersOn(network, 7001);
  const socket = `${lockRoot}/${server.inode}.sock`;
  const ask = async (query: string): Promise<unknown> =>
    JSON.parse(
      await server.must(["curl", "-s", "--unix-socket", socket, `http://ilm/v1/mappings${query}`]),
    );
  const told = (await server.mappings()).find(({ port }) => port === "7001");
  expect(told?.counters.selected).toBeGreaterThan(0);
  expect(await ask("?port=7001&limit=1")).toMatchObject({
    ok: true,
    result: {
      total: 1,
      mappings: [{ port: "7001", runtime: true, counters: told?.counters }],
    },
  });
  expect(await ask("?port=7009")).toEqual({ ok: true, result: { total: 0, mappings: [] } });
  expect(await ask("?limit=none")).toMatchObject({ ok: false, error: { code: "USAGE" } });
});
