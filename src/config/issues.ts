/** What the validator finds -> problems in our words: what is wrong at which place, and what would be right. */
import type * as z from "zod";

import { MAX_WEIGHT } from "../model/mapping.js";
import { configuration, mappingEntry, notYet, serviceEntry, weightedTarget } from "./schema.js";
import { quote, type Path } from "./source.js";
import { nearest } from "./suggest.js";
import { VERSION } from "./version.js";

type Issue = z.core.$ZodIssue;

export interface Finding {
  readonly path: Path;
  /** Whether the problem is the key at the path, or its value. */
  readonly of: "key" | "value";
  readonly message: string;
  readonly hint: string;
}

/** What may be written, by key; list items are told by the key of their list. */
const forms: Readonly<Record<string, string>> = {
  engine: "write engine: auto, kfunc or registry",
  mptcp: "write mptcp: off, or leave it out (on)",
  $schema: "write the schema's location as a text",
  version: `write version: ${VERSION}`,
  services: "write names with their addresses, such as web: { address: 127.0.1.10 }",
  address: 'write an address such as 127.0.1.10 or "fd5e:ed00::10", or a list of them',
  mappings: "write a list of mappings, such as [{ port: 443, to: web }], or [] for none",
  name: "write a name such as blog",
  protocol: "write tcp, udp or [tcp, udp]",
  port: 'write 443, "8000-8099", "*", or a list of those',
  on: 'write a prefix such as 203.0.113.0/24 or "2001:db8::/32", or a list of them',
  to: 'write "127.0.1.10:80", "[fd5e:ed00::10]:80", a service such as web or "web:80", "*:22", or a list of those',
  from: 'write a prefix such as 198.51.100.0/24 or "2001:db8:1::/48", or a list of them',
  interface: "write the name of an interface such as eth0, or a list of them",
  weight: `write a whole number, 1 to ${MAX_WEIGHT}`,
  existing: "write exact, any or never",
  miss: "write pass or reject",
  handover: "write auto, lookup or ingress",
  originate: "write true, or leave it out",
};

const SERVICE_FORM = "write { address: 127.0.1.10 }";
const DESTINATION_FORM = 'write { address: "127.0.1.10:80", weight: 2 }';
const MAPPING_FORM = "write { port: 443, to: web }";
const DOCUMENT_FORM = `write version: ${VERSION}, services and mappings`;

/** Nothing, or comments only. */
export const emptyDocument = {
  message: "the file is empty",
  hint: 'write "version: 1" and "mappings: []" to say nothing',
} as const;

/** All findings of one validation of `document`, of which `issues` came out. */
export function explain(issues: readonly Issue[], document: unknown): Finding[] {
  return issues.flatMap((issue) => explainIssue(issue, [], document));
}

function explainIssue(issue: Issue, base: Path, document: unknown): Finding[] {
  const path: Path = [...base, ...issue.path.map(toStep)];
  const value = valueAt(document, path);
  switch (issue.code) {
    case "unrecognized_keys":
      return issue.keys.map((key) => explainKey(path, key));
    case "invalid_key":
      return issue.issues.flatMap((inner) =>
        explainIssue(inner, path, document).map((finding) => ({ ...finding, of: "key" as const })),
      );
    case "invalid_union": {
      const branch = issue.errors.find((issues) => !isMismatch(issues, value));
      if (branch === undefined) return [wrongType(path, value)];
      return branch.flatMap((inner) => explainIssue(inner, path, document));
    }
    case "invalid_type":
      if (typeof value === "number" && keyOf(path) === "port") {
        return [{ path, of: "value", message: `${value} is not a port`, hint: form(path) }];
      }
      return [wrongType(path, value)];
    case "invalid_value":
      return [wrongValue(path, value, issue.values.map(String))];
    case "too_small":
    case "too_big":
      if (Array.isArray(value)) {
        return [{ path, of: "value", message: "the list is empty", hint: form(path) }];
      }
      if (keyOf(path) === "weight") {
        const message = `the weight ${String(value)} is not possible`;
        return [{ path, of: "value", message, hint: form(path) }];
      }
      return [
        {
          path,
          of: "value",
          message: `the port ${String(value)} does not exist`,
          hint: "a port is 1 to 65535",
        },
      ];
    case "custom":
      return [
        { path, of: "value", message: issue.message, hint: String(issue.params?.["hint"] ?? "") },
      ];
    default:
      return [{ path, of: "value", message: issue.message, hint: form(path) }];
  }
}

