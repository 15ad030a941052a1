/**
 * Who may read and who may change over the API: root, and the members of the groups that `ilm run`
 * names. With real users, as the kernel tells them apart.
 */
import { readdirSync, rmSync, statSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { asUser, READERS, STRANGER, withCapabilities, WRITERS } from "../support/as-user.js";
import { useNetwork } from "../support/network.js";
import { rulesFor, useApp } from "../support/one-app.js";
import { ilmCommand, lockRoot, python } from "../support/paths.js";
import { eventually, type RunResult, words } from "../support/process.js";
import type { IlmRun } from "../support/server.js";

const network = useNetwork();
const rights = ["--readers", `${READERS}`, "--writers", `${WRITERS}`];
let daemon: IlmRun;

useApp(network);

async function start(options: readonly string[] = rights): Promise<void> {
  const { server } = network;
  daemon = await server.startRun(["-f", server.file(rulesFor(7000), "followed.yaml"), ...options]);
}

const socket = (): string => `${lockRoot}/${network.server.inode}.sock`;

/** A command of the product as a stranger with these groups, in the server's namespace. */
async function as(groups: readonly number[], ...args: readonly string[]): Promise<RunResult> {
  return await network.server.run(asUser(STRANGER, [ilmCommand, ...args], { groups }));
}

/** A request over the socket; the status of the answer, and its text. */
async function request(
  groups: readonly number[],
  method: string,
  path: string,
): Promise<{ readonly status: number; readonly text: string }> {
  const curl = ["curl", "-s", "--unix-socket", socket(), "-X", method, "-w", "\n%{http_code}"];
  const body = method === "POST" ? ["-d", "{}"] : [];
  const command = [...curl, ...body, `http://ilm${path}`];
  const { stdout } = await network.server.run(asUser(STRANGER, command, { groups }));
  const lines = stdout.split("\n");
  return { status: Number(lines.pop()), text: lines.join("\n") };
}

function refusals(): readonly string[] {
  const { stderr } = daemon.process;
  return stderr.split("\n").filter((line) => line.startsWith("warning refused"));
}

describe("a member of the readers", () => {
  beforeEach(async () => {
    await start();
  });

  test("reads: status, mappings, metrics, services", async () => {
    const { server } = network;
    const status = await as([READERS], "status", "--json");
    expect(JSON.parse(status.stdout)).toMatchObject({
      loaded: true,
      netns: server.inode,
      mappings: 1,
      daemon: { following: `${server.folder}/followed.yaml` },
    });
    const mappings = await as([READERS], "mappings", "--json");
    expect(JSON.parse(mappings.stdout)).toMatchObject([
      { name: "tcp:7000", to: [{ address: "127.0.1.10", service: "app", listening: true }] },
    ]);
    for (const name of ["tcp:7000", "app"]) {
      const { status: ended, stdout } = await as([READERS], "wait", name);
      expect([ended, stdout]).toEqual([0, `${name}: the mapping has a listener\n`]);
    }
    expect((await as([READERS], "wait", "nosuch")).status).toBe(2);
    for (const command of ["history", "export", "listeners", "flows", "audit"]) {
      const { status: ended, stderr } = await as([READERS], command);
      expect(ended, command).toBe(4);
      expect(stderr, command).toMatch(/^ilm: this takes root: .*\n {2}Run it as root\. A reader/);
    }
    for (const path of ["/metrics", "/v1/services", "/v1/state", "/v1/status", "/v1/mappings"]) {
      expect((await request([READERS], "GET", path)).status, path).toBe(200);
    }
    expect(refusals()).toEqual([]);
  });

  test("changes nothing, hears why, and is a line of the log", async () => {
    const { server } = network;
    const before = server.generation();
    const commands = [["add", "tcp:7001=127.0.1.10"], ["off"], ["on"], ["unload"]];
    for (const command of commands) {
      const { status, stderr } = await as([READERS], ...command);
      expect(status, stderr).toBe(4);
      expect(stderr).toMatch(
        new RegExp(
          `^ilm: user ${STRANGER} \\(process \\d+\\) may not change anything\\n.*${WRITERS}`,
        ),
      );
    }
    const paths = ["apply", "reapply", "revise", "add", "remove", "off", "on", "reload", "unload"];
    for (const path of paths) {
      const { status, text } = await request([READERS], "POST", `/v1/${path}`);
      expect([status, JSON.parse(text)], path).toMatchObject([
        403,
        { ok: false, error: { code: "NOT_PERMITTED", remedy: expect.any(String) as string } },
      ]);
    }
    expect(server.generation()).toBe(before);
    expect((await server.status()).off).toBe(false);
    // Of more than ten in ten seconds, the rest is counted.
    expect(refusals().length).toBeGreaterThanOrEqual(10);
    expect(refusals()[0]).toMatch(
      new RegExp(`refused POST /v1/add: user ${STRANGER} \\(process \\d+\\) may not change`),
    );
  });
});

describe("a member of the writers", () => {
  beforeEach(async () => {
    await start();
  });

  test("reads and changes, by names of services too", async () => {
    const { server } = network;
    const done = async (...args: readonly string[]): Promise<string> => {
      const { status, stdout, stderr } = await as([WRITERS], ...args);
      expect(status, `${args.join(" ")}: ${stdout}${stderr}`).toBe(0);
      return stdout;
    };
    await done("add", "tcp:7001=app:6000");
    expect(await network.client.who("tcp", "203.0.113.1", 7001)).toBe("app");
    expect(await done("mappings", "--port", "7001")).toMatch(/\(run time\).*listens/);
    await done("remove", "tcp:7001=app:6000");
    expect(await network.client.who("tcp", "203.0.113.1", 7001)).toBe("ECONNREFUSED");
    await done("off");
    expect((await server.status()).off).toBe(true);
    await done("on");
    const refused = await as([WRITERS], "apply", "tcp:7002=127.0.1.10:6000");
    expect(refused.status).toBe(2);
    expect(refused.stderr).toMatch(
      /would take the place of the (?:\d+ )?mappings? of .*\n.*--replace/,
    );
    await done("apply", "--replace", "tcp:7002=127.0.1.10:6000");
    expect(await network.client.who("tcp", "203.0.113.1", 7002)).toBe("app");
    await done("unload");
    expect((await server.status()).loaded).toBe(false);
    expect((await daemon.process.exited).status).toBe(0);
  });

  test("has the daemon follow no other file: it would read it as root", async () => {
    const { server } = network;
    const secret = server.file(rulesFor(7003), "secret.yaml");
    await server.must(["chmod", "755", server.folder]);
    const refused = await as([WRITERS], "apply", "-f", secret);
    expect(refused.status).toBe(4);
    expect(refused.stderr).toContain(`may not have the daemon follow ${secret}`);
    expect(refused.stderr).toContain("ilm apply -f - < FILE");
    expect((await server.status()).daemon?.following).toBe(`${server.folder}/followed.yaml`);
    const again = await as([WRITERS], "apply", "-f", `${server.folder}/followed.yaml`);
    expect(again.status, again.stderr).toBe(0);
    const command = asUser(STRANGER, [ilmCommand, "apply", "-f", "-"], { groups: [WRITERS] });
    const piped = await server.run(command, { input: rulesFor(7003) });
    expect(piped.status, piped.stderr).toBe(0);
    expect(await network.client.who("tcp", "203.0.113.1", 7003)).toBe("app");
  });
});

describe("the kernel says who is asking", () => {
  test("a member by the group of the process itself, and by the last of 300 others", async () => {
    await start();
    const many = Array.from({ length: 300 }, (_, index) => 50_000 + index);
    const own = asUser(STRANGER, [ilmCommand, "status"], { gid: READERS });
    expect((await network.server.run(own)).status).toBe(0);
    expect((await as([READERS, ...many], "status")).status).toBe(0);
    expect((await as([1, ...many, 60_000], "status")).status).toBe(4);
  });

  test("root of a user namespace of his own is who he is outside of it", async () => {
    await start();
    const inside = (command: readonly string[]): readonly string[] => [
      "unshare",
      "--user",
      "--map-root-user",
      ...command,
    ];
    const stranger = await network.server.run(
      asUser(STRANGER, inside(["curl", "-s", "--unix-socket", socket(), "http://ilm/v1/status"])),
    );
    // CURLE_COULDNT_CONNECT
    expect(stranger.status).toBe(7);
    const reader = await network.server.run(
      asUser(
        STRANGER,
        inside(["curl", "-s", "--unix-socket", socket(), "-d", "{}", "http://ilm/v1/unload"]),
        { groups: [READERS] },
      ),
    );
    expect(reader.stdout).toContain(`user ${STRANGER} (process`);
    expect((await network.server.status()).loaded).toBe(true);
  });

  test("whoever gets round the socket's mode is answered 403, and may not even read", async () => {
    await start();
    // CAP_DAC_OVERRIDE passes the mode; the kernel says all the same that it is not root.
    const ask = words(`curl -s -w -%{http_code} --unix-socket ${socket()} http://ilm/metrics`);
    const { stdout } = await network.server.run(withCapabilities(["dac_override"], ask, STRANGER));
    expect(stdout).toMatch(/"code":"NOT_PERMITTED".*-403$/);
    expect(refusals()).toHaveLength(1);
    expect(refusals()[0]).toContain("refused GET /metrics: user");
  });
});

describe("the socket and its folder", () => {
  test("are root's alone without groups", async () => {
    await start([]);
    expect(statSync(socket()).mode & 0o777).toBe(0o600);
    for (const groups of [[READERS], [WRITERS], [0]]) {
      const { status, stderr } = await as(groups, "status");
      expect(status).toBe(4);
      expect(stderr).toMatch(/may not connect to .*\.sock\n.*--readers GROUP/);
    }
    expect(refusals()).toEqual([]);
  });

  test("let the groups connect and nobody else, and nobody replace them", async () => {
    await start();
    expect(statSync(socket()).mode & 0o777).toBe(0o660);
    expect((await as([READERS + 7], "status")).stderr).toContain("may not connect to");
    const attempts = [
      ["rm", "-f", socket()],
      ["mv", socket(), `${socket()}-mine`],
      ["touch", `${lockRoot}/theirs`],
      ["ln", "-s", "/tmp", `${lockRoot}/theirs`],
      ["chmod", "666", socket()],
      [
        python,
        "-c",
        "import os, sys; os.removexattr(sys.argv[1], 'system.posix_acl_access')",
        socket(),
      ],
      [
        python,
        "-c",
        "open(__import__('sys').argv[1]).read()",
        `${lockRoot}/${network.server.inode}.lock`,
      ],
    ];
    for (const attempt of attempts) {
      const result = await network.server.run(
        asUser(STRANGER, attempt, { groups: [READERS, WRITERS] }),
      );
      expect(result.status, attempt.join(" ")).not.toBe(0);
    }
    expect(readdirSync(lockRoot).filter((name) => name.includes("theirs"))).toEqual([]);
    expect((await as([WRITERS], "status")).status).toBe(0);
  });

  test("a socket that was removed comes back with the same rights", async () => {
    await start();
    rmSync(socket());
    await eventually("the reader reads again", async () =>
      (await as([READERS], "status")).stdout.includes("asked") ? true : null,
    );
    expect((await as([READERS], "off")).stderr).toContain("may not change anything");
    expect((await as([READERS + 7], "status")).stderr).toContain("may not connect to");
  });
});

describe("groups of `ilm run`", () => {
  afterEach(async () => {
    await network.server.unload();
  });

  test("have a name that the host knows", async () => {
    const { server } = network;
    const refused = await server.ilm(["run", "--readers", "no-such-group"]);
    expect(refused.status).toBe(2);
    expect(refused.stderr).toContain('--readers: there is no group "no-such-group"');
    // GID 1 everywhere (Debian Policy, 9.2.2).
    await start(["--readers", "daemon"]);
    expect((await as([1], "status")).status).toBe(0);
    expect((await as([1], "off")).stderr).toContain("start the daemon with `--writers GROUP`");
  });
});
