/** What `ilm explain --json` prints. */
import { ended, endpoint, holder, neverSince, obstacle, protocol } from "./common.js";
import { boolean, field, integer, list, nullable, object, oneOf, text, type Of } from "./shape.js";

export const verdict = oneOf("unmanaged", "existing", "selected", "missed", "rejected");

export const matchedBy = oneOf("none", "owned", "default", "exact", "prefix");

export const explanation = object({
  verdict: field(
    oneOf("unmanaged", "existing", "selected", "missed", "rejected", "blocked"),
    "What becomes of the packet: `decision`, or `blocked` when something is surely in the way.",
  ),
  decision: field(
    verdict,
    "What ilm decides when it is asked. `unmanaged`: no mapping covers the packet. `existing`: a socket on the dialled address keeps it. `selected`: a destination gets it. `missed`: no destination listens. `rejected`: no destination listens, and the mapping has `miss: reject`; or it has `to: none`.",
  ),
  obstacles: field(list(obstacle), "What keeps the packet from the decision, or may."),
  mapping: field(
    nullable(text),
    "The name of the mapping that decides; null when no mapping covers the packet.",
  ),
  matchedBy: field(
    matchedBy,
    "How the mapping was found: by an `exact` address, a `prefix`, or as one for any address (`default`). `owned`: the address is a service's own. `none`: there is no mapping.",
  ),
  destination: field(nullable(endpoint), "The destination that was selected; null when none was."),
  listener: field(
    nullable(
      object({
        pid: holder.pid,
        cookie: field(text, "The cookie of its socket, a decimal number of 64 bits."),
        command: holder.command,
        user: holder.user,
        unit: holder.unit,
        address: field(
          nullable(text),
          "The address that it is bound to; null when the socket is gone by now.",
        ),
        port: field(
          nullable(integer),
          "The port that it is bound to; null when the socket is gone by now.",
        ),
      }),
    ),
    "The socket that gets the packet, by a mapping or without ilm; null when none does.",
  ),
  packet: field(
    object({
      protocol: field(protocol, "As it was asked for."),
      local: field(text, "The address dialled."),
      localPort: field(integer, "The port dialled."),
      remote: field(text, "The address of the client."),
      remotePort: field(integer, "The port of the client."),
      interfaceIndex: field(
        integer,
        "The index of the interface that the packet comes in on; 0 when it is unknown.",
      ),
    }),
    "The packet that was asked about.",
  ),
  attempts: field(
    list(
      object({
        ...endpoint.fields,
        outcome: field(
          oneOf("selected", "absent", "wrong-family", "failed", "unreached", "drained"),
          "What became of it. `absent`: no socket listens there. `wrong-family`: it is IPv4 and the packet IPv6, or the other way round. `failed`: the kernel refused the socket. `unreached`: only ingress could hand over to it, and cannot. `drained`: it gets nobody new, because its weight is 0 or `ilm drain` names it.",
        ),
        ended: field(
          nullable(ended),
          "The end of the last listener there, where none is; null when there is one, or none was seen.",
        ),
        neverSince,
      }),
    ),
    "The destinations that were tried, in order.",
  ),
  generation: field(integer, "The number of the rules that decided."),
  strangers: field(
    list(
      object({
        ...holder,
        cookie: field(text, "The cookie of its socket, a decimal number of 64 bits."),
        address: field(text, "The address that it is bound to."),
        port: field(integer, "The port that it is bound to."),
        at: field(
          oneOf("dialled", "destination"),
          "`dialled`: it listens on what was dialled. `destination`: it listens at a destination of the mapping.",
        ),
        permitted: field(text, "Whom the rules permit there, in words."),
      }),
    ),
    "The sockets that listen where the packet goes and get nothing, as the rules do not permit them there.",
  ),
  expected: field(nullable(text), "What `--expect` says; null without it."),
  asExpected: field(
    nullable(boolean),
    "True when the answer is as expected; null without `--expect`.",
  ),
  steps: field(list(text), "The whole of it in words."),
});

export type ExplainJson = Of<typeof explanation>;
