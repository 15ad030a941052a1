// Goal: `ilm mappings` shows those that were asked for, and says what is wrong with a question.
import { describe, expect, test } from "vitest";
import {
  chooseMappings,
  describeChoice,
  parseChoice,
  type ChoiceOptions,
} from "../../../src/daemon/chosen.js";
import type { MappingHealth } from "../../../src/rules/health.js";
import { refusal } from "../../support/refusal.js";
import { ruleSetOf } from "../config/support.js";

const { mappings, services } = ruleSetOf(`version: 1
services:
  web: { address: [127.0.1.10, "fd5e:ed00::10"] }
  dns: { address: 127.0.1.53 }
mappings:
  - { name: site, port: [80, 443], to: web }
  - { name: high, port: 8000-8099, to: ["127.0.1.20:9000", web] }
  - { name: names, protocol: [tcp, udp], port: 53, to: "dns:5353" }
  - { name: shell, port: 22, on: [203.0.113.0/24, "2001:db8:77::/48"], to: "*:22" }
`);

const none = { gaps: [], down: [], families: [] };

/** Nobody listens for the first two, and for the second of these over IPv6 only. */
const healths: readonly MappingHealth[] = [
  { ...none, state: "unserved" },
  { ...none, state: "served", gaps: [{ family: 6, drained: false, destinations: [1] }] },
  { ...none, state: "served", down: [0] },
  { ...none, state: "drained" },
];

/** The last one was added at run time. */
const around = {
  fromFile: mappings.length - 1,
  health: () => (index: number) => healths[index] ?? { ...none, state: "over" as const },
  services,
};

function chosen(options: ChoiceOptions, ...names: readonly string[]): string[] {
  return chooseMappings(mappings, around, parseChoice(names, options)).indexes.map((index) => {
    const mapping = mappings.at(index);
    return `${mapping?.protocol}:${mapping?.name}`;
  });
}

describe("those are shown", () => {
  test.each<[string, ChoiceOptions, string[], string[]]>([
    ["of a name, of both protocols", {}, ["names"], ["tcp:names", "udp:names"]],
    [
      "of several names, in the order of the rules",
      {},
      ["shell", "site"],
      ["tcp:site", "tcp:shell"],
    ],
    ["of a protocol", { protocol: "udp" }, [], ["udp:names"]],
    ["whose ports have the port", { port: "8050" }, [], ["tcp:high"]],
    ["whose ports have one of a range", { port: "81-8000" }, [], ["tcp:site", "tcp:high"]],
    ["for a dialled address", { on: "203.0.113.5", port: "22" }, [], ["tcp:shell"]],
    ["for another dialled address", { on: "198.51.100.5", port: "22" }, [], []],
    ["for a dialled IPv6 address", { on: "2001:db8:77::1", port: "22" }, [], ["tcp:shell"]],
    ["for a prefix around their own", { on: "203.0.0.0/16", port: "22" }, [], ["tcp:shell"]],
    ["for every address, too", { on: "198.51.100.5", to: "dns" }, [], ["tcp:names", "udp:names"]],
    ["to a service", { to: "web" }, [], ["tcp:site", "tcp:high"]],
    ["to a service's port that is the one dialled", { to: "web:443" }, [], ["tcp:site"]],
    ["to an address of a service", { to: "127.0.1.10" }, [], ["tcp:site", "tcp:high"]],
    ["to an IPv6 address and port", { to: "[fd5e:ed00::10]:80" }, [], ["tcp:site"]],
    ["to a port that is another than was dialled", { to: "127.0.1.20:9000" }, [], ["tcp:high"]],
    ["to the wildcard", { to: "*" }, [], ["tcp:shell"]],
    ["that are all of this", { protocol: "tcp", port: "53", to: "dns" }, [], ["tcp:names"]],
    ["that were added", { added: true }, [], ["tcp:shell"]],
    ["that were added, of a file's name", { added: true }, ["site"], []],
    ["that are down", { down: true }, [], ["tcp:site", "tcp:high", "udp:names"]],
    ["that are degraded", { degraded: true }, [], ["tcp:names"]],
    ["that are down, for a port", { down: true, port: "443" }, [], ["tcp:site"]],
    ["of nothing that there is", { port: "1" }, [], []],
    ["up to the limit", { limit: "2" }, [], ["tcp:site", "tcp:high"]],
  ])("%s", (_title, options, names, expected) => {
    expect(chosen(options, ...names)).toEqual(expected);
  });

  test("and those beyond the limit are counted", () => {
    const { indexes, total } = chooseMappings(mappings, around, parseChoice([], { limit: "1" }));
    expect(indexes).toEqual([0]);
    expect(total).toBe(mappings.length);
  });
});

test("what was asked for is told in words", () => {
  const choice = parseChoice([], { protocol: "tcp", port: "443", to: "web:80" });
  expect(describeChoice(choice)).toBe("of tcp for port 443 to web:80");
  const dialled = parseChoice([], { on: "203.0.113.5", port: "80-90" });
  expect(describeChoice(dialled)).toBe("for 203.0.113.5 for port 80-90");
});

describe("refused", () => {
  test.each<[ChoiceOptions, string]>([
    [{ port: "http" }, "--port: "],
    [{ port: "0" }, "--port: "],
    [{ port: "90-80" }, "--port: "],
    [{ on: "web" }, "--on: "],
    [{ to: "0.0.0.0" }, "--to: "],
    [{ to: "web:" }, "--to: "],
    [{ limit: "0" }, "--limit: "],
    [{ limit: "many" }, "--limit: "],
  ])("is %o, with what would be right", (options, begin) => {
    const { code, message, remedy } = refusal(() => parseChoice([], options));
    expect(code).toBe("USAGE");
    expect(message.startsWith(begin)).toBe(true);
    expect(remedy).toMatch(/^\S.*\.$/);
  });

  test("is a service that there is not, with the one that was meant", () => {
    const { code, message, remedy } = refusal(() => chosen({ to: "wbe" }));
    expect([code, message]).toEqual(["NOT_FOUND", "there is no service named wbe"]);
    expect(remedy).toBe("Did you mean web? `ilm address` lists the services.");
  });

  test("is a name that no mapping has, with the one that was meant", () => {
    const { code, message, remedy } = refusal(() => chosen({}, "siet"));
    expect([code, message]).toEqual(["NOT_FOUND", "there is no mapping named siet"]);
    expect(remedy).toBe("Did you mean site? `ilm mappings` lists the active mappings.");
  });
});
