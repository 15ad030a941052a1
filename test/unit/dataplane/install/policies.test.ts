// Goal: what is said about the same processes in several places is all heeded.
import { expect, test } from "vitest";
import {
  ILM_MPTCP_OFF,
  ILM_WILDCARD_ALLOW,
  ILM_WILDCARD_DENY,
  PolicyCode,
  policyKeyLayout,
  rewriteLayout,
} from "../../../../src/abi/generated.js";
import { decode } from "../../../../src/abi/layout.js";
import { policyEntries, rewriteEntries } from "../../../../src/dataplane/install/policies.js";
import type { Service } from "../../../../src/model/mapping.js";
import { addressBytes } from "../../../../src/model/address.js";
import { address } from "../../daemon/fixtures.js";

const service = (name: string, changes: Partial<Service>): Service => ({
  name,
  addresses: [address("127.0.1.10")],
  owner: { unit: "nginx.service" },
  origin: { file: "rules.yaml", line: 1, column: 1 },
  ...changes,
});

function ofUnits(...services: readonly Service[]): number[] {
  const wildcard = { units: { "nginx.service": "deny" } } as const;
  return policyEntries({ services, wildcard }, () => 0)
    .filter(([key]) => decode(policyKeyLayout, key).kind === PolicyCode.UNIT)
    .map(([, said]) => said);
}

test("a service that says nothing about wildcard binds leaves its unit the document's policy", () => {
  expect(ofUnits(service("web", { mptcp: "off" }))).toEqual([ILM_WILDCARD_DENY + ILM_MPTCP_OFF]);
});

test("a service's own policy goes before the document's, and two services of one unit are joined", () => {
  const allows = service("web", { wildcard: "allow" });
  const off = service("api", { mptcp: "off" });
  expect(ofUnits(allows, off)).toEqual([ILM_WILDCARD_ALLOW + ILM_MPTCP_OFF]);
});

test("the addresses of a service whose wildcard binds are rewritten are kept by its owner's key", () => {
  const addresses = [address("127.0.1.10"), address("fd5e:ed00::10")];
  const services = [
    service("web", { wildcard: "rewrite", addresses }),
    service("api", { wildcard: "deny", owner: { user: "api" }, addresses }),
  ];
  const [found, ...more] = rewriteEntries({ services }, () => 0);
  expect(more).toEqual([]);
  const [key = new Uint8Array(), value = new Uint8Array()] = found ?? [];
  expect(decode(policyKeyLayout, key).kind).toBe(PolicyCode.UNIT);
  const [ip4, ip6] = addresses.map(addressBytes);
  expect(decode(rewriteLayout, value)).toEqual({ ip4, ip6 });
});
