/** The JSON Schema for editors: generated, up to date, and of one mind with the validator. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

import { configurationJsonSchemaText } from "../../../src/config/schema.js";

const schemaFile = new URL("../../../schema/ilm.schema.json", import.meta.url);

/** The parts of JSON Schema that are asked about here. */
interface Schema {
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: boolean | Schema;
  readonly propertyNames?: Schema;
  readonly items?: Schema;
  readonly required?: readonly string[];
  readonly anyOf?: readonly Schema[];
  readonly pattern?: string;
  readonly examples?: readonly string[];
  readonly description?: string;
}

const schema = JSON.parse(readFileSync(schemaFile, "utf-8")) as Schema;
const mapping = schema.properties?.["mappings"]?.items;
const service = schema.properties?.["services"]?.additionalProperties as Schema;

test("the file is what the validator's definition generates", () => {
  expect(readFileSync(schemaFile, "utf-8")).toBe(configurationJsonSchemaText());
});

test("it knows the keys, which are required, and takes no others", () => {
  expect(Object.keys(mapping?.properties ?? {})).toEqual([
    "name",
    "protocol",
    "port",
    "on",
    "from",
    "interface",
    "to",
    "existing",
    "miss",
    "handover",
    "listeners",
    "description",
  ]);
  expect(mapping?.required).toEqual(["port", "to"]);
  expect(service.required).toEqual(["address"]);
  expect(schema.required).toEqual(["version"]);
  expect(schema.anyOf).toEqual(
    ["mappings", "services", "anyip"].map((key) => ({ required: [key] })),
  );
  for (const { additionalProperties } of [schema, mapping!, service]) {
    expect(additionalProperties).toBe(false);
  }
});

test("every key says what it is for", () => {
  for (const { properties } of [schema, mapping!, service]) {
    for (const [key, { description }] of Object.entries(properties ?? {})) {
      expect(description, key).toMatch(/\w{3}/);
    }
  }
});

function patterns(part: Schema | undefined): string[] {
  const parts = [part?.items, part?.propertyNames].filter((one) => one !== undefined);
  return [
    ...(part?.pattern === undefined ? [] : [part.pattern]),
    ...[...(part?.anyOf ?? []), ...parts].flatMap(patterns),
  ];
}

test("its patterns take what the parsers take", () => {
  const good: Record<string, string[]> = {
    port: ["80", "8000-8099", "*", "1-65535"],
    on: ["10.0.0.0/8", "203.0.113.7", "2001:DB8::/32", "::/0"],
    to: ["web", "web:80", "127.0.0.1:80", "[fd5e::1]:80", "fd5e::1", "*", "*:22"],
    name: ["blog", "0.a_b-c"],
  };
  const bad: Record<string, string[]> = {
    port: ["http", "", "80,81", "-1"],
    on: ["web", "10.0.0.0/8 ", "fe80::1%lo"],
    to: ["", "web ssh"],
    name: ["", "Blog", "tcp:443", "-a"],
  };
  for (const [key, texts] of Object.entries(good)) {
    const found = patterns(mapping?.properties?.[key]);
    expect(found.length, key).toBeGreaterThan(0);
    for (const pattern of found) {
      for (const text of texts) expect(text, key).toMatch(new RegExp(pattern));
      for (const text of bad[key] ?? []) expect(text, key).not.toMatch(new RegExp(pattern));
    }
  }
});

test("its patterns of publish take what the parser takes, as items and as keys", () => {
  const found = patterns(service.properties?.["publish"]);
  // Alone, in a list, and as a key.
  expect(found.length).toBe(3);
  for (const pattern of found) {
    for (const text of ["80", "53/udp", "80/tcp", "8000-8099/udp", "*", "*/udp"]) {
      expect(text).toMatch(new RegExp(pattern));
    }
    for (const text of ["", "http", "8080:80", "53/sctp", "/udp", "80,443"]) {
      expect(text).not.toMatch(new RegExp(pattern));
    }
  }
});
