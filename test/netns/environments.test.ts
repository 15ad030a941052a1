/**
 * Bad environments are told apart, each with exit 4 and its remedy. They are made in private mount namespaces, so that the
 * machine itself keeps what it has.
 */
import { describe, expect, test } from "vitest";
import { useNetwork } from "../support/network.js";
import { Background, must, run, type RunResult, words } from "../support/process.js";
import { lockRoot } from "../support/paths.js";

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
    results.push(await run(apply));
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

describe("another writer at work", () => {
  test("apply says so with exit 4, changes nothing, and works when the other is done", async () => {
    const { server } = network;
    await server.apply(rules);
    const before = await server.status();
    const lock = await holdLock();
    const result = await server.ilm(["apply", "-f", server.file(otherRules)]);
    expect(result.status, result.text).toBe(4);
    expect(result.stderr).toMatch(/lock|another|writer/i);
    expect(await server.status()).toMatchObject({ generation: before.generation });
    await lock.stop();
    await server.apply(otherRules);
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

  test("of ten applies at once each is done or told that another is at work, and one is in force", async () => {
    const { server } = network;
    const results = await Promise.all(
      Array.from(
        { length: 10 },
        async (_, index) =>
          await server.ilm([
            "apply",
            "-f",
            server.file(`version: 1\nmappings:\n  - { port: ${6000 + index}, to: 127.0.1.10 }\n`),
          ]),
      ),
    );
    for (const result of results) {
      expect([0, 4], result.text).toContain(result.status);
    }
    expect(results.map(({ status }) => status)).toContain(0);
    expect(await server.mappings()).toHaveLength(1);
    await server.unload();
  });
});

describe("a kernel module that is there and cannot be used", () => {
  // It looks as if it were loaded. The function that the program wants is nowhere, as with a module of another version.
  const broken = (folder: string): string =>
    `mkdir -p ${folder}/btf && cp /sys/kernel/btf/vmlinux ${folder}/btf/ && touch ${folder}/btf/ilm_lookup &&
     mount --bind ${folder}/btf /sys/kernel/btf`;
  const withoutModuleBtf = "mount -t tmpfs tmpfs /sys/module && mkdir /sys/module/ilm_lookup";
  const sayings = /ilm_lookup is loaded and cannot be used/;

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
