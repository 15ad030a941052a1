/**
 * Is a value what a shape of src/json says? Tells what is missing, unknown or of another kind.
 * Pure.
 */
import type { Fields, Shape } from "../../src/json/shape.js";

/**
 * One line for each difference, empty when there is none. `seen` is given the path of each field
 * that the value has, as `pathsOf` has them.
 */
export function conforms(shape: Shape, value: unknown, seen = new Set<string>()): string[] {
  return differences({ shape, value, at: "", path: "", seen });
}

/**
 * The paths of all fields of a shape, at any depth: `moves[].before`; those of a shape that has a
 * name begin with it, wherever it is: `<mapping>.name`.
 */
export function pathsOf(shape: Shape, path = ""): string[] {
  switch (shape.kind) {
    case "nullable":
      return pathsOf(shape.of, path);
    case "list":
      return pathsOf(shape.of, `${path}[]`);
    case "either":
      return [...new Set(shape.of.flatMap((one) => pathsOf(one, path)))];
    case "object": {
      const paths = Object.entries(shape.fields).flatMap(([name, field]) => {
        const own = below(rootOf(shape.name) ?? path, name);
        return [own, ...pathsOf(field.shape, own)];
      });
      return [...new Set(paths)];
    }
    default:
      return [];
  }
}

interface Question {
  readonly shape: Shape;
  readonly value: unknown;
  /** Where in the document: `[0].to[1].port`. */
  readonly at: string;
  /** The path within the shape, as `pathsOf` returns it. */
  readonly path: string;
  readonly seen: Set<string>;
}

function differences({ shape, value, at, path, seen }: Question): string[] {
  const unless = (fits: boolean): string[] =>
    fits ? [] : [`${at === "" ? "the document" : at} is ${show(value)}, and not ${shape.kind}`];
  switch (shape.kind) {
    case "text":
      return unless(typeof value === "string");
    case "number":
      return unless(Number.isFinite(value));
    case "integer":
      return unless(Number.isInteger(value));
    case "boolean":
      return unless(typeof value === "boolean");
    case "literals":
      return unless(shape.literals.some((literal) => literal === value));
    case "nullable":
      return value === null ? [] : differences({ shape: shape.of, value, at, path, seen });
    case "list":
      if (!Array.isArray(value)) return unless(false);
      return value.flatMap((item: unknown, index) =>
        differences({
          shape: shape.of,
          value: item,
          at: `${at}[${index}]`,
          path: `${path}[]`,
          seen,
        }),
      );
    case "either":
      return closest(shape.of, { value, at, path, seen });
    case "object":
      return isObject(value)
        ? ofFields(shape.fields, { value, at, path: rootOf(shape.name) ?? path, seen })
        : unless(false);
    case "foreign":
      return unless(isObject(value));
  }
}

type Whole = Readonly<Record<string, unknown>>;

function ofFields(
  fields: Fields,
  { value, at, path, seen }: Omit<Question, "shape"> & { readonly value: Whole },
): string[] {
  const unknown = Object.keys(value)
    .filter((name) => !Object.hasOwn(fields, name))
    .map((name) => `${below(at, name)} is not published`);
  const known = Object.entries(fields).flatMap(([name, field]) => {
    const own = below(path, name);
    if (!Object.hasOwn(value, name)) {
      return field.isOptional ? [] : [`${below(at, name)} is missing`];
    }
    seen.add(own);
    const part = { shape: field.shape, value: value[name], at: below(at, name), path: own, seen };
    return differences(part);
  });
  return [...unknown, ...known];
}

/** Those from the alternative that differs least, whose fields alone are seen. */
function closest(shapes: readonly Shape[], { seen, ...rest }: Omit<Question, "shape">): string[] {
  const tried = shapes.map((shape) => {
    const found = new Set<string>();
    return { problems: differences({ shape, seen: found, ...rest }), found };
  });
  const [best] = tried.toSorted((one, other) => one.problems.length - other.problems.length);
  for (const path of best?.found ?? []) seen.add(path);
  return best?.problems ?? [];
}

function rootOf(name: string | null): string | null {
  return name === null ? null : `<${name}>`;
}

function isObject(value: unknown): value is Whole {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function below(path: string, name: string): string {
  return path === "" ? name : `${path}.${name}`;
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? "undefined";
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}
