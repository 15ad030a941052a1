/**
 * What another user can prepare, replace or race: he is refused, keeps what is his, and hides
 * nothing. With a real unprivileged user, in private mount namespaces in which he may write where a
 * careless administrator lets him.
 */
import { afterEach, describe, expect, test } from "vitest";
import { useNetwork } from "../support/network.js";
import { builtRoot, python } from "../support/paths.js";
import { type RunResult, words } from "../support/process.js";
import { sizes } from "../support/sizes.js";

const network = useNetwork();
const NOBODY = "65534";
const asNobody = `setpriv --reuid ${NOBODY} --regid ${NOBODY} --clear-groups`;
const rounds = sizes.raceRounds;

const rules = "version: 1\nmappings:\n  - { port: 6000, to: 127.0.1.10 }\n";

/** A BPF file system as the kernel mounts it by default. */
const openBpffs = `while umount -l /sys/fs/bpf 2>/dev/null; do :; done; mount -t bpf bpf /sys/fs/bpf`;
/** As some containers have it. */
const openRun = "mount -t tmpfs -o mode=1777 tmpfs /run";
/** Something of the other user's at /mnt, which is his to write to. */
const ground = `mount -t tmpfs -o mode=1777 tmpfs /mnt`;

/**
 * Runs a script in the server's network namespace and a mount namespace of its own, with our
 * command as \`ilm\`.
 */
async function script(text: string): Promise<RunResult> {
  const { server } = network;
  const [ilm] = server.ilmCommand([]);
  const prelude = `set -e; ilm() { ${ilm} "$@"; }; nobody() { ${asNobody} "$@"; }; inode=${server.inode}`;
  return await server.run(
    [
      "unshare",
      ...words("--mount --pid --fork --kill-child --mount-proc"),
      "sh",
      "-c",
      `${prelude}\n${text}`,
    ],
    {
      timeout_ms: 500_000,
    },
  );
}

/** What a script printed, which must not fail. */
async function printed(text: string): Promise<string> {
  const result = await script(text);
  expect(result.status, `${result.stdout}${result.stderr}`).toBe(0);
  return result.stdout;
}

const status4 = (command: string): string => `code=0; ${command} || code=$?; echo "status $code"`;

afterEach(async () => {
  await network.server.reset();
});

test("a BPF file system that ilm mounts is for root alone", async () => {
  const output = await printed(`
    while umount -l /sys/fs/bpf 2>/dev/null; do :; done
    ilm apply tcp:6000=127.0.1.10 >/dev/null
    nobody mkdir /sys/fs/bpf/theirs 2>&1 || true
    nobody ls /sys/fs/bpf/ 2>&1 || true
    ilm doctor
    ilm unload`);
  expect(output).toMatch(/mkdir: .*Permission denied/);
  expect(output).toMatch(/ls: .*Permission denied/);
  expect(output).toMatch(/ok +BPF file system: \/sys\/fs\/bpf\n/);
});

