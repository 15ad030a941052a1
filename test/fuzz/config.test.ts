/**
 * The configuration layer under random input: nothing but a configuration error comes out of bad
 * input, good input survives printing and reading, and JSON and YAML are of one mind, down to the
 * line and column. `make fuzz` has many more runs.
 */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { stringify } from "yaml";

import { formatMappingArgument, parseMappingArgument } from "../../src/config/argument.js";
import { parseConfiguration } from "../../src/config/parse.js";
import { formatProblem, IlmError, type Problem } from "../../src/errors.js";
import { addressFromBytes, familyOf, parsePrefix, type Address } from "../../src/model/address.js";
import {
  MAX_ID,
  strangerPolicies,
  wildcardPolicies,
  type Mapping,
} from "../../src/model/mapping.js";
import type { RuleSet } from "../../src/model/rules.js";
import { formatPorts } from "../../src/model/ports.js";
import { sizes } from "../support/sizes.js";

const runs = (count: number): { numRuns: number } => ({ numRuns: count * sizes.fuzzFactor });

type Outcome =
  | { ruleSet: RuleSet; warnings: readonly Problem[] }
  | { problems: readonly Problem[] };

/** What comes out; anything but a configuration error is thrown on. */
function outcomeOf(text: string, name = "rules"): Outcome {
  try {
    return parseConfiguration([{ name, text }], () => "0123456789abcdef0123456789abcdef");
  } catch (error) {
    if (!(error instanceof IlmError) || error.code !== "CONFIGURATION") throw error;
    const { problems } = error;
    expect(problems.length).toBeGreaterThan(0);
    const lines = text.split("\n");
    for (const { line, column, message } of problems) {
      expect(message).not.toBe("");
      expect(line).toBeLessThanOrEqual(lines.length);
      if (line > 0) {
        expect(column).toBeGreaterThan(0);
        expect(column).toBeLessThanOrEqual((lines[line - 1]?.length ?? 0) + 1);
      }
    }
    return { problems };
  }
}

/** Documents: plain values as a file holds them. */
const port = fc.integer({ min: 1, max: 65535 });
const portItem = fc.oneof(
  port,
  port.map(String),
  fc.tuple(port, port).map(([a, b]) => `${Math.min(a, b)}-${Math.max(a, b)}`),
  fc.constant("*"),
);
const ipv4 = fc
  .tuple(fc.nat(255), fc.nat(255), fc.integer({ min: 1, max: 254 }))
  .map((octets) => `127.${octets.join(".")}`);
const ipv6 = fc
  .uint8Array({ minLength: 14, maxLength: 14 })
  .map((tail) => addressFromBytes(Uint8Array.from([0xfd, 0x5e, ...tail])) as string);
const unicast = fc.oneof(ipv4, ipv6);
const prefix = fc.tuple(unicast, fc.nat(128)).map(([address, some]) => {
  const length = familyOf(address as Address) === 4 ? some % 33 : some;
  const parsed = parsePrefix(`${address}/${length}`);
  return parsed.ok ? parsed.prefix : (/^write (\S+)/.exec(parsed.hint)?.[1] ?? "");
});
const name = fc.stringMatching(/^[a-z][a-z0-9._-]{0,12}$/);

function oneOrMore<Item>(item: fc.Arbitrary<Item>): fc.Arbitrary<Item | Item[]> {
  return fc.oneof(item, fc.array(item, { minLength: 1, maxLength: 4 }));
}

function target(services: readonly string[]): fc.Arbitrary<string> {
  const withPort = (host: string, number: number | null): string =>
    number === null ? host : `${host}:${number}`;
  const bracketed = unicast.map((address) => (address.includes(":") ? `[${address}]` : address));
  const hosts = [bracketed, fc.constant("*")];
  if (services.length > 0) hosts.push(fc.constantFrom(...services));
  return fc.oneof(
    unicast,
    fc.tuple(fc.oneof(...hosts), fc.option(port)).map((p) => withPort(...p)),
  );
}

const account = fc.oneof(
  fc.constantFrom("www-data", "_chrony", "machine$", "1000"),
  fc.integer({ min: 0, max: MAX_ID }),
);
const ownerKeys = {
  unit: fc.constantFrom("nginx", "nginx.service", "a@b", "session-3.scope", "a\\x2db.service"),
  user: account,
  group: account,
};
const owner = fc
  .record(ownerKeys, { requiredKeys: [] })
  .filter((keys) => Object.keys(keys).length > 0);
