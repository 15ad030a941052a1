/**
 * Keeps the API reachable when the socket is removed or /run is emptied, or when the host runs
 * short of something as the socket is created. Otherwise the daemon could not be reached any more,
 * and no other process could write, as it holds the lock.
 */
import { nodeErrno, unavailable } from "../errors.js";
import { errorBody } from "../api/error-body.js";
import type { Logger } from "./log.js";
import { mayPass, pauseAfter } from "./passing.js";
import type { ApiServer } from "./server.js";
import { socketIdentity } from "../api/socket-path.js";

const LOOK_MS = 2_000;

export interface KeepApiOptions {
  readonly path: string;
  readonly serve: () => Promise<ApiServer>;
  readonly log: Logger;
  /**
   * Called before each check, to keep the lock. An error it throws is logged and ends the check.
   */
  readonly prepare?: () => void;
  /**
   * Settles when all requests over the old socket are answered. Called before the socket is
   * recreated.
   */
  readonly settled: () => Promise<void>;
  readonly lookMs?: number;
}

/** Returns the error, or, if it was caused by a shortage of the host, that. */
function shortOf(error: unknown, path: string): unknown {
  const cause = error instanceof Error ? error.cause : undefined;
  return unavailable(`${path} cannot be made`, nodeErrno(cause) ?? "", error) ?? error;
}

/**
 * Serves the API and keeps it reachable. Throws what `serve` throws at the first attempt, unless it
 * may pass.
 */
export async function keepApi(options: KeepApiOptions): Promise<ApiServer> {
  const { path, serve, log, prepare, settled, lookMs = LOOK_MS } = options;
  let server: ApiServer | null = null;
  let identity: string | null = null;
  let failures = 0;
  let notBefore = 0;
  let complaint = "";
  let looking: Promise<void> | null = null;

  async function open(): Promise<void> {
    server = await serve();
    identity = socketIdentity(path);
    settle();
  }

  function settle(): void {
    failures = 0;
    complaint = "";
  }

  function complain(error: unknown, missing: string): void {
    failures += 1;
    notBefore = performance.now() + pauseAfter(failures);
    const { code, message, remedy } = errorBody(shortOf(error, path));
    if (message === complaint) return;
    complaint = message;
    const then = "The rules stay active, and ilm tries again.";
    log.log("error", `no ${missing}: ${message} - ${remedy === null ? "" : `${remedy} `}${then}`, {
      code,
    });
  }

  async function look(): Promise<void> {
    if (performance.now() < notBefore) return;
    try {
      prepare?.();
    } catch (error) {
      complain(error, "lock");
      return;
    }
    try {
      if (server !== null && socketIdentity(path) === identity) {
        settle();
        return;
      }
      if (server !== null) {
        log.log("warning", `${path} is gone: recreating it`);
        await settled();
        // Close first, as node then removes the name that it created.
        await server.close();
        server = null;
      }
      await open();
      log.log("info", `the API is served on ${path} again`);
    } catch (error) {
      complain(error, "API");
    }
  }

  try {
    prepare?.();
    await open();
  } catch (error) {
    if (!mayPass(error)) throw error;
    complain(error, "API");
  }
  const clock = setInterval(() => {
    looking ??= look().finally(() => {
      looking = null;
    });
  }, lookMs);
  return {
    async close() {
      clearInterval(clock);
      await looking;
      await server?.close();
    },
  };
}
