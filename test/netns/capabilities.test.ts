/**
 * What `ilm run` needs of root's power: it gives up the rest at its start, does all of its work
 * with what is left, and cannot do without any of it. Each capability is proven by itself.
 */
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { afterEach, describe, expect, test } from "vitest";
import { STRANGER, withCapabilities } from "../support/as-user.js";
import { useNetwork } from "../support/network.js";
import { pinFoldersOf } from "../support/kernel-state.js";
import { answersOn } from "../support/one-app.js";
import { ilmCommand, lockRoot, python } from "../support/paths.js";
import { type Background, eventually, words } from "../support/process.js";

const network = useNetwork();
const needed = ["net_admin", "sys_admin"] as const;
const bits = { net_admin: 12, sys_admin: 21, sys_ptrace: 19, dac_read_search: 2, chown: 0 };

function rulesFor(port: number): string {
  return `
version: 1
services:
  app: { address: [127.0.1.10, "fd5e:ed00::10"] }
mappings:
  - { protocol: [tcp, udp], port: ${port}, to: "app:6000" }
`;
}

afterEach(async () => {
  await network.server.reset();
});

function setOf(...names: readonly (keyof typeof bits)[]): string {
  const set = names.reduce((sum, name) => sum | (1n << BigInt(bits[name])), 0n);
  return set.toString(16).padStart(16, "0");
}

/** A set of capabilities of each thread of a process, without repetition. */
function setsOf(pid: number, name: "CapPrm" | "CapEff" | "CapBnd"): readonly string[] {
  const threads = readdirSync(`/proc/${pid}/task`);
  const sets = threads.map((thread) => {
    const status = readFileSync(`/proc/${pid}/task/${thread}/status`, "utf8");
    return new RegExp(`^${name}:\\s*(\\S+)$`, "m").exec(status)?.[1] ?? "";
  });
  return [...new Set(sets)];
}

/** Starts a daemon by any command, and waits until it is ready. */
async function ready(command: readonly string[]): Promise<Background> {
  const daemon = network.server.start(command);
  await Promise.race([
    eventually("the daemon is ready", () => (/^info +ready/m.test(daemon.stderr) ? true : null)),
    daemon.exited.then(({ stdout, stderr }) => {
      throw new Error(`it ended: ${stdout}${stderr}`);
    }),
  ]);
  return daemon;
}

/** Everything that a daemon does after its start, and its end. */
async function doesAllOfItsWork(daemon: Background, file: string): Promise<void> {
  const { server, client } = network;
  await server.echo("app", [
    ["tcp", "127.0.1.10", 6000],
    ["udp", "127.0.1.10", 6000],
    ["udp", "fd5e:ed00::10", 6000],
  ]);
  await answersOn(network, 7000);
  // Another file, with UDP of both families.
  writeFileSync(file, rulesFor(7001));
  await answersOn(network, 7001);
  for (const address of ["203.0.113.1", "2001:db8::1"]) {
    await eventually(`UDP to ${address} is mapped`, async () =>
      (await client.who("udp", address, 7001)) === "app" ? true : null,
    );
  }
  await server.ilmDone(["add", "tcp:7002=app:6000"]);
  await answersOn(network, 7002);
  // An interface that comes.
  await server.must(words("ip link add come0 type veth peer name come1"));
  await server.must(words("ip link set come0 up"));
  await eventually("the interface has its programs", async () => {
    const { warnings } = await server.status();
    return warnings.some(({ kind }) => kind === "interface-uncovered") ? null : true;
  });
  // What somebody takes away.
  await server.must(words("ip addr del 127.0.1.10 dev lo"));
  rmSync(`${lockRoot}/${server.inode}.sock`);
  await eventually("address and socket are back", async () => {
    const addresses = await server.loopbackAddresses();
    const { daemon: found } = await server.status();
    return addresses.includes("127.0.1.10") && found !== null ? true : null;
  });
  await server.ilmDone(["off"]);
  await server.ilmDone(["on"]);
  daemon.signal("SIGHUP");
  await answersOn(network, 7002);
  await server.must(words("ip link del come0"));
  const unloaded = await server.ilmDone(["unload"]);
  expect(unloaded.stdout).toContain("the daemon ended with it");
  expect((await daemon.exited).status).toBe(0);
  expect(daemon.stderr).not.toMatch(
    /^(?:error|warning)(?! .*(?:is gone|put back|was gone|switched|no listener for IPv6))/m,
  );
  expect(await server.loopbackAddresses()).toEqual([]);
  expect(pinFoldersOf(server.inode)).toEqual([]);
}