/** Whether a branch of a union failed only because the value is of another type than the branch is for. */
function isMismatch(issues: readonly Issue[], value: unknown): boolean {
  const [issue] = issues;
  if (issue === undefined || issues.length > 1 || issue.path.length > 0) return false;
  if (issue.code === "invalid_type") {
    return !(
      typeof value === "number" &&
      (issue.expected === "int" || issue.expected === "number")
    );
  }
  if (issue.code === "invalid_value") return typeof value !== "string";
  return issue.code === "invalid_union" && issue.errors.every((inner) => isMismatch(inner, value));
}

function explainKey(parent: Path, key: string): Finding {
  const path = [...parent, key];
  const kind = kindOf(parent);
  if ((kind === "service" || kind === "mapping") && notYet[kind].includes(key)) {
    return {
      path,
      of: "key",
      message: `the key ${quote(key)} is not enforced yet by this version of ilm`,
      hint: "remove it: what it promises would not happen",
    };
  }
  const known = knownKeys(kind);
  const near = nearest(key, known);
  return {
    path,
    of: "key",
    message: `the key ${quote(key)} is not known`,
    hint: near === null ? `the keys here are ${known.join(", ")}` : `did you mean ${near}?`,
  };
}

type Kind = "document" | "service" | "mapping" | "destination";

function kindOf(path: Path): Kind {
  if (path.length === 0) return "document";
  if (path[0] === "services") return "service";
  return path.length === 2 ? "mapping" : "destination";
}

function knownKeys(kind: Kind): string[] {
  if (kind === "destination") return Object.keys(weightedTarget.in.shape);
  if (kind === "service") return Object.keys(serviceEntry.shape);
  if (kind === "mapping") return Object.keys(mappingEntry.shape);
  return Object.keys(configuration.shape).filter((key) => key !== "$schema");
}

function wrongType(path: Path, value: unknown): Finding {
  const hint = form(path, value);
  if (value === undefined) {
    return { path: path.slice(0, -1), of: "value", message: `${keyOf(path)} is missing`, hint };
  }
  if (value === null) {
    if (path.length === 0) return { path, of: "value", ...emptyDocument };
    return { path, of: "value", message: "this is empty", hint };
  }
  const quoted = isMistakenMapping(value)
    ? `${hint}; put IPv6 addresses between double quotes`
    : hint;
  return { path, of: "value", message: `this is ${describe(value)}`, hint: quoted };
}

/** `fd5e:ed00:: ` without quotes reads as a key. */
function isMistakenMapping(value: unknown): boolean {
  return (
    typeof value === "object" &&
    value !== null &&
    !Array.isArray(value) &&
    Object.keys(value).some((key) => key.includes(":"))
  );
}

function wrongValue(path: Path, value: unknown, allowed: readonly string[]): Finding {
  if (value === undefined || value === null) return wrongType(path, value);
  if (typeof value === "object") return wrongType(path, value);
  if (path.length === 1 && path[0] === "version") {
    return {
      path,
      of: "value",
      message: `version ${describeShort(value)} is not known to this ilm`,
      hint: form(path),
    };
  }
  const near = typeof value === "string" ? nearest(value, allowed) : null;
  return {
    path,
    of: "value",
    message: `${keyOf(path)} cannot be ${describeShort(value)}`,
    hint: near === null ? form(path) : `did you mean ${near}?`,
  };
}

/** The last key of the path, also for an item of its list. */
function keyOf(path: Path): string {
  return path.findLast((step) => typeof step === "string") ?? "";
}

function form(path: Path, value?: unknown): string {
  if (path.length === 0) return DOCUMENT_FORM;
  if (path.length === 2 && path[0] === "services") return SERVICE_FORM;
  if (path.length === 2 && path[0] === "mappings") return MAPPING_FORM;
  const key = keyOf(path);
  if (path[0] === "mappings" && key === "address") return forms["to"] ?? "";
  if (key === "to" && isGroup(value)) return DESTINATION_FORM;
  return forms[key] ?? "";
}

function isGroup(value: unknown): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function describe(value: unknown): string {
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object" && value !== null) return "a group of keys";
  if (typeof value === "string") return `the text ${quote(value)}`;
  return typeof value === "number" ? `the number ${value}` : `the value ${String(value)}`;
}

function describeShort(value: unknown): string {
  return typeof value === "string" ? quote(value) : String(value);
}

function toStep(step: PropertyKey): string | number {
  return typeof step === "number" ? step : String(step);
}

function valueAt(document: unknown, path: Path): unknown {
  let value: unknown = document;
  for (const step of path) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, step)) {
      return undefined;
    }
    value = (value as Record<string | number, unknown>)[step];
  }
  return value;
}
