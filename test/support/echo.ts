/** Daemons that answer with their tag; see python/echo.py. */
import type { Protocol } from "./matrix.js";
import type { Background } from "./process.js";

export interface EchoOptions {
  readonly v6only?: boolean;
  readonly reuseport?: boolean;
}

/** A process that listens and answers. */
export interface Echo {
  readonly process: Background;
  readonly pid: number;
  /** Socket cookies, decimal, in the order of what was asked for. */
  readonly cookies: readonly string[];
  /** Ends it at once. */
  stop(): Promise<void>;
  /** Lets it answer what has come already, and end. */
  drain(): Promise<void>;
}

/** Where to listen: protocol, address, port. */
export type Listen = readonly [Protocol, string, number];