const policy = fc.constantFrom(...wildcardPolicies);
const own = fc.oneof(
  fc.constant({}),
  owner,
  fc.tuple(owner, policy).map(([keys, wildcard]) => ({ ...keys, wildcard, mptcp: "off" as const })),
);
const dialled = fc
  .tuple(portItem, fc.constantFrom("", "/tcp", "/udp"))
  .map(([ports, protocol]) => (protocol === "" ? ports : `${ports}${protocol}`));
const publish = fc.oneof(
  oneOrMore(dialled),
  fc.dictionary(dialled.map(String), port, { minKeys: 1, maxKeys: 3 }),
);
const published = fc.option(
  fc.record({ publish, on: oneOrMore(prefix) }, { requiredKeys: ["publish"] }),
  { nil: {} },
);
const wildcard = fc.oneof(
  policy,
  fc
    .record(
      {
        default: policy,
        units: policy.map((one) => ({ nginx: one, "a@b.service": "deny" })),
        users: policy.map((one) => ({ "www-data": one, 33: "allow" })),
      },
      { requiredKeys: [] },
    )
    .filter((keys) => Object.keys(keys).length > 0),
);

/**
 * Right but for what can only be told by looking at all of it: names taken, families that cannot
 * meet.
 */
const document = fc
  .uniqueArray(unicast, { maxLength: 6 })
  .chain((addresses) =>
    fc.record({
      names: fc.uniqueArray(name, { minLength: addresses.length, maxLength: addresses.length }),
      addresses: fc.constant(addresses),
      group: fc.integer({ min: 1, max: 3 }),
      owners: fc.array(own, { minLength: addresses.length, maxLength: addresses.length }),
      published: fc.array(published, { minLength: addresses.length, maxLength: addresses.length }),
      auto: fc.boolean(),
    }),
  )
  .chain(({ names, addresses, group, owners, published: items, auto }) => {
    const services: Record<string, { address: string | string[] }> = {};
    for (let start = 0; start < addresses.length; start += group) {
      const some = addresses.slice(start, start + group);
      const address = some.length > 1 ? some : auto ? ["auto", some[0]!] : some[0]!;
      services[names[start]!] = { address, ...owners[start], ...items[start] };
    }
    const mapping = fc.record(
      {
        name,
        protocol: oneOrMore(fc.constantFrom("tcp", "udp")),
        port: oneOrMore(portItem),
        on: oneOrMore(prefix),
        to: oneOrMore(target(Object.keys(services))),
        existing: fc.constantFrom("exact", "any", "never"),
        miss: fc.constantFrom("pass", "reject"),
        listeners: fc.oneof(fc.constant("anyone"), oneOrMore(owner)),
      },
      { requiredKeys: ["port", "to"] },
    );
    return fc.record(
      {
        version: fc.constant(1),
        strangers: fc.constantFrom(...strangerPolicies),
        wildcard,
        ula: fc.constant("fd5e:ed00:1::/48"),
        services: fc.constant(services),
        mappings: fc.array(mapping, { maxLength: 5 }),
      },
      { requiredKeys: ["version", "services", "mappings"] },
    );
  });

