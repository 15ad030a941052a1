/** Asks and tells systemd, through systemctl. */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { IlmError, nodeErrno } from "../errors.js";
import { commandText, type Command } from "./commands.js";
import type { UnitState } from "./facts.js";

export interface CommandResult {
  /** The exit status; null when a signal ended it. */
  readonly status: number | null;
  readonly output: string;
}

/** How long after its end the rest of a command's output is waited for. */
const OUTPUT_MS = 10;
/** The most of its output that is kept of a command, in characters. */
const OUTPUT_LIMIT = 64 * 1024;

/** A command that waits until it is told to begin. */
export interface Prepared {
  go(): void;
  cancel(): void;
  readonly result: Promise<CommandResult>;
}

/**
 * Starts a command. It gets a session of its own: Ctrl-C is for us, and no daemon is half
 * restarted. The result throws NOT_FOUND when the program does not exist.
 */
function start([program, ...args]: Command): Prepared {
  const child = spawn(program, args, {
    stdio: ["pipe", "pipe", "pipe"],
    detached: true,
    env: { ...process.env, LC_ALL: "C.UTF-8", SYSTEMD_COLORS: "0", SYSTEMD_PAGER: "" },
  });
  let output = "";
  const keep = (text: string): void => {
    output = (output + text).slice(-OUTPUT_LIMIT);
  };
  child.stdout.setEncoding("utf8").on("data", keep);
  child.stderr.setEncoding("utf8").on("data", keep);
  const result = new Promise<CommandResult>((resolve, reject) => {
    const fail = (cause: Error): void => {
      reject(
        new IlmError("NOT_FOUND", `${program} could not be run`, {
          cause,
          remedy: `Install ${program}, or put it into PATH.`,
        }),
      );
    };
    child.on("error", fail);
    // It may end without reading; how it ended is what counts.
    child.stdin.on("error", (error) => {
      if (nodeErrno(error) !== "EPIPE") fail(error);
    });
    // Not `close`: what a daemon inherits may stay open for as long as it runs.
    child.on("exit", (status) => {
      // What it has written may still be on its way.
      setTimeout(() => {
        child.stdout.destroy();
        child.stderr.destroy();
        resolve({ status, output: output.trim() });
      }, OUTPUT_MS);
    });
  });
  return {
    go: () => {
      child.stdin.end();
    },
    cancel: () => {
      child.kill("SIGKILL");
    },
    result,
  };
}

/** Runs a command to its end. */
export async function runCommand(command: Command): Promise<CommandResult> {
  const started = start(command);
  started.go();
  return await started.result;
}

/**
 * Prepares commands, of which each needs the success of the one before. Should this process be
 * killed before it says so, they begin all the same: a daemon is then restarted under the rules
 * that are active, and not left in a state that was meant for a moment.
 */
export function prepareCommands(commands: readonly Command[]): Prepared {
  const script = commands.map((command) => `{ ${commandText(command)}\n}`).join(" && ");
  // The shell waits for the end of its input.
  return start(["sh", "-c", `read -r _; exec </dev/null; ${script}`]);
}

/** Reports whether systemd is this host's service manager (sd_booted(3)). */
export function isBooted(): boolean {
  return existsSync("/run/systemd/system");
}

/** Returns the names of the active socket units. */
export async function socketUnits(): Promise<string[]> {
  const { output } = await runCommand([
    "systemctl",
    "list-units",
    "--type=socket",
    "--state=active",
    "--plain",
    "--no-legend",
    "--no-pager",
  ]);
  return output
    .split("\n")
    .map((line) => line.trim().split(/\s+/)[0] ?? "")
    .filter((name) => name.endsWith(".socket"));
}

const properties = ["Id", "ActiveState", "MainPID", "Triggers", "Accept"] as const;

/** Returns the state of units, by the names that were asked for. */
export async function unitStates(units: readonly string[]): Promise<Map<string, UnitState>> {
  if (units.length === 0) return new Map();
  const { output } = await runCommand([
    "systemctl",
    "show",
    `--property=${properties.join(",")}`,
    "--",
    ...units,
  ]);
  return readUnitStates(output);
}

/** Parses what `systemctl show` prints: blocks of NAME=VALUE, with an empty line between. */
export function readUnitStates(text: string): Map<string, UnitState> {
  const states = new Map<string, UnitState>();
  for (const block of text.split(/\n\n+/)) {
    const values = new Map(
      block.split("\n").flatMap((line): [string, string][] => {
        const equals = line.indexOf("=");
        return equals < 0 ? [] : [[line.slice(0, equals), line.slice(equals + 1)]];
      }),
    );
    const unit = values.get("Id");
    if (unit === undefined) continue;
    states.set(unit, {
      unit,
      active: ["active", "activating", "reloading"].includes(values.get("ActiveState") ?? ""),
      mainPid: Number(values.get("MainPID") ?? "0"),
      triggers: (values.get("Triggers") ?? "").split(" ").filter(Boolean),
      accepts: values.get("Accept") === "yes",
    });
  }
  return states;
}

/** Returns the last lines of a unit's journal; empty when there is no journal. */
export async function journalOf(unit: string, lines = 10): Promise<string> {
  try {
    const { status, output } = await runCommand([
      "journalctl",
      "--no-pager",
      "--quiet",
      "--output=cat",
      `--lines=${lines}`,
      `--unit=${unit}`,
    ]);
    return status === 0 ? output : "";
  } catch (error) {
    if (error instanceof IlmError && error.code === "NOT_FOUND") return "";
    throw error;
  }
}
