/** What `ilm audit` looks for. */

/** The kinds of findings, in the order in which they are shown. */
export const auditKinds = [
  "wildcard",
  "foreign-address",
  "mapped-port",
  "service-unserved",
  "mapping-unserved",
  "destination-elsewhere",
  "address-missing",
  "privilege",
  "refused",
  "reported",
] as const;

export type AuditKind = (typeof auditKinds)[number];