describe("a BPF file system that everybody can write to", () => {
  test("doctor calls it an error, and its remedy fixes it", async () => {
    const output = await printed(`
      ${openBpffs}
      ${status4("ilm doctor")}
      $(ilm doctor | sed -n 's/^ *\\(chmod [0-9]* [^,]*\\), .*/\\1/p')
      ${status4("ilm doctor")}`);
    expect(output).toMatch(
      /error +BPF file system: \/sys\/fs\/bpf can be written to by every user/,
    );
    expect(output.match(/status \d/g)).toEqual(["status 1", "status 0"]);
  });

  test("is worked in, inside a folder that is root's", async () => {
    const output = await printed(`
      ${openBpffs}
      ilm apply tcp:6000=127.0.1.10
      nobody rm -rf /sys/fs/bpf/ilm 2>&1 || true
      nobody mv /sys/fs/bpf/ilm /sys/fs/bpf/theirs 2>&1 || true
      ilm mappings
      ilm unload`);
    expect(output.match(/Permission denied|Operation not permitted/g)?.length).toBe(2);
    expect(output).toContain("6000");
  });

  const prepared = {
    "a folder of his": "nobody mkdir -p /sys/fs/bpf/ilm/$inode",
    "a folder of his that he has closed": "nobody mkdir -m 700 /sys/fs/bpf/ilm",
    "a symbolic link to a folder of his": "nobody ln -s /mnt/theirs /sys/fs/bpf/ilm",
    "a symbolic link to a folder of root's": "nobody ln -s /run /sys/fs/bpf/ilm",
    "a dangling symbolic link": "nobody ln -s /mnt/nothing /sys/fs/bpf/ilm",
    "root's folder that others can write to": "mkdir -m 777 /sys/fs/bpf/ilm",
    "root's folder that a group can write to": "mkdir -m 770 /sys/fs/bpf/ilm",
    "another user's folder inside of root's":
      "mkdir -m 700 /sys/fs/bpf/ilm; mkdir /sys/fs/bpf/ilm/$inode; chown 65534 /sys/fs/bpf/ilm/$inode",
    "a symbolic link inside of root's folder":
      "mkdir -m 700 /sys/fs/bpf/ilm; ln -s /mnt/theirs /sys/fs/bpf/ilm/$inode",
  };

  const commands = ["status", "apply tcp:6001=127.0.1.10"];
  const otherCommands = [
    "unload",
    "mappings",
    "listeners",
    "flows",
    "audit",
    "explain tcp 203.0.113.1:6000",
    "monitor",
    "diff tcp:6001=127.0.1.10",
    "add tcp:6001=127.0.1.10",
    "remove tcp:6000",
    "run tcp:6001=127.0.1.10",
  ];

  /** What each command says after the preparation, which has to stay as it is. */
  async function answers(prepare: string, asked: readonly string[]): Promise<readonly string[]> {
    const output = await printed(`
      ${ground}
      nobody mkdir -p /mnt/theirs/$inode/generation-3 /mnt/theirs/generation-3
      nobody touch /mnt/theirs/$inode/generation-3/file /mnt/theirs/generation-3/file
      ${openBpffs}
      ${prepare}
      ls -lR /sys/fs/bpf /mnt > ${network.server.folder}/before
      ${asked.map((command) => `${status4(`ilm ${command} 2>&1`)}; echo "- end"`).join("\n")}
      ls -lR /sys/fs/bpf /mnt | diff ${network.server.folder}/before - && rm ${network.server.folder}/before`);
    return output.split("- end\n").slice(0, -1);
  }

  const refusal = /^ilm: \/sys\/fs\/bpf\/ilm\S* .*nothing was read[^]*\nstatus 4\n$/;

  for (const [what, prepare] of Object.entries(prepared)) {
    test(`${what} in the place of ours is refused, is left alone, and hides nothing`, async () => {
      const { server, client } = network;
      await server.apply(rules);
      await server.echo("app", [["tcp", "127.0.1.10", 6000]]);
      const [doctor = "", ...others] = await answers(prepare, ["doctor", ...commands]);
      expect(doctor).toMatch(/^error +active rules: UNSAFE_PATH: .*nothing was read/m);
      for (const answer of others) expect(answer).toMatch(refusal);
      expect(others).toHaveLength(commands.length);
      // The rules are those of the machine's own BPF file system, which was not touched.
      expect(await client.who("tcp", "203.0.113.1", 6000)).toBe("app");
      expect(await client.who("tcp", "203.0.113.1", 6001)).toBe("ECONNREFUSED");
    });
  }

  test("every other command refuses, too", async () => {
    const found = await answers(prepared["a folder of his"], otherCommands);
    for (const answer of found) expect(answer).toMatch(refusal);
    expect(found).toHaveLength(otherCommands.length);
  });

  test("a symbolic link in the place of a pinned object is not followed", async () => {
    const output = await printed(`
      ${openBpffs}
      ilm apply tcp:6000=127.0.1.10 >/dev/null
      base=/sys/fs/bpf/ilm/$inode
      mv $base/lookup $base/mine; ln -s $base/mine $base/lookup
      ${status4("ilm status 2>&1")}
      rm $base/lookup; mv $base/mine $base/lookup
      ilm unload`);
    expect(output).toMatch(/lookup is not a file[^]*\nstatus 4\n/);
  });
});

