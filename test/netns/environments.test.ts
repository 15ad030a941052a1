/**
 * Bad environments are told apart, each with exit 4 and its remedy. They are made in private mount
 * namespaces, so that the machine itself keeps what it has.
 */
import { describe, expect, test } from "vitest";
import { useNetwork } from "../support/network.js";
import { Background, must, run, type RunResult, words } from "../support/process.js";
import { builtRoot, lockRoot, python } from "../support/paths.js";

const network = useNetwork();

const rules = "version: 1\nmappings:\n  - { port: 6000, to: 127.0.1.10 }\n";
const otherRules = "version: 1\nmappings:\n  - { port: 6001, to: 127.0.1.10 }\n";

/** Runs a command of ours after `prepare`, a piece of shell, in a mount namespace of its own. */
async function inPrivateMounts(prepare: string, command: readonly string[]): Promise<RunResult> {
  return await run(["unshare", "--mount", "sh", "-c", `${prepare}\nexec "$@"`, "sh", ...command]);
}

const withoutBtf = "mount -t tmpfs tmpfs /sys/kernel/btf";
const lockedDown = (mode: string): string =>
  `mount -t tmpfs tmpfs /sys/kernel/security && echo "none [${mode}]" > /sys/kernel/security/lockdown`;
const withoutCgroup2 = `for at in $(awk '$0 ~ / - cgroup2 / { print $5 }' /proc/self/mountinfo); do umount -l "$at"; done`;
const withoutBpffs = `while umount -l /sys/fs/bpf 2>/dev/null; do :; done`;

describe("what is missing is named, with its remedy, and is exit 4", () => {
  const asNobody = words("setpriv --reuid 65534 --regid 65534 --clear-groups");

  test("not root", async () => {
    const { server } = network;
    await must(["chmod", "755", server.folder]);
    const file = server.file(rules);
    for (const args of [["apply", "-f", file], ["unload"], ["add", "tcp:1=127.0.0.2"]]) {
      // Its own namespace needs no privilege to be named.
      const result = await server.run([...asNobody, ...server.ilmCommand(args).slice(0, -2)]);
      expect(result.status, `${args[0]}: ${result.stdout}${result.stderr}`).toBe(4);
      expect(result.stderr).toMatch(/root|CAP_/);
    }
  });

  test("no BTF", async () => {
    const { server } = network;
    const result = await inPrivateMounts(
      withoutBtf,
      server.ilmCommand(["apply", "-f", server.file(rules)]),
    );
    expect(result.status, result.stderr).toBe(4);
    expect(result.stderr).toContain("BTF");
  });

  test("a kernel that is locked down", async () => {
    const { server } = network;
    const result = await inPrivateMounts(
      lockedDown("confidentiality"),
      server.ilmCommand(["apply", "-f", server.file(rules)]),
    );
    expect(result.status, result.stderr).toBe(4);
    expect(result.stderr).toMatch(/locked down[^]*lockdown=integrity/);
    const doctor = await inPrivateMounts(lockedDown("integrity"), server.ilmCommand(["doctor"]));
    expect(doctor.status, doctor.stdout).toBe(0);
    expect(doctor.stdout).toMatch(/integrity: only signed modules/);
  });

  test("no cgroup v2", async () => {
    const { server } = network;
    const result = await inPrivateMounts(
      withoutCgroup2,
      server.ilmCommand(["apply", "-f", server.file(rules)]),
    );
    expect(result.status, result.stderr).toBe(4);
    expect(result.stderr).toMatch(/cgroup/);
    expect(result.stderr).toMatch(/mount/);
  });

  test("doctor names what is missing, and is not content", async () => {
    const { server } = network;
    for (const [prepare, word] of [
      [withoutBtf, "BTF"],
      [lockedDown("confidentiality"), "confidentiality"],
      [withoutCgroup2, "cgroup"],
    ] as const) {
      const result = await inPrivateMounts(prepare, server.ilmCommand(["doctor"]));
      expect(result.status, `${word}: ${result.stdout}${result.stderr}`).not.toBe(0);
      expect(result.stdout + result.stderr).toContain(word);
    }
  });

  test("the six cases have six different messages", async () => {
    const { server } = network;
    await must(["chmod", "755", server.folder]);
    const apply = server.ilmCommand(["apply", "-f", server.file(rules)]);
    const results = [
      await server.run([...asNobody, ...apply.slice(0, -2)]),
      await inPrivateMounts(withoutBtf, apply),
      await inPrivateMounts(withoutCgroup2, apply),
      await inPrivateMounts(lockedDown("confidentiality"), apply),
      await run([...apply.slice(0, -1), "/run/netns/nonexistent"]),
    ];
    const lock = await holdLock();
    results.push(await run([...apply, "--wait", "0"]));
    await lock.stop();
    expect(results.map(({ status }) => status)).toEqual([4, 4, 4, 4, 4, 4]);
    const messages = results.map(({ stderr }) => stderr);
    expect(new Set(messages).size, messages.join("\n")).toBe(6);
  });
});

