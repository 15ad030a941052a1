/** Requests and answers as lines of JSON with a process that is started when the first request comes, and stays. */
import type { Background } from "./process.js";

export class Conversation {
  readonly #start: () => Background;
  #process: Background | null = null;
  #last: Promise<unknown> = Promise.resolve();
  #read = 0;

  constructor(start: () => Background) {
    this.#start = start;
  }

  /** The answers come in the order of the requests: each waits for the one before. */
  async ask(request: object, timeout_ms?: number): Promise<unknown> {
    const answer = this.#last.then(async () => {
      const process = this.#running();
      process.write(`${JSON.stringify(request)}\n`);
      const end = await process.waitFor((self) => {
        const position = self.stdout.indexOf("\n", this.#read);
        return position === -1 ? null : position;
      }, timeout_ms);
      const line = process.stdout.slice(this.#read, end);
      this.#read = end + 1;
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
      this.#read = 0;
    }
    return this.#process;
  }
}
