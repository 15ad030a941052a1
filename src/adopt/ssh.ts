/** A second way in while sshd is moved: an sshd of its own unit, until a new login was seen. */
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { IlmError } from "../errors.js";
import { unless } from "../kernel/folder.js";
import type { Listener } from "../model/listener.js";
import { runCommand, unitStates } from "./systemd.js";

export const SPARE_UNIT = "ilm-spare-ssh.service";
export const DEFAULT_SPARE_PORT = 2222;
/** How many ports from the default on are tried. */
const TRIED_PORTS = 100;
const BANNER_TIMEOUT_MS = 10_000;
const LOOK_EVERY_MS = 250;

/** Returns a port for the spare. Throws USAGE when the one asked for is taken. */
export function sparePort(listeners: readonly Listener[], asked: number | undefined): number {
  const isTaken = (port: number): boolean =>
    listeners.some((one) => one.protocol === "tcp" && one.port === port);
  if (asked !== undefined) {
    if (!isTaken(asked)) return asked;
    throw new IlmError("USAGE", `--spare-ssh-port: something listens on port ${asked} already`, {
      remedy: "Choose another port; `ilm listeners` shows which are taken.",
    });
  }
  for (let port = DEFAULT_SPARE_PORT; port < DEFAULT_SPARE_PORT + TRIED_PORTS; port += 1) {
    if (!isTaken(port)) return port;
  }
  throw new IlmError("USAGE", "no port from 2222 on is free for a second sshd", {
    remedy: "Name one: --spare-ssh-port PORT.",
  });
}

/** Ends a spare that an earlier run has left. Logins through it stay. */
export async function endSpare(): Promise<void> {
  await runCommand(["systemctl", "stop", SPARE_UNIT]);
}

/** Starts the second sshd, and returns when it has answered. Throws UNAVAILABLE. */
export async function startSpare(port: number): Promise<void> {
  const sshd = ["/usr/sbin/sshd", "/usr/bin/sshd", "/sbin/sshd"].find((path) => existsSync(path));
  const failed = (why: string): IlmError =>
    new IlmError("UNAVAILABLE", `a second sshd on port ${port} does not answer: ${why}`, {
      remedy:
        "sshd was not touched. Name another port with --spare-ssh-port, or start a second way in yourself and adopt the unit with --restart.",
    });
  if (sshd === undefined) throw failed("there is no /usr/sbin/sshd");
  const { status, output } = await runCommand([
    "systemd-run",
    "--quiet",
    "--collect",
    `--unit=${SPARE_UNIT}`,
    "--description=A second sshd, while ilm adopt moves the first one",
    // It shares the folder with the first one, whose it stays. Logins survive its end.
    "--property=RuntimeDirectory=sshd",
    "--property=RuntimeDirectoryPreserve=yes",
    "--property=KillMode=process",
    sshd,
    "-D",
    "-p",
    String(port),
    "-o",
    "PidFile=none",
  ]);
  if (status !== 0) throw failed(output);
  const deadline = performance.now() + BANNER_TIMEOUT_MS;
  for (;;) {
    const banner = await bannerOf(port);
    if (banner.startsWith("SSH-")) return;
    const isOver = (await unitStates([SPARE_UNIT])).get(SPARE_UNIT)?.active !== true;
    if (isOver || performance.now() > deadline) {
      await endSpare();
      const why = isOver ? "it has ended" : "nothing answers there";
      throw failed(banner === "" ? why : `it says ${JSON.stringify(banner)}`);
    }
    await sleep(LOOK_EVERY_MS);
  }
}

/** Returns what a server says first; empty when it says nothing. */
async function bannerOf(port: number): Promise<string> {
  return await new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port });
    const end = (text: string): void => {
      socket.destroy();
      resolve(text);
    };
    socket.setTimeout(BANNER_TIMEOUT_MS, () => {
      end("");
    });
    socket.on("data", (data: Buffer) => {
      end(data.toString("latin1").slice(0, 80));
    });
    socket.on("error", () => {
      end("");
    });
    socket.on("end", () => {
      end("");
    });
  });
}

interface Process {
  readonly parent: number;
  /** Pid and start time: ids are given again. */
  readonly key: string;
  readonly title: string;
}

/** The processes that are of sshd, by their ids; others are left out. */
function processes(): Map<number, Process> {
  const found = new Map<number, Process>();
  for (const name of readdirSync("/proc").filter((entry) => /^\d+$/.test(entry))) {
    const gone = ["ENOENT", "ESRCH"];
    const stat = unless(gone, () => readFileSync(`/proc/${name}/stat`, "latin1"));
    const title = unless(gone, () => readFileSync(`/proc/${name}/cmdline`, "latin1"));
    if (stat === undefined || title === undefined || !/^\S*sshd/.test(title)) continue;
    // The command's name, in parentheses, may have any character.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const [, parent = "0"] = fields;
    const started = fields[19] ?? "";
    // What is behind the title is what the command line was before.
    const [shown = ""] = title.split("\0");
    found.set(Number(name), { parent: Number(parent), key: `${name} ${started}`, title: shown });
  }
  return found;
}

/**
 * Reports whether a title is that of an authenticated session: `sshd: root@pts/0`. Before
 * authentication it is `sshd: root [priv]` or the like, whatever the name. Since 9.8, the program
 * is called sshd-session.
 */
export function isSessionTitle(title: string): boolean {
  return /^sshd(?:-session)?: \S+@[^\s[\]]+$/.test(title);
}

export interface LoginWatch {
  /** Reports whether there is a session that was not there when the watch began. */
  hasLogin(): boolean;
}

/** Watches for logins that do not come through the spare. */
export async function watchLogins(): Promise<LoginWatch> {
  const spare = (await unitStates([SPARE_UNIT])).get(SPARE_UNIT)?.mainPid ?? 0;
  const sessions = (): string[] => {
    const all = processes();
    const isSpares = (pid: number): boolean => {
      for (let at: number | undefined = pid; at !== undefined && at > 1; at = all.get(at)?.parent) {
        if (at === spare) return true;
      }
      return false;
    };
    return [...all]
      .filter(([pid, { title }]) => isSessionTitle(title) && !isSpares(pid))
      .map(([, { key }]) => key);
  };
  const before = new Set(sessions());
  return { hasLogin: () => sessions().some((key) => !before.has(key)) };
}