describe("a /run that everybody can write to", () => {
  const prepared = {
    "a folder of his": "nobody mkdir /run/ilm; nobody ln -s /mnt/precious /run/ilm/$inode.lock",
    "a symbolic link": "nobody ln -s /mnt /run/ilm; ln /mnt/precious /mnt/$inode.lock",
    "a file": "nobody touch /run/ilm",
    "root's folder that others can write to": "mkdir -m 777 /run/ilm",
    "a symbolic link for a lock, in root's folder":
      "mkdir /run/ilm; ln -s /mnt/precious /run/ilm/$inode.lock",
  };

  for (const [what, prepare] of Object.entries(prepared)) {
    test(`${what} in the place of ours is refused by all who write, and nothing is written through it`, async () => {
      const output = await printed(`
        ${ground}
        echo precious > /mnt/precious
        ${openRun}
        ${prepare}
        for command in "run tcp:6001=127.0.1.10" unload; do
          ${status4("ilm $command 2>&1")}
        done
        cat /mnt/precious`);
      expect(output.match(/^status \d$/gm)).toEqual(["status 4", "status 4"]);
      expect(
        output.match(/^ilm: \/run\/ilm\S* .*nothing was read/gm)?.length,
      ).toBeGreaterThanOrEqual(2);
      expect(output).toMatch(/^precious$/m);
      expect((await network.server.status()).loaded).toBe(false);
    });
  }

  test("a socket that another user opens as the daemon's is neither asked nor believed", async () => {
    await network.server.apply(rules);
    const output = await printed(`
      ${openRun}
      nobody mkdir /run/ilm
      nobody ${python} -c 'import socket, sys; s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(); s.settimeout(5)
try:
    s.accept(); print("somebody asked", flush=True)
except TimeoutError:
    pass' /run/ilm/$inode.sock &
      while [ ! -e /run/ilm/$inode.sock ]; do sleep 0.05; done
      ilm status
      ${status4("ilm doctor")}
      ${status4("ilm add tcp:6001=127.0.1.10 2>&1")}
      wait`);
    expect(output).not.toContain("somebody asked");
    expect(output).toMatch(/warning: \/run\/ilm belongs to the user 65534/);
    expect(output).toMatch(/error +runtime folder: \/run\/ilm belongs/);
    expect(output.match(/^status \d$/gm)).toEqual(["status 1", "status 4"]);
  });
});

describe(`${rounds} rounds against a user who swaps what is at a name`, () => {
  /**
   * At the name, for ever: a folder with folders in it, and in its place a link to `target`, which
   * has the same names in it.
   */
  const swaps = `
import os, random, sys, time
name, target, inside = sys.argv[1:]
away = name + "-away"
turns = [
    (lambda: os.makedirs(name + "/" + inside), True),
    (lambda: os.rename(name, away), False),
    (lambda: os.symlink(target, name), True),
    (lambda: os.unlink(name), False),
    (lambda: os.removedirs(away + "/" + inside), False),
    (lambda: os.removedirs(name + "/" + inside), False),
]
print("at it", flush=True)
while True:
    for turn, stays in turns:
        try:
            turn()
        except OSError:
            continue
        # As long as root needs for a look and a step.
        until = time.perf_counter() + stays * random.random() / 10000
        while time.perf_counter() < until:
            pass
`;

  interface Tally {
    readonly won: number;
    readonly refused: number;
  }

  async function contest(
    name: string,
    prepare: string,
    at: string,
    target: string,
    inside: string,
  ): Promise<Tally & { left: string }> {
    const output = await printed(`
      ${ground}
      ${prepare}
      mkdir -p /mnt/precious/42/generation-3; echo precious > /mnt/precious/42/generation-3/file
      echo precious > /mnt/precious/42.lock
      mkfifo /mnt/ready; chmod 666 /mnt/ready
      nobody ${python} -c '${swaps}' ${at} ${target} ${inside} > /mnt/ready &
      rival=$!
      read _ < /mnt/ready
      ${process.execPath} ${builtRoot}test/support/contest.js ${name} ${rounds}
      kill $rival; wait $rival || true
      cat /mnt/precious/42/generation-3/file /mnt/precious/42.lock`);
    const [tally = "", ...left] = output.split("\n");
    return { ...(JSON.parse(tally) as Tally), left: left.join(" ").trim() };
  }

  const contested: Readonly<Record<string, Parameters<typeof contest>>> = {
    "for the folder of pins: root has it or is refused, and nothing is removed through his link": [
      "pins",
      openBpffs,
      "/sys/fs/bpf/ilm",
      "/mnt/precious",
      "42/generation-3",
    ],
    "for the folder of locks: no lock is taken, written or removed through his link": [
      "locks",
      openRun,
      "/run/ilm",
      "/mnt/precious",
      "42",
    ],
  };

  for (const [title, terms] of Object.entries(contested)) {
    test(title, async () => {
      const { won, refused, left } = await contest(...terms);
      expect(won + refused).toBe(rounds);
      expect(won).toBeGreaterThan(0);
      expect(refused).toBeGreaterThan(0);
      expect(left).toBe("precious precious");
    });
  }

  test("for a folder that root removes: nothing is removed through the link that takes its place", async () => {
    const { won, left } = await contest(
      "removal",
      "true",
      "/mnt/theirs",
      "/mnt/precious/42",
      "generation-3",
    );
    expect(won).toBeGreaterThan(0);
    expect(left).toBe("precious precious");
  });
});
