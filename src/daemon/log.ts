/** Log lines on standard error: plain for people and the journal, or one JSON object per line. */
import type { LogJson } from "../json/run.js";
import { published } from "../json/published.js";
import { printable, printableJson } from "../printable.js";

export type Level = LogJson["level"];

/** What an entry has for machines alone. */
type Details = Omit<LogJson, "time" | "level" | "message">;

export interface Logger {
  log(level: Level, message: string, details?: Details): void;
}

export interface LoggerOptions {
  readonly json: boolean;
  readonly write: (line: string) => void;
  readonly now?: () => Date;
  /** Reports whether so much is still unread that lines have to be dropped. */
  readonly isFull?: () => boolean;
}

export function createLogger({
  json,
  write,
  now = () => new Date(),
  isFull = () => false,
}: LoggerOptions): Logger {
  let leftOut = 0;

  function put(level: Level, message: string, details: Details): void {
    if (json) {
      const time = now().toISOString();
      const entry = published<LogJson>()({ time, level, message, ...details });
      write(`${printableJson(JSON.stringify(entry))}\n`);
      return;
    }
    // One entry is one line, whatever a file name or process name contains.
    const line = printable(message.replace(/\s*\n\s*/g, " "));
    write(`${level.padEnd(7)} ${line}\n`);
  }

  return {
    log(level, message, details = {}) {
      if (isFull()) {
        leftOut += 1;
        return;
      }
      if (leftOut > 0) {
        put("warning", `the log was not read: ${leftOut} entries were dropped`, {});
        leftOut = 0;
      }
      put(level, message, details);
    },
  };
}