/** Anything that JSON can say, with our words in it. */
const words = fc.constantFrom(
  "version",
  "services",
  "mappings",
  "address",
  "port",
  "to",
  "on",
  "protocol",
  "existing",
  "miss",
  "name",
  "unit",
  "user",
  "group",
  "mptcp",
  "publish",
  "wildcard",
  "units",
  "users",
  "default",
  "strangers",
  "ula",
  "listeners",
  "from",
  "weight",
  "__proto__",
  "constructor",
  "toString",
  "<<",
);
const values = fc.constantFrom(
  "web",
  "web:80",
  "*",
  "*:22",
  "127.0.0.1",
  "::1",
  "[::1]:80",
  "10.0.0.0/8",
  "80-443",
  "53/udp",
  "80/sctp",
  "8080:80",
  "443-80",
  "0",
  "tcp",
  "127.1",
  "010.0.0.1",
  "::ffff:1.2.3.4",
  "fe80::1%lo",
  "",
  "exact",
  "pass",
  "auto",
  "anyone",
  "nginx",
  "nginx.socket",
  "www-data",
  "no",
  "deny",
  "rewrite",
  "off",
  "fd5e:ed00:1::/48",
);
const anything = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: "small", maxDepth: 5 },
    values,
    fc.integer({ min: -1, max: 65536 }),
    fc.constantFrom(true, false, null, 1),
    fc.string({ maxLength: 5 }),
    fc.array(tie("value"), { maxLength: 3 }),
    fc.dictionary(fc.oneof(words, fc.string({ maxLength: 3 })), tie("value"), { maxKeys: 5 }),
  ),
})).value;
const nearly = fc
  .tuple(anything, anything, fc.array(fc.dictionary(words, anything, { maxKeys: 5 })))
  .chain(([version, services, mappings]) =>
    fc.constantFrom<unknown>(
      { version: 1, services, mappings },
      { version, mappings },
      { version: 1, mappings, services: { web: { address: "127.0.0.9" } } },
    ),
  );

/** Without the places, which differ between texts of one document. */
function withoutOrigins({ services, mappings, ...settings }: RuleSet): unknown {
  const plain = <Item extends { origin: unknown }>({ origin: _origin, ...rest }: Item) => rest;
  return { ...settings, services: services.map(plain), mappings: mappings.map(plain) };
}

test("no text ends in anything but rules or a configuration error", () => {
  const tokens = fc.oneof(
    fc.constantFrom(..."{}[],:-?&*#!|>'\"%@`\n \t\r\0\u0085\u2028\ud800é".split("")),
    fc.constantFrom("version: 1\n", "mappings:\n", "  - ", "port: 80", "to: web", "---\n", "...\n"),
    fc.constantFrom(
      "<<: ",
      "%YAML",
      "&a ",
      "*a ",
      "!!str ",
      '"\\',
      "1e9",
      "0x1",
      ".nan",
      "null",
      "~",
    ),
    fc.constant("{port: 80, to: web}"),
  );
  fc.assert(
    fc.property(fc.array(tokens, { maxLength: 30 }), (parts) => {
      outcomeOf(parts.join(""));
      outcomeOf(`version: 1\nmappings:\n  - ${parts.join("")}`);
      outcomeOf(parts.join(""), "rules.json");
    }),
    runs(2000),
  );
});

test("no bytes do", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 200 }), (text) => {
      outcomeOf(text);
      outcomeOf(text, "rules.json");
    }),
    runs(1000),
  );
});

test("no document do, and JSON and YAML say the same of it at the same places", () => {
  fc.assert(
    fc.property(fc.oneof(nearly, anything), fc.constantFrom(0, 1, 2), (value, indent) => {
      const text = JSON.stringify(value, null, indent);
      const asJson = outcomeOf(text, "rules.json");
      // The comment makes it YAML.
      const asYaml = outcomeOf(`${text}\n# YAML`, "rules.json.yaml");
      const said = (outcome: Outcome): unknown =>
        "problems" in outcome
          ? outcome.problems.map((problem) => formatProblem({ ...problem, file: "" }))
          : withoutOrigins(outcome.ruleSet);
      // YAML alone knows merge keys, and refuses to take them for plain ones.
      if (!text.includes('"<<"') && text !== "null") expect(said(asYaml)).toEqual(said(asJson));
    }),
    runs(1500),
  );
});

test("a document that is cut off anywhere is refused, or says less", () => {
  fc.assert(
    fc.property(document, fc.double({ min: 0, max: 1, noNaN: true }), (value, where) => {
      const json = JSON.stringify(value);
      const cut = json.slice(0, Math.floor((json.length - 1) * where));
      expect("problems" in outcomeOf(cut, "rules.json")).toBe(true);
      expect("problems" in outcomeOf(cut)).toBe(true);
      const yaml = stringify(value);
      outcomeOf(yaml.slice(0, Math.floor((yaml.length - 1) * where)));
    }),
    runs(500),
  );
});

