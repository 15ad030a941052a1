/** `ilm adopt`: moves the daemons of this host to addresses of their own, or back. */
import type { Adopted, AdoptOptions, Prepared } from "../../adopt/adopt.js";
import type { AdoptedService, Left } from "../../adopt/service.js";
import type { Moved } from "../../adopt/move.js";
import { ExitStatus, IlmError } from "../../errors.js";
import type { AdoptedJson, AdoptLinesJson, AdoptPlanJson } from "../../json/adopt.js";
import { published } from "../../json/published.js";
import { formatPlace } from "../../model/endpoint.js";
import { beginStep } from "../../progress.js";
import { describeHolder, unitOf } from "../../words/listener.js";
import { count, indent, printable } from "../../words/text.js";
import { print, type Context } from "../shell/context.js";
import { parseSeconds } from "../shell/seconds.js";
import { withDataPlane } from "../shell/with-data-plane.js";

export interface AdoptCommandOptions {
  readonly file?: string;
  readonly dryRun?: boolean;
  readonly undo?: boolean;
  readonly lines?: boolean;
  /** Each as NAME=COMMAND. */
  readonly restart?: readonly string[];
  readonly socketUnits?: readonly string[];
  readonly drain?: string;
  readonly startTimeout?: string;
  readonly loginTimeout?: string;
  readonly spareSshPort?: string;
}

const DEFAULT_FILE = "/etc/ilm/ilm.yaml";

export async function adopt(
  context: Context,
  given: AdoptCommandOptions,
  names: readonly string[],
): Promise<ExitStatus> {
  const options = readOptions(given, names);
  const { prepare, carryOut } = await import("../../adopt/adopt.js");
  return await withDataPlane(context, async (dataPlane) => {
    beginStep("looking at what listens");
    const prepared = await prepare(dataPlane, options);
    if (given.lines === true) {
      await printLines(context, prepared, names);
      return ExitStatus.done;
    }
    if (given.dryRun === true) {
      await printPlan(context, prepared, options);
      return ExitStatus.done;
    }
    const ending = watchSignals((text) => {
      context.note(`ilm: ${text}\n`);
    });
    try {
      const adopted = await carryOut(dataPlane, prepared, options, {
        performChange: (...asked) => context.reach.performChange(...asked),
        say: (text) => {
          beginStep(text);
          if (!ending.isHungUp()) context.note(`ilm: ${printable(text)}\n`);
        },
        isEnding: ending.isEnding,
      });
      await printAdopted(context, prepared, adopted, options);
      return adopted.moved.every(isFine) ? ExitStatus.done : ExitStatus.failed;
    } finally {
      ending.close();
    }
  });
}

function isFine({ outcome }: Moved): boolean {
  return ["moved", "already", "not running"].includes(outcome);
}

/** Ctrl-C and the like end the work between two daemons; the daemon at hand is finished. */
function watchSignals(say: (text: string) => void) {
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  let ending = false;
  let hungUp = false;
  const handler = (signal: NodeJS.Signals): void => {
    hungUp ||= signal === "SIGHUP";
    if (!ending && !hungUp) say("ending as soon as the daemon at hand is in its place");
    ending = true;
  };
  for (const signal of signals) process.on(signal, handler);
  return {
    isEnding: () => ending,
    isHungUp: () => hungUp,
    close: () => {
      for (const signal of signals) process.off(signal, handler);
    },
  };
}

function readOptions(given: AdoptCommandOptions, names: readonly string[]): AdoptOptions {
  const { drain, startTimeout, loginTimeout, spareSshPort } = given;
  return {
    changes: given.lines !== true,
    way: given.undo === true ? "undo" : "adopt",
    file: given.file ?? DEFAULT_FILE,
    names,
    restarts: new Map((given.restart ?? []).map(readRestart)),
    socketUnits: given.socketUnits ?? [],
    drainSeconds: seconds("--drain", drain, 3),
    startSeconds: seconds("--start-timeout", startTimeout, 60),
    loginSeconds: seconds("--login-timeout", loginTimeout, 300),
    spareSshPort: spareSshPort === undefined ? undefined : readPort(spareSshPort),
  };
}

function readRestart(text: string): [string, string] {
  const equals = text.indexOf("=");
  if (equals > 0 && equals + 1 < text.length) {
    return [text.slice(0, equals), text.slice(equals + 1)];
  }
  throw new IlmError("USAGE", `--restart ${JSON.stringify(text)} has no command`, {
    remedy: "Write it as --restart 'app=/opt/app/restart.sh'.",
  });
}

function seconds(option: string, text: string | undefined, otherwise: number): number {
  return parseSeconds(option, text) ?? otherwise;
}

function readPort(text: string): number {
  const port = Number(text);
  if (/^[1-9][0-9]{0,4}$/.test(text) && port <= 65_535) return port;
  throw new IlmError("USAGE", `--spare-ssh-port: ${JSON.stringify(text)} is not a port`, {
    remedy: "Write a port from 1 to 65535 that is free, such as 2222.",
  });
}

