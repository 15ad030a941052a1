/**
 * `ilm drain`: destinations that get nobody new, until `ilm undrain` (undrain.ts). Without a
 * destination it lists those that are drained.
 */
import { setTimeout as pause } from "node:timers/promises";
import { parseDestination } from "../../config/destination.js";
import type { DaemonAccess } from "../../control/over-api.js";
import type { Performed } from "../../control/perform.js";
import type { DataPlane } from "../../dataplane/types.js";
import { ExitStatus, IlmError, asSentence } from "../../errors.js";
import { formatDrained, sameDrained, type Drained } from "../../model/drained.js";
import { protocols } from "../../model/mapping.js";
import { drainedShape } from "../../api/mapping-shape.js";
import type { DrainedJson, DrainListJson, DrainedUntilJson, LeftJson } from "../../json/drain.js";
import { published } from "../../json/published.js";
import { beginStep, recordSteps, stepTimes, tellWait } from "../../progress.js";
import { print, type Context } from "../shell/context.js";
import { DrainedPlaces } from "../../rules/drained.js";
import { liveAt, liveOf } from "../../rules/live.js";
import { DRAIN_WORDS, describeLeading } from "../../words/change.js";
import { count } from "../../words/text.js";
import { parseSeconds } from "../shell/seconds.js";
import { describeTiming, type TimingOptions } from "../shell/timing.js";
import { waitSeconds, type WaitOptions } from "../shell/wait.js";
import { needActive, withDataPlane } from "../shell/with-data-plane.js";
import { describePerformed } from "./apply.js";

export interface DrainOptions extends WaitOptions, TimingOptions {
  /** True to drain what leaves mappings without anybody, too. */
  readonly force?: boolean;
  /** True to wait until nothing is open at the destinations. */
  readonly untilIdle?: boolean;
  /** How long to wait for that. */
  readonly timeout?: string;
}

/** The least pause between two looks. */
const PAUSE_MS = 500;
/** A look goes through all sockets: the pause after it is at least this many times as long. */
const PAUSE_SHARE = 9;
/** How often to say what is open where no progress is shown. */
const TELL_MS = 60_000;

export async function drain(
  context: Context,
  options: DrainOptions,
  texts: readonly string[],
): Promise<ExitStatus> {
  const { untilIdle = false, timeout } = options;
  if (untilIdle ? texts.length === 0 : timeout !== undefined) {
    throw new IlmError(
      "USAGE",
      untilIdle ? "--until-idle needs a destination" : "--timeout is for --until-idle",
      { remedy: "Write `ilm drain web:8080 --until-idle --timeout 60`." },
    );
  }
  if (texts.length > 0) return await changeDrained(context, "drain", options, texts);
  await list(context);
  return ExitStatus.done;
}

async function list(context: Context): Promise<void> {
  const drained = await withDataPlane<DrainListJson>(
    context,
    async (dataPlane: DataPlane) => (dataPlane.active()?.rules.drained ?? []).map(drainedShape),
    async (daemon: DaemonAccess) => (await daemon.state()).drained,
  );
  await print(context, published<DrainListJson>()(drained), () =>
    drained.length === 0
      ? "nothing is drained\n"
      : drained.map(({ destination }) => `${destination}\n`).join(""),
  );
}

/** Makes the change, for `undrain` too. */
export async function changeDrained(
  context: Context,
  kind: "drain" | "undrain",
  options: DrainOptions,
  texts: readonly string[],
): Promise<ExitStatus> {
  const seconds = parseSeconds("--timeout", options.timeout) ?? Infinity;
  recordSteps();
  const change = { kind, drained: texts.map(parseDrained), force: options.force === true };
  const wait = { waitSeconds: waitSeconds(options) };
  const { performed, left } = await withDataPlane<Done>(
    context,
    async (dataPlane) => ({
      performed: await context.reach.performChange(dataPlane, change, wait),
      left: options.untilIdle === true ? await untilIdle(dataPlane, change.drained, seconds) : null,
    }),
    async (daemon, denied) => {
      // Only root can count what is open.
      if (options.untilIdle === true) throw denied;
      return { performed: await daemon.change(change), left: null };
    },
  );
  const timing = stepTimes();
  const { drained } = change;
  const json = { ...performed, drained: drained.map(drainedShape), timing };
  const shown =
    kind === "drain"
      ? published<DrainedUntilJson>()({ ...json, left })
      : published<DrainedJson>()(json);
  await print(context, shown, () => {
    const { difference } = performed;
    const known = kind === "drain" ? difference?.drained : difference?.undrained;
    const lines = drained.map(formatDrained).map((destination) => {
      const found = known?.find((one) => one.destination === destination);
      const leading = found === undefined ? "" : describeLeading(found.mappings);
      const ends = kind === "drain" ? `; \`ilm undrain ${destination}\` ends that` : "";
      return `${destination} ${DRAIN_WORDS[kind]}${leading}${ends}\n`;
    });
    return (
      lines.join("") +
      describePerformed(performed) +
      describeLeft(left, seconds) +
      describeTiming(options, timing)
    );
  });
  return isIdle(left) ? ExitStatus.done : ExitStatus.failed;
}

