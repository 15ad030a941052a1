/**
 * Requests and answers as lines of JSON with a process that is started when the first request
 * comes, and stays.
 */
import type { Background } from "./process.js";

export class Conversation {
  readonly #start: () => Background;
  #process: Background | null = null;
  #last: Promise<unknown> = Promise.resolve();

  constructor(start: () => Background) {
    this.#start = start;
  }

  /** The answers come in the order of the requests: each waits for the one before. */
  async ask(request: object, timeout_ms?: number): Promise<unknown> {
    const answer = this.#last.then(async () => {
      const process = this.#running();
      process.write(`${JSON.stringify(request)}\n`);
      // Nobody answers before he is asked, so the first line's end is the last character.
      await process.waitFor((self) => (self.stdout.endsWith("\n") ? true : null), timeout_ms);
      const line = process.stdout;
      // All answers of a file together can be long.
      process.stdout = "";
      return JSON.parse(line) as unknown;
    });
    this.#last = answer.catch(() => undefined);
    return await answer;
  }

  async stop(): Promise<void> {
    await this.#process?.stop();
    this.#process = null;
  }

  #running(): Background {
    if (this.#process?.running !== true) {
      this.#process = this.#start();
    }
    return this.#process;
  }
}
