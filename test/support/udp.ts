/** Either end of UDP, step by step; see python/udp.py. */
import type { Endpoint } from "./dialler.js";
import type { Family } from "./matrix.js";
import type { Namespace } from "./namespace.js";
import { type Background, must } from "./process.js";

export type SocketOption =
  | "reuseport"
  | "reuseaddr"
  | "pktinfo"
  | "origdst"
  | "recverr"
  | "df"
  | "v6only"
  | "gro"
  | "dualstack";

export interface OpenOptions {
  readonly bind?: readonly [string, number];
  readonly connect?: readonly [string, number];
  readonly options?: readonly SocketOption[];
}

export interface SendOptions {
  /** UDP_SEGMENT, in bytes. */
  readonly segment?: number;
  /** The source address, by IP_PKTINFO. */
  readonly from?: string;
}

export interface Received {
  readonly size: number;
  /** Its bytes are those that were sent. */
  readonly whole: boolean;
  readonly from: Endpoint;
  readonly packetInfo: string | null;
  readonly original: Endpoint | null;
}

export interface Failure {
  readonly errno: string;
  readonly type: number;
  readonly code: number;
  /** The path MTU in bytes, when it is about that. */
  readonly info: number;
  readonly origin: number;
  readonly offender: string;
  readonly to: Endpoint;
}

/** A datagram on the wire, put together from its fragments. */
export interface Captured {
  /** The sources of all fragments. */
  readonly sources: readonly string[];
  readonly port: number;
  readonly to: Endpoint;
  readonly fragments: number;
  readonly size: number;
  /** `partial`: left to the device, and right so far. */
  readonly checksum: "valid" | "partial" | "wrong";
  /** The IPv4 headers' checksums are right. */
  readonly header: boolean;
}

export interface Refusal {
  readonly error: string;
}

/** Sockets in a namespace. What the kernel refuses is an answer: `{ error: "EINVAL" }`. */
export class UdpEnds {
  readonly #process: Background;
  #last: Promise<unknown> = Promise.resolve();
  #read = 0;
  #sockets = 0;

  constructor(namespace: Namespace) {
    this.#process = namespace.startPython("udp.py", []);
  }

  /** From now on on one CPU only. */
  async pin(cpu: number): Promise<void> {
    await must(["taskset", "-acp", String(cpu), String(this.#process.pid)]);
  }

  /** Gives the socket, which must not be refused. */
  async open(family: Family, options: OpenOptions = {}): Promise<UdpSocket> {
    this.#sockets += 1;
    const name = `socket ${this.#sockets}`;
    const local = await this.ask<Endpoint>({ do: "open", socket: name, family, ...options });
    return new UdpSocket(this, name, local);
  }

  async tryOpen(family: Family, options: OpenOptions): Promise<Endpoint | Refusal> {
    this.#sockets += 1;
    const socket = `socket ${this.#sockets}`;
    return await this.askAny<Endpoint>({ do: "open", socket, family, ...options });
  }

  async capture(device: string): Promise<void> {
    await this.ask({ do: "capture", device });
  }

  /** What was seen since, from or to that port. */
  async captured(port: number): Promise<readonly Captured[]> {
    return await this.ask({ do: "captured", port });
  }

  /** Datagrams from spoofed sources of `network`.0.0.0/8; how many. */
  async flood(
    to: readonly [string, number],
    count: number,
    network: number,
    timeout_s: number,
  ): Promise<number> {
    const { sent } = await this.ask<{ sent: number }>(
      { do: "flood", to, count, network, timeout_s },
      timeout_s * 1000 + 15_000,
    );
    return sent;
  }

  async ask<Answer>(request: object, timeout_ms?: number): Promise<Answer> {
    const answer = await this.askAny<Answer>(request, timeout_ms);
    if (isRefusal(answer)) throw new Error(`${JSON.stringify(request)}: ${answer.error}`);
    return answer;
  }

  async askAny<Answer>(request: object, timeout_ms?: number): Promise<Answer | Refusal> {
    // One at a time: the answers come in the order of the requests.
    const answer = this.#last.then(async () => {
      this.#process.write(`${JSON.stringify(request)}\n`);
      const end = await this.#process.waitFor((self) => {
        const position = self.stdout.indexOf("\n", this.#read);
        return position === -1 ? null : position;
      }, timeout_ms);
      const line = this.#process.stdout.slice(this.#read, end);
      this.#read = end + 1;
      return JSON.parse(line) as Answer | Refusal;
    });
    this.#last = answer.catch(() => undefined);
    return await answer;
  }

  async closeAll(): Promise<void> {
    await this.ask({ do: "close_all" });
  }

  async stop(): Promise<void> {
    await this.#process.stop();
  }
}

function isRefusal(answer: unknown): answer is Refusal {
  return typeof answer === "object" && answer !== null && "error" in answer;
}

export class UdpSocket {
  readonly #ends: UdpEnds;
  readonly #name: string;
  readonly local: Endpoint;

  constructor(ends: UdpEnds, name: string, local: Endpoint) {
    this.#ends = ends;
    this.#name = name;
    this.local = local;
  }

  /**
   * One datagram, or several of those sizes in one sendmmsg(). `to`: null on a connected socket.
   */
  async send(
    to: readonly [string, number] | Endpoint | null,
    sizes: number | readonly number[] = 100,
    options: SendOptions = {},
  ): Promise<{ readonly sent: number } | Refusal> {
    const target = to !== null && "address" in to ? [to.address, to.port] : to;
    return await this.#ends.askAny({
      do: "send",
      socket: this.#name,
      to: target,
      sizes: typeof sizes === "number" ? [sizes] : sizes,
      ...options,
    });
  }

  /** The next datagram, which must come. */
  async receive(timeout_s = 30): Promise<Received> {
    return await this.#ends.ask({ do: "receive", socket: this.#name, timeout_s });
  }

  async tryReceive(timeout_s = 0.3): Promise<Received | Refusal> {
    return await this.#ends.askAny({ do: "receive", socket: this.#name, timeout_s });
  }

  /** Reads all that waits; how many datagrams. */
  async drain(): Promise<number> {
    const { drained } = await this.#ends.ask<{ drained: number }>({
      do: "drain",
      socket: this.#name,
    });
    return drained;
  }

  /** The next error of its error queue. */
  async failure(timeout_s = 30): Promise<Failure> {
    return await this.#ends.ask({ do: "failure", socket: this.#name, timeout_s });
  }

  async connect(to: Endpoint): Promise<Endpoint | Refusal> {
    return await this.#ends.askAny({
      do: "connect",
      socket: this.#name,
      to: [to.address, to.port],
    });
  }

  async close(): Promise<void> {
    await this.#ends.ask({ do: "close", socket: this.#name });
  }
}
