/**
 * Describes shapes of `--json` in words: on one line for man pages, and as the rows of a table.
 * Pure.
 */
import type { Field, Shape } from "../src/json/shape.js";

/**
 * Describes a shape as `{name, to: [destination], weight: integer | null}`. A named shape appears
 * as its name, except the outermost.
 */
export function onOneLine(shape: Shape): string {
  return shape.kind === "object" ? fieldsOnOneLine(shape.fields) : term(shape);
}

function term(shape: Shape): string {
  switch (shape.kind) {
    case "text":
    case "number":
    case "integer":
    case "boolean":
      return shape.kind;
    case "literals":
      return shape.literals.map((literal) => JSON.stringify(literal)).join(" | ");
    case "nullable":
      return `${term(shape.of)} | null`;
    case "list":
      return `[${term(shape.of)}]`;
    case "either":
      return shape.of.map(term).join(" | ");
    case "object":
      return shape.name ?? fieldsOnOneLine(shape.fields);
    case "foreign":
      return shape.format;
  }
}

function fieldsOnOneLine(fields: Readonly<Record<string, Field>>): string {
  const parts = Object.entries(fields).map(([name, { shape, isOptional }]) => {
    const key = isOptional ? `${name}?` : name;
    return isPlain(shape) ? key : `${key}: ${term(shape)}`;
  });
  return `{${parts.join(", ")}}`;
}

function isPlain({ kind }: Shape): boolean {
  return kind === "text" || kind === "number" || kind === "integer" || kind === "boolean";
}

/** Returns the shapes directly inside this one. */
function inside(shape: Shape): readonly Shape[] {
  switch (shape.kind) {
    case "nullable":
    case "list":
      return [shape.of];
    case "either":
      return shape.of;
    case "object":
      return Object.values(shape.fields).map((field) => field.shape);
    default:
      return [];
  }
}

/**
 * Returns all named shapes within `shapes`, at any depth, by name, in the order in which they come
 * up.
 */
export function namedIn(shapes: readonly Shape[]): Map<string, Shape> {
  const found = new Map<string, Shape>();
  for (const shape of shapes) {
    if (shape.kind === "object" && shape.name !== null) found.set(shape.name, shape);
    for (const [name, one] of namedIn(inside(shape))) found.set(name, one);
  }
  return found;
}

export interface Row {
  /**
   * The path as jq has it, below the document or its entries: `counters.selected`, `to[].address`.
   */
  readonly path: string;
  /** The kind of value, in Markdown. */
  readonly value: string;
  readonly meaning: string;
}

/**
 * Returns one row for each field, also of objects inside; those that have a name have a table of
 * their own.
 */
export function rowsOf(shape: Shape, path = ""): Row[] {
  switch (shape.kind) {
    case "nullable":
      return rowsOf(shape.of, path);
    case "list":
      // The sentence above the table says when the document is a list.
      return rowsOf(shape.of, path === "" ? "" : `${path}[]`);
    case "either":
      return shape.of.flatMap((one) => rowsOf(one, path));
    case "object":
      return Object.entries(shape.fields).flatMap(([name, field]) => {
        const own = path === "" ? name : `${path}.${name}`;
        const row = { path: own, value: valueOf(field), meaning: field.meaning };
        return isNamed(field.shape) ? [row] : [row, ...rowsOf(field.shape, own)];
      });
    default:
      return [];
  }
}

function isNamed(shape: Shape): boolean {
  if (shape.kind === "nullable" || shape.kind === "list") return isNamed(shape.of);
  return shape.kind === "object" && shape.name !== null;
}

function valueOf({ shape, isOptional }: Field): string {
  return isOptional ? `${inWords(shape)}, or absent` : inWords(shape);
}

function inWords(shape: Shape): string {
  switch (shape.kind) {
    case "literals":
      return shape.literals.map((literal) => `\`${JSON.stringify(literal)}\``).join(", ");
    case "nullable":
      return `${inWords(shape.of)} or null`;
    case "list":
      return `list of ${plural(shape.of)}`;
    case "either":
      return [...new Set(shape.of.map(inWords))].join(" or ");
    case "object":
      return shape.name === null ? "object" : linkTo(shape.name);
    case "foreign":
      return shape.format;
    default:
      return shape.kind;
  }
}

/** Returns a Markdown link to the heading of a shape. */
export function linkTo(name: string): string {
  return `[${name}](#${name.replaceAll(" ", "-")})`;
}

function plural(shape: Shape): string {
  return shape.kind === "object" && shape.name === null ? "objects" : inWords(shape);
}
