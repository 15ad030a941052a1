/** What `ilm demo --json` prints. */
import { protocol } from "./common.js";
import {
  boolean,
  either,
  field,
  integer,
  list,
  nullable,
  object,
  oneOf,
  text,
  type Of,
} from "./shape.js";

const answer = object({
  daemon: field(text, "The name of the daemon that answered."),
  pid: field(integer, "Its process."),
  client: field(text, "The address and port of the client, as the daemon sees it."),
  dialled: field(
    nullable(text),
    "The address and port that were dialled, as the daemon sees them; null for UDP.",
  ),
});

export const demo = object({
  ok: field(boolean, "True when there is no problem."),
  dials: field(
    list(
      object({
        protocol: field(protocol, "The protocol of the connection."),
        dialled: field(text, "The address and port that the client dialled."),
        expected: field(text, 'The daemon that should answer, or `"refused"`.'),
        why: field(text, "Why that is expected."),
        result: field(
          either(
            object({
              outcome: field(oneOf("answered"), "A daemon answered."),
              answer: field(answer, "What the daemon said."),
              from: field(text, "The address and port that the answer came from."),
            }),
            object({ outcome: field(oneOf("refused"), "The connection was refused.") }),
            object({
              outcome: field(oneOf("failed"), "There was no answer, or none that was understood."),
              reason: field(text, "Why, in words."),
            }),
          ),
          "What came of it.",
        ),
        problem: field(nullable(text), "What is not as expected; null when all is."),
      }),
    ),
    "All connections that the client made, in their order.",
  ),
  servers: field(
    list(
      object({
        name: field(text, "The service that it serves."),
        pid: field(integer, "Its process."),
        uid: field(integer, "The user that runs it, without privileges."),
        program: field(text, "What it is, with its version."),
        asked: field(text, "How it was told to listen, in its own words."),
        told: field(
          nullable(text),
          "What it takes for the address of its socket; null if it does not tell.",
        ),
      }),
    ),
    "The servers that listen on every address, and share a port.",
  ),
  problems: field(list(text), "All that is not as it should be, in words."),
});

export type DemoJson = Of<typeof demo>;
