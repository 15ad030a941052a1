/**
 * One line on the terminal that says what long work is at; short work is over before it would show.
 */
import { isatty } from "node:tty";
import { watchProgress } from "../../progress.js";
import { printable } from "../../words/text.js";

const SHOW_AFTER_MS = 700;
const EVERY_MS = 100;

/** The cursor to the first column, and everything behind it erased (ECMA-48, EL). */
const ERASE = "\r\u001B[K";

let began = 0;
let toldAt = -Infinity;
let shownAt = 0;
let text = "";

/** Does nothing where standard error is no terminal. */
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
    // In front, so that a long name does not push it out of sight.
    const line = share === null ? step : `${String(Math.floor(share * 100)).padStart(3)} % ${step}`;
    // 0: a terminal that does not say.
    text = printable(line).slice(0, (stderr.columns || 80) - 1);
    stderr.write(`${ERASE}${text}`);
  });
}

/** Before anything else is written, and at the end. */
export function clearProgress(): void {
  if (text === "") return;
  text = "";
  process.stderr.write(ERASE);
}
