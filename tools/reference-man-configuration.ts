/**
 * Renders ilm.yaml(5): the keys from the definition that validates them, and what is said of them
 * together from docs/configuration.md. Pure.
 */
import type { JsonSchema } from "../src/config/schema.js";
import { markdownToRoff, sectionOf } from "./markdown-roff.js";
import { block, bold, entry, paragraphs, prose, renderPage, section } from "./roff.js";

export interface ConfigurationContext {
  readonly version: string;
  /** Of a whole document. */
  readonly schema: JsonSchema;
  /** The text of docs/configuration.md. */
  readonly reference: string;
  /** Configurations to show, each with what it is. */
  readonly examples: readonly (readonly [string, string])[];
}

export function renderConfigurationPage(context: ConfigurationContext): string {
  const { version, schema, reference, examples } = context;
  const { services, mappings } = schema.properties ?? {};
  if (typeof services !== "object" || typeof mappings !== "object") {
    throw new Error("the schema has no services or no mappings: adapt this generator");
  }
  const told = (heading: string): string => markdownToRoff(sectionOf(reference, heading));
  return renderPage({
    name: "ilm.yaml",
    number: 5,
    purpose: "which daemon gets the connections to which port",
    version,
    madeFrom: "src/config/schema.ts and docs/configuration.md",
    sections: [
      section("SYNOPSIS", `.B ilm run \\-f\n.I FILE\n.br\n.B ilm apply \\-f\n.I FILE`),
      section("DESCRIPTION", paragraphs(DESCRIPTION)),
      section("THE DOCUMENT", keysOf(schema)),
      section("SERVICES", `${prose(SERVICES)}\n${keysOf(valueOf(services))}`),
      section("MAPPINGS", `${prose(MAPPINGS)}\n${keysOf(valueOf(mappings))}`),
      section("ORDER OF MAPPINGS", told("Which mapping decides")),
      section("ADDRESSES", told("Addresses")),
      section("FILES AND FOLDERS", told("Files and folders")),
      section("MAPPINGS AS ARGUMENTS", told("Mappings as arguments")),
      section("DIAGNOSTICS", told("Errors and warnings")),
      section("FILES", FILES.map(([path, what]) => entry(bold(path), what)).join("\n")),
      section(
        "EXAMPLES",
        examples.map(([what, text]) => `.PP\n${prose(what)}:\n${block(text)}`).join("\n"),
      ),
      section(
        "SEE ALSO",
        [
          ".BR ilm (1),",
          ".BR ilm\\-check (1),",
          ".BR ilm\\-run (1),",
          ".BR ilm\\-schema (1),",
          ".BR systemd.unit (5)",
        ].join("\n"),
      ),
    ],
  });
}

const DESCRIPTION = [
  "A configuration of `ilm` says which listening socket of this host gets a new connection. It is YAML or JSON, one file or a folder of them; the program that reads it has no other settings file.",
  "`ilm check -f FILE` checks a file without root, and shows all errors at once. A file with an error changes nothing: the active rules stay. Every key is listed below; any other is an error, so that a typing error is never taken for a setting.",
].join("\n\n");

const SERVICES =
  "A service has a name of `a-z`, `0-9`, `.`, `_` and `-`, and these keys. An address that a service owns is never mapped away.";

const MAPPINGS = "Each mapping of the list has these keys.";

const FILES: readonly (readonly [string, string])[] = [
  ["/etc/ilm/ilm.yaml", "the file that ilm.service follows"],
  ["/var/lib/ilm/", "where `ilm run` keeps a copy of the last configuration that was right"],
  [
    "PREFIX/lib/ilm/examples/",
    "whole configurations, as installed with the default PREFIX=/usr/local",
  ],
  ["PREFIX/lib/ilm/schema/ilm.schema.json", "the JSON Schema, which `ilm schema` prints"],
];

/** Returns what each entry of a map or a list has to be. */
function valueOf(schema: JsonSchema): JsonSchema {
  const value = typeof schema.items === "object" ? schema.items : schema.additionalProperties;
  if (typeof value !== "object" || Array.isArray(value)) {
    throw new Error("this is neither a map nor a list of one thing: adapt this generator");
  }
  return value;
}