test("a BPF file system that is not mounted is mounted", async () => {
  const { server } = network;
  const result = await inPrivateMounts(withoutBpffs, [
    "sh",
    "-c",
    '"$@" && ls /sys/fs/bpf/ilm',
    "sh",
    ...server.ilmCommand(["apply", "-f", server.file(rules)]),
  ]);
  expect(result.status, result.stderr).toBe(0);
  expect(result.stdout).toContain(String(server.inode));
  await server.unload();
});

async function holdLock(): Promise<Background> {
  await must(["mkdir", "-p", lockRoot]);
  const lock = network.server.adopt(
    new Background([
      "flock",
      "-x",
      // Or the command would hold the lock when flock itself is killed.
      "--no-fork",
      `${lockRoot}/${network.server.inode}.lock`,
      "sh",
      "-c",
      "echo held; exec sleep 600",
    ]),
  );
  await lock.waitForOutput(/held/);
  return lock;
}

test("signals that come all the time while programs are loaded do not keep a change from being made", async () => {
  const { server } = network;
  // The verifier gives up whenever one is pending. Without a pause a process would do nothing but
  // handle them.
  const flood = `import os, signal, sys, time
while True:
    os.kill(int(sys.argv[1]), signal.SIGUSR2)
    time.sleep(0.001)`;
  const mapping = {
    name: "app",
    protocol: "tcp",
    ports: [{ first: 6000, last: 6000 }],
    on: [],
    to: [{ address: "127.0.1.10", port: 6000 }],
    existing: "exact",
    miss: "pass",
    origin: { file: "", line: 0, column: 0 },
  };
  const wanted = { sources: [], file: { services: [], mappings: [mapping] }, runtime: [] };
  const script = `
    const { openDataPlane } = await import("${builtRoot}src/dataplane/open.js");
    const { toBeActive } = await import("${builtRoot}src/model/rules.js");
    const { spawn } = await import("node:child_process");
    process.on("SIGUSR2", () => {});
    const flood = spawn("${python}", ["-c", ${JSON.stringify(flood)}, String(process.pid)]);
    await new Promise((resolve) => process.once("SIGUSR2", resolve));
    const plane = openDataPlane();
    for (let turn = 0; turn < 3; turn++) {
      plane.unload();
      console.log("changed", plane.apply(toBeActive(${JSON.stringify(wanted)})).changed);
    }
    plane.close();
    flood.kill("SIGKILL");`;
  const node = [process.execPath, "--input-type=module", "-e", script];
  expect(await must(server.inside(node))).toBe("changed true\n".repeat(3));
  await server.ilmDone(["unload"]);
});

describe("another running writer", () => {
  test("apply says so with exit 4, changes nothing, and works when the other is done", async () => {
    const { server } = network;
    await server.apply(rules);
    const before = await server.status();
    const lock = await holdLock();
    const apply = ["apply", "-f", server.file(otherRules)];
    const result = await server.ilm([...apply, "--wait", "1"]);
    expect(result.status, result.text).toBe(4);
    expect(result.stderr).toContain(`process ${lock.pid} (`);
    expect(result.stderr).toContain("(the same one for 1 s)");
    expect(await server.status()).toMatchObject({ generation: before.generation });
    // A change that waits has its turn when the other is done.
    const waiting = server.adopt(new Background(server.ilmCommand(apply)));
    await waiting.waitForOutput(/waiting for at most 30 s/);
    await lock.stop();
    expect((await waiting.exited).status).toBe(0);
    expect((await server.mappings()).map(({ port }) => JSON.stringify(port)).join()).toContain(
      "6001",
    );
    await server.unload();
  });

  test("reading commands do not wait for it", async () => {
    const { server } = network;
    await server.apply(rules);
    const lock = await holdLock();
    for (const command of ["status", "mappings", "listeners"]) {
      expect((await server.ilm([command, "--json"])).status, command).toBe(0);
    }
    await lock.stop();
    await server.unload();
  });

  test("of twenty adds at once, all have their turn", async () => {
    const { server } = network;
    const ports = Array.from({ length: 20 }, (_, index) => 6000 + index);
    const results = await Promise.all(
      ports.map(async (port) => await server.ilm(["add", `tcp:${port}=127.0.1.10:80`])),
    );
    for (const result of results) expect(result.status, result.text).toBe(0);
    expect((await server.mappings()).map(({ name }) => name).sort()).toEqual(
      ports.map((port) => `tcp:${port}`),
    );
    await server.unload();
  });
});

