/** What `ilm audit --json` prints. */
import { auditKinds } from "../model/audit.js";
import { refusalReasons } from "../model/refusal.js";
import { holder, protocol } from "./common.js";
import { boolean, field, integer, list, nullable, object, oneOf, text, type Of } from "./shape.js";

export const findings = list(
  object({
    kind: field(
      oneOf(...auditKinds),
      "`wildcard`: it listens on every address. `foreign-address`: it listens on an address of a service, and is not its owner, or no mapping leads there. `mapped-port`: it listens on a dialled address, where the mapping does not permit it. `service-unserved`: nobody who may listens for a service. `mapping-unserved`: nobody who may listens at any destination of a mapping. `destination-elsewhere`: a mapping leads to an address that this host does not have. `address-missing`: an address of a service is on no interface that is up. `privilege`: a privilege for low ports that is not needed any more. `refused`: a bind or packets that were refused within a day. `reported`: a bind to every address that was reported within a day, of a socket that is gone.",
    ),
    protocol: field(
      nullable(protocol),
      "The protocol of the socket, or of what was refused; null when it is about neither.",
    ),
    address: field(
      nullable(text),
      "The address that it is bound to, or that was refused; null when it is about neither.",
    ),
    port: field(nullable(integer), "1 to 65535; null as `address` is."),
    ...holder,
    service: field(
      nullable(text),
      "The service that it is about, such as whose address it is; otherwise null.",
    ),
    mapping: field(
      nullable(text),
      "The mapping that it is about, the first of several; otherwise null.",
    ),
    policy: field(
      nullable(oneOf("allow", "report", "deny", "rewrite", "refuse")),
      "For `wildcard`, what happens to such a bind now: allow, report, deny or rewrite. For `mapped-port`, what happens to strangers: report or refuse. Otherwise null.",
    ),
    policyBy: field(
      nullable(oneOf("service", "unit", "user", "default")),
      "For `wildcard`, what of the configuration gives the policy; otherwise null.",
    ),
    denied: field(
      nullable(boolean),
      "For `wildcard`: true when `deny` would refuse such a bind. For `foreign-address` and `mapped-port`: true when the socket gets nothing; a stranger on an address of a service still gets what is dialled there on a port that no mapping has. Otherwise null.",
    ),
    reason: field(
      nullable(oneOf(...refusalReasons)),
      "For `refused` and `reported`, why. `address`: a bind to a service's address. `mapped`: a bind to a dialled address on a mapped port. `wildcard`: a bind to every address. `reported`: the same, which was allowed. `lookup`: packets for a stranger. Otherwise null.",
    ),
    count: field(nullable(integer), "For `refused` and `reported`, how often; otherwise null."),
    lastAt: field(
      nullable(text),
      "For `refused` and `reported`, when it was last: ISO 8601, UTC; otherwise null.",
    ),
    message: field(text, "What was found, in words."),
    remedy: field(text, "What to do about it."),
  }),
);

export type AuditJson = Of<typeof findings>;
