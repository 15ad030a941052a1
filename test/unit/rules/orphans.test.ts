// Goal: a run-time mapping whose service the configuration has no longer is found, and no other.
import { expect, test } from "vitest";
import { orphansOf } from "../../../src/rules/orphans.js";
import { address, mapping } from "../daemon/fixtures.js";

const to = (service?: string) => [
  { address: address("127.0.1.10"), port: 80, ...(service !== undefined && { service }) },
];
const { origin } = mapping("any");
const service = (name: string, at: string) => ({ name, addresses: [address(at)], origin });
const runtime = [
  mapping("named", { to: to("web") }),
  mapping("by address", { to: to() }),
  mapping("over", { to: to("web"), until: 100 }),
];

test.each([
  ["has it", [service("web", "127.0.1.10")], []],
  ["has none", [], ["named"]],
  ["has renamed it", [service("site", "127.0.1.10")], ["named"]],
  ["has given it another address", [service("web", "127.0.1.11")], ["named"]],
])("a configuration that %s", (_title, services, expected) => {
  const found = orphansOf({ runtime, services, now: 100 });
  expect(found).toEqual(expected.map((name) => ({ mapping: name, service: "web" })));
});
