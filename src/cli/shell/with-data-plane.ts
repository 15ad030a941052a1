/** Opens the data plane for the length of one piece of work. */
import type { DataPlane, Active, KeptText } from "../../dataplane/types.js";
import type { DaemonAccess } from "../../control/over-api.js";
import { IlmError } from "../../errors.js";
import type { Context } from "./context.js";
import { type Rules, noActiveRules, readRules } from "../../model/rules.js";
import { beginStep } from "../../progress.js";

/** Does a command's work over the API. `denied` says why the data plane could not be opened. */
type ByDaemon<T> = (daemon: DaemonAccess, denied: IlmError) => Promise<T>;

/**
 * Runs `work` with the data plane. A user who may not open it asks the daemon, when there is one
 * and the command has a way to: `byDaemon`.
 */
export async function withDataPlane<T>(
  context: Context,
  work: (dataPlane: DataPlane) => T | Promise<T>,
  byDaemon?: ByDaemon<T>,
): Promise<T> {
  let dataPlane: DataPlane;
  try {
    dataPlane = await open(context);
  } catch (error) {
    return await askInstead(context, error, byDaemon);
  }
  try {
    return await work(dataPlane);
  } finally {
    dataPlane.close();
  }
}

/** Runs `byDaemon` after a refusal. Throws the error itself when that is not possible. */
async function askInstead<T>(
  { reach }: Context,
  error: unknown,
  byDaemon: ByDaemon<T> | undefined,
): Promise<T> {
  const isDenied = error instanceof IlmError && error.code === "NOT_PERMITTED";
  if (!isDenied) throw error;
  const daemon = await reach.accessDaemon();
  if (byDaemon === undefined) {
    if (daemon === null || !(await mayRead(daemon))) throw error;
    throw new IlmError(
      "NOT_PERMITTED",
      "this takes root: it is none of what readers and writers may ask the daemon",
      {
        cause: error,
        remedy: OVER_API,
      },
    );
  }
  if (daemon === null) {
    throw new IlmError("NOT_PERMITTED", error.message, {
      cause: error,
      remedy: `${(error.remedy ?? "").replace(/\.$/, "")}. Other users need a daemon that gives their group the right: \`ilm run --readers GROUP --writers GROUP\`.`,
    });
  }
  return await byDaemon(daemon, error);
}

/** What has a `byDaemon`. */
const OVER_API =
  "Run it as root. A reader (`ilm run --readers GROUP`) may use `ilm status`, `mappings`, `wait` and `metrics`; a writer also `add`, `remove`, `apply`, `reload`, `drain`, `undrain`, `confirm`, `off`, `on` and `unload`.";

/** Reports whether this user is one of the daemon's readers or writers. */
async function mayRead(daemon: DaemonAccess): Promise<boolean> {
  try {
    await daemon.state();
    return true;
  } catch (error) {
    if (error instanceof IlmError) return false;
    throw error;
  }
}

async function open({ reach }: Context): Promise<DataPlane> {
  beginStep("opening the data plane");
  return await reach.openDataPlane();
}

/**
 * Runs `read`, opens the data plane, and runs `work`. It is for commands that read a configuration
 * first, because errors in that say more than a data plane that cannot be opened. `read` may ask
 * for the kept text of the active rules, and gets null when the data plane cannot be opened;
 * opening it for `work` then throws why, unless the daemon can be asked: `byDaemon`.
 */
export async function withDataPlaneAfter<Read, T>(
  context: Context,
  read: (kept: () => Promise<KeptText | null>) => Promise<Read>,
  work: (dataPlane: DataPlane, read: Read) => T | Promise<T>,
  byDaemon?: (daemon: DaemonAccess, denied: IlmError, read: Read) => Promise<T>,
): Promise<T> {
  let dataPlane: DataPlane | undefined;
  try {
    const done = await read(async () => {
      try {
        dataPlane = await open(context);
        return dataPlane.keptText();
      } catch (error) {
        if (error instanceof IlmError) return null;
        throw error;
      }
    });
    try {
      dataPlane ??= await open(context);
    } catch (error) {
      const ask: ByDaemon<T> | undefined =
        byDaemon && ((daemon, denied) => byDaemon(daemon, denied, done));
      return await askInstead(context, error, ask);
    }
    return await work(dataPlane, done);
  } finally {
    dataPlane?.close();
  }
}

/** Reads the active rules; they are empty when nothing is loaded. */
export function readActive(dataPlane: DataPlane): Rules {
  return readRules(dataPlane.active()?.rules ?? noActiveRules);
}

/** Returns the active rules. Throws NOT_LOADED when there are none. */
export function needActive(dataPlane: DataPlane): Active {
  const active = dataPlane.active();
  if (active !== null) return active;
  throw new IlmError(
    "NOT_LOADED",
    `nothing is loaded for this network namespace (${dataPlane.netnsInode})`,
    { remedy: "Load rules with `ilm apply -f FILE` or `ilm run -f FILE`." },
  );
}