test("JSON, YAML blocks and JSON read as YAML give the same rules", () => {
  let good = 0;
  fc.assert(
    fc.property(document, fc.constantFrom(0, 2), (value, indent) => {
      const json = JSON.stringify(value, null, indent);
      const fromJson = outcomeOf(json, "rules.json");
      const fromBlocks = outcomeOf(stringify(value), "rules.json");
      const fromYaml = outcomeOf(stringify(value), "rules.yaml");
      expect("problems" in fromBlocks, "YAML blocks are no JSON").toBe(true);
      if ("problems" in fromJson || "problems" in fromYaml) {
        const messages = (outcome: Outcome): unknown =>
          "problems" in outcome && outcome.problems.map(({ path }) => path).toSorted();
        expect(messages(fromYaml)).toEqual(messages(fromJson));
        return;
      }
      good++;
      expect(withoutOrigins(fromYaml.ruleSet)).toEqual(withoutOrigins(fromJson.ruleSet));
      // Of one text, the places are the same as well.
      const sameText = outcomeOf(`${json}\n#`, "rules.json.yaml");
      const places = (outcome: Outcome): unknown =>
        "ruleSet" in outcome &&
        [...outcome.ruleSet.services, ...outcome.ruleSet.mappings].map(({ origin }) => [
          origin.line,
          origin.column,
        ]);
      expect(places(sameText)).toEqual(places(fromJson));
    }),
    runs(500),
  );
  expect(good).toBeGreaterThan(100);
});

/** Rules printed as a document, everything spelled out. */
function print({ services, mappings, ...settings }: RuleSet): string {
  return JSON.stringify({
    version: 1,
    ...settings,
    services: Object.fromEntries(
      services.map(({ name: of, addresses, owner: whose, origin: _origin, ...rest }) => [
        of,
        { address: addresses, ...whose, ...rest },
      ]),
    ),
    mappings: mappings.map((mapping) => ({
      ...(mapping.name.includes(":") ? {} : { name: mapping.name }),
      protocol: mapping.protocol,
      port: formatPorts(mapping.ports).split(","),
      ...(mapping.on.length === 0 ? {} : { on: mapping.on }),
      to: formatMappingArgument(mapping)
        .replace(/^[^=]*=/, "")
        .split(","),
      existing: mapping.existing,
      miss: mapping.miss,
      listeners: mapping.listeners,
    })),
  });
}

test("rules survive printing and reading", () => {
  let good = 0;
  fc.assert(
    fc.property(document, (value) => {
      const outcome = outcomeOf(JSON.stringify(value));
      if ("problems" in outcome) return;
      good++;
      const again = outcomeOf(print(outcome.ruleSet));
      if ("problems" in again) throw new Error(again.problems.map(formatProblem).join("\n"));
      expect(withoutOrigins(again.ruleSet)).toEqual(withoutOrigins(outcome.ruleSet));
    }),
    runs(1000),
  );
  expect(good).toBeGreaterThan(200);
});

test("a mapping survives being written as an argument", () => {
  let good = 0;
  fc.assert(
    fc.property(document, (value) => {
      const outcome = outcomeOf(JSON.stringify(value));
      if ("problems" in outcome) return;
      const { services, mappings } = outcome.ruleSet;
      for (const mapping of mappings) {
        good++;
        const argument = formatMappingArgument(mapping);
        const same = (one: Mapping) => ({
          protocol: one.protocol,
          ports: one.ports,
          on: one.on,
          to: one.to,
        });
        expect(parseMappingArgument(argument, services).map(same)).toEqual([same(mapping)]);
      }
    }),
    runs(1000),
  );
  expect(good).toBeGreaterThan(500);
});

test("no argument ends in anything but mappings or a configuration error", () => {
  const parts = fc.oneof(
    fc.constantFrom(..."=@:+,*-[]0 ".split("")),
    fc.constantFrom("tcp", "udp", "80", "65536", "web"),
    fc.constantFrom("127.0.0.1", "[::1]", "::1", "10.0.0.0/8", "::/0"),
  );
  fc.assert(
    fc.property(fc.array(parts, { maxLength: 12 }), (text) => {
      try {
        const mappings = parseMappingArgument(text.join(""), []);
        for (const mapping of mappings) {
          expect(parseMappingArgument(formatMappingArgument(mapping), [])).toEqual([mapping]);
        }
      } catch (error) {
        if (!(error instanceof IlmError) || error.code !== "CONFIGURATION") throw error;
      }
    }),
    runs(5000),
  );
});