async function printPlan(
  context: Context,
  { file, plan, configuration, sparePort }: Prepared,
  { way, drainSeconds }: AdoptOptions,
): Promise<void> {
  const { planSteps, planStuck } = await import("../../adopt/commands.js");
  const steps = planSteps(plan, { way, spareSshPort: sparePort });
  const stuck = planStuck(plan, { way });
  const home = way === "adopt" ? "its own addresses" : "every address";
  const shapes = await serviceShapes(plan.services);
  await print(
    context,
    published<AdoptPlanJson>()({
      file: file.path,
      configuration,
      services: plan.services.map((service, index) => ({
        ...shapes[index]!,
        place: service.place,
      })),
      steps,
      left: plan.left.map(leftShape),
    }),
    () =>
      [
        `${file.path} would be:\n\n${indent(configuration)}`,
        steps.length === 0
          ? stuck.length === 0
            ? "There is nothing to move.\n"
            : ""
          : `In this order. For each, new connections wait, open ones get ${drainSeconds} s to end, and the daemon is\nrestarted; those that wait go on as soon as it listens on ${home}.\n\n${steps.map((step, index) => `  ${index + 1}. ${printable(step)}\n`).join("")}`,
        stuck.length === 0
          ? ""
          : `Not moved:\n${stuck.map((text) => `  ${printable(text)}\n`).join("")}`,
        describeLeft(plan.left),
      ]
        .filter((part) => part !== "")
        .join("\n"),
  );
}

async function printLines(
  context: Context,
  { plan, addressesOf, file }: Prepared,
  names: readonly string[],
): Promise<void> {
  const { byHand } = await import("../../adopt/by-hand.js");
  const { ownerParts } = await import("../../adopt/service.js");
  const entries = byHand(plan, names, addressesOf).map(
    ({ name, owner, addresses, lines, isAdopted }) => ({
      name,
      ...ownerParts(owner),
      addresses: [addresses[4], addresses[6]],
      file: lines?.file ?? null,
      lines: lines?.lines ?? [],
      instead: lines?.instead ?? null,
      check: lines?.check ?? null,
      restart: isAdopted
        ? [`ilm adopt ${name}`]
        : "unit" in owner
          ? [`systemctl restart ${owner.unit}`]
          : [],
      note: lines?.note ?? null,
    }),
  );
  await print(context, published<AdoptLinesJson>()(entries), () =>
    entries.length === 0
      ? "nothing to adopt\n"
      : entries
          .map(({ name, addresses, file: of, lines, instead, check, restart, note }) =>
            [
              `${name}: ${addresses.join(", ")}`,
              ...(of === null
                ? ["  Let it listen on these addresses, in its own configuration."]
                : [`  In ${of}:`, ...lines.map((line) => `      ${line}`), `  ${instead ?? ""}`]),
              ...(check === null ? [] : [`  Check it: ${check}`]),
              ...restart.map((command) => `  Restart it: ${command}`),
              ...(restart[0]?.startsWith("ilm") === true
                ? []
                : [
                    `  Add it to ${file.path} and apply that first, as a service that publishes its ports.`,
                  ]),
              ...(note === null ? [] : [`  ${note}`]),
              "",
            ]
              .map(printable)
              .join("\n"),
          )
          .join("\n"),
  );
}

async function serviceShapes(services: readonly AdoptedService[]) {
  const { commandText, restartCommands } = await import("../../adopt/commands.js");
  const { ownerParts } = await import("../../adopt/service.js");
  const { publishedText } = await import("../../adopt/text.js");
  return services.map(({ name, owner, ports, restart }) => ({
    name,
    ...ownerParts(owner),
    publish: publishedText(ports),
    restart: restartCommands(restart).map(commandText),
  }));
}

function leftShape({ found, kind, reason }: Left) {
  const { listener, holder, unit } = found;
  const { protocol, address, port } = listener;
  return {
    protocol,
    address,
    port,
    pid: holder?.pid ?? null,
    command: holder?.command ?? null,
    user: holder?.user ?? null,
    unit: unit ?? unitOf(holder ?? undefined),
    kind,
    reason,
  };
}

/** Lists what is left alone, with one line for all that one process has for one reason. */
function describeLeft(left: readonly Left[]): string {
  if (left.length === 0) return "";
  const lines = new Map<string, string[]>();
  for (const { found, reason } of left) {
    const { listener, holder } = found;
    const key = `${describeHolder(holder ?? undefined)}: ${reason}`;
    const places = lines.get(key) ?? [];
    lines.set(key, places);
    places.push(`${listener.protocol} ${formatPlace(listener)}`);
  }
  const entries = [...lines].map(
    ([text, places]) => `  ${printable([...new Set(places)].join(", "))}\n    ${printable(text)}\n`,
  );
  return `Left alone:\n${entries.join("")}`;
}

async function printAdopted(
  context: Context,
  { file, plan }: Prepared,
  { moved, spareLeft, unloaded, services }: Adopted,
  { way }: AdoptOptions,
): Promise<void> {
  const shapes = await serviceShapes(plan.services);
  await print(
    context,
    published<AdoptedJson>()({
      file: file.path,
      services: moved.map(({ outcome, message, cut }, index) => ({
        ...shapes[index]!,
        outcome,
        message,
        cut,
      })),
      spareSsh: spareLeft,
      unloaded,
      left: plan.left.map(leftShape),
    }),
    () => {
      const lines = moved.map(({ name, outcome, message, cut }) => {
        const ended = cut === 0 ? "" : `; ${count(cut, "open connection")} ended with its restart`;
        const more = message === null ? "" : `: ${message}`;
        return `${name}: ${outcome}${ended}${printableText(more)}\n`;
      });
      const next = unloaded
        ? `nothing is adopted any more: the rules are unloaded, and ${file.path} is gone\n`
        : way === "adopt" && services.length > 0
          ? `${file.path} has ${count(services.length, "service")}; keep it active after a reboot with \`ilm run -f ${file.path}\` (contrib/systemd/ilm.service)\n`
          : "";
      const nothing = moved.length === 0 ? `nothing to ${way}\n` : "";
      return (
        lines.join("") + nothing + next + (way === "adopt" ? `\n${describeLeft(plan.left)}` : "")
      );
    },
  );
}

/** Keeps the lines of a journal apart. */
function printableText(text: string): string {
  return text.split("\n").map(printable).join("\n  ");
}
