// Goal: while a change waits for its confirmation, whoever owns an address by either rules may
// listen there, and nobody else.
import { expect, test } from "vitest";
import type { Owner, Service } from "../../../src/model/mapping.js";
import { ownersOfEither, permitKey } from "../../../src/rules/permits.js";
import { address } from "../daemon/fixtures.js";

const origin = { file: "rules.yaml", line: 1, column: 1 };

function service(name: string, at: string, owner?: Owner): Service {
  return { name, addresses: [address(at)], origin, ...(owner !== undefined && { owner }) };
}

function ofEither(services: readonly Service[], others: readonly Service[]): object {
  const owners = ownersOfEither(services, others);
  return Object.fromEntries(
    owners.map(([at, permit]) => [at, permit === null ? "anyone" : permitKey(permit)]),
  );
}

test("an address of both has the owners of both, and one of either its own", () => {
  const before = [
    service("web", "127.0.1.1", { user: "old" }),
    service("dns", "127.0.1.2", { unit: "dns.service" }),
    service("ssh", "127.0.1.3", { user: "root" }),
  ];
  const after = [
    service("web", "127.0.1.1", { user: "new" }),
    service("names", "127.0.1.2", { unit: "dns.service" }),
    service("mail", "127.0.1.4", { group: "mail" }),
  ];
  expect(ofEither(after, before)).toEqual({
    "127.0.1.1": '[null,"new",null] [null,"old",null]',
    "127.0.1.2": '["dns.service",null,null]',
    "127.0.1.3": '[null,"root",null]',
    "127.0.1.4": '[null,null,"mail"]',
  });
});

test("an address to which either gives no owner is anyone's", () => {
  const owned = service("web", "127.0.1.1", { user: "web" });
  const free = service("web", "127.0.1.1");
  expect(ofEither([free], [owned])).toEqual({ "127.0.1.1": "anyone" });
  expect(ofEither([owned], [free])).toEqual({ "127.0.1.1": "anyone" });
});
