/** Log lines on standard error: plain for people and the journal, or one JSON object a line. */

export type Level = "error" | "warning" | "info";

export interface Logger {
  log(level: Level, message: string, details?: Readonly<Record<string, unknown>>): void;
}

export interface LoggerOptions {
  readonly json: boolean;
  readonly write: (line: string) => void;
  readonly now?: () => Date;
}

export function createLogger({ json, write, now = () => new Date() }: LoggerOptions): Logger {
  return {
    log(level, message, details = {}) {
      if (json) {
        write(`${JSON.stringify({ time: now().toISOString(), level, message, ...details })}\n`);
        return;
      }
      // One entry is one line, whatever a file name or process name contains.
      const line = message.replace(/\p{Cc}+/gu, " ");
      write(`${level.padEnd(7)} ${line}\n`);
    },
  };
}