describe("a daemon that root starts", () => {
  test("gives up all but two capabilities, in each thread and for good, and does all of its work", async () => {
    const { server } = network;
    const file = server.file(rulesFor(7000));
    const run = await server.startRun(["-f", file]);
    for (const name of ["CapPrm", "CapEff", "CapBnd"] as const) {
      expect(setsOf(run.process.pid, name), name).toEqual([setOf(...needed)]);
    }
    await doesAllOfItsWork(run.process, file);
  });

  test("keeps those that it is told to, or all", async () => {
    const { server } = network;
    const args = ["-f", server.file(rulesFor(7000)), "--keep"];
    const some = await server.startRun([...args, "CAP_SYS_PTRACE,dac_read_search"]);
    expect(setsOf(some.process.pid, "CapPrm")).toEqual([
      setOf(...needed, "sys_ptrace", "dac_read_search"),
    ]);
    await some.stop();
    const all = await server.startRun([...args, "all"]);
    const own = /^CapPrm:\s*(\S+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
    expect(setsOf(all.process.pid, "CapPrm")).toEqual([own]);
  });

  test("says which ones it could not give up", async () => {
    const { server } = network;
    const command = server.ilmCommand(["run", "-f", server.file(rulesFor(7000))]);
    // Without CAP_SETPCAP.
    const daemon = await ready(withCapabilities([...needed, "chown"], command));
    expect(daemon.stderr).toMatch(/^warning keeps capabilities .*: CAP_CHOWN$/m);
  });

  test("does not read a file that only capabilities would let it read, and says what would help", async () => {
    const { server } = network;
    const file = server.file(rulesFor(7000));
    await server.must(["chown", `${STRANGER}`, file]);
    await server.must(["chmod", "600", file]);
    const refused = await server.ilm(["run", "-f", file]);
    expect(refused.status).toBe(3);
    expect(refused.stderr).toContain("--keep CAP_DAC_READ_SEARCH");
    const run = await server.startRun(["-f", file, "--keep", "CAP_DAC_READ_SEARCH"]);
    expect(run.process.running).toBe(true);
  });
});

describe("with exactly these capabilities", () => {
  test("root does all of the daemon's work", async () => {
    const { server } = network;
    const file = server.file(rulesFor(7000));
    const command = withCapabilities(needed, server.ilmCommand(["run", "-f", file]));
    const daemon = await ready(command);
    // There is nothing to give up.
    expect(daemon.stderr).not.toContain("keeps capabilities");
    await doesAllOfItsWork(daemon, file);
  });

  test("a user who is not root does, in folders of his own", async () => {
    const { server, client } = network;
    const file = server.file(rulesFor(7000));
    await server.must(["chmod", "755", server.folder]);
    const own = withCapabilities(needed, [ilmCommand], STRANGER).join(" ");
    const script = `
      set -e
      mount -t bpf -o mode=700 bpf /sys/fs/bpf; mount -t tmpfs -o mode=755 tmpfs ${lockRoot}
      chown ${STRANGER} /sys/fs/bpf ${lockRoot}
      ${own} run -f ${file} & daemon=$!
      while ! ${own} status 2>/dev/null | grep -q "daemon: *pid"; do sleep 0.2; done
      grep -E "^(Uid|CapPrm)" /proc/$daemon/status
      echo started; read _
      ${own} add tcp:7002=app:6000; echo added; read _
      ${own} status; ${own} unload; wait $daemon; echo "ended $?"`;
    const daemon = server.start([
      "unshare",
      ...words("--mount --pid --fork --kill-child --mount-proc sh -c"),
      script,
    ]);
    await daemon.waitForOutput(/^started$/m);
    expect(daemon.stdout).toMatch(new RegExp(`^Uid:\\s+${STRANGER}\\s`, "m"));
    expect(daemon.stdout).toContain(setOf(...needed));
    await server.echo("app", [
      ["tcp", "127.0.1.10", 6000],
      ["udp", "127.0.1.10", 6000],
    ]);
    await answersOn(network, 7000);
    await eventually("UDP is mapped", async () =>
      (await client.who("udp", "203.0.113.1", 7000)) === "app" ? true : null,
    );
    writeFileSync(file, rulesFor(7001));
    await answersOn(network, 7001);
    daemon.write("go on\n");
    await daemon.waitForOutput(/^added$/m);
    await answersOn(network, 7002);
    daemon.write("go on\n");
    await daemon.waitForOutput(/^ended 0$/m);
    expect((await daemon.exited).stdout).toMatch(/ended 0\n$/);
    expect(await server.loopbackAddresses()).toEqual([]);
  });
});

describe("without one of them", () => {
  /** Prints the errno of what the kernel refuses; empty: it does not. */
  const probes = {
    // Addresses of services.
    net_admin: ["ip", "addr", "add", "127.0.1.99/32", "dev", "lo"],
    // Objects by their ids, such as the programs that another has put on an interface:
    // bpf(BPF_PROG_GET_NEXT_ID).
    sys_admin: [
      python,
      "-c",
      `import ctypes, os, platform
number = {"x86_64": 321, "aarch64": 280}[platform.machine()]
attributes = ctypes.create_string_buffer(128)
libc = ctypes.CDLL(None, use_errno=True)
if libc.syscall(number, 11, attributes, 128) < 0: raise OSError(ctypes.get_errno(), "bpf")`,
    ],
  } as const;

  for (const missing of needed) {
    const others = needed.filter((name) => name !== missing);

    test(`${missing}: the kernel refuses what it is for, and the daemon says which one is missing`, async () => {
      const { server } = network;
      const probe = probes[missing];
      const refused = await server.run(withCapabilities(others, probe));
      expect(refused.status).not.toBe(0);
      expect(refused.stderr).toMatch(/Operation not permitted|PermissionError: \[Errno 1\]/);
      const granted = await server.run(withCapabilities(needed, probe));
      expect(granted.status, granted.stderr).toBe(0);
      await server.run(words("ip addr del 127.0.1.99/32 dev lo"));

      const command = [ilmCommand, "run", "-f", server.file(rulesFor(7000))];
      const run = await server.run(withCapabilities(others, command));
      expect(run.status).toBe(4);
      expect(run.stderr).toContain(`this needs root: CAP_${missing.toUpperCase()} is missing`);
      expect((await server.status()).loaded).toBe(false);
    });
  }
});
