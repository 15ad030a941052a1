/** The client's namespace: dials, and says who answered. */
import { endpoint, type Protocol } from "./matrix.js";
import { Namespace } from "./namespace.js";
import type { Background } from "./process.js";

export interface Endpoint {
  readonly address: string;
  readonly port: number;
}

export type Dial =
  | {
      readonly answered: true;
      /** The daemon that answered. */
      readonly tag: string;
      /** The client, as the daemon sees it. */
      readonly peer: Endpoint;
      /** What getsockname() says in the daemon. */
      readonly local: Endpoint;
      /** The client's own end. */
      readonly client: Endpoint;
      /** Where the answer came from, as the client sees it. */
      readonly repliedFrom: Endpoint;
    }
  | { readonly answered: false; readonly errno: string };

export interface DialOptions {
  /** False: an unconnected UDP socket, which takes an answer from anybody and sees no refusal. */
  readonly connected?: boolean;
  readonly from?: readonly [string, number];
  readonly timeout_s?: number;
}

/** What the kernel answers when nothing listens there. */
export const refused: Dial = { answered: false, errno: "ECONNREFUSED" };

export class Load {
  readonly #process: Background;

  constructor(process: Background) {
    this.#process = process;
  }

  /** Ends the load; how many dials each daemon answered, and what failed. */
  async stop(): Promise<{ answered: Record<string, number>; failed: Record<string, number> }> {
    this.#process.closeInput();
    const result = await this.#process.exited;
    const [, summary] = result.stdout.trim().split("\n");
    if (summary === undefined) {
      throw new Error(`the load printed no summary\n${result.stdout}${result.stderr}`);
    }
    return JSON.parse(summary) as { answered: Record<string, number>; failed: Record<string, number> };
  }
}

/** A dialler that stays in a namespace: a dial costs a millisecond, not a process. */
export class Dialler {
  readonly #namespace: Namespace;
  #process: Background | null = null;
  #last: Promise<unknown> = Promise.resolve();
  #read = 0;

  constructor(namespace: Namespace) {
    this.#namespace = namespace;
  }

  async dial(protocol: Protocol, address: string, port: number, options: DialOptions = {}): Promise<Dial> {
    const request = {
      protocol,
      address,
      port,
      from: options.from ?? null,
      connected: options.connected ?? true,
      timeout_s: options.timeout_s ?? 3,
    };
    // One at a time: the answers come in the order of the requests.
    const answer = this.#last.then(async () => {
      const process = this.#running();
      process.write(`${JSON.stringify(request)}\n`);
      const end = await process.waitFor((self) => {
        const position = self.stdout.indexOf("\n", this.#read);
        return position === -1 ? null : position;
      });
      const line = process.stdout.slice(this.#read, end);
      this.#read = end + 1;
      return JSON.parse(line) as Dial;
    });
    this.#last = answer.catch(() => undefined);
    return await answer;
  }

  #running(): Background {
    if (this.#process?.running !== true) {
      this.#process = this.#namespace.startPython("dial.py", []);
      this.#read = 0;
    }
    return this.#process;
  }
}

export class Client extends Namespace {
  readonly #dialler = new Dialler(this);

  static async make(): Promise<Client> {
    return new Client(await Namespace.add("client"));
  }

  async dial(protocol: Protocol, address: string, port: number, options?: DialOptions): Promise<Dial> {
    return await this.#dialler.dial(protocol, address, port, options);
  }

  /** The tag of the daemon that answered, or the errno: for tables. */
  async who(protocol: Protocol, address: string, port: number, options?: DialOptions): Promise<string> {
    const result = await this.dial(protocol, address, port, options);
    return result.answered ? result.tag : result.errno;
  }

  /** Dials one connection after the other until stopped. */
  async load(protocol: Protocol, address: string, port: number): Promise<Load> {
    const process = this.startPython("load.py", [protocol, address, String(port)]);
    await process.waitForOutput(/dialling/);
    return new Load(process);
  }

  async curl(address: string, port: number, ...options: readonly string[]): Promise<string> {
    return await this.must(["curl", "-sS", "--max-time", "5", ...options, `http://${endpoint(address, port)}/`]);
  }
}
