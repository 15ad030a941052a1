/**
 * `ilm drain`: destinations that get nobody new, until `ilm undrain` (undrain.ts). Without a
 * destination it lists those that are drained.
 */
import { parseDestination } from "../../config/destination.js";
import type { DaemonAccess } from "../../control/over-api.js";
import type { Performed } from "../../control/perform.js";
import type { DataPlane } from "../../dataplane/types.js";
import { IlmError, asSentence } from "../../errors.js";
import { formatDrained, type Drained } from "../../model/drained.js";
import { protocols } from "../../model/mapping.js";
import { drainedShape } from "../../api/mapping-shape.js";
import type { DrainedJson, DrainListJson } from "../../json/drain.js";
import { published } from "../../json/published.js";
import { recordSteps, stepTimes } from "../../progress.js";
import { print, type Context } from "../shell/context.js";
import { describeTiming, type TimingOptions } from "../shell/timing.js";
import { waitSeconds, type WaitOptions } from "../shell/wait.js";
import { withDataPlane } from "../shell/with-data-plane.js";
import { describePerformed } from "./apply.js";

export interface DrainOptions extends WaitOptions, TimingOptions {
  /** True to drain what leaves mappings without anybody, too. */
  readonly force?: boolean;
}

export async function drain(
  context: Context,
  options: DrainOptions,
  texts: readonly string[],
): Promise<void> {
  if (texts.length === 0) await list(context);
  else await changeDrained(context, "drain", options, texts);
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
): Promise<void> {
  recordSteps();
  const change = { kind, drained: texts.map(parseDrained), force: options.force === true };
  const wait = { waitSeconds: waitSeconds(options) };
  const performed = await withDataPlane<Performed>(
    context,
    (dataPlane) => context.reach.performChange(dataPlane, change, wait),
    (daemon) => daemon.change(change),
  );
  const timing = stepTimes();
  const { drained } = change;
  const json = { ...performed, drained: drained.map(drainedShape), timing };
  await print(context, published<DrainedJson>()(json), () => {
    const lines = drained
      .map(formatDrained)
      .map((destination) =>
        kind === "drain"
          ? `${destination} gets nobody new; \`ilm undrain ${destination}\` ends that\n`
          : `${destination} gets new connections again\n`,
      );
    return lines.join("") + describePerformed(performed) + describeTiming(options, timing);
  });
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
