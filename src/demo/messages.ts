/** The messages between the demo and its child processes, as JSON over node's IPC channel. */

/**
 * The message that a daemon sends once, when every socket it was asked for is bound, or when one
 * could not be.
 */
export type DaemonMessage =
  | {
      readonly kind: "listening";
      /** The getsockname() of each of its sockets, as `address:port`. */
      readonly at: readonly string[];
    }
  | { readonly kind: "failed"; readonly message: string };

export interface DialRequest {
  /** Identifies the request; the reply carries the same number. */
  readonly id: number;
  readonly protocol: "tcp" | "udp";
  readonly address: string;
  readonly port: number;
}

export type DialResult =
  | {
      readonly outcome: "answered";
      /** What the daemon said about the connection. */
      readonly answer: Answer;
      /** The endpoint that the answer came from, as `address:port`. */
      readonly from: string;
    }
  | { readonly outcome: "refused" }
  | { readonly outcome: "failed"; readonly reason: string };

export interface DialReply {
  readonly id: number;
  readonly result: DialResult;
}

/** One connection as its daemon sees it. */
export interface Answer {
  readonly daemon: string;
  readonly pid: number;
  /** The peer's address and port, from the accepted socket or the datagram. */
  readonly client: string;
  /** The getsockname() of the accepted socket; null for UDP, where one socket serves all. */
  readonly dialled: string | null;
}

/** Formats an endpoint as `[2001:db8::1]:53` or `203.0.113.1:53`. */
export function endpoint(address: string, port: number): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

export function isDaemonMessage(value: unknown): value is DaemonMessage {
  if (!isRecord(value)) return false;
  return (
    (value["kind"] === "listening" &&
      Array.isArray(value["at"]) &&
      value["at"].every((at) => typeof at === "string")) ||
    (value["kind"] === "failed" && typeof value["message"] === "string")
  );
}

export function isDialRequest(value: unknown): value is DialRequest {
  return (
    isRecord(value) &&
    typeof value["id"] === "number" &&
    (value["protocol"] === "tcp" || value["protocol"] === "udp") &&
    typeof value["address"] === "string" &&
    typeof value["port"] === "number"
  );
}

export function isDialReply(value: unknown): value is DialReply {
  return (
    isRecord(value) &&
    typeof value["id"] === "number" &&
    isRecord(value["result"]) &&
    typeof value["result"]["outcome"] === "string"
  );
}

export function isAnswer(value: unknown): value is Answer {
  return (
    isRecord(value) &&
    typeof value["daemon"] === "string" &&
    typeof value["pid"] === "number" &&
    typeof value["client"] === "string" &&
    (value["dialled"] === null || typeof value["dialled"] === "string")
  );
}
