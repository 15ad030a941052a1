/** What `ilm audit --json` prints. */
import { holder, protocol } from "./common.js";
import { field, integer, list, nullable, object, oneOf, text, type Of } from "./shape.js";

export const findings = list(
  object({
    kind: field(
      oneOf("wildcard", "foreign-address"),
      "`wildcard`: it listens on every address. `foreign-address`: it listens on an address of a service, where no mapping leads.",
    ),
    protocol: field(protocol, "The protocol of the socket."),
    address: field(text, "The address that it is bound to."),
    port: field(integer, "1 to 65535."),
    ...holder,
    service: field(nullable(text), "Whose address it is, for `foreign-address`; otherwise null."),
    message: field(text, "What was found, in words."),
    remedy: field(text, "What to do about it."),
  }),
);

export type AuditJson = Of<typeof findings>;