function keysOf({ properties = {}, required = [] }: JsonSchema): string {
  return Object.entries(properties)
    .map(([key, value]) => {
      if (typeof value !== "object") throw new Error(`${key} has no schema`);
      return `.TP\n${bold(key)}${required.includes(key) ? " (required)" : ""}\n${describe(value)}`;
    })
    .join("\n");
}

/** What a value may be, from the outside in: each alternative of it, and of the items of a list. */
interface Forms {
  readonly leaves: readonly JsonSchema[];
  readonly isList: boolean;
}

function formsOf(schema: JsonSchema): Forms {
  if (schema.anyOf !== undefined) {
    const all = schema.anyOf.map((one) => formsOf(one));
    const leaves = new Map(
      all.flatMap((one) => one.leaves).map((leaf) => [JSON.stringify(leaf), leaf]),
    );
    return { leaves: [...leaves.values()], isList: all.some(({ isList }) => isList) };
  }
  // A list of mappings has a section of its own.
  if (schema.type === "array" && valueOf(schema).properties?.["port"] === undefined) {
    return { leaves: formsOf(valueOf(schema)).leaves, isList: true };
  }
  return { leaves: [schema], isList: false };
}

function describe(schema: JsonSchema): string {
  const { leaves, isList } = formsOf(schema);
  const described = leaves.length > 1 || isList;
  const said = described || leaves[0] === schema ? schema.description : leaves[0]?.description;
  const forms = leaves.map((leaf) => formOf(leaf, said ?? "")).filter((form) => form !== "");
  const single = leaves.some((leaf) => leaf.enum !== undefined) ? "Values: " : "";
  const lead = isList ? "One of these, or a list: " : described ? "One of these: " : single;
  const ways = forms.length === 0 ? "" : ` ${capitalise(`${lead}${forms.join("; ")}`)}.`;
  const inner = leaves
    .filter((leaf) => leaf !== schema && leaf.properties !== undefined)
    .map((leaf) => `.RS\n${keysOf(leaf)}\n.RE`);
  return [prose(`${said ?? ""}.${ways}`), ...inner].join("\n");
}

/** Describes one form of a value, beyond what has been said of the key. */
function formOf(leaf: JsonSchema, said: string): string {
  const { type, description, minimum, maximum, propertyNames, additionalProperties } = leaf;
  const parts: string[] = [];
  if (description !== undefined && description !== said) parts.push(uncapitalise(description));
  else if (type === "integer") parts.push(`a number from ${minimum} to ${maximum}`);
  if (leaf.const !== undefined) parts.push(wordsOf([leaf.const]));
  if (leaf.enum !== undefined) parts.push(wordsOf(leaf.enum));
  if (typeof propertyNames === "object") {
    const key = propertyNames.description;
    parts.push(`a map${key === undefined ? "" : ` by ${uncapitalise(key)}`}`);
    if (typeof additionalProperties === "object" && additionalProperties.enum !== undefined) {
      parts.push(`to one of ${wordsOf(additionalProperties.enum)}`);
    }
    if (typeof additionalProperties === "object" && additionalProperties.type === "integer") {
      parts.push(`to ${formOf(additionalProperties, "")}`);
    }
  }
  if (leaf.properties !== undefined && leaf.properties["version"] === undefined) {
    parts.push(parts.length === 0 ? "a map with these keys" : "with these keys");
  }
  const examples = [...(leaf.examples ?? [])];
  if (typeof propertyNames === "object") examples.push(...(propertyNames.examples ?? []));
  if (examples.length > 0) parts.push(`such as ${examples.map(exampleOf).join(", ")}`);
  return parts.join(", ").replace("a map, to", "a map to");
}

function wordsOf(words: readonly unknown[]): string {
  return words.map((word) => `\`${String(word)}\``).join(", ");
}

function exampleOf(example: unknown): string {
  return `\`${typeof example === "string" ? example : flow(example)}\``;
}

/** Writes a map as YAML does on one line. */
function flow(value: unknown): string {
  const entries = Object.entries(value as Record<string, unknown>);
  return `{ ${entries.map(([key, one]) => `${key}: ${String(one)}`).join(", ")} }`;
}

function capitalise(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** Makes a description the middle of a sentence; a word of capitals stays. */
function uncapitalise(text: string): string {
  return /^[A-Z][a-z ]/.test(text) ? text.charAt(0).toLowerCase() + text.slice(1) : text;
}
