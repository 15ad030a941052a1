/**
 * Shows on one line of the terminal what long work is doing. Short work is over before the line
 * would appear.
 */
import { isatty } from "node:tty";
import { watchProgress } from "../../progress.js";
import { printable } from "../../words/text.js";

const SHOW_AFTER_MS = 700;
const EVERY_MS = 100;

/** Moves the cursor to the first column and erases everything behind it (ECMA-48, EL). */
const ERASE = "\r\u001B[K";

let began = 0;
let toldAt = -Infinity;
let shownAt = 0;
let text = "";

/** Starts showing progress. Does nothing when standard error is no terminal. */
export function showProgress(): void {
  const { stderr, env } = process;
  if (!isatty(stderr.fd) || env["TERM"] === "dumb") return;
  watchProgress((step, share) => {
    const now = performance.now();
    // A daemon pauses between its pieces of work.
    if (now - toldAt > SHOW_AFTER_MS) began = now;
    toldAt = now;
    if (now - began < SHOW_AFTER_MS || (share !== null && now - shownAt < EVERY_MS)) return;
    shownAt = now;
    // The share comes first, so that a long name does not push it out of sight.
    const line = share === null ? step : `${String(Math.floor(share * 100)).padStart(3)} % ${step}`;
    // The number of columns is 0 for a terminal that does not report it.
    text = printable(line).slice(0, (stderr.columns || 80) - 1);
    stderr.write(`${ERASE}${text}`);
  });
}

/** Erases the line of progress. Call it before anything else is written, and at the end. */
export function clearProgress(): void {
  if (text === "") return;
  text = "";
  process.stderr.write(ERASE);
}
