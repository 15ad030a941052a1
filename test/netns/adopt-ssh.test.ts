/** SSH is moved last, and with a second way in until somebody has logged in the new way. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { outputs } from "../../src/json/outputs.js";
import { Dials, startAdoptable } from "../support/adoptable.js";
import { useBootedHost } from "../support/booted-host.js";
import { conforms, pathsOf } from "../support/conforms.js";
import { useNetwork } from "../support/network.js";
import { ilmCommand, python } from "../support/paths.js";
import { must, words, type Background, type RunResult } from "../support/process.js";

const network = useNetwork();
const host = useBootedHost(network);
const names = ["ssh", "nginx"] as const;
let key = "";

/** Logs in from outside, and runs a command there. */
async function ssh(port: number, command: string): Promise<RunResult> {
  return await network.client.run([
    ...words(`ssh -F none -i ${key} -p ${port} -o BatchMode=yes -o LogLevel=ERROR`),
    ...words("-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o ConnectTimeout=30"),
    "root@203.0.113.1",
    command,
  ]);
}

async function spareIs(): Promise<string> {
  return (await host().run(["systemctl", "is-active", "ilm-spare-ssh"])).stdout.trim();
}

/** Logs in over a port, and stays until told to end. */
async function stayLoggedIn(port: number): Promise<Background> {
  const session = network.client.start([
    ...words(`ssh -F none -i ${key} -p ${port} -o BatchMode=yes -o LogLevel=ERROR`),
    ...words("-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o ConnectTimeout=30"),
    "root@203.0.113.1",
    "echo inside; cat",
  ]);
  await session.waitForOutput(/inside/);
  return session;
}

beforeAll(async () => {
  key = `${network.client.folder}/key`;
  await must(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key]);
  host().write("/root/.ssh/authorized_keys", await must(["cat", `${key}.pub`]), 0o600);
  await startAdoptable(host(), network.client, names);
  // Something that is left alone.
  await host().units({
    "own-loopback.service": `[Service]
ExecStart=${python} -m http.server --bind 127.0.0.1 8002
`,
  });
  await host().must(["systemctl", "start", "own-loopback"]);
});

/** A document of `ilm adopt` has the fields that are published for it, each at least once. */
function hasAllOf(when: string, value: unknown): void {
  const shape = outputs["adopt"]?.find((output) => output.when === when)?.shape;
  if (shape === undefined) throw new Error(`ilm adopt prints no JSON${when}`);
  const seen = new Set<string>();
  expect(conforms(shape, value, seen)).toEqual([]);
  expect(pathsOf(shape).filter((path) => !seen.has(path))).toEqual([]);
}

afterAll(async () => {
  await host().run(["systemctl", "stop", "ilm-spare-ssh"]);
});

test("it comes last; the second sshd ends when a login by the moved one was seen, and no dial fails", async () => {
  const before = await stayLoggedIn(22);
  const dials = await Dials.start(network.client, names);
  const run = host().start([ilmCommand, "adopt", "--json"]);
  await run.waitForOutput(/ssh: log in on port 22/);
  expect(run.stderr.indexOf("nginx: listens")).toBeLessThan(run.stderr.indexOf("ssh: new"));
  // A login through the second one proves nothing.
  const bySpare = await stayLoggedIn(2222);
  expect((await ssh(2222, "echo inside")).stdout).toBe("inside\n");
  expect(await spareIs()).toBe("active");
  expect(run.running).toBe(true);
  const byMoved = await stayLoggedIn(22);
  const { status, stdout } = await run.exited;
  const summary = Object.values(await dials.stop());
  expect(status).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({
    services: [
      { name: "nginx", outcome: "moved" },
      { name: "ssh", outcome: "moved", message: null },
    ],
    spareSsh: null,
  });
  expect(summary.flatMap(({ failed }) => failed)).toEqual([]);
  expect(await spareIs()).toBe("inactive");
  // Those that were logged in stay so, by whatever way.
  for (const session of [before, bySpare, byMoved]) {
    expect(session.running).toBe(true);
    session.write("still\n");
    await session.waitForOutput(/still/);
    session.closeInput();
    expect((await session.exited).status).toBe(0);
  }
});

test("without a login the second sshd stays, and it is said where, and what ends it", async () => {
  const undone = await host().ilm(["adopt", "--undo", "--login-timeout", "0", "--json", "ssh"]);
  expect(undone.status, undone.text).toBe(0);
  hasAllOf("", undone.json());
  const endWith = "systemctl stop ilm-spare-ssh.service";
  expect(undone.json()).toMatchObject({
    services: [
      {
        name: "ssh",
        outcome: "moved",
        message: `no new login was seen: the second sshd stays on port 2222; \`${endWith}\` ends it`,
      },
    ],
    spareSsh: { port: 2222, endWith },
  });
  expect((await ssh(2222, "echo inside")).stdout).toBe("inside\n");
  expect((await ssh(22, "echo inside")).stdout).toBe("inside\n");
  await host().must(endWith.split(" "));
});

test("with --dry-run and --lines, it prints the fields that are published", async () => {
  for (const option of ["--dry-run", "--lines"]) {
    const shown = await host().ilm(["adopt", option, "--json"]);
    expect(shown.status, shown.text).toBe(0);
    hasAllOf(` and \`${option}\``, shown.json());
  }
});

test("a spare that does not answer, or whose port is taken, leaves sshd where it is", async () => {
  const taken = await host().ilm(["adopt", "ssh", "--spare-ssh-port", "80"]);
  expect(taken.status).toBe(2);
  expect(taken.stderr).toContain("something listens on port 80 already");
  await host().must([
    "sh",
    "-c",
    "mv /usr/sbin/sshd /usr/sbin/sshd.away; cp /bin/false /usr/sbin/sshd",
  ]);
  const unable = await host().ilm(["adopt", "ssh"]);
  await host().must(["mv", "/usr/sbin/sshd.away", "/usr/sbin/sshd"]);
  expect(unable.status).not.toBe(0);
  expect(unable.stdout).toContain("a second sshd on port 2222 does not answer");
  expect((await ssh(22, "echo inside")).stdout).toBe("inside\n");
});

test("where systemd listens for sshd, the socket unit is moved, and no dial fails", async () => {
  await host().must(["systemctl", "stop", "ssh.service"]);
  await host().must(["systemctl", "start", "ssh.socket"]);
  const dials = await Dials.start(network.client, ["ssh"]);
  for (const way of [[], ["--undo"]]) {
    const moved = await host().ilm(["adopt", ...way, "ssh", "--login-timeout", "0", "--json"]);
    expect(moved.json()).toMatchObject({ services: [{ name: "ssh", outcome: "moved" }] });
  }
  const summary = Object.values(await dials.stop());
  expect(summary.flatMap(({ failed }) => failed)).toEqual([]);
});