interface Done {
  readonly performed: Performed;
  /** What was open there at last; null without --until-idle. */
  readonly left: LeftJson | null;
}

const isIdle = (left: LeftJson | null): boolean =>
  left === null || left.connections + left.flows === 0;

/**
 * Waits until nothing is open at the destinations, or the time is over. A handshake that has begun
 * before may still end there, so nothing has to be open twice in a row.
 */
async function untilIdle(
  dataPlane: DataPlane,
  drained: readonly Drained[],
  seconds: number,
): Promise<LeftJson> {
  const end = performance.now() + seconds * 1000;
  let toldAt = -Infinity;
  for (let idle = 0; ;) {
    const began = performance.now();
    const left = lookAt(dataPlane, drained);
    const now = performance.now();
    idle = isIdle(left) ? idle + 1 : 0;
    if (idle === 2 || (now >= end && idle === 0)) return left;
    const what = `waiting for what is open: ${describeOpen(left)}`;
    if (now - toldAt >= TELL_MS && idle === 0) {
      tellWait(what);
      toldAt = now;
    }
    beginStep(what, "waiting until idle");
    const rest = Math.max(PAUSE_MS, PAUSE_SHARE * (now - began));
    await pause(Math.min(rest, Math.max(PAUSE_MS, end - now)));
  }
}

/** Rules may change meanwhile, so that each look reads them again. */
function lookAt(dataPlane: DataPlane, drained: readonly Drained[]): LeftJson {
  const { rules } = needActive(dataPlane);
  const ended = drained.find((one) => !rules.drained?.some((other) => sameDrained(one, other)));
  if (ended !== undefined) {
    throw new IlmError("NOT_FOUND", `${formatDrained(ended)} is not drained any more`, {
      remedy: "Somebody has ended that meanwhile; `ilm history` says who.",
    });
  }
  const places = new DrainedPlaces(drained, rules.file.head.services);
  const { tcp, udp } = liveAt(places, liveOf(dataPlane.connections(), dataPlane.flows()));
  return { connections: tcp, flows: udp };
}

function describeOpen({ connections, flows }: LeftJson): string {
  return `${count(connections, "connection")}, ${count(flows, "UDP client")}`;
}

function describeLeft(left: LeftJson | null, seconds: number): string {
  if (left === null) return "";
  return isIdle(left)
    ? "nothing is open there any more\n"
    : `still open after ${seconds} s: ${describeOpen(left)}\n`;
}

/** Parses `web`, `web:8080`, `127.0.1.10:80`, `udp:web`. Throws USAGE. */
function parseDrained(text: string): Drained {
  const protocol = protocols.find((one) => text.startsWith(`${one}:`)) ?? null;
  const parsed = parseDestination(protocol === null ? text : text.slice(protocol.length + 1));
  if (!parsed.ok) throw new IlmError("USAGE", parsed.reason, { remedy: asSentence(parsed.hint) });
  const { target } = parsed;
  if (target.kind === "none") {
    throw new IlmError("USAGE", "none is no destination: it gets nobody already", {
      remedy: "Name an address or a service, such as 127.0.1.10:80 or web.",
    });
  }
  const port = target.port === "same" ? null : target.port;
  return target.kind === "address"
    ? { protocol, address: target.address, service: null, port }
    : { protocol, address: null, service: target.service, port };
}
