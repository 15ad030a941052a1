/** Connections and UDP clients that go on for as long as a test; see python/talk.py. */
import type { Namespace } from "./namespace.js";
import type { Background } from "./process.js";

/** Conversations with port 6001 of some addresses, each over TCP and UDP. */
export class Talks {
  readonly #clients: readonly Background[];
  #said = 0;

  private constructor(clients: readonly Background[]) {
    this.#clients = clients;
  }

  static async start(client: Namespace, addresses: readonly string[]): Promise<Talks> {
    const clients = addresses.map((address) =>
      client.startPython("talk.py", ["dial", address, "6001"]),
    );
    await Promise.all(clients.map(async (one) => await one.waitForOutput(/ready/)));
    return new Talks(clients);
  }

  /** Says something in each. Throws when it does not come back. */
  async goOn(): Promise<void> {
    this.#said += 1;
    const line = `line${this.#said}`;
    for (const one of this.#clients) {
      one.write(`${line}\n`);
      await one.waitForOutput(new RegExp(`^${line} tcp=.* udp=.*$`, "m"));
      if (!one.stdout.includes(`${line} tcp=ok udp=ok`)) {
        throw new Error(`a conversation broke off: ${one.command}\n${one.stdout}`);
      }
    }
  }
}