describe("what cannot be written to", () => {
  const add = ["add", "tcp:6001=127.0.1.10:80"];
  const owned = "mode=755 tmpfs /run/ilm";
  const cases = {
    "a /run that is read-only": [
      `mount -t tmpfs -o ro,${owned}`,
      /^ilm: \/run\/ilm\/\d+\.lock .*\(EROFS\)\n.*remount,rw/,
    ],
    "a /run without inodes": [
      `mount -t tmpfs -o nr_inodes=1,${owned}`,
      /^ilm: \/run\/ilm\/\d+\.lock .*\(ENOSPC\)\n.*df -i/,
    ],
    "a BPF file system that is read-only": [
      "mount -o remount,bind,ro /sys/fs/bpf",
      /^ilm: \/sys\/fs\/bpf\/ilm\/.*\(EROFS\)\n.*remount,rw/,
    ],
  } as const;

  test.each(Object.entries(cases))(
    "%s is named with its remedy, and nothing changes",
    async (...one) => {
      const [, [prepare, message]] = one;
      const { server } = network;
      await server.apply(rules);
      const generation = server.generation();
      const { status, stderr } = await inPrivateMounts(prepare, server.ilmCommand(add));
      expect(status, stderr).toBe(4);
      expect(stderr).toMatch(message);
      expect(server.generation()).toBe(generation);
    },
  );

  test("run waits for room, for its lock and then for its socket", async () => {
    const { server } = network;
    const prepare = `mount -t tmpfs -o nr_inodes=1,${owned}
      inodes() { mount -o remount,nr_inodes=$1 /run/ilm; }
      exec 3<&0; (while read -r number <&3; do inodes "$number"; done) >/dev/null 2>&1 &`;
    const command = [...server.ilmCommand(["run", "-f", server.file(rules)])];
    const script = `${prepare}\nexec "$@" </dev/null 3<&-`;
    const shell = ["unshare", "--mount", "sh", "-c", script, "sh"];
    const daemon = server.adopt(new Background([...shell, ...command]));
    await daemon.waitForOutput(/\.lock cannot be opened: .*ENOSPC.*Tried again/);
    daemon.write("2\n");
    await daemon.waitForOutput(/no API: .*\.sock cannot be made: .*ENOSPC/);
    await daemon.waitForOutput(/ready:/);
    daemon.write("3\n");
    await daemon.waitForOutput(/the API is served on .* again/);
    daemon.closeInput();
    expect((await daemon.stop("SIGTERM")).status).toBe(0);
    await server.unload();
  });

  test("a full /run still has room for a lock", async () => {
    const { server } = network;
    const fill = `mount -t tmpfs -o size=4k,${owned} && ! head -c 8192 /dev/zero 2>/dev/null > /run/ilm/all`;
    const { status, stderr } = await inPrivateMounts(fill, server.ilmCommand(add));
    expect(status, stderr).toBe(0);
    await server.unload();
  });
});

describe("a kernel module that is there and cannot be used", () => {
  // It looks as if it were loaded. The function that the program wants is nowhere, as with a module
  // of another version.
  const broken = (folder: string): string =>
    `mkdir -p ${folder}/btf && cp /sys/kernel/btf/vmlinux ${folder}/btf/ && touch ${folder}/btf/ilm_lookup &&
     mount --bind ${folder}/btf /sys/kernel/btf`;
  const withoutModuleBtf = "mount -t tmpfs tmpfs /sys/module && mkdir /sys/module/ilm_lookup";
  const sayings = /ilm_lookup is loaded but cannot be used/;

  for (const [name, prepare] of [
    ["another version's", broken],
    ["built without BTF", () => withoutModuleBtf],
  ] as const) {
    test(`${name}: \`engine: auto\` does without, and apply, status and doctor say so`, async () => {
      const { server } = network;
      const ilm = (...args: string[]): Promise<RunResult> =>
        inPrivateMounts(prepare(server.folder), server.ilmCommand(args));
      const file = server.file(rules);
      const applied = await ilm("apply", "-f", file);
      expect(applied.status, applied.stdout + applied.stderr).toBe(0);
      expect(applied.stdout).toMatch(sayings);
      const again = await ilm("apply", "-f", file, "--json");
      expect(JSON.parse(again.stdout)).toMatchObject({
        changed: false,
        kfuncTrouble: expect.any(String) as string,
      });
      const status = JSON.parse((await ilm("status", "--json")).stdout) as unknown;
      expect(status).toMatchObject({ engine: "registry", warnings: [{ kind: "engine" }] });
      const doctor = await ilm("doctor");
      expect(doctor.status, doctor.stdout).toBe(0);
      expect(doctor.stdout).toMatch(sayings);
      // Without the module there is nothing to warn of.
      await server.apply(rules);
      expect(await server.status()).toMatchObject({ engine: "registry", warnings: [] });
      await server.unload();
    });

    test(`${name}: \`engine: kfunc\` is refused, and changes nothing`, async () => {
      const { server } = network;
      await server.apply(rules);
      const before = await server.status();
      const result = await inPrivateMounts(
        prepare(server.folder),
        server.ilmCommand(["apply", "-f", server.file(`engine: kfunc\n${otherRules}`)]),
      );
      expect(result.status, result.stdout + result.stderr).toBe(4);
      expect(result.stderr).toMatch(sayings);
      expect(result.stderr).toMatch(/kmod\/README/);
      expect(await server.status()).toMatchObject({ generation: before.generation });
      await server.unload();
    });
  }
});
