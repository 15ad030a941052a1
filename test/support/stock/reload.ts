/** Daemons that say when they have read their configuration again. */
import type { Background } from "../process.js";

/** How often a text has been logged. */
export function times(log: string, text: string): number {
  return log.split(text).length - 1;
}

/** Sends a signal, and waits until the daemon has said that text on standard error once more. */
export async function signalUntil(
  process: Background,
  signal: NodeJS.Signals,
  text: string,
): Promise<void> {
  const before = times(process.stderr, text);
  process.signal(signal);
  await process.waitFor(({ stderr }) => (times(stderr, text) > before ? true : null));
}
