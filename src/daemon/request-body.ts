/** Reads the body of an API request within its limits. */
import type { IncomingMessage } from "node:http";
import { IlmError } from "../errors.js";
import { DecodeError } from "../api/decode.js";
import type { Share } from "./workload.js";

export class TooLarge extends IlmError {
  constructor(path: string, limit: number) {
    super("LIMIT", `the body of ${path} is larger than ${limit} bytes`, {
      remedy:
        path === "/v1/apply"
          ? "Join mappings into ranges of ports and prefixes, so that there are fewer."
          : "Put the mappings into a file, and run `ilm apply -f FILE`.",
    });
  }
}

export interface Allowed {
  readonly path: string;
  /** The maximum size in bytes. */
  readonly limit: number;
  readonly share: Share;
}

const nothing = Buffer.alloc(0);

/**
 * Reads the body into one buffer of the size that the client announces. Rejects with TooLarge, Busy
 * or DecodeError.
 */
export function readBody(
  request: IncomingMessage,
  { path, limit, share }: Allowed,
): Promise<Buffer> {
  const length = Number(request.headers["content-length"] ?? 0);
  return new Promise((resolve, reject) => {
    if (length > limit) throw new TooLarge(path, limit);
    // Memory is used only when written to, so a false length costs nothing.
    let body: Buffer = Buffer.allocUnsafeSlow(length);
    let size = 0;
    request.on("data", (part: Buffer) => {
      if (size + part.length > limit) return fail(new TooLarge(path, limit));
      try {
        share.take(part.length);
      } catch (error) {
        return fail(error);
      }
      if (size + part.length > body.length) body = grown(body, size, part.length);
      body.set(part, size);
      size += part.length;
    });
    request.on("end", () => {
      resolve(body.subarray(0, size));
      // The request lives until it is answered, and this function with it.
      body = nothing;
    });
    request.on("close", () => {
      reject(new DecodeError("", "ends before its time"));
    });
    function fail(error: unknown): void {
      request.removeAllListeners("data");
      body = nothing;
      reject(error);
    }
  });
}

function grown(body: Buffer, size: number, more: number): Buffer {
  const next = Buffer.allocUnsafeSlow(Math.max(2 * body.length, size + more));
  next.set(body.subarray(0, size));
  return next;
}

/** Parses the body. Throws DecodeError. */
export function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString("utf8")) as unknown;
  } catch (cause) {
    throw new DecodeError("", cause instanceof Error ? cause.message : "is not JSON");
  }
}
