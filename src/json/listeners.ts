/** What `ilm listeners --json` prints. */
import { holder, protocol, queue } from "./common.js";
import { boolean, field, integer, list, nullable, object, oneOf, text, type Of } from "./shape.js";

export const listeners = list(
  object({
    protocol: field(protocol, "MPTCP is `tcp` here: see `kind`."),
    address: field(text, "The address that it is bound to; 0.0.0.0 or :: for a wildcard listener."),
    port: field(integer, "1 to 65535."),
    ...holder,
    cgroup: field(
      nullable(text),
      "The cgroup (v2) that the socket was created in, such as `/system.slice/nginx.service`; that of the process when it is gone; null when the process is unknown.",
    ),
    mappings: field(list(text), "The names of the mappings that lead to it."),
    wildcard: field(boolean, "True when it listens on every address."),
    kind: field(oneOf("tcp", "mptcp", "udp"), "The kind of the socket."),
    state: field(
      oneOf("listening", "bound"),
      "`listening` for TCP; `bound` for UDP, with no client connected.",
    ),
    handover: field(
      oneOf("sockmap", "kfunc", "ingress", "none"),
      "How it gets what a mapping brings; `none` when no mapping leads to it, or this host cannot.",
    ),
    groupSize: field(integer, "How many sockets its SO_REUSEPORT group has; 0 when it is in none."),
    groupProgram: field(
      boolean,
      "True when a program of the group's owner selects the member (SO_ATTACH_REUSEPORT_EBPF).",
    ),
    family: field(
      oneOf(4, 6),
      "The family of the socket; an IPv6 socket may be bound to an IPv4 address.",
    ),
    v6only: field(boolean, "True when the socket takes no IPv4 (IPV6_V6ONLY)."),
    reuseport: field(boolean, "True when the socket has SO_REUSEPORT."),
    device: field(
      integer,
      "The index of the interface that it is bound to (SO_BINDTODEVICE); 0 when it is bound to none.",
    ),
    deviceName: field(
      text,
      "The name of that interface; empty when it is bound to none, `?` when the interface is gone.",
    ),
    since: field(
      nullable(text),
      "Since when somebody has listened there without a gap, as far as ilm has seen: ISO 8601, UTC; null where no mapping leads.",
    ),
    queue: field(queue, "What waits for the daemon."),
    cookie: field(text, "The cookie of the socket, a decimal number of 64 bits."),
    uid: field(integer, "The id of the user that made the socket."),
  }),
);

export type ListenersJson = Of<typeof listeners>;
