// Goal: telling the service manager neither fails nor waits, whatever is at the other end.
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterEach, beforeEach, expect, onTestFinished, test } from "vitest";
import { sdNotify } from "../../../src/kernel/notify.js";
import { python } from "../../support/paths.js";

let folder: string;
const before = process.env["NOTIFY_SOCKET"];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ilm-notify-"));
});

afterEach(() => {
  if (before === undefined) delete process.env["NOTIFY_SOCKET"];
  else process.env["NOTIFY_SOCKET"] = before;
  rmSync(folder, { recursive: true });
});

function tell(address: string) {
  process.env["NOTIFY_SOCKET"] = address;
  return sdNotify("READY=1");
}

/** A manager that says "bound", and when it is told to, what it was sent first. */
async function manager(address: string) {
  const script = [
    "import socket, sys",
    "s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)",
    "s.bind(sys.argv[1].replace('@', '\\0'))",
    "print('bound', flush=True)",
    "sys.stdin.readline()",
    "print(s.recv(4096).decode(), flush=True)",
  ].join("\n");
  const child = spawn(python, ["-c", script, address], { stdio: ["pipe", "pipe", "inherit"] });
  onTestFinished(() => {
    child.kill();
  });
  const lines = createInterface(child.stdout);
  await once(lines, "line");
  return {
    async receive(): Promise<string> {
      child.stdin.write("\n");
      const [line] = (await once(lines, "line")) as [string];
      return line;
    },
  };
}

test("without NOTIFY_SOCKET, no service manager is notified", () => {
  expect(tell("")).toBeNull();
});

test("a socket by its path and an abstract one are reported", async () => {
  for (const address of [join(folder, "socket"), `@ilm-notify-${process.pid}`]) {
    const there = await manager(address);
    expect(tell(address)).toBeNull();
    expect(await there.receive()).toBe("READY=1");
  }
});

test("a queue that is full is no reason to wait, and may pass", async () => {
  const address = join(folder, "socket");
  await manager(address);
  let trouble = null;
  for (let sent = 0; trouble === null && sent < 100_000; sent += 1) trouble = tell(address);
  expect(trouble).toEqual({ reason: "EAGAIN", passing: true });
});

test("what is no socket, is not there or cannot be an address is reported and left", () => {
  const file = join(folder, "file");
  writeFileSync(file, "");
  const pipe = join(folder, "pipe");
  execFileSync("mkfifo", [pipe]);
  const reasons = {
    [join(folder, "none")]: "ENOENT",
    [file]: "ECONNREFUSED",
    [pipe]: "ECONNREFUSED",
    "@ilm-nobody": "ECONNREFUSED",
    "run/notify": "it is no absolute path",
    "vsock:2:1234": "it is no absolute path",
    [`/${"x".repeat(107)}`]: "its path is too long",
  };
  for (const [address, reason] of Object.entries(reasons)) {
    expect(tell(address), address).toEqual({ reason, passing: false });
  }
});
